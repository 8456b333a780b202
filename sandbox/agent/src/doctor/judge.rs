//! From facts to capabilities: what a machine lacks for labs, why it matters, and the exact command that mends it. Pure.

use super::findings::{Cgroup, Findings, Helper, Kvm};
use crate::ids;
use crate::vm::programs;
use isolab_protocol::{Capability, MachineCapabilities, Tier, TierOffer};
use isolab_vm::hardware;

/// Mounts are made with `mount_setattr`, which this kernel brought.
const KERNEL_MIN: (u32, u32) = (5, 12);

/// tmpfs keeps `user.*` attributes from this kernel on, by which an overlay remembers replaced directories.
const KERNEL_TMPFS_XATTR: (u32, u32) = (6, 6);

/// A full lab: its root, its containers, its shared memory.
const MEMORY_MIB_MIN: u64 = 1024;

/// The unpacked images and as much again while they are rebuilt.
const DISK_MIB_MIN: u64 = 1024;

/// Everything that is looked for, required things first.
pub fn judge(found: &Findings) -> MachineCapabilities {
    let mut capabilities = vec![
        kernel(found),
        user_namespaces(found),
        apparmor_restriction(found),
        id_helpers(found),
        id_range(found),
        clean_proc(found),
        seccomp(found),
        lab_host(found),
        images(found),
        tmpfs_xattr(found),
        cgroup(found),
        memory(found),
        disk(found),
        apparmor(found),
        virtual_machines(found),
    ];
    // A stable order: sort_by_key keeps the order within each half.
    capabilities.sort_by_key(|capability| !capability.required);
    let tiers = tiers(&capabilities);
    MachineCapabilities { kernel: found.kernel.clone(), capabilities, tiers }
}

fn required(name: &str, why: &str, result: Result<String, (String, String)>) -> Capability {
    capability(name, true, why, result)
}

fn useful(name: &str, why: &str, result: Result<String, (String, String)>) -> Capability {
    capability(name, false, why, result)
}

fn capability(name: &str, required: bool, why: &str, result: Result<String, (String, String)>) -> Capability {
    let (available, found, mend) = match result {
        Ok(found) => (true, found, None),
        Err((found, mend)) => (false, found, Some(mend).filter(|mend| !mend.is_empty())),
    };
    Capability { name: name.into(), available, required, found, why: why.into(), mend }
}

fn missing<T>(found: impl Into<String>, mend: impl Into<String>) -> Result<T, (String, String)> {
    Err((found.into(), mend.into()))
}

