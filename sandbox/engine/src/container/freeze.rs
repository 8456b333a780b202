//! `docker pause`: by the freezer of the container's control group, as Docker has it, and where there is none by signals: every process of a container is stopped, and later continued.
//!
//! SIGSTOP cannot be caught or ignored, and a stopped
//! process makes no others, so that whoever stops long enough has stopped them all: a round lists all processes and
//! stops those that still move, and when two rounds in a row see the same processes, all of them standing still, there
//! is none left that could have made another.
//!
//! What differs from a freezer can be seen from inside: a parent is told that its child has stopped and continued, a
//! process that handles SIGCONT runs its handler, and a sleep that was under way counts the time. Processes that were
//! stopped before stay so.

use super::processes::{Process, Processes};
use isolab_runtime::cgroup::Group;
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

/// How long a container may take to stand still: one that forks as fast as it can takes a few rounds; one with a process
/// that hangs in the kernel never does.
const TIME_MAX: Duration = Duration::from_secs(10);

/// How long a round waits for its signals to take effect.
const ROUND_PAUSE: Duration = Duration::from_millis(1);

/// How a container was stopped.
#[derive(Clone, Debug)]
pub enum Frozen {
    /// By its control group.
    Group(Group),
    /// By signals; what was stopped before stays so.
    Signals(BTreeSet<Process>),
}

/// Stops all processes of a group.
pub async fn freeze_group(group: Group) -> io::Result<Frozen> {
    // It waits until they stand still.
    let frozen = tokio::task::spawn_blocking(move || group.freeze(true).map(|()| Frozen::Group(group)));
    frozen.await?.map_err(io::Error::other)
}

/// Stops all processes by signals. Where they do not stand still, they are continued and it is an error.
pub async fn freeze(processes: &Processes) -> io::Result<Frozen> {
    let begun = Instant::now();
    let mut before: BTreeSet<Process> =
        processes.list()?.iter().filter(|p| p.stands_still()).map(|p| p.process).collect();
    let mut last: Option<BTreeSet<Process>> = None;
    loop {
        let (mut now, mut moving) = (BTreeSet::new(), false);
        for handle in processes.list()? {
            if !handle.stands_still() {
                moving = true;
                // It was not stopped, or somebody has continued it.
                before.remove(&handle.process);
                handle.signal(rustix::process::Signal::STOP);
            }
            now.insert(handle.process);
        }
        if !moving && last.as_ref() == Some(&now) {
            return Ok(Frozen::Signals(before));
        }
        last = (!moving).then_some(now);
        if begun.elapsed() > TIME_MAX {
            thaw(processes, &Frozen::Signals(before))?;
            return Err(io::Error::other(format!(
                "its processes do not stand still within {} seconds of being stopped",
                TIME_MAX.as_secs()
            )));
        }
        if moving {
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }
}

/// Continues all processes but those that were stopped before.
pub fn thaw(processes: &Processes, frozen: &Frozen) -> io::Result<()> {
    let before = match frozen {
        Frozen::Group(group) => return group.freeze(false).map_err(io::Error::other),
        Frozen::Signals(before) => before,
    };
    for handle in processes.list()? {
        if !before.contains(&handle.process) {
            handle.signal(rustix::process::Signal::CONT);
        }
    }
    Ok(())
}
