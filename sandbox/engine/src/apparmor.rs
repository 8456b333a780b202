//! AppArmor on the lab host: whether there is any, and Docker's default profile, which the engine loads as Docker does.
//!
//! Having a program confined is the runtime's ([`isolab_runtime`]). In a lab of the sandbox tier there is no AppArmor: only root of
//! the machine can load profiles.

use crate::error::ApiError;
use crate::programs::run;
use std::path::Path;

/// The profile of containers of which nobody says otherwise.
pub const DEFAULT: &str = "docker-default";

/// The profile that confines nothing.
pub const UNCONFINED: &str = "unconfined";

/// Where the kernel lists the profiles that it has, as `name (mode)`.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// Whether the kernel confines by AppArmor, and lets us say how.
pub fn is_on() -> bool {
    let enabled = std::fs::read_to_string("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|word| word.starts_with('Y')) && Path::new(PROFILES).exists()
}

/// Sees to it that a container can be confined by the profile: that of Docker's is loaded where it is not there, or not any
/// more; others are somebody else's.
pub fn make_ready(profile: &str) -> Result<(), ApiError> {
    let loaded = || std::fs::read_to_string(PROFILES);
    if profile != DEFAULT || loaded().is_ok_and(|text| is_listed(&text, DEFAULT)) {
        return Ok(());
    }
    let told = |why: String| {
        ApiError::internal(format!(
            "AppArmor enabled on system but the {DEFAULT} profile could not be loaded: {why}"
        ))
    };
    let own = std::fs::read_to_string("/proc/self/attr/apparmor/current").unwrap_or_default();
    let text = docker_default(&own, |file| Path::new("/etc/apparmor.d").join(file).exists());
    // -K: not from a cache that somebody else has filled.
    run("apparmor_parser -Kr", &text).map(drop).map_err(told)
}

fn is_listed(profiles: &str, name: &str) -> bool {
    profiles.lines().any(|line| line.rsplit_once(" (").is_some_and(|(listed, _)| listed == name))
}

/// Docker's profile: everything that has to do with files, networks and capabilities is left to the other walls, and what the
/// kernel shows of the machine (`/proc`, `/sys`) is closed even to who has got round them. `own` is how the engine itself is
/// confined: it may signal its containers.
fn docker_default(own: &str, is_there: impl Fn(&str) -> bool) -> String {
    let own = own.trim().split(" (").next().filter(|own| !own.is_empty()).unwrap_or(UNCONFINED);
    let mut lines = vec![];
    match is_there("tunables/global") {
        true => lines.push("#include <tunables/global>".into()),
        false => lines.push("@{PROC}=/proc/".into()),
    }
    lines.push(format!("profile {DEFAULT} flags=(attach_disconnected,mediate_deleted) {{"));
    lines.extend(is_there("abstractions/base").then(|| "#include <abstractions/base>".into()));
    lines.extend(["network,", "capability,", "file,", "umount,"].map(str::to_owned));
    lines.push(format!("signal (receive) peer={UNCONFINED},"));
    lines.push(format!("signal (receive) peer={own},"));
    lines.push(format!("signal (send,receive) peer={DEFAULT},"));
    let closed = [
        // Of procfs what belongs to processes can be written, and the settings of System V shared memory.
        "@{PROC}/* w",
        "@{PROC}/{[^1-9],[^1-9][^0-9],[^1-9s][^0-9y][^0-9s],[^1-9][^0-9][^0-9][^0-9]*}/** w",
        "@{PROC}/sys/[^k]** w",
        "@{PROC}/sys/kernel/{?,??,[^s][^h][^m]**} w",
        "@{PROC}/sysrq-trigger rwklx",
        "@{PROC}/kcore rwklx",
        "mount",
        // Of sysfs the control groups can be.
        "/sys/[^f]*/** wklx",
        "/sys/f[^s]*/** wklx",
        "/sys/fs/[^c]*/** wklx",
        "/sys/fs/c[^g]*/** wklx",
        "/sys/fs/cg[^r]*/** wklx",
        "/sys/firmware/** rwklx",
        "/sys/kernel/security/** rwklx",
    ];
    lines.extend(closed.map(|rule| format!("deny {rule},")));
    lines.push(format!("ptrace (trace,read,tracedby,readby) peer={DEFAULT},"));
    lines.push("}\n".into());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_listed_by_its_whole_name() {
        let listed = "docker-default-2 (enforce)\n/usr/bin/man (enforce)\n a b (c) (complain)\n";
        assert!(!is_listed(listed, DEFAULT) && is_listed(listed, " a b (c)"));
        assert!(is_listed(&format!("{listed}docker-default (enforce)\n"), DEFAULT));
    }

    #[test]
    fn the_profile_is_of_the_lab_host_that_it_is_loaded_on() {
        let there = docker_default("docker (enforce)\n", |_| true);
        assert!(there.starts_with("#include <tunables/global>\nprofile docker-default "), "{there}");
        assert!(there.contains("\n#include <abstractions/base>\n"));
        assert!(there.contains("\nsignal (receive) peer=docker,\n"));
        let bare = docker_default("unconfined\n", |_| false);
        assert!(bare.starts_with("@{PROC}=/proc/\n") && !bare.contains("#include"), "{bare}");
        assert!(bare.ends_with("peer=docker-default,\n}\n"));
    }
}
