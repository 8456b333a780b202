//! The namespace doll: which namespaces are new, which are joined, and which are shared with the caller.

use crate::Error;
use crate::error::{Call, Failed};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, ThreadNameSpaceType};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A kind of namespace, with the kernel's bit for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub(crate) enum Kind {
    Mount = 0x0002_0000,
    Cgroup = 0x0200_0000,
    Uts = 0x0400_0000,
    Ipc = 0x0800_0000,
    User = 0x1000_0000,
    Pid = 0x2000_0000,
    Network = 0x4000_0000,
}

/// The namespaces of a new process. What is in neither is its maker's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespaces {
    /// `CLONE_NEW*` bits.
    pub new: u32,
    pub joined: Vec<(Kind, PathBuf)>,
}

/// Reads the namespaces of a Spec.
pub(crate) fn plan(namespaces: &[LinuxNamespace]) -> Result<Namespaces, Error> {
    let mut planned = Namespaces::default();
    let mut seen = 0;
    for (index, namespace) in namespaces.iter().enumerate() {
        let at = format!("linux.namespaces[{index}]");
        let kind = match namespace.typ() {
            LinuxNamespaceType::Mount => Kind::Mount,
            LinuxNamespaceType::Cgroup => Kind::Cgroup,
            LinuxNamespaceType::Uts => Kind::Uts,
            LinuxNamespaceType::Ipc => Kind::Ipc,
            LinuxNamespaceType::User => Kind::User,
            LinuxNamespaceType::Pid => Kind::Pid,
            LinuxNamespaceType::Network => Kind::Network,
            LinuxNamespaceType::Time => {
                return Err(Error::field(format!("{at}.type"), "time namespaces are not supported"));
            }
        };
        if seen & kind as u32 != 0 {
            return Err(Error::field(format!("{at}.type"), format!("{kind:?} is listed twice")));
        }
        seen |= kind as u32;
        match namespace.path() {
            None => planned.new |= kind as u32,
            Some(_) if matches!(kind, Kind::Mount | Kind::User) => {
                let why =
                    format!("a container has a {kind:?} namespace of its own or its maker's, not another's");
                return Err(Error::field(format!("{at}.path"), why));
            }
            Some(path) if !path.is_absolute() => {
                return Err(Error::field(format!("{at}.path"), format!("{path:?} is not absolute")));
            }
            Some(path) => planned.joined.push((kind, path.clone())),
        }
    }
    if !planned.is_new(Kind::Mount) {
        return Err(Error::field("linux.namespaces", "a container needs a mount namespace of its own"));
    }
    Ok(planned)
}

impl Namespaces {
    pub(crate) fn is_new(&self, kind: Kind) -> bool {
        self.new & kind as u32 != 0
    }

    pub(crate) fn is_joined(&self, kind: Kind) -> bool {
        self.joined.iter().any(|(other, _)| *other == kind)
    }

    /// Opens those that are joined, in the caller's tree and before anything of the container exists. With `apart`, one that
    /// is the caller's own is an error: what is done to it would be done to the machine (CVE-2022-0811).
    pub(crate) fn open(&self, apart: bool) -> Result<Vec<(Kind, OwnedFd)>, Failed> {
        let open = |(kind, path): &(Kind, PathBuf)| {
            let file = rustix::fs::openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                .call(|| format!("open({path:?})"))?;
            let has_settings = matches!(kind, Kind::Network | Kind::Ipc | Kind::Uts);
            if apart && has_settings && kind.is_own(file.as_fd())? {
                let what = format!("{path:?} is the maker's own, whose settings are not the container's");
                return Err(Failed::because(what, Errno::PERM));
            }
            Ok((*kind, file))
        };
        self.joined.iter().map(open).collect()
    }
}

