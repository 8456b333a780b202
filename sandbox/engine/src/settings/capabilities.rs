//! `--cap-add`, `--cap-drop` and `--privileged`, as Docker computes them.

use crate::error::ApiError;
use oci_spec::runtime::{Capabilities, Capability};
use std::str::FromStr;

/// The 14 that Docker gives to a container.
const DEFAULT: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fsetid,
    Capability::Fowner,
    Capability::Mknod,
    Capability::NetRaw,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setfcap,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::SysChroot,
    Capability::Kill,
    Capability::AuditWrite,
];

/// One word of a flag.
enum Word {
    All,
    One(Capability),
}

fn words(list: &[String], field: &str) -> Result<Vec<Word>, ApiError> {
    let parse = |text: &String| {
        let upper = text.trim().to_uppercase();
        if upper == "ALL" {
            return Ok(Word::All);
        }
        let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
        Capability::from_str(name).map(Word::One).map_err(|_unknown| {
            ApiError::bad_request(format!("invalid {field}: unknown capability: \"CAP_{name}\""))
        })
    };
    list.iter().map(parse).collect()
}

/// The set of a container. `available` is what the engine itself has to give: all, where that is everything.
pub fn of(
    add: &[String],
    drop: &[String],
    privileged: bool,
    available: &Capabilities,
) -> Result<Capabilities, ApiError> {
    let (add, drop) = (words(add, "CapAdd")?, words(drop, "CapDrop")?);
    if privileged {
        return Ok(available.clone());
    }
    let all_added = add.iter().any(|word| matches!(word, Word::All));
    let all_dropped = drop.iter().any(|word| matches!(word, Word::All));
    let dropped = |one: &Capability| drop.iter().any(|word| matches!(word, Word::One(other) if other == one));
    let added = add.iter().filter_map(|word| match word {
        Word::One(one) => Some(*one),
        Word::All => None,
    });
    // An added capability is given even where it is dropped as well, except that `--cap-add ALL --cap-drop X` drops X.
    Ok(match (all_added, all_dropped) {
        (true, _) => available.iter().copied().filter(|one| !dropped(one)).collect(),
        (false, true) => added.collect(),
        (false, false) => DEFAULT.into_iter().filter(|one| !dropped(one)).chain(added).collect(),
    })
}

/// The capabilities in a mask, as `/proc/self/status` prints it.
pub fn from_mask(mask: u64) -> Capabilities {
    BY_NUMBER.iter().enumerate().filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, one)| *one).collect()
}

/// All capabilities in the order of their numbers in `linux/capability.h`.
const BY_NUMBER: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(set: &Capabilities) -> u64 {
        BY_NUMBER.iter().enumerate().filter(|(_, one)| set.contains(one)).map(|(bit, _)| 1 << bit).sum()
    }

    fn check(add: &[&str], drop: &[&str], expected: u64) {
        let list = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        let all = from_mask(0x1ff_ffff_ffff);
        assert_eq!(mask(&of(&list(add), &list(drop), false, &all).unwrap()), expected, "+{add:?} -{drop:?}");
    }

    #[test]
    fn sets_are_docker_s() {
        check(&[], &[], 0xa804_25fb);
        check(&["NET_ADMIN"], &[], 0xa804_35fb);
        check(&["cap_net_admin"], &["CAP_CHOWN"], 0xa804_35fa);
        check(&["NET_BIND_SERVICE"], &["ALL"], 0x400);
        check(&[], &["all"], 0);
        check(&["ALL"], &[], 0x1ff_ffff_ffff);
        check(&["ALL"], &["CHOWN"], 0x1ff_ffff_fffe);
        check(&["ALL"], &["ALL"], 0x1ff_ffff_ffff);
        check(&["CHOWN"], &["CHOWN"], 0xa804_25fb);
    }

    #[test]
    fn privileged_is_all_that_there_is() {
        let few = from_mask(0b101);
        assert_eq!(mask(&of(&[], &["ALL".into()], true, &few).unwrap()), 0b101);
    }

    #[test]
    fn an_unknown_word_is_refused_in_docker_s_words() {
        let error = of(&["foo".into()], &[], false, &from_mask(0)).unwrap_err();
        assert_eq!(error.message, "invalid CapAdd: unknown capability: \"CAP_FOO\"");
        assert_eq!(error.status.as_u16(), 400);
    }
}
