//! The capability doll: the five sets of a process.

use crate::Error;
use crate::error::{Call, Failed};
use oci_spec::runtime::{Capability, LinuxCapabilities};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities,
};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// The five sets, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Capabilities {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// Reads the sets of a Spec. An absent set is empty, as the OCI Spec says; no sets at all are five empty ones.
pub(crate) fn plan(sets: Option<&LinuxCapabilities>) -> Result<Capabilities, Error> {
    let Some(sets) = sets else { return Ok(Capabilities::default()) };
    let capabilities = Capabilities {
        bounding: bits(sets.bounding().as_ref()),
        effective: bits(sets.effective().as_ref()),
        permitted: bits(sets.permitted().as_ref()),
        inheritable: bits(sets.inheritable().as_ref()),
        ambient: bits(sets.ambient().as_ref()),
    };
    let Capabilities { effective, permitted, inheritable, ambient, .. } = capabilities;
    if effective & !permitted != 0 {
        return Err(Error::field(
            "process.capabilities.effective",
            "has capabilities that are not permitted",
        ));
    }
    if ambient & !(permitted & inheritable) != 0 {
        let why = "has capabilities that are not both permitted and inheritable";
        return Err(Error::field("process.capabilities.ambient", why));
    }
    Ok(capabilities)
}

fn bits(set: Option<&HashSet<Capability>>) -> u64 {
    set.into_iter().flatten().fold(0, |bits, &capability| bits | 1 << number(capability))
}

/// A capability's number in the kernel (capability.h).
fn number(capability: Capability) -> u32 {
    use Capability as C;
    match capability {
        C::Chown => 0,
        C::DacOverride => 1,
        C::DacReadSearch => 2,
        C::Fowner => 3,
        C::Fsetid => 4,
        C::Kill => 5,
        C::Setgid => 6,
        C::Setuid => 7,
        C::Setpcap => 8,
        C::LinuxImmutable => 9,
        C::NetBindService => 10,
        C::NetBroadcast => 11,
        C::NetAdmin => 12,
        C::NetRaw => 13,
        C::IpcLock => 14,
        C::IpcOwner => 15,
        C::SysModule => 16,
        C::SysRawio => 17,
        C::SysChroot => 18,
        C::SysPtrace => 19,
        C::SysPacct => 20,
        C::SysAdmin => 21,
        C::SysBoot => 22,
        C::SysNice => 23,
        C::SysResource => 24,
        C::SysTime => 25,
        C::SysTtyConfig => 26,
        C::Mknod => 27,
        C::Lease => 28,
        C::AuditWrite => 29,
        C::AuditControl => 30,
        C::Setfcap => 31,
        C::MacOverride => 32,
        C::MacAdmin => 33,
        C::Syslog => 34,
        C::WakeAlarm => 35,
        C::BlockSuspend => 36,
        C::AuditRead => 37,
        C::Perfmon => 38,
        C::Bpf => 39,
        C::CheckpointRestore => 40,
    }
}

/// One more than the highest capability that any kernel has today; those that this kernel lacks are EINVAL.
const COUNT: u32 = 41;

impl Capabilities {
    /// Takes from the bounding set what is not in it. The other sets are not touched.
    pub(crate) fn bound(self) -> Result<(), Failed> {
        for number in (0..COUNT).filter(|number| self.bounding & (1 << number) == 0) {
            match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
                Ok(()) | Err(Errno::INVAL) => {}
                Err(errno) => return Err(errno).call(|| format!("prctl(PR_CAPBSET_DROP, {number})")),
            }
        }
        Ok(())
    }

    /// Makes everything permitted effective again, which a change of user id undoes.
    pub(crate) fn raise() -> Result<(), Failed> {
        let mut sets = rustix::thread::capabilities(None).call(|| "capget()")?;
        sets.effective = sets.permitted;
        set_capabilities(None, sets).call(|| "capset(effective = permitted)")
    }

    /// Sets the other four. What is asked for and not held is left out, as a capability that the caller lacks
    /// itself cannot be given: `capset` grants none.
    pub(crate) fn perform(self) -> Result<(), Failed> {
        let held = rustix::thread::capabilities(None).call(|| "capget()")?.permitted.bits();
        let set = |bits: u64| CapabilitySet::from_bits_retain(bits & held);
        let sets = CapabilitySets {
            effective: set(self.effective),
            permitted: set(self.permitted),
            inheritable: CapabilitySet::from_bits_retain(self.inheritable & (held | self.bounding)),
        };
        set_capabilities(None, sets).call(|| format!("capset({sets:?})"))?;
        clear_ambient_capability_set().call(|| "prctl(PR_CAP_AMBIENT_CLEAR_ALL)")?;
        for number in (0..COUNT).filter(|number| self.ambient & held & (1 << number) != 0) {
            configure_capability_in_ambient_set(CapabilitySet::from_bits_retain(1 << number), true)
                .call(|| format!("prctl(PR_CAP_AMBIENT_RAISE, {number})"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxCapabilitiesBuilder;

    #[test]
    fn dockers_default_set_has_the_mask_that_everyone_knows() {
        use Capability as C;
        let set: HashSet<_> = [
            C::Chown,
            C::DacOverride,
            C::Fsetid,
            C::Fowner,
            C::Mknod,
            C::NetRaw,
            C::Setgid,
            C::Setuid,
            C::Setfcap,
            C::Setpcap,
            C::NetBindService,
            C::SysChroot,
            C::Kill,
            C::AuditWrite,
        ]
        .into();
        assert_eq!(bits(Some(&set)), 0xa804_25fb);
    }

    #[test]
    fn sets_that_the_kernel_would_refuse_are_named() {
        let one: HashSet<_> = [Capability::Kill].into();
        let sets = LinuxCapabilitiesBuilder::default()
            .effective(one.clone())
            .permitted(HashSet::new())
            .build()
            .unwrap();
        assert!(plan(Some(&sets)).unwrap_err().call.contains("process.capabilities.effective"));
        let sets = LinuxCapabilitiesBuilder::default()
            .effective(one.clone())
            .permitted(one.clone())
            .inheritable(HashSet::new())
            .ambient(one)
            .build()
            .unwrap();
        assert!(plan(Some(&sets)).unwrap_err().call.contains("process.capabilities.ambient"));
    }
}
