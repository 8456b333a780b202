//! The standard streams of a new process: what its owner asks for, and what it gets.

use crate::error::{Call, Failed};
use crate::launch::Streams;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

/// How many bytes the peer of a connected socket has still to take.
pub fn untaken(socket: BorrowedFd<'_>) -> Result<u32, Errno> {
    crate::sys::untaken(socket)
}

/// The standard streams of a new process.
#[derive(Debug)]
pub enum Stdio {
    /// `/dev/null` for all three.
    Null,
    /// Three pipes.
    Pipes,
    /// A new pseudo-terminal in the container's own devpts.
    Terminal {
        /// Its width.
        cols: u16,
        /// Its height.
        rows: u16,
    },
    /// These three descriptors.
    Given([OwnedFd; 3]),
}

/// The owner's ends of the standard streams.
#[derive(Debug)]
pub enum Io {
    /// The streams are somebody else's.
    None,
    /// The other ends of [`Stdio::Pipes`], closed by `execve`.
    Pipes {
        /// To write to.
        stdin: OwnedFd,
        /// To read from.
        stdout: OwnedFd,
        /// To read from.
        stderr: OwnedFd,
    },
    /// The pty's master. It was verified to be one: a hostile container may put anything at `/dev/ptmx`.
    Terminal(OwnedFd),
}

/// The new process's ends of its streams, while they are on their way.
pub(crate) struct Ends {
    pub terminal: Option<(u16, u16)>,
    pub streams: Vec<OwnedFd>,
}

impl Ends {
    pub(crate) fn open(stdio: Stdio) -> Result<(Self, Io), Failed> {
        let streams = |streams: [OwnedFd; 3]| Self { terminal: None, streams: streams.into() };
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).call(|| "pipe2()");
        Ok(match stdio {
            Stdio::Terminal { cols, rows } => {
                (Self { terminal: Some((cols, rows)), streams: vec![] }, Io::None)
            }
            Stdio::Given(given) => (streams(given), Io::None),
            Stdio::Null => {
                let open = || {
                    rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
                        .call(|| "open(\"/dev/null\")")
                };
                (streams([open()?, open()?, open()?]), Io::None)
            }
            Stdio::Pipes => {
                let ((in_reader, stdin), (stdout, out_writer), (stderr, err_writer)) =
                    (pipe()?, pipe()?, pipe()?);
                (streams([in_reader, out_writer, err_writer]), Io::Pipes { stdin, stdout, stderr })
            }
        })
    }

    pub(crate) fn borrow(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.streams.iter().map(|stream| stream.as_fd())
    }
}

impl Streams {
    /// The streams of a request: a terminal of this size, or three descriptors.
    pub(crate) fn new(terminal: Option<(u16, u16)>, streams: Vec<OwnedFd>) -> Result<Self, Failed> {
        match terminal {
            Some((cols, rows)) => Ok(Self::Terminal { cols, rows }),
            None => <[OwnedFd; 3]>::try_from(streams)
                .map(Self::Given)
                .map_err(|_| Failed::because("not three streams", Errno::BADF)),
        }
    }

    /// The same, with the three taken from the front of what came with the request.
    pub(crate) fn taken_from(
        terminal: Option<(u16, u16)>,
        descriptors: &mut Vec<OwnedFd>,
    ) -> Result<Self, Failed> {
        let count = if terminal.is_some() { 0 } else { 3.min(descriptors.len()) };
        Self::new(terminal, descriptors.drain(..count).collect())
    }
}
