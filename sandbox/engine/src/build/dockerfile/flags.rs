//! The flags of one instruction, checked against those that it knows.

use std::collections::BTreeMap;

/// Flags that an instruction knows and was given.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flags(BTreeMap<&'static str, String>);

impl Flags {
    /// Checks the flags of a line; the error is in Docker's words.
    pub fn parse(words: &[String], known: &[&'static str]) -> Result<Self, String> {
        let mut flags = BTreeMap::new();
        for word in words {
            let word = word.strip_prefix("--").unwrap_or(word);
            let (name, value) =
                word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let name =
                known.iter().find(|known| **known == name).ok_or_else(|| format!("Unknown flag: {name}"))?;
            if flags.contains_key(name) {
                return Err(format!("Duplicate flag specified: {name}"));
            }
            let value = value.ok_or_else(|| format!("Missing a value on flag: {name}"))?;
            flags.insert(*name, value.to_owned());
        }
        Ok(Self(flags))
    }

    /// A flag's value; empty where it was not given.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}
