//! The names of images, which change while images do not: `<data-root>/image/overlay2/repositories.json`.

use super::reference::Reference;
use super::sent::Sent;
use super::shared::Shared;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// More names than this are a mistake or an attack on the lab's memory.
pub const NAMES_MAX: usize = 4096;

/// All that is known of images beside the images themselves. Digests are written as `sha256:…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tags {
    /// `name:tag` and `name@digest`, in the familiar form, and whose they are.
    pub names: BTreeMap<String, String>,
    /// What an image was made from here, by building or committing.
    pub parents: BTreeMap<String, String>,
    /// When an image last got a name (RFC 3339).
    pub tagged: BTreeMap<String, String>,
    /// Images that are on no list any more: shared ones, whose content is not ours to remove, and those from which
    /// containers are still there.
    pub removed: BTreeSet<String>,
    /// The names that the shared images came with when they were last looked at: only a name that was not there then is
    /// given anew, so that what a learner has removed stays removed.
    pub shared: BTreeMap<String, String>,
    /// What shared layers become when they are packed here: digest and length.
    pub packed: BTreeMap<String, (String, u64)>,
    /// What is known of layers in registries, as long as they are here.
    pub sent: BTreeMap<String, Sent>,
}

impl Tags {
    /// Takes over the names that shared images come with now.
    pub fn take_over(&mut self, shared: &Shared) {
        let now: BTreeMap<_, _> =
            shared.tags.iter().map(|(name, digest)| (name.clone(), digest.to_string())).collect();
        for (name, id) in &now {
            if self.shared.get(name) != Some(id) {
                self.names.insert(name.clone(), id.clone());
            }
        }
        self.shared = now;
    }

    /// Forgets all that is told of images that are not here.
    pub fn keep_only(&mut self, is_here: impl Fn(&str) -> bool) {
        self.names.retain(|_, id| is_here(id));
        self.parents.retain(|child, parent| is_here(child) && is_here(parent));
        self.tagged.retain(|id, _| is_here(id));
        self.removed.retain(|id| is_here(id));
    }

    /// The names of an image, sorted as Docker sorts them: those with a tag, and those with a digest.
    pub fn of(&self, id: &str) -> Vec<Reference> {
        let own = self.names.iter().filter(|(_, other)| *other == id);
        let mut names: Vec<_> = own.filter_map(|(name, _)| Reference::parse(name).ok()).collect();
        names.sort_by_key(Reference::full);
        names
    }

    /// The images made from this one.
    pub fn children<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let children = self.parents.iter().filter(move |(_, parent)| *parent == id);
        children.map(|(child, _)| child.as_str()).filter(|child| !self.removed.contains(*child))
    }
}

/// Whether these are one name, with all digests of the same repository: such an image may be removed by its id.
pub fn is_single(names: &[Reference]) -> bool {
    let (digests, tags): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.digest().is_some());
    if names.len() <= 1 {
        return names.len() == 1;
    }
    let repositories: BTreeSet<_> = digests.iter().map(|name| name.name()).collect();
    let single = tags.first().or(digests.first()).map(|name| name.name());
    tags.len() <= 1 && repositories.len() == 1 && single.is_some_and(|name| repositories.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::super::digest::Digest;
    use super::*;

    #[test]
    fn what_was_removed_is_not_given_again() {
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let mut shared = Shared::default();
        shared.tags.insert("a:latest".into(), old.clone());
        let mut tags = Tags::default();
        tags.take_over(&shared);
        assert_eq!(tags.names["a:latest"], old.to_string());
        tags.names.clear();
        tags.take_over(&shared);
        assert!(tags.names.is_empty(), "it was removed");
        shared.tags.insert("a:latest".into(), new.clone());
        tags.take_over(&shared);
        assert_eq!(tags.names["a:latest"], new.to_string(), "another image is another matter");
    }

    #[test]
    fn single_names_are_told_as_docker_tells_them() {
        let digest = Digest::of(b"");
        let names = |texts: &[&str]| {
            let texts = texts.iter().map(|text| text.replace("DIGEST", &digest.to_string()));
            texts.map(|text| Reference::parse(&text).unwrap()).collect::<Vec<_>>()
        };
        for (texts, single) in [
            (&[][..], false),
            (&["a:1"], true),
            (&["a@DIGEST"], true),
            (&["a:1", "a:2"], false),
            (&["a:1", "a@DIGEST"], true),
            (&["a:1", "b@DIGEST"], false),
            (&["a@DIGEST", "b@DIGEST"], false),
        ] {
            assert_eq!(is_single(&names(texts)), single, "{texts:?}");
        }
    }

    #[test]
    fn what_is_told_of_missing_images_is_forgotten() {
        let mut tags = Tags::default();
        tags.names.extend([("a:1".into(), "x".into()), ("b:1".into(), "y".into())]);
        tags.parents.insert("x".into(), "y".into());
        tags.removed.insert("y".into());
        tags.keep_only(|id| id == "x");
        assert_eq!(tags.names.len(), 1);
        assert!(tags.parents.is_empty() && tags.removed.is_empty());
    }
}
