//! From events to refusals: which thread is a container's, and which wall made its call fail. Pure.
//!
//! A wall that says no does not make a call fail by itself: the kernel asks for a capability first and looks at the rest
//! afterwards. So what a wall says is held back until the call ends with an errno, and forgotten otherwise.

use super::event::{Event, Looks, Speech, What};
use isolab_protocol::{CAPABILITIES, Refusal, Wall};
use isolab_runtime::doll::seccomp::Architecture;
use std::collections::{HashMap, HashSet};

/// The most threads of containers that are told apart. A fork bomb has more: those beyond it go without.
const THREADS_MAX: usize = 4096;

/// The most words of walls that are held back for one thread: a call asks for three capabilities or so.
const SPEECHES_MAX: usize = 8;

/// How long before a call's end a wall can have made it fail. Nothing in the kernel waits between the two, but a machine
/// that is emulated stands still at times.
const BEFORE_END_US: u64 = 500_000;

/// The errors that walls give, by number on every architecture of ours.
const ERRNOS: [(i32, &str); 4] = [(EPERM, "EPERM"), (EACCES, "EACCES"), (EROFS, "EROFS"), (ENOSYS, "ENOSYS")];

const EPERM: i32 = 1;
const EACCES: i32 = 13;
const EROFS: i32 = 30;
const ENOSYS: i32 = 38;

/// CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: asked for when a file's mode has refused already.
const OVERRIDE: u32 = 1;
const READ_SEARCH: u32 = 2;

/// Follows the threads of containers.
#[derive(Debug, Default)]
pub struct Judge {
    /// Mount namespaces that are no container's: the machine's and the lab host's.
    hosts: HashSet<u64>,
    threads: HashMap<u32, Thread>,
    /// Threads that found no place.
    passed_over: u64,
}

#[derive(Debug, Default)]
struct Thread {
    looks: Looks,
    said: Vec<(u64, Speech)>,
}

impl Judge {
    /// Threads in these mount namespaces are no container's.
    pub fn new(hosts: impl IntoIterator<Item = u64>) -> Self {
        Self { hosts: hosts.into_iter().collect(), ..Self::default() }
    }

    /// How many threads there was no place for since this was last asked.
    pub fn take_passed_over(&mut self) -> u64 {
        std::mem::take(&mut self.passed_over)
    }

    /// Takes an event; a call that a wall made fail comes back.
    pub fn take(&mut self, event: Event) -> Option<Refusal> {
        let Event { tid, at_us, what } = event;
        match what {
            What::Exec(looks) if self.hosts.contains(&looks.mnt) => {
                self.threads.remove(&tid);
                None
            }
            // Before it executes a program, a thread in another mount namespace is the engine's, on its way to a container.
            What::Exec(looks) => self.enter(tid, looks),
            What::Fork { child, looks } if self.threads.contains_key(&tid) => self.enter(child, looks),
            What::Fork { .. } => None,
            What::Rename { thread, comm } => {
                self.threads.get_mut(&thread)?.looks.comm = comm;
                None
            }
            What::Exit => {
                self.threads.remove(&tid);
                None
            }
            What::Spoke(Speech::Killed { number }) => {
                Some(refusal(tid, &self.threads.get(&tid)?.looks, number, "SIGSYS", Wall::Seccomp))
            }
            What::Spoke(speech) => {
                self.threads.get_mut(&tid)?.hear(at_us, speech);
                None
            }
            What::Returned { number, errno } => self.threads.get_mut(&tid)?.end(tid, at_us, number, errno),
        }
    }

    fn enter(&mut self, tid: u32, looks: Looks) -> Option<Refusal> {
        if self.threads.len() < THREADS_MAX || self.threads.contains_key(&tid) {
            self.threads.insert(tid, Thread { looks, said: Vec::new() });
        } else {
            self.passed_over += 1;
        }
        None
    }
}

