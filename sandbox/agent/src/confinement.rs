//! The agent's own confinement: a user namespace in which it is root, and a mount namespace that is its own.
//!
//! It makes root and an ordinary user one case: from here on the agent has no power over the machine, and all it needs
//! over labs. Nothing here may run once there are threads.

use crate::ids;
use crate::refusal::{Kind, Refusal};
use crate::store::Store;
use isolab_runtime::subid::{self, Range, Ranges};
use isolab_runtime::{IdMaps, IdRange, own_namespace};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::{Path, PathBuf};

/// What the agent's root is on a machine where it is started by root: above all ids that people and systemd's
/// containers have, so that nothing else on the machine belongs to it.
pub const ROOTS_BASE: u32 = 0x7000_0000;

/// What one lab may have of the kernel's own objects, by the names of namespaces(7) and inotify(7). Each costs memory that
/// nothing else bounds, and outlives its process where a file or a mount holds it. The kernel counts them for whoever
/// made the lab's user namespace, which is another id for each lab, so that the agent's own bounds are bounds for each.
const BOUNDS: [(&str, u32); 10] = [
    // As many as containers (64) can use, four times over.
    ("max_cgroup_namespaces", 256),
    ("max_ipc_namespaces", 256),
    ("max_mnt_namespaces", 256),
    ("max_pid_namespaces", 256),
    ("max_uts_namespaces", 256),
    ("max_time_namespaces", 256),
    // The dearest: some hundred KiB each.
    ("max_net_namespaces", 128),
    // One for each container, should each want its own.
    ("max_user_namespaces", 64),
    // Machines commonly allow 128 for all labs together.
    ("max_inotify_instances", 16),
    ("max_inotify_watches", 8192),
];

/// Who starts the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Starter {
    /// Root, whose ids are made up.
    Root,
    /// Somebody else, with what the administrator gave them.
    User {
        /// Their uid.
        uid: u32,
        /// Their gid.
        gid: u32,
        /// Their subordinate ids.
        ranges: Ranges,
    },
}

/// Who starts this program. Errors: the files that tell cannot be read.
pub fn starter() -> io::Result<Starter> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if uid == 0 {
        return Ok(Starter::Root);
    }
    Ok(Starter::User { uid, gid, ranges: subid::ranges(&subid::user_name(uid)?, uid)? })
}

/// The maps of the agent's user namespace. Pure. `None` where the starter has not enough ids.
pub fn maps(starter: &Starter) -> Option<IdMaps> {
    match starter {
        Starter::Root => {
            let all = vec![IdRange { inside: 0, outside: ROOTS_BASE, count: ids::RANGE }];
            Some(IdMaps { uids: all.clone(), gids: all })
        }
        Starter::User { uid, gid, ranges } => {
            let map = |own: u32, ranges: &[Range]| {
                let range = ranges.iter().find(|range| range.count >= ids::RANGE - 1)?;
                let subordinate = IdRange { inside: 1, outside: range.start, count: ids::RANGE - 1 };
                Some(vec![IdRange { inside: 0, outside: own, count: 1 }, subordinate])
            };
            Some(IdMaps { uids: map(*uid, &ranges.uids)?, gids: map(*gid, &ranges.gids)? })
        }
    }
}

/// Makes the store's own directories, and, for root, gives to whom the agent will be what it has to write.
/// Errors: the store cannot be written, and where it is.
pub fn prepare(store: &Store, starter: &Starter) -> Result<(), Refusal> {
    let refuse = |path: &Path, error: &io::Error| {
        let message = format!("The state directory {} cannot be used: {error}.", path.display());
        Refusal::new(Kind::Unavailable, message)
            .mend("Choose another one with ISOLAB_HOME, or make it yours: chown it.")
    };
    let directories = [(store.home().to_owned(), 0o755), (store.run(), 0o700), (store.templates(), 0o755)];
    for (directory, mode) in directories {
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(&directory);
        made.map_err(|error| refuse(&directory, &error))?;
    }
    if *starter == Starter::Root {
        hand_over(store).map_err(|error| refuse(store.home(), &error))?;
    }
    Ok(())
}

