//! What goes wrong with a VM, in words: which step, and what was expected.

use std::io;
use std::time::Duration;

/// Why a VM could not be started, saved or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A socket to QEMU failed: mostly because QEMU has ended.
    #[error("{doing}: {error}")]
    Socket {
        /// The step.
        doing: &'static str,
        /// What the kernel said.
        error: io::Error,
    },
    /// QEMU refused a command.
    #[error("QEMU refused {command}: {why}")]
    Refused {
        /// The QMP command.
        command: &'static str,
        /// QEMU's words, cut to a line.
        why: String,
    },
    /// QEMU or the guest said something that nobody expected.
    #[error("{doing}: {what}")]
    Unexpected {
        /// The step.
        doing: &'static str,
        /// What came.
        what: String,
    },
    /// It took too long.
    #[error("{doing} took more than {} s", within.as_secs())]
    TimedOut {
        /// The step.
        doing: &'static str,
        /// The bound.
        within: Duration,
    },
}

impl Error {
    pub(crate) fn socket(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Socket { doing, error }
    }

    pub(crate) fn unexpected(doing: &'static str, what: impl Into<String>) -> Self {
        Self::Unexpected { doing, what: what.into() }
    }
}
