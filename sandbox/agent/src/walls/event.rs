//! A line of the kernel's trace as an event. Pure.
//!
//! No text in these lines is a container's to choose: names of processes come as numbers, and paths do not come at all. So a
//! line cannot be forged from in there; one that root of the machine has forged is worth what root's word is.

/// What happened, and to which thread of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The thread's pid on the machine, which is the lab host.
    pub tid: u32,
    /// When, in microseconds of the kernel's clock.
    pub at_us: u64,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The thread executes a program.
    Exec(Looks),
    /// The thread has made another one.
    Fork {
        /// The new one's pid.
        child: u32,
        /// What it looks like.
        looks: Looks,
    },
    /// A thread, not always this one, is about to be called something else.
    Rename {
        /// Its pid.
        thread: u32,
        /// `comm`.
        comm: String,
    },
    /// The thread is gone.
    Exit,
    /// A wall has refused, or, of a capability, has not.
    Spoke(Speech),
    /// A system call is over, with an errno of those that walls give.
    Returned {
        /// Its number.
        number: u32,
        /// The errno.
        errno: i32,
    },
}

/// What is told of a thread when it appears.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// The inode of its mount namespace.
    pub mnt: u64,
    /// The last part of its cgroup's name.
    pub group: String,
    /// `comm`.
    pub comm: String,
}

/// What a wall said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speech {
    /// A capability was asked for.
    Capability {
        /// Its number.
        number: u32,
        /// Whether the answer was yes.
        granted: bool,
        /// Whether it was in the effective set.
        held: bool,
        /// Whether it was asked on behalf of a change of ids, which may go on without it.
        of_ids: bool,
        /// Whether the process is root of its user namespace's parent: its effective uid is 0 outside.
        root: bool,
    },
    /// AppArmor refused.
    AppArmor {
        /// The profile.
        profile: String,
        /// What was asked for.
        operation: String,
    },
    /// A filter on system calls answered in the kernel's place.
    Seccomp {
        /// The call.
        number: u32,
    },
    /// A filter on system calls has the caller killed.
    Killed {
        /// The call.
        number: u32,
    },
    /// A device rule refused: `b 8:0 r`.
    Device(String),
    /// Yama refused.
    Yama,
    /// Lockdown refused.
    Lockdown,
}

/// What one line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An event.
    Event(Event),
    /// So many events were overwritten before they were read.
    Lost(u64),
    /// Nothing that is understood.
    Odd,
}

/// `CAP_OPT_INSETID` of the kernel's security.h.
const OF_IDS: u64 = 4;

/// How the kernel begins the last part of a device's rule: what is done with it, one bit each.
const ACCESS: [(u64, char); 3] = [(1, 'm'), (2, 'r'), (4, 'w')];

/// The column that ends the name of the task, which is padded to 16 and never longer.
const NAME_ENDS_AT: usize = 16;

/// Reads a line.
pub fn parse(line: &[u8]) -> Line {
    if let Some(count) = lost(line) {
        return Line::Lost(count);
    }
    event(line).map_or(Line::Odd, Line::Event)
}

/// `CPU:0 [LOST 123 EVENTS]`.
fn lost(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line).ok()?;
    let count = text.strip_prefix("CPU:")?.split_once("[LOST ")?.1.strip_suffix(" EVENTS]")?;
    count.parse().ok()
}

/// `           <...>-274     [000] ...1.    89.228765: seccomp: (caller <- function) ret=-1 nr=165`
fn event(line: &[u8]) -> Option<Event> {
    if line.get(NAME_ENDS_AT) != Some(&b'-') {
        return None;
    }
    let text = std::str::from_utf8(line.get(NAME_ENDS_AT + 1..)?).ok()?;
    let (tid, rest) = text.split_once(' ')?;
    let (_processor, rest) = rest.trim_start().split_once(' ')?;
    let (_flags, rest) = rest.trim_start().split_once(' ')?;
    let (time, rest) = rest.trim_start().split_once(": ")?;
    let (seconds, micros) = time.split_once('.')?;
    let at_us = seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros.parse().ok()?)?;
    let (name, rest) = rest.split_once(": ")?;
    let what = match name {
        "sys_exit" => returned(rest)?,
        _ => probed(name, &Fields(rest.split_once(") ").map_or("", |(_, fields)| fields)))?,
    };
    Some(Event { tid: tid.parse().ok()?, at_us, what })
}

