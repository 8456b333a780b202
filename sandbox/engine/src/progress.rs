//! What a long request tells its client meanwhile: one JSON document a line, as the Docker CLI shows them.

use crate::error::ApiError;
use serde_json::{Value, json};
use std::io::{self, Read, Write};

/// A progress line is worth this many more bytes: a client draws each.
const STEP_BYTES: u64 = 512 * 1024;

/// Where lines go. A client that has left is found out by the error.
#[derive(Clone, Debug)]
pub struct Lines<W> {
    out: W,
}

impl<W: Write> Lines<W> {
    /// Over a response's body.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// One line.
    pub fn send(&mut self, line: &Value) -> io::Result<()> {
        // In one piece: several tasks and threads may tell the same client something.
        self.out.write_all(format!("{line}\r\n").as_bytes())?;
        self.out.flush()
    }

    /// A message of its own line.
    pub fn status(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.send(&json!({ "status": text.as_ref() }))
    }

    /// What has become of one layer (or tag) of several.
    pub fn of(&mut self, id: &str, text: &str) -> io::Result<()> {
        self.send(&json!({ "status": text, "progressDetail": {}, "id": id }))
    }

    /// How far one layer is.
    pub fn far(&mut self, id: &str, text: &str, current: u64, total: u64) -> io::Result<()> {
        self.send(&json!({
            "status": text,
            "progressDetail": { "current": current, "total": total },
            "progress": bar(current, total),
            "id": id,
        }))
    }

    /// Text that is printed as it is.
    pub fn stream(&mut self, text: &str) -> io::Result<()> {
        self.send(&json!({ "stream": text }))
    }

    /// It has failed; the last line.
    pub fn failed(&mut self, error: &ApiError) -> io::Result<()> {
        let message = &error.message;
        self.send(&json!({ "errorDetail": { "message": message }, "error": message }))
    }
}

/// When the next progress line is due.
#[derive(Debug, Default)]
pub struct Pace {
    next: u64,
}

impl Pace {
    /// Whether this many bytes are worth a line.
    pub fn is_due(&mut self, bytes: u64) -> bool {
        let due = bytes >= self.next;
        if due {
            self.next = bytes + STEP_BYTES;
        }
        due
    }
}

/// What tells how far it has been read.
#[derive(Debug)]
pub struct Told<R, T> {
    from: R,
    read: u64,
    pace: Pace,
    tell: T,
}

impl<R, T: FnMut(u64) -> io::Result<()>> Told<R, T> {
    /// `tell` is given the bytes that have been read. Where it fails, reading does.
    pub fn new(from: R, tell: T) -> Self {
        Self { from, read: 0, pace: Pace::default(), tell }
    }
}

impl<R: Read, T: FnMut(u64) -> io::Result<()>> Read for Told<R, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.read += length as u64;
        if self.pace.is_due(self.read) {
            (self.tell)(self.read)?;
        }
        Ok(length)
    }
}

/// `[=====>     ]  1.2MB/4MB`, as Docker draws it.
pub fn bar(current: u64, total: u64) -> String {
    if total == 0 {
        return format!("{:>8}", size(current));
    }
    let half = (current.saturating_mul(100) / total / 2).min(50) as usize;
    let numbers = format!("{:>8}/{}", size(current), size(total));
    format!("[{}>{}] {numbers}", "=".repeat(half), " ".repeat(50 - half))
}

/// `1.984MB`: four digits and a decimal unit, as Go's `units.HumanSize` has it.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= 1000.0 && unit < UNITS.len() - 1 {
        number /= 1000.0;
        unit += 1;
    }
    let before = if number < 10.0 { 1 } else { number.log10() as usize + 1 };
    let text = format!("{number:.*}", 4_usize.saturating_sub(before));
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_docker_s() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1_984_454, "1.984MB"),
            (67_381_717, "67.38MB"),
            (2_140_160, "2.14MB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn the_bar_grows() {
        assert_eq!(bar(0, 4000), format!("[>{}]       0B/4kB", " ".repeat(50)));
        assert_eq!(bar(2000, 4000), format!("[{}>{}]      2kB/4kB", "=".repeat(25), " ".repeat(25)));
        assert_eq!(bar(9000, 4000), format!("[{}>]      9kB/4kB", "=".repeat(50)));
        assert_eq!(bar(5, 0), "      5B");
    }

    #[test]
    fn what_is_read_is_told_of_and_a_client_that_left_ends_it() {
        let mut told = vec![];
        let mut reader = Told::new(&b"words"[..], |read| {
            told.push(read);
            Ok(())
        });
        assert_eq!(io::read_to_string(&mut reader).unwrap(), "words");
        assert_eq!(told, [5], "once for each step, and the last step is longer than that");
        let left = Told::new(&b"words"[..], |_| Err(io::Error::other("left")));
        assert_eq!(io::read_to_string(left).unwrap_err().to_string(), "left");
    }

    #[test]
    fn lines_are_few_and_end_with_a_line() {
        let mut pace = Pace::default();
        assert_eq!(
            [0, 1, STEP_BYTES, STEP_BYTES + 1].map(|bytes| pace.is_due(bytes)),
            [true, false, true, false]
        );
        let mut lines = Lines::new(vec![]);
        lines.failed(&ApiError::internal("no")).unwrap();
        assert_eq!(lines.out, b"{\"error\":\"no\",\"errorDetail\":{\"message\":\"no\"}}\r\n");
    }
}
