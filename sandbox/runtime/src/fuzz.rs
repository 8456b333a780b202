//! What a fuzzer calls: bytes in, and nothing but an error or a value may come of them.
//!
//! The programs are in `fuzz/`; the seeds, and small changes to them, are run by the ordinary tests as well.

use crate::doll::seccomp::{self, Machine, Profile};
use crate::{Plan, PlanOptions, Rootfs};
use oci_spec::runtime::{Capability, LinuxSeccomp, Spec};

/// A seccomp profile in Docker's words, or a filter in the OCI Spec's: to the program that the kernel is given.
pub fn seccomp(data: &[u8]) {
    let filter = std::str::from_utf8(data).ok().and_then(|text| Profile::parse(text).ok());
    let filter = filter.map(|profile| profile.resolve(&Machine::this(), [Capability::SysAdmin]));
    let filter = filter.or_else(|| serde_json::from_slice::<LinuxSeccomp>(data).ok());
    if let Some(Ok(compiled)) = filter.map(|filter| seccomp::compile(&filter)) {
        // The kernel takes jumps forwards only, and inside of the program.
        for (at, instruction) in compiled.program.iter().enumerate() {
            const CLASS: u16 = 7;
            const JUMP: u16 = 5;
            if instruction.code & CLASS == JUMP && instruction.code & 0xf0 != 0 {
                let farthest = at + 1 + usize::from(instruction.jt.max(instruction.jf));
                assert!(farthest < compiled.program.len(), "instruction {at} leaves the program");
            }
        }
    }
}

/// A config.json: to the plan of its container, in words as well.
pub fn plan(data: &[u8]) {
    let Ok(spec) = serde_json::from_slice::<Spec>(data) else { return };
    if let Ok(plan) = Plan::new(&spec, Rootfs::Directory("/root".into()), PlanOptions::default()) {
        assert!(!plan.describe().is_empty());
    }
}
