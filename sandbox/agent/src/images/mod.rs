//! What labs are made of: unpacked once, shared read-only by all labs.

pub mod index;
pub mod unpack;

use crate::refusal::{Kind, Refusal};
use crate::store::Store;
use index::Index;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait for another agent that unpacks the same images: a slow disk takes a minute.
const UNPACKED_WITHIN: Duration = Duration::from_secs(600);

/// How often progress is told: often enough to look alive.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Unpacked images of one recipe.
#[derive(Clone, Debug)]
pub struct Images {
    /// The recipe's digest, or whatever the link names.
    pub name: String,
    /// The list of container images.
    pub index: PathBuf,
    /// The lab host's root.
    pub lab_host: PathBuf,
    /// Each layer's digest and directory.
    pub layers: Vec<(String, PathBuf)>,
    /// Where the layers lie as archives.
    pub archives: PathBuf,
}

/// Is told what is being done, in words.
pub type Tell<'a> = &'a dyn Fn(String);

/// The name of the images in use now. Errors say how to make some.
pub fn current(store: &Store) -> Result<String, Refusal> {
    let link = store.images_current();
    let missing = || {
        let message = format!("There are no lab images yet: {} is missing.", link.display());
        Refusal::new(Kind::Unavailable, message).mend("make images")
    };
    let target = std::fs::read_link(&link).map_err(|_| missing())?;
    let name = target.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
    if target.components().count() == 1 { Ok(name.to_owned()) } else { Err(missing()) }
}

/// The images in use, unpacked if they are not yet. Several agents may do this at once: one unpacks, the others wait.
pub fn ensure(store: &Store, tell: Tell<'_>) -> Result<Images, Refusal> {
    let name = current(store)?;
    let recipe = store.images().join(&name);
    let index = Index::read(&recipe)?;
    let layers = index.layers();
    if !is_complete(&recipe, &layers) {
        unpack_all(&recipe, &layers, tell).map_err(|error| unpack_failed(&recipe, &error))?;
    }
    let unpacked = recipe.join("unpacked");
    Ok(Images {
        name,
        index: recipe.join("index.json"),
        lab_host: unpacked.join("lab-host"),
        archives: recipe.join("layers"),
        layers: layers
            .into_iter()
            .map(|layer| (layer.clone(), unpacked.join("layers").join(layer)))
            .collect(),
    })
}

fn unpack_failed(recipe: &Path, error: &io::Error) -> Refusal {
    let message = format!("The lab images in {} could not be unpacked: {error}.", recipe.display());
    let mend = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "Free about 1 GB on that disk, then try again.".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "End the agent and start it again: it is given access to new images when it starts.".to_owned()
        }
        _ => format!("rm -r {} && make images", recipe.display()),
    };
    Refusal::new(Kind::Unavailable, message).mend(mend)
}

fn is_complete(recipe: &Path, layers: &BTreeSet<String>) -> bool {
    let unpacked = recipe.join("unpacked");
    let there = |path: PathBuf| path.is_dir();
    there(unpacked.join("lab-host")) && layers.iter().all(|layer| there(unpacked.join("layers").join(layer)))
}

fn unpack_all(recipe: &Path, layers: &BTreeSet<String>, tell: Tell<'_>) -> io::Result<()> {
    let unpacked = recipe.join("unpacked");
    std::fs::create_dir_all(unpacked.join("layers"))?;
    let _lock = lock(&unpacked.join(".lock"), tell)?;
    remove_remains(&unpacked)?;
    one(&recipe.join("lab-host.tar"), &unpacked, "lab-host", "the lab host", tell)?;
    for (at, layer) in layers.iter().enumerate() {
        let what = format!("the container images, layer {} of {}", at + 1, layers.len());
        let tar = recipe.join("layers").join(format!("{layer}.tar"));
        one(&tar, &unpacked, &format!("layers/{layer}"), &what, tell)?;
    }
    Ok(())
}

/// The name that a tree has until it is complete.
const UNFINISHED: &str = ".unfinished";

/// What an agent that was killed left behind; the lock is held.
fn remove_remains(unpacked: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(unpacked.join(UNFINISHED)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn one(tar: &Path, unpacked: &Path, name: &str, what: &str, tell: Tell<'_>) -> io::Result<()> {
    let to = unpacked.join(name);
    if to.is_dir() {
        return Ok(());
    }
    let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", tar.display()));
    let file = File::open(tar).map_err(about)?;
    let total = file.metadata()?.len();
    let unfinished = unpacked.join(UNFINISHED);
    std::fs::create_dir(&unfinished)?;
    let counted = Counted { inner: file, done: 0, total, what, tell, told_at: None };
    let done = unpack::unpack(counted, &unfinished).map_err(about);
    match done {
        Ok(()) => std::fs::rename(&unfinished, &to),
        Err(error) => {
            // The first error is the one to tell.
            let _ = remove_remains(unpacked);
            Err(error)
        }
    }
}

/// A lock that the kernel gives back when its holder ends, however it ends.
fn lock(path: &Path, tell: Tell<'_>) -> io::Result<OwnedFd> {
    let file = open(path, OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)?;
    let began = Instant::now();
    while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK {
            return Err(error.into());
        }
        if began.elapsed() > UNPACKED_WITHIN {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "another agent has been unpacking them for too long",
            ));
        }
        tell("Waiting for another agent that unpacks the same images".into());
        std::thread::sleep(PROGRESS_EVERY);
    }
    Ok(file)
}

/// Counts what is read, and tells.
struct Counted<'a> {
    inner: File,
    done: u64,
    total: u64,
    what: &'a str,
    tell: Tell<'a>,
    told_at: Option<Instant>,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.done += count as u64;
        if self.told_at.is_none_or(|at| at.elapsed() >= PROGRESS_EVERY) {
            self.told_at = Some(Instant::now());
            let (done, total) = (self.done / 1_000_000, self.total / 1_000_000);
            (self.tell)(format!("Unpacking {}, {done} of {total} MB", self.what));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_images_the_command_that_makes_them_is_named() {
        let home = tempfile::tempdir().unwrap();
        let refusal = ensure(&Store::at(home.path()), &|_| {}).unwrap_err();
        assert_eq!(refusal.kind, Kind::Unavailable);
        assert_eq!(refusal.mend.as_deref(), Some("make images"));
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::at(home.path());
        std::fs::create_dir(store.images()).unwrap();
        std::os::unix::fs::symlink("../../etc", store.images_current()).unwrap();
        assert!(current(&store).is_err());
    }
}
