//! What a seccomp section means: for each architecture, what becomes of each call number.
//!
//! The meaning is that of runc and libseccomp, which tutorials and Docker rest on:
//! - a rule whose action is the default action says nothing;
//! - a rule without arguments beats rules with arguments for the same call, the first of several wins;
//! - several comparisons in one rule must all hold, except that comparisons of one argument with several values
//!   are alternatives;
//! - a call newer than every call that the section names fails with ENOSYS rather than the default errno, so that
//!   programs fall back to older calls;
//! - on i386, `socket` and its kin, and the System V calls, are also reachable through `socketcall` and `ipc`.

use super::invalid;
use super::syscalls::{Architecture, Row, X32_BIT};
use crate::Error;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator};

/// What a filter returns: `SECCOMP_RET_*` with its data.
pub type Action = u32;

/// `SECCOMP_RET_KILL_THREAD`: for the programs of an architecture that the section does not list.
pub const KILL: Action = 0;
const ENOSYS: Action = 0x0005_0000 | 38;

/// One comparison of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    pub argument: u32,
    pub operator: LinuxSeccompOperator,
    /// The value, or for `MaskedEq` the mask.
    pub value: u64,
    /// For `MaskedEq`: what the masked argument must be.
    pub masked: u64,
    /// Whether only the lower 32 bits count.
    pub narrow: bool,
}

/// All comparisons must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    pub comparisons: Vec<Comparison>,
    pub action: Action,
}

/// What becomes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Always(Action),
    /// The first whose comparisons hold, or else the last field.
    Guarded(Vec<Guarded>, Action),
}

/// The outcomes for one audit architecture: each from its number up to the next. The first number is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub audit: u32,
    pub outcomes: Ranges,
}

/// The tables of this machine's own audit architecture and of the others in its family that the section lists.
pub fn tables(seccomp: &LinuxSeccomp) -> Result<Vec<Table>, Error> {
    tables_on(seccomp, Architecture::NATIVE)
}

/// [`tables`] for a machine of another architecture.
pub fn tables_on(seccomp: &LinuxSeccomp, native: Architecture) -> Result<Vec<Table>, Error> {
    let listed = seccomp.architectures().as_deref().unwrap_or_default();
    let on_machine =
        native.family().iter().filter(|arch| **arch == native || listed.contains(&arch.to_oci()));
    let mut tables: Vec<Table> = Vec::new();
    for (arch, outcomes) in outcomes(seccomp, on_machine.copied())? {
        match tables.iter_mut().find(|table| table.audit == arch.audit()) {
            Some(table) => table.splice(arch, outcomes),
            None => tables.push(Table::new(arch, outcomes)),
        }
    }
    Ok(tables)
}

impl Table {
    fn new(arch: Architecture, outcomes: Ranges) -> Self {
        let mut table = Self { audit: arch.audit(), outcomes: vec![(0, Outcome::Always(KILL))] };
        if arch == Architecture::X86_64 {
            // Until x32 is spliced in, its half of the numbers is another architecture's.
            table.outcomes = outcomes;
            table.outcomes.retain(|(number, _)| *number < X32_BIT);
            table.outcomes.push((X32_BIT, Outcome::Always(KILL)));
        } else {
            table.splice(arch, outcomes);
        }
        table
    }

    /// Puts in the outcomes of an architecture that shares this audit number: x32's are the numbers with its bit.
    fn splice(&mut self, arch: Architecture, outcomes: Ranges) {
        let first = if arch == Architecture::X32 { X32_BIT } else { 0 };
        self.outcomes.retain(|(number, _)| *number < first);
        self.outcomes.extend(outcomes.into_iter().map(|(number, outcome)| (number.max(first), outcome)));
    }
}

/// Outcomes from each number up to the next, neighbours that agree merged.
type Ranges = Vec<(u32, Outcome)>;

