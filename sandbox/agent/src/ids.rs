//! Which user and group ids belong to whom, inside the agent's own user namespace.
//!
//! The agent is 0 there. Every lab has the same ids, because no lab can reach another's files; what differs from lab
//! to lab is only the owner of its user namespace, against which the kernel counts its processes.

/// A lab's id 0 is this id of the agent's namespace.
pub const LAB_FIRST: u32 = 1;

/// How many ids a lab has from 0 on: enough for what a distribution's packages create.
pub const LAB_COUNT: u32 = 30_720;

/// Where a lab's subordinate ids begin, for containers with ids of their own (`userns-remap`, `newuidmap`): where every
/// distribution lets them begin.
pub const SUBORDINATE_INSIDE: u32 = 100_000;

/// And how many there are: the agent's own range is no longer.
pub const SUBORDINATE_COUNT: u32 = 30_720;

/// The first of them in the agent's namespace.
pub const SUBORDINATE: u32 = LAB_FIRST + LAB_COUNT;

/// A lab's "nobody", which lies beyond its other ids.
pub const NOBODY_INSIDE: u32 = 65_534;

/// And what it is in the agent's namespace.
pub const NOBODY: u32 = SUBORDINATE + SUBORDINATE_COUNT;

/// The first of the ids that own labs' user namespaces, one for each lab.
pub const OWNER_FIRST: u32 = 62_000;

/// How many owners there are; more than labs, so that a lab that is just ending does not lend its count to the next.
pub const OWNER_COUNT: u32 = 3_000;

/// How many ids the agent's own namespace has to have.
pub const RANGE: u32 = 65_536;

/// What a lab's id is in the agent's namespace; `None` where a lab has no such id.
pub fn of_lab(inside: u64) -> Option<u32> {
    match u32::try_from(inside).ok()? {
        id if id < LAB_COUNT => Some(LAB_FIRST + id),
        NOBODY_INSIDE => Some(NOBODY),
        id if (SUBORDINATE_INSIDE..SUBORDINATE_INSIDE + SUBORDINATE_COUNT).contains(&id) => {
            Some(SUBORDINATE + (id - SUBORDINATE_INSIDE))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_labs_and_owners_are_apart_and_within_the_range() {
        assert_eq!(of_lab(0), Some(1));
        assert_eq!(of_lab(u64::from(LAB_COUNT) - 1), Some(LAB_COUNT));
        assert_eq!(of_lab(u64::from(LAB_COUNT)), None);
        assert_eq!(of_lab(65_534), Some(NOBODY));
        assert_eq!(of_lab(100_000), Some(LAB_COUNT + 1));
        assert_eq!(of_lab(100_000 + u64::from(SUBORDINATE_COUNT)), None);
        assert_eq!(of_lab(1 << 40), None);
        const { assert!(NOBODY < OWNER_FIRST && OWNER_FIRST + OWNER_COUNT <= RANGE) };
    }
}
