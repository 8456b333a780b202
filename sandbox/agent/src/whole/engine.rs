//! The engine of a lab VM: root's daemon on a machine, as dockerd is.

use crate::child::Child;
use crate::refusal::{Kind, Refusal};
use crate::spec;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use tokio::net::UnixStream;

/// Makes standard input descriptor 3, which is where the engine expects the agent, and becomes the engine.
const BEGIN: &str = "exec \"$0\" \"$@\" 3<&0 </dev/null";

/// The engine's own places, as Docker has them.
const ARGUMENTS: [&str; 11] = [
    "--host",
    "unix:///run/docker.sock",
    "--data-root",
    "/var/lib/docker",
    "--images",
    "/usr/lib/isolab/images",
    "--config-file",
    "/etc/docker/daemon.json",
    "--pidfile",
    "/run/docker.pid",
    "--agent",
];

/// How likely the engine is to be ended where memory runs out: as dockerd, late.
const OOM_SCORE: &str = "-500";

/// Starts the engine; it does not serve yet. With our end of the conversation.
pub fn start() -> Result<(Child, UnixStream), Refusal> {
    begin().map_err(|error| Refusal::new(Kind::Failed, format!("The engine could not be started: {error}.")))
}

fn begin() -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = theirs.into_std()?;
    // tokio made it non-blocking, which is a property of the open socket and not what a program expects to inherit.
    theirs.set_nonblocking(false)?;
    let mut engine = Command::new("/bin/sh");
    engine.args(["-c", BEGIN, &spec::engine_path()]).args(ARGUMENTS);
    engine.env_clear().envs(spec::ENVIRONMENT.iter().filter_map(|pair| pair.split_once('=')));
    engine.current_dir("/").stdin(OwnedFd::from(theirs)).stdout(Stdio::null());
    let pid = engine.spawn()?.id();
    // Containers have a score of their own.
    std::fs::write(format!("/proc/{pid}/oom_score_adj"), OOM_SCORE)?;
    let name = Pid::from_raw(pid as i32).ok_or_else(|| io::Error::other("no pid"))?;
    Ok((Child::new(pid, pidfd_open(name, PidfdFlags::empty())?)?, ours))
}
