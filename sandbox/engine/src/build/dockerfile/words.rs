//! A logical line as words: the instruction, its flags, and its arguments in whichever form they stand.

use super::lines::is_blank;
use serde_json::Value;

/// A line taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The instruction in lower case.
    pub name: String,
    /// `--name=value`, unquoted.
    pub flags: Vec<String>,
    /// What follows, trimmed.
    pub rest: &'a str,
}

/// Splits once where blanks are.
pub fn split_once_blank(text: &str) -> Option<(&str, &str)> {
    let at = text.find(is_blank)?;
    Some((&text[..at], text[at..].trim_start_matches(is_blank)))
}

/// Takes a line apart.
pub fn parts(line: &str) -> Parts<'_> {
    let line = line.trim();
    let (name, rest) = split_once_blank(line).unwrap_or((line, ""));
    let (flags, rest) = flags(rest);
    Parts { name: name.to_lowercase(), flags, rest: rest.trim() }
}

/// Takes words that begin with `--` off the front; `--` alone ends them.
fn flags(mut rest: &str) -> (Vec<String>, &str) {
    let mut words = vec![];
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (words, rest);
        }
        let (word, length) = flag(rest);
        rest = &rest[length..];
        if word == "--" && !rest.is_empty() {
            return (words, rest);
        }
        if word != "--" {
            words.push(word);
        }
    }
}

/// One flag without its quotes and escapes, and how many bytes of the line it takes.
fn flag(text: &str) -> (String, usize) {
    let (mut word, mut quote) = (String::new(), None);
    let mut characters = text.char_indices();
    while let Some((at, c)) = characters.next() {
        match (c, quote) {
            (c, None) if c.is_whitespace() => return (word, at),
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(q)) if c == q => quote = None,
            ('\\', _) => word.extend(characters.next().map(|(_, next)| next)),
            (c, _) => word.push(c),
        }
    }
    (word, text.len())
}

/// Words separated by blanks, with quotes and escapes left in them: expansion takes those off.
pub fn quoted(text: &str, escape: char) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if quote.is_none() && c.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        if c == escape && quote != Some('\'') {
            // At the very end there is nothing to escape.
            if let Some(next) = characters.next() {
                word.get_or_insert_default().extend([c, next]);
            }
            continue;
        }
        match quote {
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(q) if c == q => quote = None,
            _ => {}
        }
        word.get_or_insert_default().push(c);
    }
    words.extend(word);
    words
}

/// What a text is when it is looked at as a JSON list.
#[derive(Debug, PartialEq, Eq)]
pub enum Json {
    /// A list of strings.
    Strings(Vec<String>),
    /// A list with something else in it.
    Other,
    /// No list at all.
    No,
}

/// Reads the JSON list that a text begins with; what follows it is ignored, as Docker does.
pub fn json(text: &str) -> Json {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Json::No;
    }
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Vec<Value>>();
    let Some(Ok(list)) = values.next() else { return Json::No };
    let string = |value: Value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    list.into_iter().map(string).collect::<Option<_>>().map_or(Json::Other, Json::Strings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_taken_off_the_front() {
        let parts = parts(" COPY  --chown='a b' --x=\"c\\\"d\"  --  --y z ");
        assert_eq!((parts.name.as_str(), parts.rest), ("copy", "--y z"));
        assert_eq!(parts.flags, ["--chown=a b", "--x=c\"d"]);
        assert_eq!(super::parts("CMD --").rest, "");
    }

    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(quoted(r#"a="b c" d=\ e f='\' g"#, '\\'), [r#"a="b c""#, r"d=\ e", r"f='\'", "g"]);
        assert_eq!(quoted("a\\", '\\'), ["a"]);
        assert_eq!(quoted("  ", '\\'), [""; 0]);
    }

    #[test]
    fn a_list_of_strings_is_one() {
        assert_eq!(json(r#" ["a"] x"#), Json::Strings(vec!["a".into()]));
        assert_eq!(json(r#"["a", 1]"#), Json::Other);
        assert_eq!(json(r#"["a" "b"]"#), Json::No);
        assert_eq!(json(&"[".repeat(100_000)), Json::No);
    }
}