impl Kind {
    /// The name of its file in `/proc/PID/ns`.
    fn file(self) -> &'static str {
        match self {
            Self::Mount => "mnt",
            Self::Cgroup => "cgroup",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::User => "user",
            Self::Pid => "pid",
            Self::Network => "net",
        }
    }

    /// Whether `file` is the caller's own namespace of this kind.
    fn is_own(self, file: BorrowedFd<'_>) -> Result<bool, Failed> {
        let path = format!("/proc/self/ns/{}", self.file());
        let own = std::fs::metadata(&path).call(|| format!("stat({path:?})"))?;
        let found = rustix::fs::fstat(file).call(|| "fstat(namespace)")?;
        Ok((own.dev(), own.ino()) == (found.st_dev, found.st_ino))
    }

    /// Joins the namespace that `file` is. For [`Kind::Pid`] the caller's next child is in it, not the caller.
    pub(crate) fn join(self, file: BorrowedFd<'_>) -> Result<(), Failed> {
        let kind = match self {
            Self::Mount => LinkNameSpaceType::Mount,
            Self::Cgroup => LinkNameSpaceType::ControlGroup,
            Self::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
            Self::Ipc => LinkNameSpaceType::InterProcessCommunication,
            Self::User => LinkNameSpaceType::User,
            Self::Pid => LinkNameSpaceType::ProcessID,
            Self::Network => LinkNameSpaceType::Network,
        };
        rustix::thread::move_into_link_name_space(file, Some(kind)).call(|| format!("setns({self:?})"))
    }
}

/// Joins these namespaces of the process behind a pidfd, all or none, and its user namespace with them, which gives
/// the power to join the others. Says whether that is another one than the caller's was. For [`Kind::Pid`] the caller's
/// next child is in it, not the caller.
pub(crate) fn join_all_of(process: BorrowedFd<'_>, kinds: &[Kind]) -> Result<bool, Failed> {
    let bits = kinds.iter().fold(0, |bits, &kind| bits | kind as u32);
    let join = |bits| {
        rustix::thread::move_into_thread_name_spaces(process, ThreadNameSpaceType::from_bits_retain(bits))
            .call(|| format!("setns(pidfd, 0x{bits:x})"))
    };
    match join(bits | Kind::User as u32) {
        // The kernel refuses one's own user namespace, and then has joined none.
        Err(failed) if failed.errno() == Errno::INVAL => join(bits).map(|()| false),
        // It refuses an ordinary user the namespaces that the machine and the container share: there is nothing to join.
        Err(failed) if failed.errno() == Errno::PERM => match shared(process, kinds) {
            0 => Err(failed),
            shared => join((bits & !shared) | Kind::User as u32).map(|()| true),
        },
        joined => joined.map(|()| true),
    }
}

/// Joins one namespace of the process behind a pidfd and stays in the caller's user namespace, and so keeps its power over what
/// the caller comes from. Who lacks the power to do so joins the user namespace as well.
pub(crate) fn join_of(process: BorrowedFd<'_>, kind: Kind) -> Result<(), Failed> {
    let bit = ThreadNameSpaceType::from_bits_retain(kind as u32);
    match rustix::thread::move_into_thread_name_spaces(process, bit) {
        Err(Errno::PERM) => join_all_of(process, &[kind]).map(drop),
        joined => joined.call(|| format!("setns(pidfd, {kind:?})")),
    }
}

/// Which of these namespaces the process behind a pidfd has in common with the caller, as bits. What cannot be read
/// counts as not shared.
fn shared(process: BorrowedFd<'_>, kinds: &[Kind]) -> u32 {
    let information = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()));
    let information = information.unwrap_or_default();
    let Some(pid) = information.lines().find_map(|line| line.strip_prefix("Pid:")) else { return 0 };
    // If the process has ended and its pid is another's by now, joining by the pidfd fails whatever is found here.
    let inode = |of: &str, kind: &Kind| {
        std::fs::metadata(format!("/proc/{of}/ns/{}", kind.file())).map(|file| (file.dev(), file.ino())).ok()
    };
    let is_shared = |kind: &&Kind| {
        let own = inode("self", kind);
        own.is_some() && own == inode(pid.trim(), kind)
    };
    kinds.iter().filter(is_shared).fold(0, |bits, &kind| bits | kind as u32)
}
