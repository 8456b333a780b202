//! What the kernel answers to system calls that mean nothing: the outcome tells which walls stand in the way.
//!
//! A call whose arguments have all bits set is never carried out. The kernel says so in the call's own way (`EBADF`,
//! `EFAULT`, `EINVAL`), unless a filter or a missing capability has refused it before (`EPERM`, `ENOSYS`). It is not for
//! calls that need good arguments to get as far as a wall.

use crate::sys;
use nix::errno::Errno;

/// Makes each call that can be probed, in the order of the list, and gives its name with what the kernel answered: the
/// name of an error, or `OK`.
pub fn answers() -> impl Iterator<Item = (&'static str, String)> {
    sys::PROBED.iter().enumerate().map(|(place, (name, _))| {
        let answer = match sys::with_all_ones(place) {
            Ok(()) => "OK".to_owned(),
            Err(errno) => format!("{:?}", Errno::from_raw(errno.raw_os_error())),
        };
        (*name, answer)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_kernel_answers_in_each_call_s_own_way() {
        let all: BTreeMap<_, _> = answers().collect();
        assert_eq!(all.len(), sys::PROBED.len(), "a call is in the list twice");
        assert!(all.len() >= 60);
        for (name, answer) in
            [("read", "EBADF"), ("openat", "EFAULT"), ("personality", "OK"), ("unshare", "EINVAL")]
        {
            assert_eq!(all[name], answer, "{name}");
        }
    }
}
