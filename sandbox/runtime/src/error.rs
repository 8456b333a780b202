//! A failed step of a container's life, told so that a person can act on it.

use rustix::io::Errno;

/// What went wrong: which step, which call with which arguments, and what can be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[error("{step}: {call}: {}", std::io::Error::from_raw_os_error(*errno))]
pub struct Error {
    /// The step, in words: "mounting /proc".
    pub step: String,
    /// The call and its arguments: `mount("proc", "/proc", "proc", 0xe, NULL)`.
    pub call: String,
    /// The kernel's errno.
    pub errno: i32,
}

impl Error {
    /// A call that failed in a step.
    pub fn new(step: impl Into<String>, call: impl Into<String>, errno: Errno) -> Self {
        Self { step: step.into(), call: call.into(), errno: errno.raw_os_error() }
    }

    /// A field of a Spec or of options that cannot be, told as EINVAL: "linux.namespaces[0].path: why".
    pub(crate) fn field(name: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self::new("reading the Spec", format!("{name}: {why}"), Errno::INVAL)
    }
}

/// A call that failed, before it is known in which step.
#[derive(Debug)]
pub(crate) struct Failed {
    call: String,
    errno: Errno,
}

impl Failed {
    /// A check of ours that failed, told with the errno that fits best.
    pub(crate) fn because(what: impl Into<String>, errno: Errno) -> Self {
        Self { call: what.into(), errno }
    }

    /// The same, with the path that it was about.
    pub(crate) fn about(self, path: &std::path::Path) -> Self {
        Self { call: format!("{} for {path:?}", self.call), errno: self.errno }
    }

    pub(crate) fn errno(&self) -> Errno {
        self.errno
    }

    pub(crate) fn in_step(self, step: impl Into<String>) -> Error {
        Error::new(step, self.call, self.errno)
    }
}

/// Says which call a result is of. The words are only made where it failed.
pub(crate) trait Call<T> {
    fn call<W: Into<String>>(self, words: impl FnOnce() -> W) -> Result<T, Failed>;
}

impl<T> Call<T> for Result<T, Errno> {
    fn call<W: Into<String>>(self, words: impl FnOnce() -> W) -> Result<T, Failed> {
        self.map_err(|errno| Failed { call: words().into(), errno })
    }
}

impl<T> Call<T> for std::io::Result<T> {
    fn call<W: Into<String>>(self, words: impl FnOnce() -> W) -> Result<T, Failed> {
        self.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO)).call(words)
    }
}