/// The outcomes of each architecture over its whole range of numbers.
fn outcomes(
    seccomp: &LinuxSeccomp,
    on: impl Iterator<Item = Architecture>,
) -> Result<Vec<(Architecture, Ranges)>, Error> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret())?;
    let mut calls: Vec<Calls> = on.map(|arch| Calls::new(arch, default)).collect();
    for rule in seccomp.syscalls().iter().flatten() {
        let action = action(rule.action(), rule.errno_ret())?;
        let alternatives = alternatives(rule.args().as_deref().unwrap_or_default())?;
        for (name, row) in rule.names().iter().filter_map(|name| Some((name, Row::of(name)?))) {
            calls.iter_mut().for_each(|calls| calls.add(name, row, &alternatives, action));
        }
    }
    let beyond = if hides_the_new(seccomp) { ENOSYS } else { default };
    Ok(calls.into_iter().map(|calls| (calls.arch, calls.into_ranges(beyond))).collect())
}

/// Whether a call newer than the section is told to not exist, rather than meet the default action.
fn hides_the_new(seccomp: &LinuxSeccomp) -> bool {
    use LinuxSeccompAction::{ScmpActAllow, ScmpActLog, ScmpActTrace};
    !matches!(seccomp.default_action(), ScmpActAllow | ScmpActLog | ScmpActTrace)
}

/// The calls of one architecture that the section says something about.
struct Calls {
    arch: Architecture,
    default: Action,
    /// What was said of which number, in the section's order.
    said: Vec<(u32, Guarded)>,
    /// The largest number that any rule names, even one that says nothing.
    newest: Option<u32>,
}

impl Calls {
    fn new(arch: Architecture, default: Action) -> Self {
        Self { arch, default, said: Vec::with_capacity(512), newest: None }
    }

    fn add(&mut self, name: &str, row: Row, alternatives: &[Vec<Comparison>], action: Action) {
        let Some(number) = row.number(self.arch) else { return };
        self.newest = self.newest.max(Some(number));
        if action == self.default {
            return;
        }
        for comparisons in alternatives {
            let narrowed = comparisons.iter().map(|comparison| comparison.on(self.arch)).collect();
            self.said.push((number, Guarded { comparisons: narrowed, action }));
        }
        if self.arch == Architecture::I386 && alternatives.iter().any(Vec::is_empty) {
            self.add_multiplexed(name, action);
        }
    }

    fn add_multiplexed(&mut self, name: &str, action: Action) {
        let Some((through, code)) = multiplexed(name) else { return };
        let Some(number) = Row::of(through).and_then(|row| row.number(self.arch)) else { return };
        let operator = LinuxSeccompOperator::ScmpCmpEq;
        let comparison = Comparison { argument: 0, operator, value: code, masked: 0, narrow: true };
        self.said.push((number, Guarded { comparisons: vec![comparison], action }));
    }

    fn into_ranges(mut self, beyond: Action) -> Ranges {
        // A stable sort: what was said of one number stays in order.
        self.said.sort_by_key(|(number, _)| *number);
        let default = Outcome::Always(self.default);
        let mut ranges = Vec::with_capacity(256);
        ranges.push((0, default.clone()));
        for of_one in self.said.chunk_by(|a, b| a.0 == b.0) {
            let number = of_one[0].0;
            push_range(&mut ranges, number, self.outcome(of_one));
            push_range(&mut ranges, number + 1, default.clone());
        }
        if let Some(newest) = self.newest {
            push_range(&mut ranges, newest + 1, Outcome::Always(beyond));
        }
        ranges
    }

    fn outcome(&self, said: &[(u32, Guarded)]) -> Outcome {
        match said.iter().find(|(_, rule)| rule.comparisons.is_empty()) {
            Some((_, rule)) => Outcome::Always(rule.action),
            None => Outcome::Guarded(said.iter().map(|(_, rule)| rule.clone()).collect(), self.default),
        }
    }
}

/// Begins a range at `first`, which is at or after the last one's beginning.
fn push_range(ranges: &mut Ranges, first: u32, outcome: Outcome) {
    if ranges.last().is_some_and(|(last, _)| *last == first) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|(_, last)| *last != outcome) {
        ranges.push((first, outcome));
    }
}

