//! A container's log: Docker's json-file format, bounded on disk, readable while it grows.

mod entry;
mod reader;

pub use entry::Entry;
pub use reader::Reader;

use crate::stdcopy::Source;
use entry::LineCutter;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;

/// A log file is rotated when it has grown beyond this. With one rotated file kept, a container's log takes at most about
/// 2 MiB of the lab's disk, which is memory: enough for a lesson, too little to fill a lab with.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How far a log has grown: what followers wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many times the file was rotated.
    pub rotations: u64,
    /// How many entries were written, ever.
    pub entries: u64,
    /// Whether the container does not run, so that nothing comes at present.
    pub quiet: bool,
}

/// The log of one container.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    writer: Mutex<Writer>,
    progress: watch::Sender<Progress>,
}

#[derive(Debug)]
struct Writer {
    file: File,
    bytes: u64,
    stdout: LineCutter,
    stderr: LineCutter,
}

impl Log {
    /// Opens the log file, which a new container does not have yet.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        let mut last = [b'\n'];
        if bytes > 0 {
            file.read_exact_at(&mut last, bytes - 1)?;
        }
        if last != [b'\n'] {
            // An engine was killed while it wrote: the line is lost, and must not take the next one with it.
            file.write_all(b"\n")?;
        }
        let writer = Writer { file, bytes, stdout: LineCutter::default(), stderr: LineCutter::default() };
        let progress = watch::Sender::new(Progress { quiet: true, ..Progress::default() });
        Ok(Self { path, writer: Mutex::new(writer), progress })
    }

    /// Where the current file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes output as it comes; whole lines (and lines too long to wait for) are written. A disk that is full
    /// costs log lines, never the container: Docker does the same.
    pub fn append(&self, source: Source, bytes: &[u8]) {
        self.write(source, |cutter, entries| cutter.push(bytes, entries));
    }

    /// The stream has ended: its last line is written even without an end of line.
    pub fn flush(&self, source: Source) {
        self.write(source, LineCutter::finish);
    }

    /// Says whether the container runs.
    pub fn set_quiet(&self, quiet: bool) {
        self.progress.send_modify(|progress| progress.quiet = quiet);
    }

    fn write(&self, source: Source, cut: impl FnOnce(&mut LineCutter, &mut Vec<Vec<u8>>)) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = vec![];
        match source {
            Source::Stdout => cut(&mut writer.stdout, &mut lines),
            Source::Stderr => cut(&mut writer.stderr, &mut lines),
        }
        if lines.is_empty() {
            return;
        }
        let mut rotations = 0;
        for line in &lines {
            let text = entry::encode(line, source, SystemTime::now());
            if writer.bytes + text.len() as u64 > FILE_BYTES_MAX && self.rotate(&mut writer).is_ok() {
                rotations += 1;
            }
            if writer.file.write_all(text.as_bytes()).is_ok() {
                writer.bytes += text.len() as u64;
            }
        }
        self.progress.send_modify(|progress| {
            progress.entries += lines.len() as u64;
            progress.rotations += rotations;
        });
    }

    fn rotate(&self, writer: &mut Writer) -> io::Result<()> {
        std::fs::rename(&self.path, rotated(&self.path))?;
        writer.file = OpenOptions::new().create_new(true).append(true).open(&self.path)?;
        writer.bytes = 0;
        Ok(())
    }

    /// Reads the log from its oldest entry.
    pub fn read(&self) -> io::Result<Reader> {
        // The lock keeps a rotation from coming between the two files.
        let _writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        Reader::open(&self.path, self.progress.subscribe())
    }
}

/// Where the file before the current one is.
fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> (tempfile::TempDir, Log) {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path().join("x-json.log")).unwrap();
        (directory, log)
    }

    fn all(log: &Log) -> Vec<String> {
        let mut reader = log.read().unwrap();
        let mut lines = vec![];
        while let Some(entry) = reader.next_now().unwrap() {
            lines.push(String::from_utf8(entry.line).unwrap());
        }
        lines
    }

    #[test]
    fn lines_come_back_in_order_with_their_stream() {
        let (_directory, log) = log();
        log.append(Source::Stdout, b"one\ntw");
        log.append(Source::Stderr, b"bad\n");
        log.append(Source::Stdout, b"o\nlast");
        log.flush(Source::Stdout);
        assert_eq!(all(&log), ["one\n", "bad\n", "two\n", "last"]);
    }

    #[test]
    fn the_files_stay_bounded_and_the_newest_lines_are_kept() {
        let (directory, log) = log();
        for i in 0..40_000 {
            log.append(Source::Stdout, format!("line {i} {}\n", "x".repeat(50)).as_bytes());
        }
        let bytes: u64 =
            std::fs::read_dir(directory.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= 2 * FILE_BYTES_MAX, "{bytes}");
        let lines = all(&log);
        assert!(lines.len() > 5000 && lines.last().unwrap().starts_with("line 39999 "));
        assert!(!lines[0].starts_with("line 0 "));
    }

    #[tokio::test]
    async fn a_follower_sees_what_comes_later_across_a_rotation() {
        let (_directory, log) = log();
        log.set_quiet(false);
        log.append(Source::Stdout, b"first\n");
        let mut reader = log.read().unwrap();
        assert_eq!(reader.next_live().await.unwrap().unwrap().line, b"first\n");
        let filler = format!("{}\n", "y".repeat(8000));
        let mut written = 0;
        while log.progress.borrow().rotations == 0 {
            log.append(Source::Stdout, filler.as_bytes());
            written += 1;
        }
        log.append(Source::Stdout, b"last\n");
        log.set_quiet(true);
        let mut seen = vec![];
        while let Some(entry) = reader.next_live().await.unwrap() {
            seen.push(entry.line);
        }
        assert_eq!(seen.len(), written + 1);
        assert_eq!(seen.last().unwrap(), b"last\n");
    }
}
