//! Which devices a group's processes may open and make, in version 2: a program in the kernel that is asked each time
//! (`BPF_PROG_TYPE_CGROUP_DEVICE`), compiled from the rules of a Spec. Version 1 takes the rules as words, in
//! [`super::limits`].
//!
//! Each of reading, writing and making is decided by the last rule that is about it, as in version 1. What no rule is about is
//! allowed, as in a new group of version 1.

use crate::Error;
use crate::error::{Call, Failed};
use crate::sys;
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use std::path::Path;

/// What may be done with which devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub allow: bool,
    /// A block or character device; `None`: both.
    pub kind: Option<Kind>,
    /// `None`: all.
    pub major: Option<u32>,
    /// `None`: all.
    pub minor: Option<u32>,
    /// Of [`MAKE`], [`READ`] and [`WRITE`].
    pub access: i32,
}

/// Its values are the kernel's `BPF_DEVCG_DEV_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Block = 1,
    Character = 2,
}

/// `BPF_DEVCG_ACC_…`.
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// The kernel takes programs of up to a million instructions, and a rule is nine; no machine has so many devices.
const RULES_MAX: usize = 4096;

/// Reads the rules of a Spec.
pub(super) fn read(rules: &[LinuxDeviceCgroup]) -> Result<Vec<Rule>, Error> {
    let bad = |why: String| Error::field("linux.resources.devices", why);
    if rules.len() > RULES_MAX {
        return Err(bad(format!("there are more than {RULES_MAX} rules")));
    }
    rules.iter().map(|rule| read_one(rule).map_err(bad)).collect()
}

fn read_one(rule: &LinuxDeviceCgroup) -> Result<Rule, String> {
    let kind = match rule.typ() {
        None | Some(LinuxDeviceType::A) => None,
        Some(LinuxDeviceType::B) => Some(Kind::Block),
        Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(Kind::Character),
        Some(other) => return Err(format!("{other:?} is not a device")),
    };
    let words = rule.access().as_deref().unwrap_or("rwm");
    let mut access = 0;
    for word in words.bytes() {
        access |= match word {
            b'm' => MAKE,
            b'r' => READ,
            b'w' => WRITE,
            _ => return Err(format!("{words:?} is not of r, w and m")),
        };
    }
    if access == 0 {
        return Err("a rule about no access".into());
    }
    // Negative numbers are all, and the kernel's own end at 12 and 20 bits.
    let number = |number: Option<i64>| match number.filter(|&number| number >= 0) {
        None => Ok(None),
        Some(number) => i32::try_from(number)
            .map(|n| Some(n.unsigned_abs()))
            .map_err(|_| format!("{number} is no device's number")),
    };
    Ok(Rule { allow: rule.allow(), kind, major: number(rule.major())?, minor: number(rule.minor())?, access })
}

impl Rule {
    /// As version 1 takes it: `c 1:3 rwm`.
    pub(super) fn words(&self) -> String {
        let kind = match self.kind {
            None => 'a',
            Some(Kind::Block) => 'b',
            Some(Kind::Character) => 'c',
        };
        let number = |number: Option<u32>| number.map_or("*".to_owned(), |number| number.to_string());
        let access: String = [('r', READ), ('w', WRITE), ('m', MAKE)]
            .iter()
            .filter(|(_, bit)| self.access & bit != 0)
            .map(|(c, _)| c)
            .collect();
        format!("{kind} {}:{} {access}", number(self.major), number(self.minor))
    }
}

/// Has the kernel ask these rules about the processes of a group and of all groups below it, beside those that it asks already.
pub(super) fn attach(group: &Path, rules: &[Rule]) -> Result<(), Failed> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(group, flags, Mode::empty()).call(|| format!("open({group:?})"))?;
    let program =
        sys::load_device_program(&compile(rules)).call(|| "bpf(BPF_PROG_LOAD, a device program)")?;
    sys::attach_device_program(directory.as_fd(), program.as_fd())
        .call(|| format!("bpf(BPF_PROG_ATTACH, {group:?})"))
}

/// Whether the kernel takes such programs from the caller.
pub(super) fn are_possible() -> bool {
    sys::load_device_program(&compile(&[])).is_ok()
}

// Registers: what the kernel gives (r1, which points to `struct bpf_cgroup_dev_ctx`), the answer (r0), and our own.
const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const LEFT: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

// Instructions, as linux/bpf.h puts their codes together.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xbf;
const MOVE_NUMBER: u8 = 0xb7;
const AND_NUMBER: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_IF_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

/// One instruction.
fn instruction(code: u8, to: u8, from: u8, offset: i16, number: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
    let [o0, o1] = offset.to_ne_bytes();
    let [n0, n1, n2, n3] = number.to_ne_bytes();
    u64::from_ne_bytes([code, registers, o0, o1, n0, n1, n2, n3])
}

/// The program. What is asked for is kept in a register, the last rule comes first, and each takes away what it allows, until
/// nothing is left.
fn compile(rules: &[Rule]) -> Vec<u64> {
    let number = |code, to, number| instruction(code, to, 0, 0, number);
    let answer = |allow: bool| [number(MOVE_NUMBER, ANSWER, i32::from(allow)), instruction(EXIT, 0, 0, 0, 0)];
    let mut program = vec![
        // access_type: the kind in its lower half, what is asked for in its upper.
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(MOVE, LEFT, KIND, 0, 0),
        number(SHIFT_RIGHT, LEFT, 16),
        number(AND_NUMBER, KIND, 0xffff),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for rule in rules.iter().rev() {
        // What is done where the rule is about it; what is jumped over where it is not.
        let mut decided = vec![];
        if rule.allow {
            decided.push(number(AND_NUMBER, LEFT, !rule.access));
            decided.push(instruction(JUMP_UNLESS_EQUAL, LEFT, 0, 2, 0));
        }
        decided.extend(answer(rule.allow));
        let mut whole = vec![
            instruction(MOVE, SCRATCH, LEFT, 0, 0),
            number(AND_NUMBER, SCRATCH, rule.access),
            instruction(JUMP_IF_EQUAL, SCRATCH, 0, decided.len() as i16, 0),
        ];
        whole.extend(decided);
        for (register, wanted) in
            [(MINOR, rule.minor), (MAJOR, rule.major), (KIND, rule.kind.map(|kind| kind as u32))]
        {
            if let Some(wanted) = wanted {
                whole.insert(
                    0,
                    instruction(JUMP_UNLESS_EQUAL, register, 0, whole.len() as i16, wanted as i32),
                );
            }
        }
        program.extend(whole);
    }
    program.extend(answer(true));
    program
}

#[cfg(test)]
mod tests;
