//! The build context: an archive from the client, unpacked for as long as the build lasts.

use super::dockerfile::BYTES_MAX;
use super::glob;
use super::sums::Sums;
use crate::archive::{Devices, Limits, Unpacking, unpack_seeing};
use crate::beneath;
use crate::error::ApiError;
use crate::image::{NewLayer, decompress};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

/// What a context may cost. It lies on the lab's disk beside what is built from it; tutorials have some KiB.
const LIMITS: Limits = Limits { bytes_max: 4 << 30, entries_max: 200_000 };

/// A larger `.dockerignore` is not read on.
const IGNORE_BYTES_MAX: u64 = 64 * 1024;

/// What Docker calls the file where nobody says otherwise.
const USUAL: &str = "Dockerfile";

/// An unpacked context. It is removed when the build is over, however that ends.
#[derive(Debug)]
pub struct Context {
    scratch: Option<NewLayer>,
    root: OwnedFd,
    sums: Sums,
}

impl Context {
    /// Unpacks an archive into an empty directory. Blocks.
    pub fn unpack(archive: impl Read, scratch: NewLayer) -> Result<Self, ApiError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(scratch.diff(), flags, Mode::empty())?;
        let how = Unpacking { limits: LIMITS, devices: Devices::Refuse, ..Unpacking::default() };
        let (_, archive) = decompress(archive)?;
        let mut sums = Sums::default();
        unpack_seeing(archive, root.as_fd(), Path::new(""), &how, &mut |path, seen| sums.note(path, seen))?;
        Ok(Self { scratch: Some(scratch), root, sums })
    }

    /// Its top directory.
    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// What its archive has said of its files.
    pub fn sums(&self) -> &Sums {
        &self.sums
    }

    /// Reads the Dockerfile at a path, and takes it out of the context where `.dockerignore` says so. Blocks.
    pub fn dockerfile(&self, path: &str) -> Result<Vec<u8>, ApiError> {
        if leads_out(path) {
            return Err(ApiError::internal(format!("forbidden path outside the build context: {path} ()")));
        }
        let lower = path.to_lowercase();
        let (name, located) = match beneath::locate(self.root.as_fd(), Path::new(path)) {
            Err(Errno::NOENT) if path == USUAL => {
                (lower.as_str(), beneath::locate(self.root.as_fd(), Path::new(&lower)))
            }
            located => (path, located),
        };
        let located = match located {
            Err(Errno::NOENT) => {
                return Err(ApiError::internal(format!("Cannot locate specified Dockerfile: {path}")));
            }
            located => located?,
        };
        if FileType::from_raw_mode(beneath::stat(located.as_fd())?.st_mode) != FileType::RegularFile {
            return Err(ApiError::internal(format!("the Dockerfile ({path}) is not a file")));
        }
        let text = read(located, BYTES_MAX as u64 + 1)?;
        self.ignore(name)?;
        Ok(text)
    }

    /// The client leaves out what `.dockerignore` names, but always sends these two.
    fn ignore(&self, dockerfile: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let Ok(file) = beneath::open(self.root.as_fd(), Path::new(".dockerignore"), flags) else {
            return Ok(());
        };
        let mut text = String::new();
        // What is not text names nothing.
        if File::from(file).take(IGNORE_BYTES_MAX).read_to_string(&mut text).is_err() {
            return Ok(());
        }
        for name in [".dockerignore", dockerfile] {
            if is_ignored(&text, name) {
                let removed = rustix::fs::unlinkat(&self.root, name, rustix::fs::AtFlags::empty());
                // One in a directory below, or a link: it stays, which costs nothing but a file in an image.
                let _ = removed;
            }
        }
        Ok(())
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let scratch = self.scratch.take();
        // It may have many files: not in the engine's one thread.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(scratch));
        }
    }
}

fn read(located: OwnedFd, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = beneath::reopen(located.as_fd(), OFlags::RDONLY)?;
    let mut bytes = vec![];
    File::from(file).take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a path goes above where it begins.
pub fn leads_out(path: &str) -> bool {
    let mut depth = 0i64;
    Path::new(path).components().any(|component| {
        depth += match component {
            Component::ParentDir => -1,
            Component::Normal(_) => 1,
            _ => 0,
        };
        depth < 0
    })
}

/// Whether the last pattern that matches a name leaves it out.
fn is_ignored(patterns: &str, name: &str) -> bool {
    let mut ignored = false;
    for line in patterns.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (pattern, excludes) = line.strip_prefix('!').map_or((line, true), |rest| (rest.trim(), false));
        let pattern = pattern.trim_start_matches('/').trim_start_matches("./").trim_end_matches('/');
        let pattern = pattern.strip_prefix("**/").unwrap_or(pattern);
        if glob::matches(pattern, name) {
            ignored = excludes;
        }
    }
    ignored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_are_known() {
        for (path, out) in [
            ("a/../b", false),
            ("..", true),
            ("a/../../b", true),
            ("/a/b", false),
            ("./x", false),
            ("", false),
        ] {
            assert_eq!(leads_out(path), out, "{path}");
        }
    }

    #[test]
    fn the_last_pattern_decides() {
        for (patterns, ignored) in [
            ("Dockerfile", true),
            ("# Dockerfile", false),
            ("*\n!Dockerfile", false),
            ("**/Docker*", true),
            ("/Dockerfile\n", true),
            ("x", false),
        ] {
            assert_eq!(is_ignored(patterns, "Dockerfile"), ignored, "{patterns}");
        }
    }
}
