//! A guest's serial console: the end of what it printed, kept for whoever asks why it died.
//!
//! It is read as fast as it comes and all but the end is dropped, so that a guest that prints gigabytes costs the host a
//! buffer. What is in it is the learner's words.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt};

/// How much of the end is kept, in bytes: a kernel's last words with their call trace.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// The end of a console's output; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Console {
    kept: Arc<Mutex<VecDeque<u8>>>,
}

impl Console {
    /// Reads a console to its end in a task of its own.
    pub fn read(mut from: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let console = Self::default();
        let reading = console.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = from.read(&mut buffer).await {
                reading.keep(&buffer[..count]);
            }
        });
        console
    }

    fn keep(&self, bytes: &[u8]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let surplus = (kept.len() + bytes.len()).saturating_sub(KEPT_BYTES_MAX).min(kept.len());
        kept.drain(..surplus);
        kept.extend(&bytes[bytes.len().saturating_sub(KEPT_BYTES_MAX)..]);
    }

    /// The last lines, at most so many, with nothing in them that a terminal would act on.
    pub fn last_lines(&self, lines_max: usize) -> Vec<String> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(kept.make_contiguous());
        let printable = |line: &str| line.chars().filter(|c| !c.is_control()).collect::<String>();
        let lines: Vec<String> = text.lines().map(printable).filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(lines_max)..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_is_kept_however_much_comes() {
        let console = Console::default();
        for number in 0..10_000 {
            console.keep(format!("line {number}\r\n").as_bytes());
        }
        console.keep(b"\x1b[31mpanic\x07\r\n\r\n");
        assert_eq!(console.last_lines(2), ["line 9999", "[31mpanic"]);
        console.keep(&vec![b'x'; 3 * KEPT_BYTES_MAX]);
        assert_eq!(console.kept.lock().unwrap().len(), KEPT_BYTES_MAX);
        assert_eq!(console.last_lines(5).len(), 1);
    }
}
