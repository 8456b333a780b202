//! The differences that are meant, each with its reason, in one file. Anything else that differs is a failure, and so is a meant
//! difference that is not there any more.
//!
//! ```text
//! === run/bridge-network
//! why: one sentence
//! -a line that only Docker prints
//! +a line that only ours prints
//! ```
//!
//! The lines are all in which the two differ, in order.

use super::case::{Case, NEWER};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug)]
struct Entry {
    why: String,
    lines: Vec<String>,
}

/// All meant differences, by the name of their case.
#[derive(Debug, Default)]
pub struct Meant {
    entries: BTreeMap<String, Entry>,
}

/// How a comparison came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both are the same.
    Same,
    /// They differ just as is meant.
    Meant,
    /// They differ, and that is not meant; or they do not, and it would be.
    Wrong(String),
}

impl Meant {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |what: String| format!("{}: {what}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
        Self::parse(&text).map_err(told)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut meant = Self::default();
        let mut blocks = text.split("\n=== ");
        let first = blocks.next().unwrap_or_default();
        if let Some(line) = first.lines().find(|line| !line.is_empty() && !line.starts_with('#')) {
            return Err(format!("before the first entry, only comments: {line}"));
        }
        for block in blocks {
            let (name, entry) = Self::entry(block)?;
            if meant.entries.insert(name.clone(), entry).is_some() {
                return Err(format!("two entries are about {name}"));
            }
        }
        Ok(meant)
    }

    fn entry(block: &str) -> Result<(String, Entry), String> {
        let mut lines = block.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let name = lines.next().unwrap_or_default();
        if name.is_empty() || name.contains(' ') {
            return Err(format!("{name:?} is not the name of a case"));
        }
        let why = lines.next().and_then(|line| line.strip_prefix("why: ")).unwrap_or_default().to_owned();
        if why.is_empty() {
            return Err(format!("{name}: the reason is missing (why: …)"));
        }
        let lines: Vec<String> = lines.map(str::to_owned).collect();
        match lines.as_slice() {
            [] => Err(format!("{name}: the lines that differ are missing")),
            some if some.iter().all(|line| line.starts_with(['-', '+'])) => {
                Ok((name.to_owned(), Entry { why, lines }))
            }
            _ => Err(format!("{name}: each line begins with - or +")),
        }
    }

    /// An error unless there is a case for each entry.
    pub fn check_names(&self, cases: &[Case]) -> Result<(), String> {
        let is_case =
            |name: &str| cases.iter().any(|case| case.name == name.strip_suffix(NEWER).unwrap_or(name));
        match self.entries.keys().find(|name| !is_case(name)) {
            Some(name) => Err(format!("an entry of meant.txt is about {name}, which is not a case")),
            None => Ok(()),
        }
    }

    /// Judges the lines in which the two sides of a case differ. What is known of a case with one command line is known of
    /// it with the newer one, unless that has an entry of its own.
    pub fn judge(&self, name: &str, lines: &[String]) -> Verdict {
        let general = name.strip_suffix(NEWER).unwrap_or(name);
        let entry = self.entries.get(name).or_else(|| self.entries.get(general));
        match entry {
            None if lines.is_empty() => Verdict::Same,
            None => Verdict::Wrong(format!("it differs:\n{}", lines.join("\n"))),
            Some(entry) if entry.lines == lines => Verdict::Meant,
            Some(entry) if lines.is_empty() => Verdict::Wrong(format!(
                "it does not differ any more, though meant.txt says so ({}): remove the entry",
                entry.why
            )),
            Some(_) => Verdict::Wrong(format!(
                "it differs in another way than meant.txt says:\n{}",
                lines.join("\n")
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# about\n\n=== a/b\nwhy: so it is\n-x\n+y\n";

    fn lines(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn a_known_difference_is_just_that_one() {
        let meant = Meant::parse(TEXT).unwrap();
        assert_eq!(meant.judge("a/b", &lines(&["-x", "+y"])), Verdict::Meant);
        assert_eq!(meant.judge("a/b@newer", &lines(&["-x", "+y"])), Verdict::Meant);
        assert!(matches!(meant.judge("a/b", &lines(&["-x", "+z"])), Verdict::Wrong(_)));
        assert!(matches!(meant.judge("a/b", &[]), Verdict::Wrong(_)), "an entry that is not true any more");
    }

    #[test]
    fn a_difference_that_nobody_knows_of_is_wrong() {
        let meant = Meant::parse(TEXT).unwrap();
        assert_eq!(meant.judge("other/case", &[]), Verdict::Same);
        assert!(matches!(meant.judge("other/case", &lines(&["-x"])), Verdict::Wrong(_)));
    }

    #[test]
    fn an_entry_has_a_reason_and_lines() {
        for bad in [
            "\n=== a/b\n-x\n",
            "\n=== a/b\nwhy: x\n",
            "\n=== a/b\nwhy: x\n*\n",
            "\n=== a/b open\nwhy: x\n-x\n",
            "\n=== a/b\nwhy: x\nx\n",
            "words\n=== a/b\nwhy: x\n-x\n",
            "\n=== a/b\nwhy: x\n-x\n\n=== a/b\nwhy: x\n-x\n",
        ] {
            assert!(Meant::parse(bad).is_err(), "{bad:?}");
        }
    }
}
