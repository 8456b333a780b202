//! An image's name: `[registry/]path[:tag][@digest]`, and Docker's familiar short form of it.

use super::digest::Digest;
use std::fmt;

/// A parsed and normalised name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The registry that a name without one means.
pub const DOCKER_HUB: &str = "docker.io";

/// The tag that a name without one means.
const DEFAULT_TAG: &str = "latest";

/// Docker allows 255 characters in a name; a tag has at most 128.
const NAME_BYTES_MAX: usize = 255;
const TAG_BYTES_MAX: usize = 128;

impl Reference {
    /// Parses a name. The error is in Docker's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || "invalid reference format".to_owned();
        let (named, digest) = text.split_once('@').map_or((text, None), |(n, d)| (n, Some(d)));
        let (first, rest) = match named.split_once('/') {
            Some((first, rest))
                if first.contains(['.', ':'])
                    || first == "localhost"
                    || first.bytes().any(|c| c.is_ascii_uppercase()) =>
            {
                (first, rest)
            }
            _ => (DOCKER_HUB, named),
        };
        let (path, tag) = rest.split_once(':').map_or((rest, None), |(p, t)| (p, Some(t)));
        if first == DOCKER_HUB && is_hex_of_an_id(path) {
            return Err(format!(
                "invalid repository name ({path}), cannot specify 64-byte hexadecimal strings"
            ));
        }
        let registry = if first == "index.docker.io" { DOCKER_HUB } else { first };
        let path = if registry == DOCKER_HUB && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.into()
        };
        if path.bytes().any(|c| c.is_ascii_uppercase()) {
            return Err(format!("{}: repository name must be lowercase", invalid()));
        }
        let fits = registry.len() + 1 + path.len() <= NAME_BYTES_MAX && path.split('/').all(is_component);
        if !fits || !is_registry(registry) || !tag.is_none_or(is_tag) {
            return Err(invalid());
        }
        let digest = digest.map(|text| Digest::parse(text).ok_or_else(invalid)).transpose()?;
        Ok(Self { registry: registry.into(), path, tag: tag.map(str::to_owned), digest })
    }

    /// The short form without `docker.io/library/`, with its tag or digest.
    pub fn familiar(&self) -> String {
        self.to_string()
    }

    /// The short form, with its tag or digest only if it was given one: a name alone means all tags to a push or a pull.
    pub fn shown(&self) -> String {
        if self.is_name_only() { self.name() } else { self.familiar() }
    }

    /// The short form without tag or digest.
    pub fn name(&self) -> String {
        if self.registry == DOCKER_HUB {
            self.path.strip_prefix("library/").unwrap_or(&self.path).to_owned()
        } else {
            format!("{}/{}", self.registry, self.path)
        }
    }

    /// The whole name, by which Docker sorts.
    pub fn full(&self) -> String {
        let suffix = match (&self.digest, self.tag()) {
            (Some(digest), _) => format!("@{digest}"),
            (None, tag) => format!(":{}", tag.unwrap_or(DEFAULT_TAG)),
        };
        format!("{}/{}{suffix}", self.registry, self.path)
    }

    /// The host (and port) of its registry.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Its repository as the registry knows it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag: `latest` where neither a tag nor a digest was given.
    pub fn tag(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (None, None) => Some(DEFAULT_TAG),
            (tag, _) => tag.as_deref(),
        }
    }

    /// Whether the name itself had a tag or a digest.
    pub fn is_name_only(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// The digest.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same name, meaning the tag `latest` where it has neither a tag nor a digest.
    pub fn or_latest(self) -> Self {
        let tag = self.tag().map(str::to_owned);
        Self { tag, ..self }
    }

    /// The repository with its registry, without a short form.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// The same repository with this tag.
    pub fn with_tag(&self, tag: &str) -> Result<Self, String> {
        match is_tag(tag) {
            true => Ok(Self { tag: Some(tag.into()), digest: None, ..self.clone() }),
            false => Err("invalid tag format".into()),
        }
    }

    /// The same repository with this digest.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.digest, self.tag()) {
            (Some(digest), _) => write!(f, "{}@{digest}", self.name()),
            (None, tag) => write!(f, "{}:{}", self.name(), tag.unwrap_or(DEFAULT_TAG)),
        }
    }
}

/// Letters and digits of lower case, with single separators between them: `.`, `_`, `__`, or any number of `-`.
fn is_component(part: &str) -> bool {
    let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let edges =
        part.bytes().next().is_some_and(alphanumeric) && part.bytes().last().is_some_and(alphanumeric);
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    edges
        && separators
            .into_iter()
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.bytes().all(|c| c == b'-'))
}

/// Names or addresses, with a port.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_port = port
        .is_none_or(|port| !port.is_empty() && port.len() <= 5 && port.bytes().all(|c| c.is_ascii_digit()));
    let is_address = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inside| inside.parse::<std::net::Ipv6Addr>().is_ok());
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    is_port && (is_address || host.split('.').all(is_label))
}

fn is_tag(tag: &str) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let first = tag.bytes().next().is_some_and(word);
    first && tag.len() <= TAG_BYTES_MAX && tag.bytes().all(|c| word(c) || b".-".contains(&c))
}

fn is_hex_of_an_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_get_their_familiar_form() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (text, familiar) in [
            ("ubuntu", "ubuntu:latest".to_owned()),
            ("docker.io/library/ubuntu:22.04", "ubuntu:22.04".into()),
            ("me/web", "me/web:latest".into()),
            ("localhost/web", "localhost/web:latest".into()),
            ("a__b/c--d.e", "a__b/c--d.e:latest".into()),
            ("reg.example:5000/a/b:1", "reg.example:5000/a/b:1".into()),
            (&format!("ubuntu:1@{digest}"), format!("ubuntu@{digest}")),
            ("[::1]:5000/a", "[::1]:5000/a:latest".into()),
        ] {
            assert_eq!(Reference::parse(text).unwrap().familiar(), familiar, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in [
            "",
            "a b",
            "a:",
            "a:b:c",
            "-a",
            "a//b",
            "a@b",
            "Ubuntu",
            "a:b c",
            "a..b",
            "a___b",
            "a.-b",
            "-x.y/a",
            "x.y:z/a",
            "x:/a",
            &"a".repeat(300),
            &"a".repeat(64),
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_parts_are_told_apart() {
        let reference = Reference::parse("127.0.0.1:5000/a/b").unwrap();
        assert_eq!((reference.registry(), reference.path()), ("127.0.0.1:5000", "a/b"));
        assert_eq!((reference.name(), reference.tag()), ("127.0.0.1:5000/a/b".into(), Some("latest")));
        let pinned = reference.with_digest(Digest::of(b""));
        assert_eq!((pinned.tag(), pinned.digest()), (None, Some(&Digest::of(b""))));
        assert_eq!(reference.with_tag("2").unwrap().familiar(), "127.0.0.1:5000/a/b:2");
        assert!(reference.with_tag("a b").is_err());
        assert_eq!(reference.repository(), "127.0.0.1:5000/a/b");
        assert_eq!((reference.shown(), pinned.shown()), (reference.name(), pinned.familiar()));
        assert_eq!(reference.or_latest().shown(), "127.0.0.1:5000/a/b:latest");
        assert_eq!(Reference::parse("ubuntu").unwrap().path(), "library/ubuntu");
    }
}
