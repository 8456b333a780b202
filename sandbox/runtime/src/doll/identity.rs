//! The identity doll: user, groups and umask of a process.

use crate::Error;
use crate::error::{Call, Failed};
use oci_spec::runtime::User;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::{Deserialize, Serialize};

/// Whom a process runs as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub umask: u32,
}

/// The kernel's own bound on supplementary groups (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65536;
/// What Docker and runc use where a Spec says nothing.
const UMASK: u32 = 0o022;

/// Reads the user of a Spec.
pub(crate) fn plan(user: &User) -> Result<Identity, Error> {
    let groups = user.additional_gids().clone().unwrap_or_default();
    if groups.len() > GROUPS_MAX {
        return Err(Error::field(
            "process.user.additionalGids",
            format!("at most {GROUPS_MAX} are possible"),
        ));
    }
    let umask = user.umask().unwrap_or(UMASK);
    if umask > 0o777 {
        return Err(Error::field("process.user.umask", format!("{umask:o} is not a umask")));
    }
    // The kernel reads the largest number as "leave as it is".
    for (name, id) in [("uid", user.uid()), ("gid", user.gid())] {
        if id == u32::MAX {
            return Err(Error::field(format!("process.user.{name}"), format!("{id} is not an id")));
        }
    }
    Ok(Identity { uid: user.uid(), gid: user.gid(), groups, umask })
}

impl Identity {
    /// Becomes it. Permitted capabilities are kept and have to be made effective again.
    pub(crate) fn perform(&self) -> Result<(), Failed> {
        rustix::process::umask(Mode::from_raw_mode(self.umask));
        set_groups(&self.groups)?;
        set_gid(self.gid)?;
        rustix::thread::set_keep_capabilities(true).call(|| "prctl(PR_SET_KEEPCAPS, 1)")?;
        set_uid(self.uid)?;
        rustix::thread::set_keep_capabilities(false).call(|| "prctl(PR_SET_KEEPCAPS, 0)")
    }
}

/// Becomes root of the user namespace that the caller is in.
pub(crate) fn become_root() -> Result<(), Failed> {
    set_gid(0)?;
    set_uid(0)?;
    set_groups(&[])
}

/// Another real and effective user and group for a while, so that what is made belongs to them. The saved ids stay,
/// and with them the permitted capabilities.
#[derive(Debug)]
#[must_use = "the caller's own ids come back with `end`"]
pub(crate) struct Borrowed {
    own: Option<(Uid, Gid)>,
}

impl Borrowed {
    /// Takes on the ids of `owner`, where there is one.
    pub(crate) fn begin(owner: Option<(u32, u32)>) -> Result<Self, Failed> {
        let Some((uid, gid)) = owner else { return Ok(Self { own: None }) };
        let own = (rustix::process::geteuid(), rustix::process::getegid());
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        // The group first: a change of user takes the effective capabilities away.
        set_thread_res_gid(gid, gid, own.1).call(|| format!("setresgid({gid:?})"))?;
        set_thread_res_uid(uid, uid, own.0).call(|| format!("setresuid({uid:?})"))?;
        Ok(Self { own: Some(own) })
    }

    /// Takes on the caller's own ids again.
    pub(crate) fn end(self) -> Result<(), Failed> {
        let Some((uid, gid)) = self.own else { return Ok(()) };
        set_thread_res_uid(uid, uid, uid).call(|| format!("setresuid({uid:?})"))?;
        set_thread_res_gid(gid, gid, gid).call(|| format!("setresgid({gid:?})"))
    }
}

fn set_gid(gid: u32) -> Result<(), Failed> {
    let id = Gid::from_raw(gid);
    set_thread_res_gid(id, id, id).call(|| format!("setresgid({gid})"))
}

fn set_uid(uid: u32) -> Result<(), Failed> {
    let id = Uid::from_raw(uid);
    set_thread_res_uid(id, id, id).call(|| format!("setresuid({uid})"))
}

fn set_groups(groups: &[u32]) -> Result<(), Failed> {
    let ids: Vec<_> = groups.iter().map(|&gid| Gid::from_raw(gid)).collect();
    match set_thread_groups(&ids) {
        // A namespace whose maker was not privileged cannot change groups; there is nothing to add or drop then.
        Err(Errno::PERM) if groups.is_empty() => Ok(()),
        done => done.call(|| format!("setgroups({groups:?})")),
    }
}
