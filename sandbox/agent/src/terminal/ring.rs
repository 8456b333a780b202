//! The last bytes that a terminal printed, by sequence number. Not the screen: the ring knows no escape sequences.

use std::collections::VecDeque;

/// How much output a terminal remembers, in bytes. A reader scrolls back a few thousand lines (80 bytes each), and
/// 64 labs with 8 full terminals stay within 512 MiB even if every one of them is flooded.
pub const RING_BYTES_MAX: usize = 1024 * 1024;

/// A queue of bytes that forgets its oldest ones. `seq` counts the bytes since the terminal was made.
#[derive(Debug)]
pub struct Ring {
    bytes: VecDeque<u8>,
    end: u64,
    bytes_max: usize,
}

impl Ring {
    /// An empty ring that keeps at most `bytes_max` bytes; memory is taken as output comes.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes: VecDeque::new(), end: 0, bytes_max }
    }

    /// The first byte that is still known.
    pub fn start(&self) -> u64 {
        self.end - self.bytes.len() as u64
    }

    /// The byte that comes next.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Appends output, and forgets what no longer fits.
    pub fn push(&mut self, output: &[u8]) {
        self.end += output.len() as u64;
        let kept = &output[output.len().saturating_sub(self.bytes_max)..];
        let surplus = (self.bytes.len() + kept.len()).saturating_sub(self.bytes_max);
        self.bytes.drain(..surplus);
        self.bytes.extend(kept);
    }

    /// At most `bytes_max` bytes from `seq` on; `None` where the ring no longer, or not yet, knows that byte.
    pub fn read(&self, seq: u64, bytes_max: usize) -> Option<Vec<u8>> {
        if seq < self.start() || seq > self.end {
            return None;
        }
        let from = usize::try_from(seq - self.start()).ok()?;
        let to = self.bytes.len().min(from + bytes_max);
        Some(self.bytes.range(from..to).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_the_oldest_bytes_and_keeps_count() {
        let mut ring = Ring::new(4);
        ring.push(b"abc");
        assert_eq!((ring.start(), ring.end()), (0, 3));
        ring.push(b"def");
        assert_eq!((ring.start(), ring.end()), (2, 6));
        assert_eq!(ring.read(1, 9), None);
        assert_eq!(ring.read(2, 9).as_deref(), Some(&b"cdef"[..]));
        assert_eq!(ring.read(3, 2).as_deref(), Some(&b"de"[..]));
        assert_eq!(ring.read(6, 9).as_deref(), Some(&b""[..]));
        assert_eq!(ring.read(7, 9), None);
    }

    #[test]
    fn output_larger_than_the_ring_keeps_its_tail() {
        let mut ring = Ring::new(4);
        ring.push(b"0123456789");
        assert_eq!(ring.read(6, 9).as_deref(), Some(&b"6789"[..]));
        assert_eq!(ring.end(), 10);
    }
}
