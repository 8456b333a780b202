//! One line of a json-file log, and how a stream of bytes is cut into lines.

use crate::clock;
use crate::stdcopy::Source;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::SystemTime;

/// A line longer than this is written in parts, as Docker does: what never ends must not be kept in memory.
pub const PART_BYTES_MAX: usize = 16 * 1024;

/// What a line of the file holds.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    log: Cow<'a, str>,
    stream: Cow<'a, str>,
    time: Cow<'a, str>,
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The line with its end of line; a part of a long line, or the last words of a program, have none.
    pub line: Vec<u8>,
    /// Where it came from.
    pub source: Source,
    /// When, in RFC 3339.
    pub time: String,
}

/// One line of the file. Bytes that are not UTF-8 become U+FFFD, as in Docker's json-file driver.
pub fn encode(line: &[u8], source: Source, now: SystemTime) -> String {
    let record = Record {
        log: String::from_utf8_lossy(line),
        stream: source.as_str().into(),
        time: clock::rfc3339_padded(now).into(),
    };
    let mut text = serde_json::to_string(&record).unwrap_or_default();
    text.push('\n');
    text
}

/// Reads a line of the file; `None` where somebody has written something else into it.
pub fn decode(text: &str) -> Option<Entry> {
    let record: Record<'_> = serde_json::from_str(text).ok()?;
    let source = if record.stream == "stderr" { Source::Stderr } else { Source::Stdout };
    Some(Entry { line: record.log.into_owned().into_bytes(), source, time: record.time.into_owned() })
}

/// Cuts one stream into lines.
#[derive(Debug, Default)]
pub struct LineCutter {
    begun: Vec<u8>,
}

impl LineCutter {
    /// Takes bytes and adds the lines that they complete to `lines`.
    pub fn push(&mut self, bytes: &[u8], lines: &mut Vec<Vec<u8>>) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let mut rest = piece;
            while self.begun.len() + rest.len() > PART_BYTES_MAX {
                let (part, later) = rest.split_at(PART_BYTES_MAX - self.begun.len());
                self.begun.extend_from_slice(part);
                lines.push(std::mem::take(&mut self.begun));
                rest = later;
            }
            self.begun.extend_from_slice(rest);
            if rest.ends_with(b"\n") {
                lines.push(std::mem::take(&mut self.begun));
            }
        }
    }

    /// The stream has ended.
    pub fn finish(&mut self, lines: &mut Vec<Vec<u8>>) {
        if !self.begun.is_empty() {
            lines.push(std::mem::take(&mut self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_never_ends_is_cut() {
        let (mut cutter, mut lines) = (LineCutter::default(), vec![]);
        cutter.push(&[b'x'; 40_000], &mut lines);
        cutter.push(b"\n", &mut lines);
        let lengths: Vec<_> = lines.iter().map(Vec::len).collect();
        assert_eq!(lengths, [PART_BYTES_MAX, PART_BYTES_MAX, 40_000 - 2 * PART_BYTES_MAX + 1]);
    }

    #[test]
    fn an_entry_survives_the_file() {
        let text = encode("né\"\n".as_bytes(), Source::Stderr, SystemTime::UNIX_EPOCH);
        assert!(
            text.starts_with(r#"{"log":"né\"\n","stream":"stderr","time":"1970-01-01T00:00:00.0"#),
            "{text}"
        );
        let entry = decode(&text).unwrap();
        assert_eq!((entry.line.as_slice(), entry.source), ("né\"\n".as_bytes(), Source::Stderr));
        assert_eq!(decode("nonsense"), None);
    }
}
