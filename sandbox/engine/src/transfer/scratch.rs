//! A directory for what is only needed for a while, `<data-root>/tmp/…`: removed when it is dropped, and with all others
//! when the engine starts.

use crate::beneath;
use crate::error::ApiError;
use crate::names;
use rustix::fs::{Mode, OFlags};
use std::fs::{DirBuilder, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A document of an archive larger than this is none that describes an image.
const DOCUMENT_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Such a directory.
#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
    root: OwnedFd,
}

impl Scratch {
    /// Makes one below a data root.
    pub fn new(data_root: &Path, what: &str) -> io::Result<Self> {
        let directory = data_root.join("tmp").join(format!("{what}-{}", &names::new_id()[..12]));
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&directory, flags, Mode::empty())?;
        Ok(Self { directory, root })
    }

    /// Removes what an engine that was killed has left.
    pub fn sweep(data_root: &Path) -> io::Result<()> {
        match std::fs::remove_dir_all(data_root.join("tmp")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Its descriptor.
    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    /// Opens a file in it and tells its length. The path may come from an archive: links are followed inside only.
    pub fn open(&self, path: &str) -> Result<(File, u64), ApiError> {
        // NONBLOCK: a fifo must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let told = |error: io::Error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                _ => error.to_string(),
            };
            ApiError::internal(format!("open {}: {why}", self.directory.join(path).display()))
        };
        let file = beneath::open(self.root.as_fd(), Path::new(path), flags).map_err(|e| told(e.into()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(told)?;
        match metadata.is_file() {
            true => Ok((file, metadata.len())),
            false => Err(told(io::Error::other("it is not a regular file"))),
        }
    }

    /// Reads a document.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ApiError> {
        let (file, length) = self.open(path)?;
        if length > DOCUMENT_BYTES_MAX {
            return Err(ApiError::bad_request(format!("{path} has {length} bytes, too many for a document")));
        }
        let mut bytes = vec![];
        file.take(DOCUMENT_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether there is such a file.
    pub fn holds(&self, path: &str) -> bool {
        self.open(path).is_ok()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Otherwise the next start does it.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_opened_inside_only() {
        let root = tempfile::tempdir().unwrap();
        let scratch = Scratch::new(root.path(), "test").unwrap();
        std::fs::write(root.path().join("outside"), "secret").unwrap();
        std::fs::write(scratch.path().join("inside"), "content").unwrap();
        std::os::unix::fs::symlink("../../outside", scratch.path().join("up")).unwrap();
        std::os::unix::fs::symlink("/inside", scratch.path().join("in")).unwrap();
        assert_eq!(scratch.read("in").unwrap(), b"content");
        for bad in ["up", "../../outside", ".", "nothing"] {
            assert!(scratch.open(bad).is_err(), "{bad}");
        }
        let path = scratch.path().to_owned();
        drop(scratch);
        assert!(!path.exists());
        Scratch::sweep(root.path()).unwrap();
        Scratch::sweep(root.path()).unwrap();
    }
}