impl Comparison {
    fn of(argument: &LinuxSeccompArg) -> Result<Self, Error> {
        /// System calls have six arguments.
        const ARGUMENTS: usize = 6;
        let index = argument.index();
        if index >= ARGUMENTS {
            return Err(invalid(format!("args: index {index}; a system call's arguments are 0 to 5")));
        }
        let (value, masked) = (argument.value(), argument.value_two().unwrap_or(0) & argument.value());
        Ok(Self { argument: index as u32, operator: argument.op(), value, masked, narrow: false })
    }

    /// The same on an architecture whose arguments may have but 32 bits.
    fn on(&self, arch: Architecture) -> Self {
        let lower = u64::from(u32::MAX);
        match arch.is_32_bit() {
            true => Self { value: self.value & lower, masked: self.masked & lower, narrow: true, ..*self },
            false => *self,
        }
    }
}

/// A rule's comparisons as alternatives of which one must hold, each a list that must hold altogether.
fn alternatives(arguments: &[LinuxSeccompArg]) -> Result<Vec<Vec<Comparison>>, Error> {
    let comparisons: Vec<Comparison> = arguments.iter().map(Comparison::of).collect::<Result<_, _>>()?;
    let mut seen = [false; 6];
    let repeats = comparisons.iter().any(|c| std::mem::replace(&mut seen[c.argument as usize], true));
    Ok(if repeats { comparisons.into_iter().map(|c| vec![c]).collect() } else { vec![comparisons] })
}

/// `SECCOMP_RET_*` for an action of the Spec.
fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<Action, Error> {
    const EPERM: u32 = 1;
    let data = errno.unwrap_or(EPERM);
    if data > 0xffff {
        return Err(invalid(format!("errnoRet: {data}; it is at most 65535")));
    }
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => KILL,
        LinuxSeccompAction::ScmpActKillProcess => 0x8000_0000,
        LinuxSeccompAction::ScmpActTrap => 0x0003_0000,
        LinuxSeccompAction::ScmpActErrno => 0x0005_0000 | data,
        LinuxSeccompAction::ScmpActTrace => 0x7ff0_0000 | data,
        LinuxSeccompAction::ScmpActLog => 0x7ffc_0000,
        LinuxSeccompAction::ScmpActAllow => 0x7fff_0000,
        LinuxSeccompAction::ScmpActNotify => {
            return Err(invalid("action: SCMP_ACT_NOTIFY; this runtime serves no seccomp listener"));
        }
    })
}

/// The old i386 call that also does the work of `name`, and the code that its first argument selects it by.
fn multiplexed(name: &str) -> Option<(&'static str, u64)> {
    let socket = |code| Some(("socketcall", code));
    let ipc = |code| Some(("ipc", code));
    match name {
        "socket" => socket(1),
        "bind" => socket(2),
        "connect" => socket(3),
        "listen" => socket(4),
        "accept" => socket(5),
        "getsockname" => socket(6),
        "getpeername" => socket(7),
        "socketpair" => socket(8),
        "send" => socket(9),
        "recv" => socket(10),
        "sendto" => socket(11),
        "recvfrom" => socket(12),
        "shutdown" => socket(13),
        "setsockopt" => socket(14),
        "getsockopt" => socket(15),
        "sendmsg" => socket(16),
        "recvmsg" => socket(17),
        "accept4" => socket(18),
        "recvmmsg" => socket(19),
        "sendmmsg" => socket(20),
        "semop" => ipc(1),
        "semget" => ipc(2),
        "semctl" => ipc(3),
        "semtimedop" => ipc(4),
        "msgsnd" => ipc(11),
        "msgrcv" => ipc(12),
        "msgget" => ipc(13),
        "msgctl" => ipc(14),
        "shmat" => ipc(21),
        "shmdt" => ipc(22),
        "shmget" => ipc(23),
        "shmctl" => ipc(24),
        _ => None,
    }
}
