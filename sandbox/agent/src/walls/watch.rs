//! Reading what the kernel tells, on a thread of its own that nobody waits for.

use super::event::{self, Line};
use super::judge::Judge;
use super::ledger::Ledger;
use super::tracefs::{self, Tracing};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long to rest between two turns. Together with [`TURN_BYTES_MAX`] it bounds what a flood of refusals costs: 400 000
/// bytes, or 4000 lines, in a second; what is beyond is overwritten in the kernel's ring, and counted.
const REST: Duration = Duration::from_millis(20);

/// How much is read in a turn, in bytes.
const TURN_BYTES_MAX: usize = 8 * 1024;

/// The longest line that is read, in bytes. One with a cgroup's name has some 300.
const LINE_BYTES_MAX: usize = 1024;

/// Starts watching. `hosts` are the mount namespaces that are no container's. The receiver is told when all is set up, or that it
/// could not be: the lab does without.
pub fn start(hosts: Vec<u64>, ledger: Arc<Ledger>) -> oneshot::Receiver<()> {
    let (ready, told) = oneshot::channel();
    let watching = move || match tracefs::start() {
        Ok(Tracing { pipe, left_out }) => {
            if !left_out.is_empty() {
                let left_out = left_out.join(", ");
                tracing::warn!(left_out, "this kernel has no place for some probes of refusals");
            }
            let _ = ready.send(());
            let ended = watch(pipe, Judge::new(hosts), &ledger);
            tracing::warn!(?ended, "refusals are not watched any more");
        }
        Err(error) => {
            tracing::warn!(%error, "refusals are not watched: the kernel's tracing cannot be set up");
            drop(ready);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("refusals".into()).spawn(watching) {
        tracing::warn!(%error, "refusals are not watched: there is no thread for it");
    }
    told
}

fn watch(mut pipe: impl Read, mut judge: Judge, ledger: &Ledger) -> io::Result<()> {
    let (mut buffer, mut lines) = (vec![0; TURN_BYTES_MAX], Lines::default());
    loop {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        lines.take(&buffer[..count], |line| match event::parse(line) {
            Line::Event(event) => {
                if let Some(refusal) = judge.take(event) {
                    ledger.record(refusal);
                }
            }
            Line::Lost(count) => ledger.lose(count),
            Line::Odd => ledger.lose(1),
        });
        ledger.lose(judge.take_passed_over());
        std::thread::sleep(REST);
    }
}

/// Bytes, as lines.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], mut tell: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            // One byte beyond what is read says that it is too long.
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                if self.begun.ends_with(b"\n") {
                    self.begun.pop();
                }
                tell(&self.begun);
                self.begun.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_are_read_and_long_ones_are_cut() {
        let long = "x".repeat(5 * LINE_BYTES_MAX);
        let text = format!("one\n\n{long}\nlast\nunfinished");
        for size in [1, 2, 7, 100, 100_000] {
            let (mut lines, mut told) = (Lines::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                lines.take(piece, |line| told.push(String::from_utf8_lossy(line).into_owned()));
            }
            let lengths: Vec<usize> = told.iter().map(String::len).collect();
            assert_eq!(lengths, [3, 0, LINE_BYTES_MAX + 1, 4], "{size}");
            assert!(lines.begun.len() == "unfinished".len() && told[3] == "last");
        }
    }
}
