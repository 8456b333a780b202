//! What can go wrong between this program and the agent.

use isolab_protocol::ApiError;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why a call to the agent failed.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Nothing answers at the socket: the agent is not running, or has just ended.
    #[error("the agent cannot be reached at {}: {why}", socket.display())]
    Unreachable {
        /// The agent's socket.
        socket: PathBuf,
        /// What the kernel or the connection said.
        why: String,
    },
    /// The agent answered with an error of its own.
    #[error("{}", .error.message)]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        error: ApiError,
    },
    /// The agent took longer than the call allows.
    #[error("the agent has not answered `{call}` within {waited:?}")]
    Slow {
        /// Method and path.
        call: String,
        /// The time allowed.
        waited: Duration,
    },
    /// The agent answered with something that is not of its API.
    #[error("the agent answered `{call}` with something unexpected: {why}")]
    Garbled {
        /// Method and path.
        call: String,
        /// What was unexpected.
        why: String,
    },
    /// The agent could not be started.
    #[error("the agent could not be started: {why}")]
    Start {
        /// What happened, with the agent's own last words where it said some.
        why: String,
        /// What the reader can do about it.
        mend: Option<String>,
    },
}

impl AgentError {
    /// Whether the agent says that there is no such lab.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether a lab of that name exists already.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// What the reader can do about it, where something is known.
    pub fn mend(&self) -> Option<&str> {
        match self {
            Self::Refused { error, .. } => error.mend.as_deref(),
            Self::Start { mend, .. } => mend.as_deref(),
            _ => None,
        }
    }
}
