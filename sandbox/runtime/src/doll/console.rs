//! The console doll: a pseudo-terminal in the container's own devpts.

use super::{beneath, mounts};
use crate::error::{Call, Failed};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, FsWord, Mode, OFlags, ResolveFlags, major, makedev};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

const DEVPTS_SUPER_MAGIC: FsWord = 0x1cd1;
/// Unix98 pty slaves have these major numbers.
const SLAVE_MAJORS: std::ops::RangeInclusive<u32> = 136..=143;

/// Both ends of a pseudo-terminal.
#[derive(Debug)]
pub(crate) struct Pty {
    pub master: OwnedFd,
    pub slave: OwnedFd,
}

/// Opens a pseudo-terminal of `directory`, which should be a devpts. Each thing is checked after it was opened: a
/// hostile container may have put anything there.
pub(crate) fn open(directory: BorrowedFd<'_>, cols: u16, rows: u16) -> Result<Pty, Failed> {
    // O_NONBLOCK: what is no terminal at all (a fifo) must not make us wait. A pty's master is set back below.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let master = rustix::fs::openat2(directory, "ptmx", flags, Mode::empty(), resolve)
        .call(|| "openat2(devpts, \"ptmx\")")?;
    mounts::must_be_on(master.as_fd(), DEVPTS_SUPER_MAGIC, "ptmx")?;
    let found = beneath::stat(master.as_fd())?;
    if FileType::from_raw_mode(found.st_mode) != FileType::CharacterDevice || found.st_rdev != makedev(5, 2) {
        return Err(Failed::because("ptmx is not the terminal multiplexer", Errno::NODEV));
    }
    rustix::pty::unlockpt(&master).call(|| "ioctl(TIOCSPTLCK)")?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, peer).call(|| "ioctl(TIOCGPTPEER)")?;
    let found = beneath::stat(slave.as_fd())?;
    if !SLAVE_MAJORS.contains(&major(found.st_rdev)) {
        return Err(Failed::because("the peer is not a terminal", Errno::NOTTY));
    }
    rustix::fs::fcntl_setfl(&master, OFlags::RDWR).call(|| "fcntl(F_SETFL)")?;
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&slave, size).call(|| "ioctl(TIOCSWINSZ)")?;
    Ok(Pty { master, slave })
}

/// Mounts the terminal's slave over `/dev/console`.
pub(crate) fn bind(root: BorrowedFd<'_>, slave: BorrowedFd<'_>) -> Result<(), Failed> {
    let target = beneath::file(root, "/dev/console".as_ref())?;
    let node = mounts::clone_descriptor(slave)?;
    mounts::attach(node.as_fd(), target.as_fd())
}

/// Tells the programs on a terminal its new size.
pub fn resize(terminal: BorrowedFd<'_>, cols: u16, rows: u16) -> Result<(), crate::Error> {
    let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    let done =
        rustix::termios::tcsetwinsize(terminal, size).call(|| format!("ioctl(TIOCSWINSZ, {cols}x{rows})"));
    done.map_err(|failed| failed.in_step("resizing a terminal"))
}