/// The agent writes where it listens and where it unpacks; all else it only has to read, and gets only where nobody else
/// can read it. What it unpacked earlier belongs to it already.
fn hand_over(store: &Store) -> io::Result<()> {
    give(&store.run())?;
    give(&store.templates())?;
    make_readable(&store.vm_images())?;
    for image in within(&store.vm_images()).filter(|path| path.is_dir() && !path.is_symlink()) {
        make_readable(&image)?;
        within(&image).try_for_each(|path| make_readable(&path))?;
    }
    make_readable(store.home())?;
    make_readable(&store.images())?;
    for recipe in within(&store.images()).filter(|path| path.is_dir() && !path.is_symlink()) {
        make_readable(&recipe)?;
        within(&recipe).chain(within(&recipe.join("layers"))).try_for_each(|path| make_readable(&path))?;
        let unpacked = recipe.join("unpacked");
        match std::fs::create_dir(&unpacked) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => give(&unpacked)?,
        }
    }
    Ok(())
}

fn within(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn make_readable(path: &Path) -> io::Result<()> {
    let wanted = if path.is_dir() { 0o005 } else { 0o004 };
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() || found.mode() & wanted == wanted => Ok(()),
        Ok(_) => give(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Only what is root's own: anything else was given on purpose, or is not ours to give.
fn give(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path)?.uid() {
        0 => lchown(path, Some(ROOTS_BASE), Some(ROOTS_BASE)),
        _ => Ok(()),
    }
}

/// Enters the namespaces. To be called once, before any thread exists.
pub fn enter(starter: &Starter) -> Result<(), Refusal> {
    let mend = "Run `isolab doctor`: it says what this machine lacks and the command that mends it.";
    let Some(maps) = maps(starter) else {
        let message = format!(
            "You have no range of {} subordinate user and group ids, which labs need (/etc/subuid, /etc/subgid).",
            ids::RANGE
        );
        return Err(Refusal::new(Kind::Unavailable, message).mend(mend));
    };
    own_namespace::enter(&maps).map_err(|error| {
        let message = format!("The agent could not enter a user namespace of its own: {error}.");
        Refusal::new(Kind::Unavailable, message).mend(mend)
    })?;
    bound_labs().map_err(|error| {
        let message = format!("The agent could not bound what labs may have of the kernel: {error}.");
        Refusal::new(Kind::Unavailable, message).mend(mend)
    })
}

/// Sets the bounds of the agent's own user namespace, which hold for every namespace below it.
fn bound_labs() -> io::Result<()> {
    for (name, most) in BOUNDS {
        match std::fs::write(Path::new("/proc/sys/user").join(name), most.to_string()) {
            // A kernel built without that kind of object has nothing to bound.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            written => written.map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(uids: Vec<Range>, gids: Vec<Range>) -> Starter {
        Starter::User { uid: 1001, gid: 1002, ranges: Ranges { uids, gids } }
    }

    #[test]
    fn root_becomes_nobody_in_particular() {
        let maps = maps(&Starter::Root).unwrap();
        assert_eq!(maps.uids, [IdRange { inside: 0, outside: 0x7000_0000, count: 65_536 }]);
        assert_eq!(maps.uids, maps.gids);
    }

    #[test]
    fn a_user_is_root_inside_and_has_the_first_range_that_is_large_enough() {
        let small = Range { start: 1, count: 1000 };
        let (uids, gids) = (Range { start: 100_000, count: 65_536 }, Range { start: 200_000, count: 65_536 });
        let maps = maps(&user(vec![small, uids], vec![gids])).unwrap();
        let wanted = |own, start| {
            vec![
                IdRange { inside: 0, outside: own, count: 1 },
                IdRange { inside: 1, outside: start, count: 65_535 },
            ]
        };
        assert_eq!(maps.uids, wanted(1001, 100_000));
        assert_eq!(maps.gids, wanted(1002, 200_000));
    }

    #[test]
    fn without_a_range_for_both_there_are_no_maps() {
        let range = Range { start: 100_000, count: 65_536 };
        assert_eq!(maps(&user(vec![range], vec![])), None);
        assert_eq!(maps(&user(vec![Range { count: 65_000, ..range }], vec![range])), None);
    }
}
