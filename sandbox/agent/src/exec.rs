//! One command in a lab host: its output and status, within a bound of time and bytes.

use crate::child::Child;
use crate::host::LabHost;
use crate::refusal::{Kind, Refusal};
use isolab_protocol::{ExecRequest, ExecResult};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::time::{sleep, timeout};

/// How much of each stream is kept, in bytes.
const OUTPUT_BYTES_MAX: usize = 1024 * 1024;

/// How much of a stream is read at all, in bytes. A command that prints more finds its pipe closed, and usually ends.
const OUTPUT_BYTES_READ_MAX: usize = 64 * 1024 * 1024;

/// The longest a command may run.
pub const SECONDS_MAX: u32 = 600;

/// The most arguments, and …
const ARGUMENTS_MAX: usize = 1024;

/// … their length together, in bytes: what the kernel takes in one argument.
const ARGUMENT_BYTES_MAX: usize = 128 * 1024;

/// The longest standard input, in bytes.
const STDIN_BYTES_MAX: usize = 1024 * 1024;

/// How long to go on reading once the command has ended: what it left in the background may keep the pipes open.
const AFTERWORD: Duration = Duration::from_millis(200);

/// The status that `timeout(1)` gives, too.
const TIMED_OUT: i32 = 124;

/// Runs a command as the lab host's root.
pub async fn run(host: &LabHost, request: ExecRequest) -> Result<ExecResult, Refusal> {
    check(&request)?;
    let argv: Vec<&str> = request.argv.iter().map(String::as_str).collect();
    let (child, pipes) = match host.command(&argv).await {
        Err(Refusal { kind: Kind::NoProgram { status }, message, .. }) => {
            return Ok(ExecResult { status, stdout: String::new(), stderr: message, truncated: false });
        }
        started => started?,
    };
    let session = Session { child };
    let broken = |e: io::Error| Refusal::new(Kind::Failed, format!("The command's pipes failed: {e}."));
    let Pipes { mut stdin, stdout, stderr } = Pipes::new(pipes).map_err(broken)?;
    let write = async {
        // A command that does not read its input is no failure.
        let _ = stdin.write_all(request.stdin.unwrap_or_default().as_bytes()).await;
        drop(stdin);
        std::future::pending::<()>().await;
    };
    let (mut out, mut err) = (Kept::default(), Kept::default());
    let status = {
        let read = async { tokio::join!(out.read(stdout), err.read(stderr)) };
        tokio::pin!(read);
        let limit = Duration::from_secs(u64::from(request.seconds_max.clamp(1, SECONDS_MAX)));
        let mut drained = false;
        let status = tokio::select! {
            status = async {
                loop {
                    tokio::select! {
                        status = session.child.exited() => return status,
                        _ = &mut read, if !drained => drained = true,
                    }
                }
            } => status,
            () = write => TIMED_OUT,
            () = sleep(limit) => TIMED_OUT,
        };
        if !drained {
            // Whatever is in the pipes by now is the command's; what comes later is not waited for.
            let _ = timeout(AFTERWORD, &mut read).await;
        }
        status
    };
    if status == TIMED_OUT && session.child.status().is_none() {
        session.kill();
    }
    let truncated = out.truncated || err.truncated;
    Ok(ExecResult { status, stdout: out.text(), stderr: err.text(), truncated })
}

fn check(request: &ExecRequest) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(Kind::Invalid, message));
    let bytes: usize = request.argv.iter().map(String::len).sum();
    if request.argv.first().is_none_or(String::is_empty) {
        return refuse("A command needs a program.".into());
    }
    if request.argv.iter().any(|argument| argument.contains('\0')) {
        return refuse("An argument cannot contain a NUL byte.".into());
    }
    if request.argv.len() > ARGUMENTS_MAX || bytes > ARGUMENT_BYTES_MAX {
        return refuse(format!(
            "At most {ARGUMENTS_MAX} arguments with {ARGUMENT_BYTES_MAX} bytes are allowed."
        ));
    }
    if request.stdin.as_ref().is_some_and(|text| text.len() > STDIN_BYTES_MAX) {
        return refuse(format!("At most {STDIN_BYTES_MAX} bytes of standard input are allowed."));
    }
    Ok(())
}

struct Pipes {
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
}

impl Pipes {
    fn new([stdin, stdout, stderr]: [OwnedFd; 3]) -> io::Result<Self> {
        Ok(Self {
            stdin: pipe::Sender::from_owned_fd(stdin)?,
            stdout: pipe::Receiver::from_owned_fd(stdout)?,
            stderr: pipe::Receiver::from_owned_fd(stderr)?,
        })
    }
}

/// The beginning of a stream. More is read, so that the command does not stand still, and dropped.
#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    bytes_read: usize,
    truncated: bool,
}

impl Kept {
    /// Reads until the end, or until it is too much; then the stream is closed.
    async fn read(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let room = OUTPUT_BYTES_MAX - self.bytes.len();
            self.bytes.extend_from_slice(&buffer[..count.min(room)]);
            self.truncated |= count > room;
            self.bytes_read += count;
            if self.bytes_read >= OUTPUT_BYTES_READ_MAX {
                return;
            }
        }
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// A command and what it started, as far as that stayed in its session. Dropped while the command runs, all are killed.
struct Session {
    child: Child,
}

impl Session {
    fn kill(&self) {
        // The others first: once the leader is gone its number, which names the session, could be used again.
        for pid in members(self.child.pid()) {
            let Some(pid) = Pid::from_raw(pid) else { continue };
            let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { continue };
            // Between listing and opening, the number may have gone to another process.
            if session_of(pid.as_raw_pid()) == Some(self.child.pid()) {
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
            }
        }
        self.child.signal(Signal::KILL);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.child.status().is_none() {
            self.kill();
        }
    }
}

/// The processes of a session, its leader aside.
fn members(session: u32) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|&pid| pid as u32 != session && session_of(pid) == Some(session)).collect()
}

fn session_of(pid: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may contain anything, a closing parenthesis too: the last one ends it.
    stat[stat.rfind(')')? + 1..].split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    fn request(argv: &[&str]) -> ExecRequest {
        ExecRequest { argv: argv.iter().map(ToString::to_string).collect(), stdin: None, seconds_max: 1 }
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_the_reason() {
        assert!(check(&request(&["true"])).is_ok());
        for bad in [&[][..], &[""], &["a\0b"], &["x"; ARGUMENTS_MAX + 1]] {
            assert_eq!(check(&request(bad)).unwrap_err().kind, Kind::Invalid);
        }
    }

    #[test]
    fn a_session_is_read_from_the_kernel() {
        // A session of its own: that of the test may have been begun outside this pid namespace, where it has no number.
        let mut leader = Command::new("setsid")
            .args(["sh", "-c", "sleep 600 & echo $!; wait"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(leader.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (session, member) = (leader.id(), line.trim().parse().unwrap());
        assert_eq!(session_of(session as i32), Some(session));
        assert_eq!(session_of(member), Some(session));
        assert_eq!(members(session), [member]);
        rustix::process::kill_process(Pid::from_raw(member).unwrap(), Signal::KILL).unwrap();
        leader.wait().unwrap();
        assert!(members(session).is_empty());
    }
}
