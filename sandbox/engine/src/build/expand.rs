//! Variables, quotes and escapes in the words of an instruction, as Docker's own small shell reads them.
//!
//! Pure, and bounded where Docker is not: variables can double each other's length, and nest.

use super::dockerfile::quote;
use std::collections::HashMap;

/// The kernel gives a program no longer argument or variable than this.
const WORD_BYTES_MAX: usize = 128 * 1024;

/// How deep `${a:-${b:-…}}` may nest. Nobody writes three.
const DEPTH_MAX: usize = 32;

/// What variables there are. Where two have the same name, the first counts.
#[derive(Clone, Debug, Default)]
pub struct Variables<'a>(HashMap<&'a str, &'a str>);

impl<'a> Variables<'a> {
    /// Variables from entries `name=value`.
    pub fn new(entries: impl IntoIterator<Item = &'a String>) -> Self {
        let mut variables = HashMap::new();
        for entry in entries {
            let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
            variables.entry(name).or_insert(value);
        }
        Self(variables)
    }
}

/// Expands a text to one word.
pub fn word(text: &str, escape: char, variables: &Variables<'_>) -> Result<String, String> {
    expand(text, escape, variables).map(|expanded| expanded.whole)
}

/// Expands a text and splits it where blanks are outside quotes.
pub fn words(text: &str, escape: char, variables: &Variables<'_>) -> Result<Vec<String>, String> {
    expand(text, escape, variables).map(|expanded| expanded.words)
}

fn expand(text: &str, escape: char, variables: &Variables<'_>) -> Result<Expanded, String> {
    let mut reader = Reader { rest: text, escape, variables, depth: 0 };
    let expanded = reader.until(None).and_then(|expanded| {
        let fits = expanded.whole.len() <= WORD_BYTES_MAX;
        fits.then_some(expanded).ok_or_else(too_long)
    });
    expanded.map_err(|why| format!("failed to process {}: {why}", quote::text(&shortened(text))))
}

fn too_long() -> String {
    format!("it becomes longer than {WORD_BYTES_MAX} bytes")
}

/// A text that is itself as long as a file would make the error unreadable.
fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 4096;
    text.chars().take(SHOWN_MAX).collect()
}

/// What came of a text: as a whole, and as words.
#[derive(Debug, Default)]
struct Expanded {
    whole: String,
    words: Vec<String>,
    word: String,
}

impl Expanded {
    /// Adds what separates words where it is a blank.
    fn bare(&mut self, c: char) {
        self.whole.push(c);
        self.bare_in_words(c);
    }

    fn bare_in_words(&mut self, c: char) {
        if !c.is_whitespace() {
            self.word.push(c);
        } else if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    /// Adds what was quoted.
    fn quoted(&mut self, text: &str) {
        self.whole.push_str(text);
        self.word.push_str(text);
    }

    fn finish(mut self) -> Self {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
        self
    }
}

#[derive(Debug)]
struct Reader<'a, 'v> {
    rest: &'a str,
    escape: char,
    variables: &'v Variables<'v>,
    depth: usize,
}

impl Reader<'_, '_> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Reads until a character (which is taken), or to the end.
    fn until(&mut self, stop: Option<char>) -> Result<Expanded, String> {
        let mut expanded = Expanded::default();
        while let Some(c) = self.next() {
            match c {
                c if Some(c) == stop => return Ok(expanded.finish()),
                '\'' => expanded.quoted(&self.single_quoted()?),
                '"' => expanded.quoted(&self.double_quoted()?),
                '$' => {
                    let value = self.variable()?;
                    expanded.whole.push_str(&value);
                    value.chars().for_each(|c| expanded.bare_in_words(c));
                }
                // At the very end it escapes nothing, and is left out.
                c if c == self.escape => {
                    if let Some(next) = self.next() {
                        expanded.quoted(next.encode_utf8(&mut [0; 4]));
                    }
                }
                c => expanded.bare(c),
            }
            if expanded.whole.len() > WORD_BYTES_MAX {
                return Err(too_long());
            }
        }
        match stop {
            Some(stop) => Err(format!("unexpected end of statement while looking for matching {stop}")),
            None => Ok(expanded.finish()),
        }
    }

    fn single_quoted(&mut self) -> Result<String, String> {
        let end = self
            .rest
            .find('\'')
            .ok_or("unexpected end of statement while looking for matching single-quote")?;
        let quoted = self.rest[..end].to_owned();
        self.rest = &self.rest[end + 1..];
        Ok(quoted)
    }