impl Thread {
    fn hear(&mut self, at_us: u64, speech: Speech) {
        if let Speech::Capability { granted: true, .. } = speech {
            // The other capability that overrides a file's mode was not there; this one is, and does.
            self.said.retain(|(_, said)| !overrides_mode(said));
            return;
        }
        if self.said.len() == SPEECHES_MAX {
            self.said.remove(0);
        }
        self.said.push((at_us, speech));
    }

    fn end(&mut self, tid: u32, at_us: u64, number: u32, errno: i32) -> Option<Refusal> {
        let said = std::mem::take(&mut self.said);
        let word = ERRNOS.iter().find(|(value, _)| *value == errno)?.1;
        if number == u32::MAX {
            return None;
        }
        let name = syscall(number);
        // The first wall that refuses ends the call, so that the last one to have spoken is the one.
        let last = said.into_iter().rev().find(|(at, speech)| {
            at_us.saturating_sub(*at) <= BEFORE_END_US && speech.can_fail(number, &name, errno)
        });
        let looks = &self.looks;
        let plain = |wall| refusal(tid, looks, number, word, wall);
        Some(match last.map(|(_, speech)| speech) {
            Some(Speech::Seccomp { .. }) => plain(Wall::Seccomp),
            // No call gives this for anything else.
            _ if errno == EROFS => plain(Wall::ReadOnly),
            // The kernel has no such call, which is no wall.
            _ if errno == ENOSYS => return None,
            Some(Speech::Capability { number: cap, held, root, .. }) => {
                let wall = match cap {
                    _ if held => Wall::UserNamespace,
                    OVERRIDE | READ_SEARCH if !root => Wall::FilePermission,
                    _ => Wall::Capability,
                };
                Refusal { capability: Some(capability(cap)), ..plain(wall) }
            }
            Some(Speech::AppArmor { profile, operation }) => {
                Refusal { profile: Some(profile), operation: Some(operation), ..plain(Wall::Apparmor) }
            }
            Some(Speech::Device(device)) => Refusal { operation: Some(device), ..plain(Wall::Device) },
            Some(Speech::Yama) => plain(Wall::Yama),
            Some(Speech::Lockdown) => plain(Wall::Lockdown),
            Some(Speech::Killed { .. }) | None => plain(Wall::Other),
        })
    }
}

impl Speech {
    /// Whether it can be why a call ends with this errno.
    fn can_fail(&self, call: u32, name: &str, errno: i32) -> bool {
        match self {
            Self::Seccomp { number } => *number == call,
            // Everybody may take on ids that are theirs already, and is asked for the capability all the same.
            Self::Capability { of_ids: true, .. } => name.starts_with("set") && errno == EPERM,
            Self::Device(_) | Self::Lockdown => errno == EPERM,
            Self::Capability { .. } | Self::AppArmor { .. } | Self::Yama => errno == EPERM || errno == EACCES,
            Self::Killed { .. } => false,
        }
    }
}

fn overrides_mode(speech: &Speech) -> bool {
    matches!(speech, Speech::Capability { number: OVERRIDE | READ_SEARCH, .. })
}

fn refusal(tid: u32, looks: &Looks, number: u32, errno: &str, wall: Wall) -> Refusal {
    let is_id = looks.group.len() == 64 && looks.group.bytes().all(|b| b.is_ascii_hexdigit());
    Refusal {
        container: if is_id { looks.group.clone() } else { String::new() },
        name: String::new(),
        mnt: looks.mnt,
        pid: tid,
        comm: looks.comm.clone(),
        syscall: syscall(number),
        errno: errno.to_owned(),
        wall,
        capability: None,
        profile: None,
        operation: None,
        count: 1,
    }
}

fn syscall(number: u32) -> String {
    Architecture::NATIVE.name(number).map_or_else(|| number.to_string(), str::to_owned)
}

fn capability(number: u32) -> String {
    CAPABILITIES.get(number as usize).map_or_else(|| format!("CAP_{number}"), |name| (*name).to_owned())
}

#[cfg(test)]
mod tests;
