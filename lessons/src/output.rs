//! What a command of a lesson should print: lines with places left open.
//!
//! In a line, `…` stands for any text, and `<id>`, `<pid>`, `<number>`, `<time>`, `<release>` and `<word>` each for one word of
//! that kind; a line that is only `…` stands for any number of lines. Runs of blanks count as one, since columns
//! move with the numbers in them. Nothing is tried twice, so the time is bounded by the pattern's length times the text's.

use std::fmt;

/// The output that a reader should see after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    text: String,
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// `…` alone: any number of lines.
    Gap,
    Parts(Vec<Part>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// `…` within a line.
    Any,
    Word(Word),
}

/// What a `<…>` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// A container's id: 12 to 64 hexadecimal digits.
    Id,
    /// A pid or any other number.
    Number,
    /// A time of day or an amount of time: digits, colons, dots.
    Time,
    /// What `uname -r` prints on the kernel that all share: every one of them is the same.
    Release,
    /// Anything without blanks.
    Any,
}

impl Word {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "pid" | "number" => Self::Number,
            "time" => Self::Time,
            "release" => Self::Release,
            "word" => Self::Any,
            _ => return None,
        })
    }

    fn allows(self, c: char) -> bool {
        match self {
            Self::Id => c.is_ascii_hexdigit(),
            Self::Number => c.is_ascii_digit(),
            Self::Time => c.is_ascii_digit() || c == ':' || c == '.',
            Self::Release | Self::Any => !c.is_whitespace(),
        }
    }

    /// Whether the whole of `text` is such a word.
    fn is(self, text: &str) -> bool {
        let long_enough = if self == Self::Id { (12..=64).contains(&text.len()) } else { !text.is_empty() };
        long_enough && text.chars().all(|c| self.allows(c))
    }
}

/// The first line at which the printed text is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The expected line, as the lesson has it; nothing where no further line was expected.
    pub expected: Option<String>,
    /// The printed line; nothing where the text was over.
    pub printed: Option<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |line: &Option<String>| line.as_ref().map_or("nothing more".to_owned(), |l| format!("`{l}`"));
        write!(f, "the page shows {}, the lab printed {}", shown(&self.expected), shown(&self.printed))
    }
}

impl Output {
    /// Reads an expected output. Errors: the unknown `<…>`, with its line counted from 0.
    pub(crate) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let lines =
            text.lines().enumerate().map(|(n, line)| parse_line(line).map_err(|message| (n, message)));
        Ok(Self { text: text.trim_end().to_owned(), lines: lines.collect::<Result<_, _>>()? })
    }

    /// The output as the page shows it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Compares with what was printed on a kernel of that release. Errors: the first line that differs.
    pub fn check(&self, printed: &str, release: &str) -> Result<(), Mismatch> {
        let printed: Vec<String> = printed.trim_end().lines().map(squeeze).collect();
        let (mut at, mut gap) = (0, false);
        for (line, shown) in self.lines.iter().zip(self.text.lines()) {
            let Line::Parts(parts) = line else {
                gap = true;
                continue;
            };
            let reach = if gap { printed.len() } else { (at + 1).min(printed.len()) };
            let found = (at..reach).find(|&n| matches(parts, &printed[n], release));
            let missing = || Mismatch { expected: Some(shown.to_owned()), printed: printed.get(at).cloned() };
            at = found.ok_or_else(missing)? + 1;
            gap = false;
        }
        match printed.get(at) {
            Some(extra) if !gap => Err(Mismatch { expected: None, printed: Some(extra.clone()) }),
            _ => Ok(()),
        }
    }
}

/// One blank for each run of blanks, none at the ends: columns move with the numbers in them.
fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn parse_line(line: &str) -> Result<Line, String> {
    let line = squeeze(line);
    if line == "…" {
        return Ok(Line::Gap);
    }
    let (mut parts, mut literal, mut rest) = (vec![], String::new(), line.as_str());
    while let Some(c) = rest.chars().next() {
        let (part, length) = match (c, placeholder(rest)) {
            ('…', _) => (Part::Any, c.len_utf8()),
            ('<', Some(name)) => {
                let known = "<id>, <pid>, <number>, <time>, <release>, <word>";
                let word = Word::named(name)
                    .ok_or_else(|| format!("<{name}> stands for nothing; known are {known}"))?;
                (Part::Word(word), name.len() + 2)
            }
            _ => {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
                continue;
            }
        };
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal)));
        }
        parts.push(part);
        rest = &rest[length..];
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal));
    }
    Ok(Line::Parts(parts))
}

