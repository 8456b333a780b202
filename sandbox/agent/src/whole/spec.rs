//! What a process of the lab host gets where the lab host is a whole machine, as an OCI Spec. Pure.
//!
//! It is root of the machine: every capability, no filter, no bounds but a distribution's own.

use crate::spec::ENVIRONMENT;
use isolab_protocol::CAPABILITIES;
use oci_spec::runtime::Spec;
use serde_json::json;

/// Open files of one process: a distribution's own default.
const FILES_MAX: u64 = 524_288;

/// The Spec of a shell; nothing is made of it, it is what is entered with.
/// Errors: none while the Spec below has the form that OCI gives it, which a test sees to.
pub fn machine() -> Result<Spec, serde_json::Error> {
    let all = &CAPABILITIES[..];
    serde_json::from_value(json!({
        "ociVersion": "1.2.0",
        "root": { "path": "/" },
        "process": {
            "user": { "uid": 0, "gid": 0 },
            "args": ["/bin/bash"],
            "env": ENVIRONMENT,
            "cwd": "/root",
            "capabilities": { "bounding": all, "effective": all, "permitted": all },
            "noNewPrivileges": false,
            // The agent is the last to go where memory runs out, and so would be what it starts.
            "oomScoreAdj": 0,
            "rlimits": [
                { "type": "RLIMIT_NOFILE", "hard": FILES_MAX, "soft": 1024 },
            ],
        },
        "linux": { "namespaces": [] },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;
    use isolab_runtime::EnterPlan;

    #[test]
    fn a_shell_of_a_machine_is_its_root_without_a_filter() {
        let machine = machine().unwrap();
        assert!(spec::filter(&machine).is_none());
        let process = spec::entering(&machine, &["/bin/bash", "-l"], true);
        let capabilities = process.capabilities().as_ref().unwrap().effective().as_ref().unwrap();
        assert_eq!(capabilities.len(), CAPABILITIES.len());
        EnterPlan::new(&process, None).unwrap();
    }
}
