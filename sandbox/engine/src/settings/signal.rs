//! Signals by name and number, as `docker kill --signal` and `--stop-signal` take them.

use crate::error::ApiError;

/// Names and numbers on x86-64 and aarch64 (they agree), with the aliases that Docker knows.
const NAMES: [(&str, i32); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The highest signal number, SIGRTMAX.
const NUMBER_MAX: i32 = 64;

/// Parses `TERM`, `SIGTERM`, `15`, `RTMIN+3`. The error is Docker's.
pub fn parse(text: &str) -> Result<i32, ApiError> {
    let invalid = || ApiError::bad_request(format!("Invalid signal: {text}"));
    if let Ok(number) = text.parse::<i32>() {
        return if number > 0 { Ok(number) } else { Err(invalid()) };
    }
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let offset = |digits: &str| digits.parse::<i32>().ok().filter(|n| (0..=30).contains(n));
    match name {
        "RTMIN" => Ok(34),
        "RTMAX" => Ok(NUMBER_MAX),
        _ if name.starts_with("RTMIN+") => offset(&name[6..]).map(|n| 34 + n).ok_or_else(invalid),
        _ if name.starts_with("RTMAX-") => offset(&name[6..]).map(|n| NUMBER_MAX - n).ok_or_else(invalid),
        _ => NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number).ok_or_else(invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in
            [("TERM", 15), ("sigkill", 9), ("15", 15), ("SIGRTMIN+3", 37), ("RTMAX-1", 63), ("WINCH", 28)]
        {
            assert_eq!(parse(text).unwrap(), number, "{text}");
        }
        for bad in ["", "FOO", "0", "-9", "SIG", "RTMIN+99", "RTMIN+"] {
            assert_eq!(parse(bad).unwrap_err().message, format!("Invalid signal: {bad}"));
        }
    }
}
