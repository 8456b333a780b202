//! The info string of a fenced block: `check id=own-pid exercise=pid-one`.

use std::collections::BTreeMap;

/// A fence's kind and attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fence {
    pub kind: String,
    attributes: BTreeMap<String, String>,
}

/// Why an info string is none, or has attributes that its kind does not know.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum FenceError {
    #[error("`{0}` is not an attribute; write key=value, with \"…\" round a value that has spaces")]
    NotAttribute(String),
    #[error("the attribute {0} is given twice")]
    Twice(String),
    #[error("a quotation mark is not closed")]
    Unclosed,
    #[error("a {kind} block has no attribute {key}; it has: {known}")]
    Unknown { kind: String, key: String, known: String },
    #[error("a {kind} block needs {key}=…")]
    Missing { kind: String, key: String },
    #[error("{key}={value}: 1 to 40 characters of a-z, 0-9 and -, beginning with a letter")]
    Name { key: String, value: String },
}

impl Fence {
    /// Reads an info string.
    pub fn parse(info: &str) -> Result<Self, FenceError> {
        let (kind, mut rest) = info.split_once(char::is_whitespace).unwrap_or((info, ""));
        let mut attributes = BTreeMap::new();
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return Ok(Self { kind: kind.to_owned(), attributes });
            }
            let first = || rest.split_whitespace().next().unwrap_or_default().to_owned();
            let (key, value) = rest.split_once('=').ok_or_else(|| FenceError::NotAttribute(first()))?;
            if key.is_empty() || key.contains(|c: char| !c.is_ascii_lowercase()) {
                return Err(FenceError::NotAttribute(first()));
            }
            let (value, left) = match value.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or(FenceError::Unclosed)?,
                None => value.split_once(char::is_whitespace).unwrap_or((value, "")),
            };
            if attributes.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(FenceError::Twice(key.to_owned()));
            }
            rest = left;
        }
    }

    /// Refuses every attribute that is not among `known`.
    pub fn only(&self, known: &[&str]) -> Result<(), FenceError> {
        match self.attributes.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => Err(FenceError::Unknown {
                kind: self.kind.clone(),
                key: key.clone(),
                known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
            }),
        }
    }

    /// An attribute as free text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }

    /// An attribute that is a name: safe in a path, a URL and an HTML id.
    pub fn name(&self, key: &str) -> Result<Option<String>, FenceError> {
        let Some(value) = self.attributes.get(key) else { return Ok(None) };
        if is_name(value) {
            return Ok(Some(value.clone()));
        }
        Err(FenceError::Name { key: key.to_owned(), value: value.clone() })
    }

    /// The same, where it must be there.
    pub fn need(&self, key: &str) -> Result<String, FenceError> {
        let missing = || FenceError::Missing { kind: self.kind.clone(), key: key.to_owned() };
        self.name(key)?.ok_or_else(missing)
    }
}

/// Whether `text` has 1 to 40 characters of `a-z`, `0-9` and `-`, beginning with a letter.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=40).contains(&text.len()) && text.as_bytes()[0].is_ascii_lowercase() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read() {
        let fence = Fence::parse("explain id=a-1  title=\"Why does ps show itself?\" ").unwrap();
        assert_eq!(fence.kind, "explain");
        assert_eq!(fence.name("id").unwrap().as_deref(), Some("a-1"));
        assert_eq!(fence.text("title"), Some("Why does ps show itself?"));
        assert_eq!(Fence::parse("run").unwrap().name("id"), Ok(None));
    }

    #[test]
    fn mistakes_are_refused() {
        for (info, part) in [
            ("run host", "not an attribute"),
            ("run Terminal=host", "not an attribute"),
            ("run a=1 a=2", "twice"),
            ("run a=\"x", "not closed"),
        ] {
            assert!(Fence::parse(info).unwrap_err().to_string().contains(part), "{info}");
        }
        let fence = Fence::parse("run terminl=host id=A/b").unwrap();
        assert_eq!(
            fence.only(&["id", "terminal"]).unwrap_err().to_string(),
            "a run block has no attribute terminl; it has: id, terminal"
        );
        assert!(fence.name("id").is_err());
        assert!(fence.need("exercise").unwrap_err().to_string().contains("needs exercise="));
    }
}
