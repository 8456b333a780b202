//! Which of several images of an index is for this machine.

use serde::Deserialize;
use std::fmt;

/// A platform, in Go's words: `linux/amd64`, `linux/arm64/v8`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// `v8`.
    #[serde(default)]
    pub variant: String,
}

impl Platform {
    /// This machine's.
    pub fn own() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", ""),
            "x86" => ("386", ""),
            "aarch64" => ("arm64", "v8"),
            "arm" => ("arm", "v7"),
            "powerpc64" => ("ppc64le", ""),
            other => (other, ""),
        };
        Self { os: "linux".into(), architecture: architecture.into(), variant: variant.into() }
    }

    /// What `--platform` says: `os/architecture[/variant]`, or one of the first two.
    pub fn parse(text: &str) -> Result<Self, String> {
        let own = Self::own();
        let known = |word: &str| word.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_' || c == b'-');
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| part.is_empty() || !known(part)) {
            return Err(format!(
                "{text:?}: platform specifier component must match \"^[A-Za-z0-9_-]+$\": invalid argument"
            ));
        }
        let architecture = |word: &str| match word {
            "x86_64" | "x86-64" => "amd64".to_owned(),
            "aarch64" => "arm64".into(),
            other => other.to_lowercase(),
        };
        match parts[..] {
            ["linux"] => Ok(own),
            [word] => Ok(Self { os: own.os, architecture: architecture(word), variant: String::new() }),
            [os, word] => {
                Ok(Self { os: os.to_lowercase(), architecture: architecture(word), variant: String::new() })
            }
            [os, word, variant] => {
                Ok(Self { os: os.to_lowercase(), architecture: architecture(word), variant: variant.into() })
            }
            _ => Err(format!("{text:?}: cannot parse platform specifier: invalid argument")),
        }
    }

    /// Whether an image for `other` is what is wanted. A variant matters where both sides name one.
    pub fn takes(&self, other: &Self) -> bool {
        let variants = [&self.variant, &other.variant];
        self.os == other.os
            && self.architecture == other.architecture
            && (variants.iter().any(|variant| variant.is_empty()) || self.variant == other.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_and_compared() {
        let arm = Platform::parse("linux/arm64").unwrap();
        assert_eq!(arm.to_string(), "linux/arm64");
        assert!(arm.takes(&Platform { variant: "v8".into(), ..arm.clone() }));
        assert!(!Platform::parse("linux/arm/v6").unwrap().takes(&Platform::parse("linux/arm/v7").unwrap()));
        assert_eq!(Platform::parse("x86_64").unwrap().architecture, "amd64");
        for bad in ["", "a/b/c/d", "linux/", "lin ux"] {
            assert!(Platform::parse(bad).is_err(), "{bad}");
        }
    }
}
