//! The signals that the command line is sent and passes on to the container that it stays with.

use super::Failure;
use crate::process;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

/// The signals that are meant for the container when they are sent to this program.
const PASSED_ON: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
];

/// The signals to pass on, taken away from their usual effect on this process.
#[derive(Debug)]
pub struct Signals {
    arriving: SignalFd,
}

impl Signals {
    /// Takes them. A process made afterwards does not inherit this: the runtime gives it a clean mask.
    pub fn take() -> Result<Self, Failure> {
        let mut set = SigSet::empty();
        PASSED_ON.into_iter().for_each(|signal| set.add(signal));
        let taken = set
            .thread_block()
            .and_then(|()| SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK));
        match taken {
            Ok(arriving) => Ok(Self { arriving }),
            Err(errno) => Err(Failure::new("taking signals".into(), errno.into())),
        }
    }

    /// Passes on what has arrived. Where there is a terminal, a change of the window is told to that (by `resize`) rather
    /// than to the process.
    pub fn pass_on(&self, process: BorrowedFd<'_>, resize: Option<&dyn Fn()>) {
        while let Ok(Some(arrived)) = self.arriving.read_signal() {
            let number = arrived.ssi_signo as i32;
            match resize {
                Some(resize) if number == Signal::SIGWINCH as i32 => resize(),
                // A process that has ended needs no signal.
                _ => drop(process::signal(process, number)),
            }
        }
    }

    /// Passes signals on until the process has ended.
    pub fn stay_with(&self, process: BorrowedFd<'_>) -> Result<(), Failure> {
        loop {
            let mut ready = [
                PollFd::from_borrowed_fd(process, PollFlags::IN),
                PollFd::from_borrowed_fd(self.as_fd(), PollFlags::IN),
            ];
            match poll(&mut ready, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Failure::new("waiting for the container".into(), errno.into())),
            }
            if !ready[0].revents().is_empty() {
                return Ok(());
            }
            self.pass_on(process, None);
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.arriving.as_fd()
    }
}
