//! Why the agent did not do what it was asked, told for the person who asked.

use isolab_protocol::ApiError;

/// The kinds of refusal; each becomes one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What was asked for cannot be: 400.
    Invalid,
    /// The program could not be executed: 400, or the status that a shell gives.
    NoProgram {
        /// 127 where it is not there, 126 where it may not be executed.
        status: i32,
    },
    /// There is no such thing: 404.
    Absent,
    /// Its state does not allow it now: 409.
    Conflict,
    /// A limit is reached: 429.
    Limit,
    /// The agent failed: 500.
    Failed,
    /// The machine lacks something, or the agent is ending: 503.
    Unavailable,
    /// It took too long: 504.
    TimedOut,
}

/// A refusal: its kind, what happened, and what can be done about it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Which HTTP status it becomes.
    pub kind: Kind,
    /// What happened, in a sentence.
    pub message: String,
    /// What the person can do, where there is something.
    pub mend: Option<String>,
}

impl Refusal {
    /// A refusal without a remedy.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), mend: None }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// The body that a client gets.
    pub fn body(&self) -> ApiError {
        ApiError { message: self.message.clone(), mend: self.mend.clone() }
    }
}

impl From<isolab_runtime::Error> for Refusal {
    fn from(error: isolab_runtime::Error) -> Self {
        Self::new(Kind::Failed, format!("The lab could not be entered or made: {error}."))
            .mend("Run `isolab doctor`; it names what this machine lacks.")
    }
}
