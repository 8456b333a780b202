//! `userns-remap`: containers in user namespaces of their own, whose ids stand for a range of the lab host's.
//!
//! Here is which range: the words of the configuration, looked up in the files of users and of subordinate ids, and held
//! against the ids that the lab host itself has. What follows from it is where containers and their layers are made.

use isolab_runtime::{IdMaps, IdRange};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The user that Docker takes where the configuration says `default`.
const DEFAULT_USER: &str = "dockremap";

/// Where subordinate ids begin, and how many a user is given, by the habit of every distribution.
const SUBORDINATE_FIRST: u32 = 100_000;
const SUBORDINATE_COUNT: u32 = 65_536;

/// A mapping that is ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remap {
    /// Container ids from 0 on, and what they stand for.
    pub maps: IdMaps,
}

/// The files that names and ranges are looked up in.
#[derive(Clone, Debug)]
pub struct Files {
    /// `/etc/passwd`, `/etc/group`, `/etc/subuid`, `/etc/subgid`.
    pub directory: PathBuf,
}

impl Remap {
    /// Finds the ranges of `user`, `user:group`, `uid` or `default`. Docker's user is given ranges where it has none.
    pub fn find(words: &str, files: &Files) -> Result<Self, String> {
        let (user, group) = words.split_once(':').unwrap_or((words, words));
        let (user, group) = match user {
            "default" => (DEFAULT_USER, DEFAULT_USER),
            _ => (user, group),
        };
        if user == DEFAULT_USER {
            files.give_ranges("subuid", user)?;
            files.give_ranges("subgid", group)?;
        }
        let uids = files.ranges("subuid", user, files.number("passwd", user))?;
        let gids = files.ranges("subgid", group, files.number("group", group))?;
        let own = |map: &str| std::fs::read_to_string(format!("/proc/self/{map}")).unwrap_or_default();
        Ok(Self {
            maps: IdMaps {
                uids: within(uids, &own("uid_map"), "uids", user)?,
                gids: within(gids, &own("gid_map"), "gids", group)?,
            },
        })
    }

    /// What a container's root is on the lab host.
    pub fn root(&self) -> (u32, u32) {
        (self.maps.uids[0].outside, self.maps.gids[0].outside)
    }

    /// What ids of a container are on the lab host; `None` where it has no such id.
    pub fn outside(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        let find = |ranges: &[IdRange], id: u32| {
            let range = ranges.iter().find(|range| id >= range.inside && id - range.inside < range.count)?;
            Some(range.outside + (id - range.inside))
        };
        Some((find(&self.maps.uids, uid)?, find(&self.maps.gids, gid)?))
    }

    /// The highest group id of a container.
    pub fn gid_max(&self) -> u32 {
        self.maps.gids.last().map_or(0, |range| range.inside + (range.count - 1))
    }

    /// Where containers of this mapping are kept: apart from those of others, whose files belong to somebody else.
    pub fn data_root(&self, base: &Path) -> PathBuf {
        let (uid, gid) = self.root();
        base.join(format!("{uid}.{gid}"))
    }
}

impl Files {
    /// Those of the lab host.
    pub fn of_host() -> Self {
        Self { directory: "/etc".into() }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join(name)).unwrap_or_default()
    }

    /// The id of a user or group, where the file has it.
    fn number(&self, file: &str, name: &str) -> Option<u32> {
        let text = self.read(file);
        let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines.find(|fields| fields.first() == Some(&name))?.get(2)?.parse().ok()
    }

    /// The ranges of a name or of its id, put together from 0 on.
    fn ranges(&self, file: &str, name: &str, id: Option<u32>) -> Result<Vec<IdRange>, String> {
        let id = id.map(|id| id.to_string());
        let mut inside: u32 = 0;
        let mut found = vec![];
        for (owner, first, count) in entries(&self.read(file)) {
            let Some(next) = inside.checked_add(count) else { continue };
            if (owner == name || Some(&owner) == id.as_ref()) && first.checked_add(count).is_some() {
                found.push(IdRange { inside, outside: first, count });
                inside = next;
            }
        }
        match found.is_empty() {
            false => Ok(found),
            true => {
                let path = self.directory.join(file);
                let sub = file.trim_start_matches("sub");
                Err(format!(
                    "Can't create ID mappings: no sub{sub} ranges found for {sub} {name:?} in {}",
                    path.display()
                ))
            }
        }
    }

    /// Gives Docker's own user the next free range, as Docker does.
    fn give_ranges(&self, file: &str, name: &str) -> Result<(), String> {
        let (path, text) = (self.directory.join(file), self.read(file));
        let entries = entries(&text);
        if entries.iter().any(|(owner, ..)| owner == name) {
            return Ok(());
        }
        let ends = entries.iter().filter_map(|(_, first, count)| first.checked_add(*count));
        let first = ends.max().unwrap_or(0).max(SUBORDINATE_FIRST);
        let told = |error: std::io::Error| format!("{}: {error}", path.display());
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(&path).map_err(told)?;
        writeln!(file, "{name}:{first}:{SUBORDINATE_COUNT}").map_err(told)
    }
}

