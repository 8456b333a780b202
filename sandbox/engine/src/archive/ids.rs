//! Whose files they are: ids in an archive against ids on disk, where a container's root is not the engine's.

use isolab_runtime::{IdMaps, IdRange};
use std::io;

/// How owners are translated. Archives hold the ids that the container sees.
#[derive(Clone, Debug, Default)]
pub enum Ids {
    /// They are the same.
    #[default]
    Same,
    /// As the container's user namespace maps them.
    Mapped(IdMaps),
}

impl Ids {
    /// The owner on disk of an owner in an archive. The error names an id that the namespace does not have.
    pub fn to_disk(&self, uid: u64, gid: u64) -> io::Result<(u32, u32)> {
        let missing = |id: u64| {
            io::Error::other(format!("it belongs to {id}, an id that cannot be mapped to the host"))
        };
        let one = |id: u64, ranges: Option<&[IdRange]>| {
            let id32 = u32::try_from(id).map_err(|_| missing(id))?;
            match ranges {
                None => Ok(id32),
                Some(ranges) => outside(ranges, id32).ok_or_else(|| missing(id)),
            }
        };
        match self {
            Self::Same => Ok((one(uid, None)?, one(gid, None)?)),
            Self::Mapped(maps) => Ok((one(uid, Some(&maps.uids))?, one(gid, Some(&maps.gids))?)),
        }
    }

    /// The owner in an archive of an owner on disk; what is not mapped is nobody's, as the container sees it too.
    pub fn to_archive(&self, uid: u32, gid: u32) -> (u32, u32) {
        const NOBODY: u32 = 65534;
        match self {
            Self::Same => (uid, gid),
            Self::Mapped(maps) => {
                (inside(&maps.uids, uid).unwrap_or(NOBODY), inside(&maps.gids, gid).unwrap_or(NOBODY))
            }
        }
    }

    /// The owner on disk of what belongs to the container's root.
    pub fn root(&self) -> (u32, u32) {
        self.to_disk(0, 0).unwrap_or((0, 0))
    }
}

fn outside(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges.iter().find_map(|r| id.checked_sub(r.inside).filter(|&n| n < r.count)?.checked_add(r.outside))
}

fn inside(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges.iter().find_map(|r| id.checked_sub(r.outside).filter(|&n| n < r.count)?.checked_add(r.inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_translated_both_ways() {
        let range = |inside, outside, count| IdRange { inside, outside, count };
        let ranges = vec![range(0, 100_000, 1000), range(1000, 500, 1)];
        let ids = Ids::Mapped(IdMaps { uids: ranges.clone(), gids: ranges });
        assert_eq!(ids.to_disk(0, 999).unwrap(), (100_000, 100_999));
        assert_eq!(ids.to_disk(1000, 0).unwrap(), (500, 100_000));
        assert!(ids.to_disk(1001, 0).is_err() && ids.to_disk(1 << 40, 0).is_err());
        assert_eq!(ids.to_archive(100_999, 500), (999, 1000));
        assert_eq!(ids.to_archive(0, 99_999), (65534, 65534));
        assert_eq!(Ids::Same.to_disk(7, 8).unwrap(), (7, 8));
        assert_eq!((Ids::Same.root(), ids.root()), ((0, 0), (100_000, 100_000)));
    }
}