    fn double_quoted(&mut self) -> Result<String, String> {
        let mut quoted = String::new();
        loop {
            match self.next() {
                None => {
                    return Err("unexpected end of statement while looking for matching double-quote".into());
                }
                Some('"') => return Ok(quoted),
                Some('$') => quoted.push_str(&self.variable()?),
                Some(c) if c == self.escape => match self.peek() {
                    None => {}
                    // Only these can be escaped; before others the character stays.
                    Some(next) if matches!(next, '"' | '$') || next == self.escape => {
                        quoted.extend(self.next());
                    }
                    Some(_) => quoted.push(c),
                },
                Some(c) => quoted.push(c),
            }
            if quoted.len() > WORD_BYTES_MAX {
                return Err(too_long());
            }
        }
    }

    /// What follows a `$`.
    fn variable(&mut self) -> Result<String, String> {
        if self.peek() != Some('{') {
            let name = self.name();
            return Ok(if name.is_empty() {
                "$".into()
            } else {
                self.value(&name).unwrap_or_default().into()
            });
        }
        self.next();
        match self.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        let value = self.value(&name).map(str::to_owned);
        match self.next() {
            Some('}') => Ok(value.unwrap_or_default()),
            Some('?') => {
                let message = self.alternative()?;
                value.ok_or_else(|| missing(&name, &message, "unset"))
            }
            Some(':') => {
                let modifier = self.next();
                let word = self.alternative()?;
                let is_empty = value.as_ref().is_none_or(String::is_empty);
                match modifier {
                    Some('+') => Ok(if is_empty { String::new() } else { word }),
                    Some('-') => Ok(value.filter(|_| !is_empty).unwrap_or(word)),
                    Some('?') => {
                        let what = if value.is_none() { "unset" } else { "empty" };
                        value.filter(|_| !is_empty).ok_or_else(|| missing(&name, &word, what))
                    }
                    modifier => {
                        let modifier = modifier.unwrap_or_default();
                        Err(format!("unsupported modifier ({modifier}) in substitution"))
                    }
                }
            }
            _ => Err("missing ':' in substitution".into()),
        }
    }

    /// The word within `${name:-word}`.
    fn alternative(&mut self) -> Result<String, String> {
        if self.depth == DEPTH_MAX {
            return Err(format!("more than {DEPTH_MAX} substitutions within each other"));
        }
        self.depth += 1;
        let expanded = self.until(Some('}'));
        self.depth -= 1;
        match expanded {
            Ok(expanded) => Ok(expanded.whole),
            Err(_) if self.rest.is_empty() => Err("syntax error: missing '}'".into()),
            Err(why) => Err(why),
        }
    }

    /// A variable's name: letters, digits and `_`; or digits alone; or one of the shell's special ones.
    fn name(&mut self) -> String {
        let is_digit = |c: char| c.is_numeric() && !c.is_alphabetic();
        let length = match self.peek() {
            Some(c) if is_digit(c) => self.rest.find(|c| !is_digit(c)).unwrap_or(self.rest.len()),
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len()),
        };
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        name.to_owned()
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.variables.0.get(name).copied()
    }
}

fn missing(name: &str, message: &str, what: &str) -> String {
    match message {
        "" => format!("{name}: is not allowed to be {what}"),
        message => format!("{name}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_after_expansion_but_not_within_quotes() {
        let entries = ["a=1 2".to_owned(), "b=3".into(), "a=other".into()];
        let variables = Variables::new(&entries);
        assert_eq!(words("$a \"$a\" x${b}y", '\\', &variables).unwrap(), ["1", "2", "1 2", "x3y"]);
        assert_eq!(word("$a  '$a'", '\\', &variables).unwrap(), "1 2  $a");
    }

    #[test]
    fn what_would_grow_without_end_is_refused() {
        let entry = [format!("a={}", "x".repeat(WORD_BYTES_MAX - 1))];
        let variables = Variables::new(&entry);
        assert!(word("$a", '\\', &variables).is_ok());
        for text in ["$a$a", "\"$a$a\"", "${b:-$a$a}"] {
            assert!(word(text, '\\', &variables).unwrap_err().contains("longer than"), "{text}");
        }
        let nested = "${b:-".repeat(100_000);
        assert!(word(&nested, '\\', &variables).is_err());
        let closed = format!("{}{}", "${b:-".repeat(40), "}".repeat(40));
        assert!(word(&closed, '\\', &variables).unwrap_err().contains("within each other"));
    }
}
