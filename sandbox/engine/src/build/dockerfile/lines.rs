//! The logical lines of a Dockerfile: parser directives, comments and continuations are dealt with here.

use std::borrow::Cow;

/// A line longer than this is refused, as Docker's own scanner does.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// A byte-order mark, which some editors begin a file with.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// One logical line.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// The number of its first line in the file, from 1.
    pub number: usize,
    /// Its text, continuations joined.
    pub text: String,
}

/// Reads logical lines one after the other.
#[derive(Debug)]
pub struct Lines<'a> {
    rest: &'a [u8],
    read: usize,
    directives: Directives,
    /// What escapes a character and continues a line: a backslash or a backtick.
    pub escape: char,
    /// Continued lines with an empty line in them, which Docker warns of.
    pub empty_continuations: Vec<String>,
}

/// Directives stand before everything else, each at most once.
#[derive(Debug, Default)]
struct Directives {
    over: bool,
    escape: bool,
    syntax: bool,
}

/// The characters that separate words; others that Unicode counts as spaces do not.
pub fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\u{b}' | '\u{c}' | '\r' | ' ')
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

impl<'a> Lines<'a> {
    /// The lines of a file.
    pub fn of(bytes: &'a [u8]) -> Self {
        let directives = Directives::default();
        Self { rest: bytes, read: 0, directives, escape: '\\', empty_continuations: vec![] }
    }

    /// The next line of the file, without its end; `None` at the end of the file.
    fn raw(&mut self) -> Result<Option<Cow<'a, str>>, String> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = self.rest.iter().position(|&byte| byte == b'\n').unwrap_or(self.rest.len());
        if end >= LINE_BYTES_MAX {
            return Err(format!("dockerfile line greater than max allowed size of {}", LINE_BYTES_MAX - 1));
        }
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        self.read += 1;
        match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) if self.read == 1 => Ok(Some(Cow::Owned(rest.to_owned()))),
            _ => Ok(Some(text)),
        }
    }

    /// The next logical line; the error is in Docker's words.
    pub fn next(&mut self) -> Result<Option<Line>, String> {
        loop {
            let Some(first) = self.raw()? else { return Ok(None) };
            let number = self.read;
            self.directive(first.trim_start())?;
            let first = if is_comment(&first) { "" } else { first.trim_start() };
            let (mut text, mut continues) = self.without_continuation(first);
            if text.is_empty() && !continues {
                continue;
            }
            let mut empty = false;
            while continues {
                let Some(more) = self.raw()? else { break };
                if is_comment(&more) {
                    continue;
                }
                if more.trim().is_empty() {
                    empty = true;
                    continue;
                }
                let (more, again) = self.without_continuation(&more);
                text.push_str(&more);
                continues = again;
            }
            if empty {
                self.empty_continuations.push(text.clone());
            }
            return Ok(Some(Line { number, text }));
        }
    }

    /// Takes the character that continues a line off its end. Escaped by itself, it continues nothing.
    fn without_continuation(&self, line: &str) -> (String, bool) {
        let bare = line.trim_end_matches([' ', '\t']);
        match bare.strip_suffix(self.escape) {
            Some(rest) if !rest.ends_with(self.escape) => (rest.to_owned(), true),
            _ => (line.to_owned(), false),
        }
    }

    /// Reads `# escape=…` and `# syntax=…`. The latter asks for another parser, which the classic builder never had.
    fn directive(&mut self, line: &str) -> Result<(), String> {
        if self.directives.over {
            return Ok(());
        }
        let parsed = line.strip_prefix('#').and_then(|rest| rest.split_once('='));
        let (name, value) = parsed
            .map_or((String::new(), ""), |(name, value)| (name.trim().to_ascii_lowercase(), value.trim()));
        let seen = match name.as_str() {
            "escape" if !value.is_empty() => &mut self.directives.escape,
            "syntax" if !value.is_empty() => &mut self.directives.syntax,
            _ => {
                self.directives.over = true;
                return Ok(());
            }
        };
        if std::mem::replace(seen, true) {
            return Err(format!("only one {name} parser directive can be used"));
        }
        if name == "escape" {
            self.escape = match value {
                "\\" => '\\',
                "`" => '`',
                _ => return Err(format!("invalid escape token '{value}' does not match ` or \\")),
            };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, String)> {
        let mut lines = Lines::of(text.as_bytes());
        let mut all = vec![];
        while let Some(line) = lines.next().unwrap() {
            all.push((line.number, line.text));
        }
        all
    }

    #[test]
    fn a_line_is_numbered_by_where_it_begins() {
        assert_eq!(lines("\n# x\nA \\\n # y\n b\\\n\n c\nD"), [(3, "A  b c".into()), (8, "D".into())]);
        assert_eq!(lines("# escape=`\nA`\nB\\\nC"), [(2, "AB\\".into()), (4, "C".into())]);
        assert_eq!(lines("A\\\\\nB\\"), [(1, "A\\\\".into()), (2, "B".into())]);
    }

    #[test]
    fn the_longest_line_is_docker_s() {
        let fits = format!("{}\nA", "x".repeat(LINE_BYTES_MAX - 1));
        assert_eq!(lines(&fits).len(), 2);
        let long = "x".repeat(LINE_BYTES_MAX);
        assert!(Lines::of(long.as_bytes()).next().unwrap_err().contains("max allowed size of 65535"));
    }
}