/// Owner, first id and count of each line that is one.
fn entries(text: &str) -> Vec<(String, u32, u32)> {
    let entry = |line: &str| {
        let fields: Vec<_> = line.trim().split(':').collect();
        let [owner, first, count] = fields[..] else { return None };
        Some((owner.to_owned(), first.parse().ok()?, count.parse().ok().filter(|&count| count > 0)?))
    };
    text.lines().filter_map(entry).collect()
}

/// As much of the ranges as the lab host itself has: it is in a user namespace whose own ids end somewhere.
fn within(ranges: Vec<IdRange>, own: &str, kind: &str, name: &str) -> Result<Vec<IdRange>, String> {
    let numbers =
        |line: &str| line.split_whitespace().map(|n| n.parse::<u64>().ok()).collect::<Option<Vec<_>>>();
    let own: Vec<_> = own.lines().filter_map(numbers).filter(|line| line.len() == 3).collect();
    let mut fitting = vec![];
    for range in ranges {
        let first = u64::from(range.outside);
        let have = own.iter().find(|line| line[0] <= first && first - line[0] < line[2]);
        let Some(have) = have else { break };
        let count = (have[0] + have[2] - first).min(range.count.into()) as u32;
        fitting.push(IdRange { count, ..range });
        if count < range.count {
            break;
        }
    }
    match fitting.is_empty() {
        false => Ok(fitting),
        true => Err(format!(
            "Can't create ID mappings: the {kind} of {name} are none that this host has (see /proc/self/{}_map): give it \
             others in /etc/sub{}",
            &kind[..3],
            &kind[..3]
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(subuid: &str, subgid: &str) -> (tempfile::TempDir, Files) {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        write("passwd", "root:x:0:0::/:\nann:x:1000:1000::/:\n");
        write("group", "root:x:0:\nstaff:x:50:\n");
        write("subuid", subuid);
        write("subgid", subgid);
        let files = Files { directory: directory.path().to_owned() };
        (directory, files)
    }

    fn range(inside: u32, outside: u32, count: u32) -> IdRange {
        IdRange { inside, outside, count }
    }

    #[test]
    fn a_user_s_ranges_are_put_together() {
        let (_directory, files) = files("ann:100000:1000\n1000:300000:10\nbob:5:5\n", "staff:200000:7\n");
        let found = files.ranges("subuid", "ann", files.number("passwd", "ann")).unwrap();
        assert_eq!(found, [range(0, 100_000, 1000), range(1000, 300_000, 10)]);
        assert_eq!(files.ranges("subgid", "staff", Some(50)).unwrap(), [range(0, 200_000, 7)]);
        let error = files.ranges("subgid", "ann", None).unwrap_err();
        assert!(error.contains("no subgid ranges found for gid \"ann\""), "{error}");
    }

    #[test]
    fn docker_s_user_gets_the_next_free_range_once() {
        let (directory, files) = files("", "ann:100000:65536\n");
        for _ in 0..2 {
            files.give_ranges("subuid", DEFAULT_USER).unwrap();
            files.give_ranges("subgid", DEFAULT_USER).unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).unwrap();
        assert_eq!(read("subuid"), "dockremap:100000:65536\n");
        assert_eq!(read("subgid"), "ann:100000:65536\ndockremap:165536:65536\n");
    }

    #[test]
    fn a_range_ends_where_the_host_s_own_ids_do() {
        let all = "0 0 4294967295\n";
        assert_eq!(
            within(vec![range(0, 100_000, 65_536)], all, "uids", "x").unwrap(),
            [range(0, 100_000, 65_536)]
        );
        let lab = "0 1 30720\n100000 30721 30720\n";
        let ranges = vec![range(0, 100_000, 65_536), range(65_536, 200_000, 5)];
        assert_eq!(within(ranges, lab, "uids", "x").unwrap(), [range(0, 100_000, 30_720)]);
        let error = within(vec![range(0, 165_536, 65_536)], lab, "gids", "x").unwrap_err();
        assert!(error.contains("/etc/subgid"), "{error}");
    }

    #[test]
    fn ids_are_told_as_the_lab_host_has_them() {
        let ranges = vec![range(0, 100_000, 1001)];
        let remap = Remap { maps: IdMaps { uids: ranges.clone(), gids: ranges } };
        assert_eq!((remap.root(), remap.gid_max()), ((100_000, 100_000), 1000));
        assert_eq!(remap.outside(1000, 0), Some((101_000, 100_000)));
        assert_eq!(remap.outside(1001, 0), None);
        assert_eq!(remap.data_root(Path::new("/d")), Path::new("/d/100000.100000"));
    }
}
