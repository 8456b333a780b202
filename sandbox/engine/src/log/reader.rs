//! Reads a log from its oldest entry, and follows it.

use super::entry::{self, Entry};
use super::{Progress, rotated};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use tokio::sync::watch;

/// A place in a log.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    files: VecDeque<BufReader<File>>,
    /// The rotation to which the last of `files` belongs.
    rotations: u64,
    /// A line of which only a part was in the file yet.
    begun: String,
    progress: watch::Receiver<Progress>,
}

impl Reader {
    pub(super) fn open(path: &Path, mut progress: watch::Receiver<Progress>) -> io::Result<Self> {
        let mut files = VecDeque::new();
        match File::open(rotated(path)) {
            Ok(file) => files.push_back(BufReader::new(file)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        files.push_back(BufReader::new(File::open(path)?));
        let rotations = progress.borrow_and_update().rotations;
        Ok(Self { path: path.to_owned(), files, rotations, begun: String::new(), progress })
    }

    /// The next entry that is written already.
    pub fn next_now(&mut self) -> io::Result<Option<Entry>> {
        while let Some(file) = self.files.front_mut() {
            match file.read_line(&mut self.begun) {
                Ok(0) if self.files.len() > 1 => {
                    self.files.pop_front();
                    self.begun.clear();
                }
                Ok(0) => return Ok(None),
                Ok(_) if !self.begun.ends_with('\n') => return Ok(None),
                Ok(_) => {
                    let entry = entry::decode(&self.begun);
                    self.begun.clear();
                    if entry.is_some() {
                        return Ok(entry);
                    }
                }
                // The learner may write anything into the file; a line that is not text is left out.
                Err(error) if error.kind() == ErrorKind::InvalidData => self.begun.clear(),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The next entry, waiting for it; `None` when the container does not run any more and all is read.
    pub async fn next_live(&mut self) -> io::Result<Option<Entry>> {
        loop {
            let progress = *self.progress.borrow_and_update();
            if progress.rotations > self.rotations {
                // What was current when we opened it is complete now, and read to its end first. If the log was
                // rotated more than once meanwhile, what lay between is lost to a reader so slow.
                self.files.push_back(BufReader::new(File::open(&self.path)?));
                self.rotations = progress.rotations;
            }
            if let Some(entry) = self.next_now()? {
                return Ok(Some(entry));
            }
            if progress.quiet || self.progress.changed().await.is_err() {
                return self.next_now();
            }
        }
    }
}
