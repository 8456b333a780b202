//! Counts what an archive costs while it is read.
//!
//! The tar crate keeps long names and extended headers in memory, of whatever size their headers claim. Between two
//! entries it may therefore read no more than [`EXTENSION_BYTES_MAX`].

use super::Limits;
use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// Headers, long names and extended attributes of one entry. Docker's own library takes at most 1 MiB.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;

/// How many bytes may still be read before the next entry has to begin; `None` within an entry's own content.
pub type Allowance = Rc<Cell<Option<u64>>>;

/// A reader that refuses to read beyond what is allowed.
pub struct Metered<R> {
    inner: R,
    allowance: Allowance,
}

impl<R> Metered<R> {
    /// A reader, and what limits it.
    pub fn new(inner: R) -> (Self, Allowance) {
        let allowance = Allowance::default();
        (Self { inner, allowance: Rc::clone(&allowance) }, allowance)
    }
}

/// An entry's header is looked for: what is left of the entry before it (`rest`) will be read over first.
pub fn look_for_header(allowance: &Allowance, rest: u64) {
    allowance.set(Some(EXTENSION_BYTES_MAX.saturating_add(rest)));
}

/// An entry is there: its content may be read.
pub fn read_content(allowance: &Allowance) {
    allowance.set(None);
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.allowance.get() else { return self.inner.read(buffer) };
        if left == 0 {
            return Err(io::Error::other(format!("a header of more than {EXTENSION_BYTES_MAX} bytes")));
        }
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buffer[..length])?;
        self.allowance.set(Some(left - read as u64));
        Ok(read)
    }
}

/// What has been unpacked so far, against the limits.
#[derive(Debug, Default)]
pub struct Spent {
    /// Bytes of files.
    pub bytes: u64,
    entries: u64,
}

impl Spent {
    /// One more entry of this many bytes.
    pub fn add(&mut self, bytes: u64, limits: &Limits) -> io::Result<()> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.entries > limits.entries_max {
            return Err(io::Error::other(format!(
                "the archive has more than {} entries",
                limits.entries_max
            )));
        }
        if self.bytes > limits.bytes_max {
            return Err(io::Error::other(format!("the archive has more than {} bytes", limits.bytes_max)));
        }
        Ok(())
    }
}