/// The name in a `<name>` at the head of `text`: lower-case letters only, so that `<1>` or `<-` are text.
fn placeholder(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('<')?.split_once('>')?;
    (!name.is_empty() && name.bytes().all(|c| c.is_ascii_lowercase())).then_some(name)
}

/// Whether `text` is what `parts` describe. Each set of reachable places in the text is worked out from the one
/// before it, so that nothing is tried twice.
fn matches(parts: &[Part], text: &str, release: &str) -> bool {
    let mut places = vec![0];
    for part in parts {
        // Whatever can begin later than the first place can begin at the first one too.
        let begins = if *part == Part::Any { places.len().min(1) } else { places.len() };
        let mut next: Vec<usize> =
            places[..begins].iter().flat_map(|&at| part.ends(text, at, release)).collect();
        next.sort_unstable();
        next.dedup();
        places = next;
    }
    places.contains(&text.len())
}

impl Part {
    /// Where this part can end in `text` when it begins at `at`.
    fn ends(&self, text: &str, at: usize, release: &str) -> Vec<usize> {
        let rest = &text[at..];
        let literal_end = |literal: &str| match rest.starts_with(literal) {
            true => vec![at + literal.len()],
            false => vec![],
        };
        let ends = || rest.char_indices().map(|(n, _)| n).chain([rest.len()]);
        match self {
            Self::Literal(literal) => literal_end(literal),
            Self::Word(Word::Release) => literal_end(release),
            Self::Any => ends().map(|n| at + n).collect(),
            Self::Word(word) => {
                let longest = rest.find(|c| !word.allows(c)).unwrap_or(rest.len());
                ends().filter(|&n| n <= longest && word.is(&rest[..n])).map(|n| at + n).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(page: &str, printed: &str) -> Result<(), String> {
        Output::parse(page).unwrap().check(printed, "6.12.5-amd64").map_err(|mismatch| mismatch.to_string())
    }

    #[test]
    fn placeholders_stand_for_words_of_their_kind() {
        let ps = "UID  PID PPID C STIME TTY TIME CMD\nroot 1 0 <number> <time> ? <time> sleep 3600\n…";
        let printed = "UID          PID    PPID  C STIME TTY          TIME CMD\r\nroot           1       0  0 21:03 ?        00:00:00 sleep 3600\r\nroot 7 0 ps\r\n";
        assert_eq!(check(ps, printed), Ok(()));
        assert_eq!(check("<id>", &"a".repeat(64)), Ok(()));
        assert!(check("<id>", "abc").is_err());
        assert_eq!(check("<release>", "6.12.5-amd64"), Ok(()));
        assert!(check("<release>", "6.12.4-amd64").is_err());
        assert_eq!(check("NSpid:\t<pid>\t1", "NSpid:   77 1"), Ok(()));
        assert!(check("NSpid: <pid> 1", "NSpid: 1").is_err());
        assert_eq!(check("a…z <word>!", "abcz x!!"), Ok(()));
        assert_eq!(check("a < b <1>", "a < b <1>"), Ok(()));
    }

    #[test]
    fn a_gap_stands_for_any_number_of_lines() {
        assert_eq!(check("…\nlast", "last"), Ok(()));
        assert_eq!(check("…\nlast", "a\nb\nlast"), Ok(()));
        assert_eq!(check("first\n…", "first"), Ok(()));
        assert!(check("…\nlast", "a\nb").is_err());
        assert!(check("…\nlast", "last\nmore").is_err());
    }

    #[test]
    fn a_mismatch_says_what_was_printed() {
        assert_eq!(check("a\nb", "a\nc"), Err("the page shows `b`, the lab printed `c`".into()));
        assert_eq!(check("a\nb", "a"), Err("the page shows `b`, the lab printed nothing more".into()));
        assert_eq!(check("a", "a\nb"), Err("the page shows nothing more, the lab printed `b`".into()));
        assert_eq!(Output::parse("x\n<idd>").unwrap_err().0, 1);
    }

    #[test]
    fn a_line_of_many_wildcards_ends_in_time() {
        let started = std::time::Instant::now();
        let _ = check(&"…a".repeat(40), &"a".repeat(2000));
        assert!(started.elapsed().as_secs() < 5);
    }
}
