//! User and group ids, from one user namespace's numbers to another's.
//!
//! The kernel prints ids as the reader's user namespace numbers them, and the reader is the agent; an observation tells
//! them as the lab host does, and the lab host's own map as the machine does.

use super::text::id_map;
use isolab_protocol::observation::IdMapping;

/// What an id without a mapping is shown as: the kernel's own overflow id.
pub const OVERFLOW: u32 = 65534;

/// The uid map and the gid map of a user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maps {
    /// Where its uids lie in the namespace that reads.
    pub uid: Vec<IdMapping>,
    /// The same of its gids.
    pub gid: Vec<IdMapping>,
}

impl Maps {
    /// The maps of the caller's own user namespace, outside being the machine (or what the caller's parent sees).
    pub fn of_self() -> std::io::Result<Self> {
        Ok(Self {
            uid: id_map(&std::fs::read("/proc/self/uid_map")?),
            gid: id_map(&std::fs::read("/proc/self/gid_map")?),
        })
    }
}

/// From the ids outside a map to those inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdTranslation {
    map: Vec<IdMapping>,
}

impl IdTranslation {
    /// A translation inwards through `map`.
    pub fn inwards(map: &[IdMapping]) -> Self {
        Self { map: map.to_vec() }
    }

    /// The id inside, or the overflow id.
    pub fn id(&self, outside: u32) -> u32 {
        let line = self.map.iter().find(|line| contains(line.outside, line.count, outside));
        line.map_or(OVERFLOW, |line| line.inside.saturating_add(outside - line.outside))
    }

    /// A map whose outside is this translation's outside, told with this translation's inside. Lines are split where
    /// they straddle; ids that have no mapping are left out.
    pub fn map(&self, inner: &[IdMapping]) -> Vec<IdMapping> {
        let mut told: Vec<IdMapping> = Vec::new();
        for line in inner {
            for by in &self.map {
                told.extend(overlap(line, by));
            }
        }
        told.sort_by_key(|line| line.inside);
        told
    }
}

/// `outer`'s outside in place of what `inner` takes for the outside: the two maps one after the other.
pub fn compose(inner: &[IdMapping], outer: &[IdMapping]) -> Vec<IdMapping> {
    let flip = |line: &IdMapping| IdMapping { inside: line.outside, outside: line.inside, count: line.count };
    IdTranslation { map: outer.iter().map(flip).collect() }.map(inner)
}

/// The part of `line` that lies outside where `by` lies outside, told with `by`'s inside.
fn overlap(line: &IdMapping, by: &IdMapping) -> Option<IdMapping> {
    let end = |first: u32, count: u32| u64::from(first) + u64::from(count);
    let first = line.outside.max(by.outside);
    let last = end(line.outside, line.count).min(end(by.outside, by.count));
    let count = last.checked_sub(u64::from(first)).filter(|count| *count > 0)?;
    Some(IdMapping {
        inside: line.inside.saturating_add(first - line.outside),
        outside: by.inside.saturating_add(first - by.outside),
        count: u32::try_from(count).unwrap_or(u32::MAX),
    })
}

fn contains(first: u32, count: u32, id: u32) -> bool {
    id >= first && u64::from(id) < u64::from(first) + u64::from(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(inside: u32, outside: u32, count: u32) -> IdMapping {
        IdMapping { inside, outside, count }
    }

    #[test]
    fn an_id_is_told_as_the_lab_host_sees_it() {
        let lab = IdTranslation::inwards(&[line(0, 1, 61440), line(65534, 61441, 1)]);
        assert_eq!(
            [0, 1, 1001, 61440, 61441, 61442].map(|id| lab.id(id)),
            [OVERFLOW, 0, 1000, 61439, 65534, OVERFLOW]
        );
        let all = IdTranslation::inwards(&[line(0, 0, u32::MAX)]);
        assert_eq!(all.id(u32::MAX - 1), u32::MAX - 1);
    }

    #[test]
    fn a_remapped_containers_map_reads_as_on_the_lab_host() {
        // The lab host's 100000 is the agent's 30001; the container's 0 is the lab host's 100000.
        let lab = IdTranslation::inwards(&[line(0, 1, 30000), line(100_000, 30001, 10000)]);
        assert_eq!(lab.map(&[line(0, 30001, 10000)]), [line(0, 100_000, 10000)]);
        assert_eq!(
            lab.map(&[line(0, 29_996, 10)]),
            [line(0, 29_995, 5), line(5, 100_000, 5)],
            "a line that straddles"
        );
        assert_eq!(lab.map(&[line(0, 50_000, 10)]), []);
    }

    #[test]
    fn the_lab_hosts_map_reads_as_on_the_machine() {
        let agent = [line(0, 1000, 1), line(1, 100_000, 65536)];
        assert_eq!(compose(&[line(0, 1, 61440)], &agent), [line(0, 100_000, 61440)]);
        assert_eq!(compose(&[line(0, 0, 2)], &agent), [line(0, 1000, 1), line(1, 100_000, 1)]);
    }

    #[test]
    fn maps_at_the_edge_do_not_overflow() {
        let all = [line(0, 0, u32::MAX)];
        assert_eq!(IdTranslation::inwards(&all).map(&all), all);
        let edge = [line(u32::MAX - 1, u32::MAX - 1, u32::MAX)];
        assert_eq!(IdTranslation::inwards(&edge).id(u32::MAX), u32::MAX);
        assert_eq!(IdTranslation::inwards(&edge).map(&all).len(), 1);
    }
}
