//! AppArmor: the profile that confines a program from its execution on.
//!
//! The kernel has to have the profile already. Who loads it, and what it says, is the engine's affair.

use super::procfs;
use crate::Error;
use crate::error::Failed;
use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, statat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// The file of a process that says how it is confined when it executes a program (apparmor(7), `aa_change_onexec`).
const AT_EXECUTION: &str = "self/attr/apparmor/exec";

/// What is written there has to be in one page, with the word before it.
const NAME_BYTES_MAX: usize = 4000;

/// A profile, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Profile(String);

/// `process.apparmorProfile`; none where it is empty.
pub(crate) fn plan(name: Option<&str>) -> Result<Option<Profile>, Error> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(None) };
    if name.len() > NAME_BYTES_MAX || name.contains(['\0', '\n']) {
        let why = format!("is not the name of a profile: one line of at most {NAME_BYTES_MAX} bytes");
        return Err(Error::field("process.apparmorProfile", why));
    }
    Ok(Some(Profile(name.to_owned())))
}

impl Profile {
    /// Has the calling process confined as soon as it executes a program.
    pub(crate) fn perform(&self, procfs: BorrowedFd<'_>) -> Result<(), Failed> {
        // The file is there only in kernels that have AppArmor, and takes nothing where it is switched off.
        let is_there = || statat(procfs, AT_EXECUTION, AtFlags::empty()).is_ok();
        procfs::write(procfs, AT_EXECUTION, format!("exec {}", self.0).as_bytes()).map_err(|failed| {
            match failed.errno() {
                Errno::NOENT if is_there() => Failed::because("no such profile is loaded", Errno::NOENT),
                Errno::NOENT | Errno::INVAL => {
                    Failed::because("AppArmor is not on in this kernel", Errno::OPNOTSUPP)
                }
                _ => failed,
            }
        })
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "applying the AppArmor profile {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_one_word_of_the_kernel_s() {
        assert_eq!(plan(None).unwrap(), None);
        assert_eq!(plan(Some("")).unwrap(), None);
        let profile = plan(Some("docker-default")).unwrap().unwrap();
        assert_eq!(profile.to_string(), "applying the AppArmor profile docker-default");
        for name in ["a\nb", "a\0", &"a".repeat(NAME_BYTES_MAX + 1)] {
            let error = plan(Some(name)).unwrap_err();
            assert!(error.call.starts_with("process.apparmorProfile: "), "{error}");
        }
    }
}
