//! The machine's first process: it starts the agent, reaps whatever is left without a parent, and ends the machine with
//! the agent. It has no threads and allocates next to nothing, because nobody can restart it.

use std::convert::Infallible;
use std::io;
use std::process::Command;

/// What `/proc/sysrq-trigger` takes for "reboot at once". The machine was started so that it ends instead.
const REBOOT: &str = "b";

/// Runs the machine. Returns only where the agent could not be started at all.
pub fn run() -> io::Result<Infallible> {
    // The agent is a process of its own, so that it can wait for its own children and for nothing else.
    let mut agent = Command::new(std::env::current_exe()?);
    let agent = agent.args(["guest", "--serve"]).spawn()?.id();
    loop {
        match rustix::process::wait(rustix::process::WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid.as_raw_pid() as u32 == agent => {
                eprintln!("isolab-agent: the agent has ended ({status:?}); so does this machine");
                end();
            }
            Ok(_) | Err(_) => {}
        }
    }
}

fn end() {
    // Nothing here outlives the machine, so that nothing has to be written out.
    let ended = std::fs::write("/proc/sysrq-trigger", REBOOT);
    eprintln!("isolab-agent: the machine does not end: {ended:?}");
}
