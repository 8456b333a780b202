//! The lab host that is a whole machine, as an OCI Spec. Pure.
//!
//! It is root of the machine: every capability, no filter, every device. It has its own mounts and its own process numbers, so that
//! the engine is its first process as on every lab host, and the agent is out of the way.

use crate::spec::{self, ENVIRONMENT, LabHost};
use crate::stage::Staged;
use isolab_protocol::CAPABILITIES;
use isolab_runtime::{PlanOptions, Rootfs};
use serde_json::{Value, json};

/// Where the machine's own root is seen without what the agent has mounted on it.
pub const ROOT: &str = "/run/isolab/host";

/// Open files of one process: a distribution's own default.
const FILES_MAX: u64 = 524_288;

/// /run: sockets and pid files, in bytes.
const RUN_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The lab host made of this machine.
/// Errors: none while the Spec below has the form that OCI gives it, which a test sees to.
pub fn machine(staged: &Staged) -> Result<LabHost, serde_json::Error> {
    let mut mounts = system_mounts();
    mounts.extend(spec::given_mounts(staged));
    let all = &CAPABILITIES[..];
    let spec = json!({
        "ociVersion": "1.2.0",
        "root": { "path": ROOT, "readonly": false },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": [spec::engine_path()],
            "env": ENVIRONMENT,
            "cwd": "/",
            "capabilities": { "bounding": all, "effective": all, "permitted": all },
            "noNewPrivileges": false,
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": FILES_MAX, "soft": 1024 }],
        },
        "mounts": mounts,
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "mount" }],
            "maskedPaths": [],
            "readonlyPaths": [],
        },
    });
    Ok(LabHost {
        spec: serde_json::from_value(spec)?,
        rootfs: Rootfs::Directory(ROOT.into()),
        options: PlanOptions { inherited_fds: 1, die_with_parent: true, ..PlanOptions::default() },
    })
}

fn system_mounts() -> Vec<Value> {
    let whole =
        |path: &str| json!({ "destination": path, "type": "bind", "source": path, "options": ["rbind"] });
    let run = ["nosuid", "nodev", "mode=755"].map(str::to_owned).into_iter();
    let run: Vec<String> = run.chain([format!("size={RUN_BYTES_MAX}")]).collect();
    vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
        // With what is mounted below: control groups, the kernel's tracing, security modules.
        whole("/sys"),
        whole("/dev"),
        json!({ "destination": "/run", "type": "tmpfs", "source": "tmpfs", "options": run }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use isolab_runtime::Plan;

    #[test]
    fn the_lab_host_is_root_of_the_machine_and_cannot_write_what_it_is_given() {
        let staged = Staged {
            lab_host: "/run/isolab/base".into(),
            index: "/run/isolab/images/index.json".into(),
            archives: "/run/isolab/images/archives".into(),
            layers: vec![("c".repeat(64), "/run/isolab/images/layers/c".into())],
            engine: "/run/isolab/programs/isolab-engine".into(),
        };
        let made = machine(&staged).unwrap();
        assert!(spec::filter(&made.spec).is_none());
        let given = made.spec.mounts().iter().flatten();
        let given: Vec<_> =
            given.filter(|m| m.source().as_ref().is_some_and(|s| s.starts_with("/run/isolab"))).collect();
        assert_eq!(given.len(), 4);
        for mount in given {
            assert!(mount.options().iter().flatten().any(|option| option == "ro"), "{mount:?}");
        }
        Plan::new(&made.spec, made.rootfs, made.options).unwrap();
    }
}
