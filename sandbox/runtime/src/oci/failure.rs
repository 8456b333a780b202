//! What went wrong, for people and for the engines that read it.
//!
//! Docker tells from the words of a runtime's error with which status to exit (127 for a program that is not there, 126
//! for one that may not be executed), so those words are runc's.

use super::options::{Global, LogFormat};
use crate::Error;
use rustix::io::Errno;
use std::fmt;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    message: String,
    absent: bool,
}

impl Failure {
    /// An operation that the system refused.
    pub fn new(what: String, error: std::io::Error) -> Self {
        Self::plain(format!("{what}: {error}"))
    }

    /// A sentence.
    pub fn plain(message: String) -> Self {
        Self { message, absent: false }
    }

    /// What the command was about is not there.
    pub fn absent(message: String) -> Self {
        Self { message, absent: true }
    }

    /// Whether what the command was about is not there.
    pub fn is_absent(&self) -> bool {
        self.absent
    }

    /// A container whose program `name` could not be executed.
    pub fn of_program(name: &str, error: Error) -> Self {
        let why = match Errno::from_raw_os_error(error.errno) {
            _ if !error.step.starts_with("executing ") => return error.into(),
            Errno::NOENT if !name.contains('/') => "executable file not found in $PATH".into(),
            Errno::NOENT => format!("stat {name}: no such file or directory"),
            Errno::ACCESS => "permission denied".into(),
            errno => std::io::Error::from(errno).to_string(),
        };
        Self::plain(format!("exec: {name:?}: {why}"))
    }

    /// Tells on standard error, and in the log where there is one.
    pub fn report(&self, global: &Global) {
        eprintln!("isolab-runtime: {}", self.message);
        let Some(path) = &global.log else { return };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let line = match global.log_format {
            LogFormat::Json => serde_json::json!({
                "level": "error", "msg": self.message, "time": rfc3339(now),
            })
            .to_string(),
            LogFormat::Text => format!("time={:?} level=error msg={:?}", rfc3339(now), self.message),
        };
        let file = std::fs::File::options().append(true).create(true).open(path);
        if let Err(error) = file.and_then(|mut file| writeln!(file, "{line}")) {
            eprintln!("isolab-runtime: writing the log {path:?}: {error}");
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::plain(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Seconds since 1970 as a date and time: the proleptic Gregorian calendar, counted in eras of 400 years.
pub fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Days from 0000-03-01, so that the leap day is the last of its year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn docker_finds_its_words() {
        let error = |errno: Errno| Error::new("executing \"x\"", "execve(\"x\")", errno);
        let words = |name: &str, errno| Failure::of_program(name, error(errno)).to_string();
        assert!(words("x", Errno::NOENT).contains("executable file not found"));
        assert!(words("/x", Errno::NOENT).contains("no such file or directory"));
        assert!(words("/x", Errno::ACCESS).contains("permission denied"));
        let other = Error::new("mounting /proc", "mount()", Errno::PERM);
        assert!(Failure::of_program("x", other).to_string().starts_with("mounting /proc"));
    }
}