/// A setting that takes effect now and after a reboot.
fn sysctl(setting: &str) -> String {
    let file = "/etc/sysctl.d/90-isolab.conf";
    format!("echo '{setting}' | sudo tee -a {file} && sudo sysctl -p {file}")
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

fn kernel(found: &Findings) -> Capability {
    let (major, minor) = KERNEL_MIN;
    let result = match version(&found.kernel) {
        Some(version) if version >= KERNEL_MIN => Ok(format!("Linux {}", found.kernel)),
        _ => missing(
            format!("Linux {}, which is older than {major}.{minor}", found.kernel),
            "sudo apt install --install-recommends linux-generic || sudo apt install linux-image-amd64; sudo reboot",
        ),
    };
    required("kernel", "Labs are mounted with calls that older kernels do not have.", result)
}

fn user_namespaces(found: &Findings) -> Capability {
    let refused = found.entered.as_ref().and_then(|entered| entered.as_ref().err());
    let result = if found.user_namespaces_max == Some(0) {
        missing("user.max_user_namespaces is 0", sysctl("user.max_user_namespaces=15000"))
    } else if found.user_namespaces_max.is_none() {
        missing(
            "The kernel has no user namespaces (CONFIG_USER_NS)",
            "Use a kernel of Debian, Ubuntu or Fedora.",
        )
    } else if found.uid != 0 && found.unprivileged_userns_clone == Some(0) {
        missing("kernel.unprivileged_userns_clone is 0", sysctl("kernel.unprivileged_userns_clone=1"))
    } else if let Some(why) = refused {
        missing(format!("Entering one was refused: {why}"), refusal_mend(found))
    } else {
        Ok(match found.entered {
            Some(_) => "A user namespace was made and entered.".into(),
            None => "They are on.".into(),
        })
    };
    required("user-namespaces", "They make a lab's root an unprivileged user of the machine.", result)
}

/// What to do about a refusal whose reason no setting shows.
fn refusal_mend(found: &Findings) -> String {
    if found.uid != 0 && (found.subuids < ids::RANGE || found.subgids < ids::RANGE) {
        return "See id-range.".into();
    }
    if found.apparmor_restricts_userns == Some(1) {
        return "See apparmor-restriction.".into();
    }
    "In a container: start that with --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
     --security-opt systempaths=unconfined --cap-add SYS_ADMIN, or run Isolab on the machine itself."
        .into()
}

fn apparmor_restriction(found: &Findings) -> Capability {
    let entered = matches!(found.entered, Some(Ok(())));
    let result = match found.apparmor_restricts_userns {
        // A profile of its own may let the agent through: what was tried counts for more than the setting.
        Some(1) if found.uid != 0 && !entered => missing(
            "kernel.apparmor_restrict_unprivileged_userns is 1: user namespaces come without any power",
            sysctl("kernel.apparmor_restrict_unprivileged_userns=0"),
        ),
        Some(1) if found.uid != 0 => {
            Ok("AppArmor restricts user namespaces, and lets the agent through.".into())
        }
        Some(1) => Ok("AppArmor restricts the user namespaces of ordinary users; you are root.".into()),
        _ => Ok("AppArmor does not restrict user namespaces.".into()),
    };
    required(
        "apparmor-restriction",
        "Ubuntu 23.10 and later take all power from ordinary users' namespaces.",
        result,
    )
}

fn id_helpers(found: &Findings) -> Capability {
    let install = "sudo apt install uidmap || sudo dnf install shadow-utils";
    let result = match (found.uid, &found.newuidmap, &found.newgidmap) {
        (0, _, _) => Ok("Root needs no help to map ids.".into()),
        (_, Helper::Ready, Helper::Ready) => Ok("newuidmap and newgidmap are there.".into()),
        (_, Helper::Powerless(path), _) | (_, _, Helper::Powerless(path)) => missing(
            format!("{path} is not set-user-ID root and has no capability"),
            format!("sudo chmod u+s {path}"),
        ),
        _ => missing("newuidmap or newgidmap is missing", install),
    };
    required("id-map-helpers", "They give an ordinary user the ids that the administrator assigned.", result)
}

fn id_range(found: &Findings) -> Capability {
    let user = if found.user.is_empty() { format!("{}", found.uid) } else { found.user.clone() };
    let enough = |count: u32| count >= ids::RANGE - 1;
    let result = if found.uid == 0 {
        Ok(format!("Root uses ids from {} on.", crate::confinement::ROOTS_BASE))
    } else if enough(found.subuids) && enough(found.subgids) {
        Ok(format!("{} subordinate uids and {} gids", found.subuids, found.subgids))
    } else {
        let range = format!("{}-{}", found.free_from, found.free_from.saturating_add(ids::RANGE - 1));
        let mend = format!("sudo usermod --add-subuids {range} --add-subgids {range} {user}");
        missing(
            format!(
                "{} subordinate uids and {} gids; {} are needed",
                found.subuids,
                found.subgids,
                ids::RANGE
            ),
            mend,
        )
    };
    required("id-range", "Every user inside a lab is a user of its own outside.", result)
}

fn clean_proc(found: &Findings) -> Capability {
    let worked = matches!(found.trial, Some(Ok(())));
    let result = match found.proc_covered.first() {
        Some(first) if !worked => missing(
            format!(
                "{} places in /proc are covered, for example {first}: this is a container",
                found.proc_covered.len()
            ),
            "Start the container with --security-opt systempaths=unconfined, or run Isolab on the machine itself.",
        ),
        Some(_) => Ok("Parts of /proc are covered, and labs can mount their own all the same.".into()),
        None => Ok("/proc is whole.".into()),
    };
    required(
        "clean-proc",
        "The kernel lets a lab mount its own /proc only where the machine's is whole.",
        result,
    )
}

fn seccomp(found: &Findings) -> Capability {
    let result = if found.seccomp {
        Ok("The kernel filters system calls.".into())
    } else {
        missing("The kernel has no seccomp filters", "Use a kernel of Debian, Ubuntu or Fedora.")
    };
    required("seccomp", "A filter keeps labs from parts of the kernel that have been broken before.", result)
}

fn lab_host(found: &Findings) -> Capability {
    let result = match &found.trial {
        Some(Ok(())) => Ok("One was set up and taken down: namespaces, overlay, proc, sysfs, limits.".into()),
        Some(Err(why)) => missing(why.clone(), trial_mend(found, why)),
        None => missing(
            "It was not tried, because the agent could not enter a user namespace.",
            "See user-namespaces.",
        ),
    };
    required("lab-host", "What a lab is made of has to work together.", result)
}

fn trial_mend(found: &Findings, why: &str) -> String {
    if why.contains("overlay") {
        return "sudo modprobe overlay (and a kernel of 5.11 or later)".into();
    }
    if why.contains("mounting proc") && !found.proc_covered.is_empty() {
        return "See clean-proc.".into();
    }
    String::new()
}

fn images(found: &Findings) -> Capability {
    let result = match &found.images {
        Ok(recipe) => Ok(format!("Recipe {}", recipe.get(..12).unwrap_or(recipe))),
        Err(why) => missing(why.clone(), "make images"),
    };
    required("images", "They are what the lab host and its containers consist of.", result)
}

fn tmpfs_xattr(found: &Findings) -> Capability {
    let result = match version(&found.kernel) {
        Some(version) if version >= KERNEL_TMPFS_XATTR => Ok("tmpfs keeps them.".into()),
        _ => missing(format!("Linux {} does not", found.kernel), "Use Linux 6.6 or later."),
    };
    useful(
        "tmpfs-user-xattr",
        "Without them a lab cannot replace a directory of an image by one of the same name.",
        result,
    )
}

fn cgroup(found: &Findings) -> Capability {
    let user = if found.uid == 0 { "--slice=system.slice" } else { "--user" };
    let mend = format!(
        "systemd-run {user} --scope -p Delegate=yes isolab serve (on a machine with systemd and cgroup v2)"
    );
    let instead = "each lab is bounded in processes, namespaces, files and the memory of one process, but not in the \
                   memory of all together: a hostile learner can use up the machine's, and labs are then ended first";
    let result = match &found.cgroup {
        Cgroup::Absent => missing(format!("No cgroups are mounted: {instead}."), mend),
        Cgroup::V1 => {
            missing(format!("Controllers are in cgroup v1, which cannot be delegated: {instead}."), mend)
        }
        Cgroup::V2 { delegated } => {
            let listed = if delegated.is_empty() { "none".to_owned() } else { delegated.join(", ") };
            // Said as it is: the agent does not place labs in cgroups yet, whatever it could.
            missing(
                format!(
                    "cgroup v2, delegated controllers: {listed}; this version does not use them: {instead}."
                ),
                "",
            )
        }
    };
    useful("cgroup-v2", "It would bound the memory and processor time of a whole lab.", result)
}

fn memory(found: &Findings) -> Capability {
    let result = if found.memory_mib >= MEMORY_MIB_MIN {
        Ok(format!("{} MiB are available.", found.memory_mib))
    } else {
        missing(format!("{} MiB are available", found.memory_mib), "End what is not needed, or add memory.")
    };
    useful(
        "memory",
        "What learners write is kept in memory: up to 832 MiB for a lab that fills everything.",
        result,
    )
}

fn disk(found: &Findings) -> Capability {
    let result = match found.disk_mib {
        Some(free) if free >= DISK_MIB_MIN || found.images.is_ok() => Ok(format!("{free} MiB are free.")),
        Some(free) => {
            missing(format!("{free} MiB are free"), "Free some space, or set ISOLAB_HOME to a larger disk.")
        }
        None => {
            missing("The state directory cannot be looked at", "Set ISOLAB_HOME to a directory of yours.")
        }
    };
    useful("disk", "The lab images take about 500 MiB.", result)
}

fn apparmor(found: &Findings) -> Capability {
    let result = if found.apparmor {
        Ok("AppArmor is on.".into())
    } else {
        missing("The kernel runs without AppArmor", "")
    };
    useful("apparmor", "Lessons about profiles show it at work; all others do without.", result)
}

fn virtual_machines(found: &Findings) -> Capability {
    let kvm = match found.kvm {
        Kvm::Absent => "no /dev/kvm, so that they are emulated",
        Kvm::Forbidden => "/dev/kvm that you may not open, so that they are emulated",
        Kvm::Opens => {
            "/dev/kvm that opens (whether a guest runs on it, the first one shows; else it is emulated)"
        }
    };
    let (major, minor) = hardware::QEMU_MIN;
    let result = match (&found.qemu, &found.vm_image) {
        (None, _) => missing("QEMU is not installed", programs::MEND),
        (Some((path, (a, b))), _) if (*a, *b) < hardware::QEMU_MIN => {
            missing(format!("{path} is version {a}.{b}, and {major}.{minor} is needed"), programs::MEND)
        }
        _ if !found.vm_tools_missing.is_empty() => {
            missing(format!("Not installed: {}", found.vm_tools_missing.join(", ")), programs::MEND)
        }
        (_, Err(why)) => missing(why.clone(), "isolab vm build"),
        (Some((_, (a, b))), Ok(image)) => Ok(format!("{image}, on QEMU {a}.{b}; {kvm}")),
    };
    useful("vm", "Lessons that need real root, AppArmor or limits by cgroup run there.", result)
}

/// What every lab host has, wherever it is.
const EVERYWHERE: [&str; 2] = ["user-namespaces", "id-range"];

/// What a lab host with a kernel of its own has beside that.
const OWN_KERNEL: [&str; 4] = ["apparmor", "cgroup-v2", "real-root", "vm"];

/// What labs of each tier have, the cheapest first.
fn tiers(capabilities: &[Capability]) -> Vec<TierOffer> {
    let words = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let required = capabilities.iter().find(|c| c.required && !c.available);
    let machines = capabilities.iter().find(|c| c.name == "vm" && !c.available);
    let offer = |tier, gives, lacking: Option<&Capability>| TierOffer {
        tier,
        gives,
        lacks: lacking.map(|lacking| format!("{}: {}", lacking.name, lacking.found)),
        mend: lacking.and_then(|lacking| lacking.mend.clone()),
    };
    vec![
        offer(Tier::Sandbox, words(&EVERYWHERE), required),
        // QEMU is confined by the same means as a lab host.
        offer(Tier::Vm, words(&[&EVERYWHERE[..], &OWN_KERNEL].concat()), required.or(machines)),
    ]
}
