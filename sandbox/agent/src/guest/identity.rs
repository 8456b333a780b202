//! What a machine that came of a template gets of its own: the time, random numbers, a machine id, host keys.

use isolab_vm::Greeting;
use rustix::time::{ClockId, Timespec, clock_settime};
use std::io;
use std::path::Path;
use std::process::Stdio;

/// Where a machine finds the token that tells it from all others.
const TOKEN: &str = "/run/isolab/token";

/// Where OpenSSH has a host's key.
const HOST_KEY: &str = "etc/ssh/ssh_host_ed25519_key";

/// Takes on the identity that the host gives. `root` is the lab host's.
pub fn take_on(greeting: &Greeting, root: &Path) -> io::Result<()> {
    set_clock(greeting.now_ns)?;
    // What is written there is stirred in. The kernel has reseeded by itself, too, when it found another generation id.
    std::fs::write("/dev/urandom", &greeting.seed)?;
    if greeting.template {
        return Ok(());
    }
    std::fs::write(TOKEN, format!("{}\n", greeting.token))?;
    std::fs::write(root.join("etc/machine-id"), format!("{}\n", greeting.machine_id))?;
    make_host_key(root);
    Ok(())
}

fn set_clock(now_ns: u64) -> io::Result<()> {
    const NS_PER_S: u64 = 1_000_000_000;
    let now = Timespec { tv_sec: (now_ns / NS_PER_S) as i64, tv_nsec: (now_ns % NS_PER_S) as _ };
    Ok(clock_settime(ClockId::Realtime, now)?)
}

/// In a task of its own: nobody who opens a lab waits for a key.
fn make_host_key(root: &Path) {
    let key = root.join(HOST_KEY);
    let making = async move {
        if let Some(directory) = key.parent() {
            tokio::fs::create_dir_all(directory).await?;
        }
        let mut program = tokio::process::Command::new("ssh-keygen");
        program.args(["-q", "-t", "ed25519", "-N", "", "-C", "root@labhost", "-f"]).arg(&key);
        program.stdin(Stdio::null()).stdout(Stdio::null()).status().await
    };
    tokio::spawn(async move {
        match making.await {
            Ok(status) if status.success() => {}
            Ok(status) => tracing::warn!(%status, "the host key was not made"),
            Err(error) => tracing::warn!(%error, "the host key was not made"),
        }
    });
}