/// `NR 165 = -1`. The number is negative where a signal's handler has returned: no call at all.
fn returned(text: &str) -> Option<What> {
    let (number, result) = text.strip_prefix("NR ")?.split_once(" = ")?;
    let (number, result): (i64, i64) = (number.parse().ok()?, result.trim().parse().ok()?);
    Some(What::Returned {
        number: u32::try_from(number).unwrap_or(u32::MAX),
        errno: i32::try_from(-result).ok()?,
    })
}

fn probed(name: &str, fields: &Fields<'_>) -> Option<What> {
    let speech = match name {
        "exec" => return Some(What::Exec(fields.looks()?)),
        "fork" => return Some(What::Fork { child: fields.number("pid")?, looks: fields.looks()? }),
        "rename" => return Some(What::Rename { thread: fields.number("pid")?, comm: fields.comm()? }),
        "exit" => return Some(What::Exit),
        "cap" => {
            let number: u32 = fields.number("cap")?;
            Speech::Capability {
                number,
                granted: fields.number::<i32>("ret")? == 0,
                held: fields.hex("held")?.checked_shr(number).unwrap_or(0) & 1 == 1,
                of_ids: fields.hex("opts")? & OF_IDS != 0,
                root: fields.number::<u32>("euid")? == 0,
            }
        }
        "seccomp" => Speech::Seccomp { number: fields.number("nr")? },
        "killed" => Speech::Killed { number: fields.number("nr")? },
        "device" => Speech::Device(fields.device()?),
        "yama" => Speech::Yama,
        "lockdown" => Speech::Lockdown,
        _ if name.starts_with("aa_") => {
            Speech::AppArmor { profile: fields.text("profile")?, operation: fields.text("op")? }
        }
        _ => return None,
    };
    Some(What::Spoke(speech))
}

/// `name=value name="text" name={1,2}`. A text comes last, or has neither spaces nor quotes in it: else what it is cut to is
/// what it is.
struct Fields<'t>(&'t str);

impl Fields<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    }

    fn number<N: std::str::FromStr>(&self, name: &str) -> Option<N> {
        self.value(name)?.parse().ok()
    }

    fn hex(&self, name: &str) -> Option<u64> {
        hex(self.value(name)?)
    }

    /// A fault while reading is told as `(fault)`, without quotes.
    fn text(&self, name: &str) -> Option<String> {
        Some(self.value(name)?.trim_matches('"').to_owned())
    }

    fn list(&self, name: &str) -> Option<impl Iterator<Item = &str>> {
        Some(self.value(name)?.strip_prefix('{')?.strip_suffix('}')?.split(','))
    }

    fn looks(&self) -> Option<Looks> {
        Some(Looks { mnt: self.number("mnt")?, group: self.text("group")?, comm: self.comm()? })
    }

    /// Two numbers of eight bytes each; what lies behind the first zero byte is not the name's.
    fn comm(&self) -> Option<String> {
        let words: Option<Vec<u64>> = self.list("comm")?.map(hex).collect();
        let bytes: Vec<u8> =
            words?.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn device(&self) -> Option<String> {
        let (kind, access): (u64, u64) = (self.number("type")?, self.number("access")?);
        let kind = if kind == 1 { 'b' } else { 'c' };
        let access: String =
            ACCESS.iter().filter(|(bit, _)| access & bit != 0).map(|(_, letter)| letter).collect();
        let (major, minor): (u32, u32) = (self.number("major")?, self.number("minor")?);
        Some(format!("{kind} {major}:{minor} {access}"))
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

#[cfg(test)]
mod tests;
