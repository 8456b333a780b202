//! Terminals: handed to an engine over its console socket, or joined to the caller's own.

use super::Failure;
use super::signals::Signals;
use crate::zygote::Io;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, connect, sendmsg, socket_with,
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::path::Path;

/// Hands the terminal over to whoever waits for it at the socket; without a socket it is the caller's.
pub fn hand_over(io: Io, console_socket: Option<&Path>) -> Result<Option<OwnedFd>, Failure> {
    match (io, console_socket) {
        (Io::Terminal(master), Some(socket)) => send(socket, master).map(|()| None),
        (Io::Terminal(master), None) => Ok(Some(master)),
        (Io::Pipes { .. } | Io::None, _) => Ok(None),
    }
}

/// Stays with a process until it has ended: its terminal is joined to the caller's, signals are passed on.
pub fn stay(terminal: Option<OwnedFd>, process: BorrowedFd<'_>, signals: &Signals) -> Result<(), Failure> {
    match terminal {
        Some(master) => relay(&master, process, signals),
        None => signals.stay_with(process),
    }
}

/// Hands the master of a terminal to whoever listens at `path`, as containerd and podman expect it.
fn send(path: &Path, master: OwnedFd) -> Result<(), Failure> {
    let hand_over = || -> Result<(), Errno> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = [master.as_fd()];
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // The bytes are the terminal's name by convention; nobody reads more than that they are there.
        sendmsg(&socket, &[IoSlice::new(b"/dev/ptmx")], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    };
    hand_over().map_err(|errno| Failure::new(format!("sending the terminal to {path:?}"), errno.into()))
}

/// The size of the caller's terminal, in columns and rows, where it has one.
pub fn own_size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(rustix::stdio::stdin()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((size.ws_col, size.ws_row))
}

/// The caller's terminal in raw mode, until dropped: the container's terminal does the line editing.
#[derive(Debug)]
struct Raw(Option<Termios>);

impl Raw {
    fn begin() -> Self {
        let Ok(before) = tcgetattr(rustix::stdio::stdin()) else { return Self(None) };
        let mut raw = before.clone();
        raw.make_raw();
        let changed = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw);
        Self(changed.is_ok().then_some(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, before);
        }
    }
}

/// Joins a container's terminal to the caller's standard streams until the process ends or nobody has the terminal open
/// any more.
fn relay(master: &OwnedFd, process: BorrowedFd<'_>, signals: &Signals) -> Result<(), Failure> {
    let _raw = Raw::begin();
    let failed = |errno: Errno| Failure::new("relaying the terminal".into(), errno.into());
    let (stdin, stdout) = (rustix::stdio::stdin(), rustix::stdio::stdout());
    let mut input_open = true;
    loop {
        let input = if input_open { PollFlags::IN } else { PollFlags::empty() };
        let mut ready = [
            PollFd::new(master, PollFlags::IN),
            PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(process, PollFlags::IN),
            PollFd::from_borrowed_fd(stdin, input),
        ];
        // A descriptor that is polled for nothing still reports a hang-up, again and again.
        let polled = if input_open { &mut ready[..] } else { &mut ready[..3] };
        match poll(polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let is_ready = |at: usize| ready.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let (output, signalled, ended, typed) =
            (is_ready(0), is_ready(1), is_ready(2), input_open && is_ready(3));
        if signalled {
            signals.pass_on(process, Some(&|| resize(master)));
        }
        if typed {
            input_open = copy(stdin, master.as_fd()).map_err(failed)?;
        }
        if output {
            // The kernel tells with EIO that the last one has closed the other end.
            match copy(master.as_fd(), stdout) {
                Ok(true) => continue,
                Ok(false) | Err(Errno::IO) => return Ok(()),
                Err(errno) => return Err(failed(errno)),
            }
        }
        if ended {
            return Ok(());
        }
    }
}

/// Gives a terminal the size of the caller's.
fn resize(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
        let _ = tcsetwinsize(master, size);
    }
}

/// Copies what there is; `false` at the end.
fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut buffer = [0; 16 * 1024];
    let got = match rustix::io::read(from, &mut buffer) {
        Err(Errno::INTR | Errno::AGAIN) => return Ok(true),
        got => got?,
    };
    let mut left = &buffer[..got];
    while !left.is_empty() {
        match rustix::io::write(to, left) {
            Err(Errno::INTR) => {}
            written => left = &left[written?..],
        }
    }
    Ok(got > 0)
}
