//! Why a program could not be executed, told as Docker tells it.
//!
//! Docker looks for the program first: what it does not find, or may not execute, is an error of the start. What is found
//! and still refused by the kernel (a file capability beyond the bounding set, a missing interpreter) is told by the
//! container itself, which has run and ended then.

use super::layer::Mounted;
use crate::error::ApiError;
use axum::http::StatusCode;
use isolab_runtime::Error;
use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// What came of an attempt to execute a program.
#[derive(Debug)]
pub enum NotExecuted {
    /// The start is refused.
    Refused(ApiError),
    /// The program ended at once: these are its last words, and its exit code is [`DIED`].
    Died(String),
}

/// The exit code of a program that the kernel would not execute.
pub const DIED: i32 = 1;

impl From<ApiError> for NotExecuted {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

impl From<std::io::Error> for NotExecuted {
    fn from(error: std::io::Error) -> Self {
        Self::Refused(error.into())
    }
}

/// A program that was to be executed.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// The root in which it was looked for.
    pub root: &'a Mounted,
    /// Its name.
    pub name: &'a str,
    /// With the `PATH`.
    pub env: &'a [String],
    /// For a name with a slash that does not begin with one.
    pub workdir: &'a str,
}

impl Program<'_> {
    /// Why it was not executed. `wrap` puts the words of creating or of joining a container around an error of the start.
    pub fn why(&self, error: &Error, wrap: impl Fn(String) -> ApiError) -> NotExecuted {
        let errno = Errno::from_raw_os_error(error.errno);
        let name = self.name;
        // The runtime names the call that failed; only these two are about what the client has asked for.
        let why = if error.call.starts_with("execve(") {
            match (errno, self.found()) {
                (Errno::NOENT | Errno::NOTDIR, None) if name.contains('/') => {
                    format!("exec: {name:?}: stat {name}: {}", words(errno))
                }
                (Errno::NOENT | Errno::NOTDIR, None) => {
                    format!("exec: {name:?}: executable file not found in $PATH")
                }
                (Errno::ACCESS | Errno::ISDIR, _) => {
                    format!("exec: {name:?}: permission denied")
                }
                (_, Some(path)) => {
                    return NotExecuted::Died(format!("exec {}: {}", path.display(), words(errno)));
                }
                (_, None) => return NotExecuted::Refused(wrap(error.to_string())),
            }
        } else if let Some(path) = error.call.strip_prefix("chdir(").and_then(|rest| rest.strip_suffix(')')) {
            format!("chdir to cwd ({path}) set in config.json failed: {}", words(errno))
        } else {
            return NotExecuted::Refused(wrap(explain(error)));
        };
        let mut told = wrap(format!("unable to start container process: {why}"));
        told.status = StatusCode::BAD_REQUEST;
        NotExecuted::Refused(told)
    }

    /// Where the program is in the root.
    fn found(&self) -> Option<PathBuf> {
        let candidates = match self.name.contains('/') {
            false if self.name.is_empty() => return None,
            true => vec![Path::new(self.workdir).join(self.name)],
            false => {
                let path = self.env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
                path.split(':').map(|directory| Path::new(directory).join(self.name)).collect()
            }
        };
        candidates.into_iter().find(|path| self.root.holds(path))
    }
}

/// A failed step in words. The learner is root and may have killed the process that makes all others.
pub fn explain(error: &Error) -> String {
    let gone =
        [Errno::PIPE, Errno::CONNRESET, Errno::NOTCONN].map(Errno::raw_os_error).contains(&error.errno);
    match gone && error.step.starts_with("asking") {
        true => format!(
            "the engine's process isolab-zygote, which makes containers, was ended: reset the lab ({error})"
        ),
        false => error.to_string(),
    }
}

/// The kernel's error as Go words it.
pub fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string().to_lowercase();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}
