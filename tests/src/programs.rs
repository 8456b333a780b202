//! The programs under test, run as a user would run them: by their path, with a bounded wait and bounded output.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A command that takes longer hangs: the slowest here opens a lab on a busy machine with two cores.
pub const WAIT_MAX: Duration = Duration::from_secs(90);

/// Output beyond this is not kept: no test reads more, and one makes a gigabyte.
const OUTPUT_BYTES_MAX: u64 = 4 << 20;

/// Where the programs are: `ISOLAB_BIN_DIR`, else the release build of the workspace that this test was built in.
pub fn folder() -> io::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("ISOLAB_BIN_DIR") {
        return Ok(PathBuf::from(folder));
    }
    // <target>/<triple>/<profile>/deps/<this test>
    let test = std::env::current_exe()?;
    let triple = test.ancestors().nth(3).unwrap_or(Path::new("/"));
    Ok(triple.join("release"))
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to its standard output, with what is not UTF-8 replaced.
    pub stdout: String,
    /// Likewise for standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Ended {
    /// The exit code, or 128 and the signal's number, as a shell says it.
    pub fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

/// Runs a command to its end, with nothing to read. One that takes longer than `wait` is killed with all it
/// started in its process group, and that is an error which shows what it had printed.
pub fn run(command: &mut Command, wait: Duration) -> io::Result<Ended> {
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break Some(status);
        }
        if began.elapsed() > wait {
            if let Some(group) = rustix::process::Pid::from_raw(child.id().cast_signed()) {
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            child.wait()?;
            break None;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = |thread: std::thread::JoinHandle<Vec<u8>>| {
        String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    match status {
        Some(status) => Ok(Ended { status, stdout, stderr, took: began.elapsed() }),
        None => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{command:?} did not end within {} s; it printed: {stdout}{stderr}", wait.as_secs()),
        )),
    }
}

/// Reads a pipe to its end so that the writer never waits, and keeps the first part of it.
fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.by_ref().take(OUTPUT_BYTES_MAX).read_to_end(&mut kept);
            let _ = io::copy(&mut pipe, &mut io::sink());
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_output_come_back() {
        let ended = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 7"]), WAIT_MAX)
            .expect("sh runs");
        assert_eq!((ended.code(), ended.stdout.as_str(), ended.stderr.as_str()), (7, "out\n", "err\n"));
        let killed = run(Command::new("sh").args(["-c", "kill -9 $$"]), WAIT_MAX).expect("sh runs");
        assert_eq!(killed.code(), 137);
    }

    #[test]
    fn what_hangs_is_killed_with_its_children() {
        let began = Instant::now();
        let error =
            run(Command::new("sh").args(["-c", "echo before; sleep 60 & wait"]), Duration::from_millis(200));
        assert!(error.is_err_and(|error| error.to_string().contains("before")));
        assert!(began.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn much_output_is_cut_and_does_not_block() {
        let ended =
            run(Command::new("head").args(["-c", "20000000", "/dev/zero"]), WAIT_MAX).expect("head runs");
        assert_eq!(ended.stdout.len() as u64, OUTPUT_BYTES_MAX);
    }
}
