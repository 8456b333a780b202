//! The names that lessons may use: capabilities of machines, images, capabilities of processes, fields of an observation.
//!
//! They are listed so that a misspelt one is found when a lesson is read, not when a learner is graded.

use isolab_protocol::Observation;
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// What a lesson's `needs` may name: the agent's names for what labs of some tier have.
pub(crate) const NEEDS: [&str; 6] =
    ["user-namespaces", "id-range", "cgroup-v2", "apparmor", "real-root", "vm"];

/// What a lesson's `images` may name: the tags that the image recipe makes.
pub(crate) const IMAGES: [&str; 4] = ["ubuntu", "debian", "alpine", "busybox"];

/// The variables of a check: the parts of an observation, and all its processes in one list.
pub(crate) const VARIABLES: [&str; 7] =
    ["kernel", "host", "containers", "truncated", "refusals", "refusals_lost", "processes"];

/// The functions of a check that CEL itself brings along.
pub(crate) const CEL_FUNCTIONS: [&str; 10] =
    ["size", "string", "int", "startsWith", "endsWith", "contains", "matches", "join", "lowerAscii", "split"];

/// Every name that a field of an observation has, at any depth.
pub(crate) fn is_field(name: &str) -> bool {
    static FIELDS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut names = BTreeSet::new();
        let sample = serde_json::to_value(sample()).expect("an observation is plain data");
        collect(&sample, &mut names);
        names
    });
    FIELDS.contains(name)
}

fn collect(value: &serde_json::Value, names: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => fields.iter().for_each(|(name, inner)| {
            names.insert(name.clone());
            collect(inner, names);
        }),
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, names)),
        _ => {}
    }
}

/// An observation in which every list has a member, so that every field occurs.
pub(crate) fn sample() -> Observation {
    serde_json::from_str(include_str!("vocabulary.json")).expect("vocabulary.json is an observation")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_of_the_sample_has_a_member() {
        fn check(value: &serde_json::Value, path: &str) {
            match value {
                serde_json::Value::Object(fields) => {
                    fields.iter().for_each(|(name, inner)| check(inner, &format!("{path}.{name}")));
                }
                serde_json::Value::Array(items) => {
                    assert!(!items.is_empty(), "{path} is empty");
                    items.iter().for_each(|item| check(item, &format!("{path}[]")));
                }
                _ => {}
            }
        }
        check(&serde_json::to_value(sample()).unwrap(), "");
        assert!(
            is_field("pid_inside") && is_field("inode") && is_field("peer_index") && !is_field("pid_insde")
        );
    }
}
