//! From tables of outcomes to classic BPF: an architecture dispatch, then a binary search over call numbers.
//!
//! A binary search rather than a chain of comparisons, because the kernel runs the program once for each call number when
//! it is installed (to learn which calls are always allowed), and again at each call that depends on its arguments.

use super::rules::{Comparison, Guarded, KILL, Outcome, Table};
use super::{INSTRUCTIONS_MAX, SockFilter, invalid};
use crate::Error;
use oci_spec::runtime::LinuxSeccompOperator as Operator;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in the kernel's `struct seccomp_data`; the machines that we run on are little-endian.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

type Code = Vec<SockFilter>;

/// The whole program. An error says that it would be longer than the kernel takes.
pub fn assemble(tables: &[Table]) -> Result<Code, Error> {
    let mut bodies = ret(KILL);
    for table in tables.iter().rev() {
        let mut body = load(NUMBER);
        body.extend(search(&table.outcomes));
        // Skips this body where the architecture is another one.
        let mut block = branch(JUMP_EQUAL, table.audit, &body);
        block.extend(body);
        block.extend(bodies);
        bodies = block;
    }
    let mut program = load(ARCHITECTURE);
    program.extend(bodies);
    if program.len() > INSTRUCTIONS_MAX {
        let length = program.len();
        return Err(invalid(format!(
            "a filter of {length} instructions; the kernel takes {INSTRUCTIONS_MAX}: use fewer rules with arguments"
        )));
    }
    Ok(program)
}

/// Finds the last range that begins at or before the number that is loaded. `ranges` is not empty.
fn search(ranges: &[(u32, Outcome)]) -> Code {
    if let [(_, outcome)] = ranges {
        return leaf(outcome);
    }
    let (below, from) = ranges.split_at(ranges.len() / 2);
    let (below, upper) = (search(below), search(from));
    let mut code = branch(JUMP_GREATER_OR_EQUAL, from[0].0, &upper);
    code.extend(upper);
    code.extend(below);
    code
}

/// Goes on where the comparison holds, and skips `body` where it does not. Conditional jumps reach 255
/// instructions; beyond that an unconditional one takes over.
fn branch(comparison: u16, value: u32, body: &[SockFilter]) -> Code {
    match u8::try_from(body.len()) {
        Ok(skip) => vec![jump(comparison, value, 0, skip)],
        Err(_) => {
            vec![jump(comparison, value, 1, 0), SockFilter { code: JUMP, jt: 0, jf: 0, k: body.len() as u32 }]
        }
    }
}

fn leaf(outcome: &Outcome) -> Code {
    match outcome {
        Outcome::Always(action) => ret(*action),
        Outcome::Guarded(rules, otherwise) => {
            let mut code: Code = rules.iter().flat_map(guarded).collect();
            code.extend(ret(*otherwise));
            code
        }
    }
}

/// A rule, which ends the program where its comparisons hold and runs off its own end where one does not.
fn guarded(rule: &Guarded) -> Code {
    let mut code = ret(rule.action);
    for comparison in rule.comparisons.iter().rev() {
        // At most six comparisons of six instructions come before the end, so a byte holds the distance.
        let mut test = compare(comparison, code.len() as u8);
        test.append(&mut code);
        code = test;
    }
    code
}

/// One comparison: runs off its end where it holds, and skips `fail` further instructions where it does not.
fn compare(comparison: &Comparison, fail: u8) -> Code {
    let low_at = ARGUMENTS + 8 * comparison.argument;
    let (low, high) = halves(comparison.value);
    let mut lower = load(low_at);
    lower.extend(match comparison.operator {
        Operator::ScmpCmpEq => vec![jump(JUMP_EQUAL, low, 0, fail)],
        Operator::ScmpCmpNe => vec![jump(JUMP_EQUAL, low, fail, 0)],
        Operator::ScmpCmpGt => vec![jump(JUMP_GREATER, low, 0, fail)],
        Operator::ScmpCmpLe => vec![jump(JUMP_GREATER, low, fail, 0)],
        Operator::ScmpCmpGe => vec![jump(JUMP_GREATER_OR_EQUAL, low, 0, fail)],
        Operator::ScmpCmpLt => vec![jump(JUMP_GREATER_OR_EQUAL, low, fail, 0)],
        Operator::ScmpCmpMaskedEq => {
            vec![mask(low), jump(JUMP_EQUAL, halves(comparison.masked).0, 0, fail)]
        }
    });
    if comparison.narrow {
        return lower;
    }
    let hold = lower.len() as u8;
    let fail = fail + hold;
    let mut code = load(low_at + 4);
    code.extend(match comparison.operator {
        Operator::ScmpCmpEq => vec![jump(JUMP_EQUAL, high, 0, fail)],
        Operator::ScmpCmpNe => vec![jump(JUMP_EQUAL, high, 0, hold)],
        Operator::ScmpCmpGt | Operator::ScmpCmpGe => {
            vec![jump(JUMP_GREATER, high, hold + 1, 0), jump(JUMP_EQUAL, high, 0, fail)]
        }
        Operator::ScmpCmpLt | Operator::ScmpCmpLe => {
            vec![jump(JUMP_GREATER, high, fail + 1, 0), jump(JUMP_EQUAL, high, 0, hold)]
        }
        Operator::ScmpCmpMaskedEq => {
            vec![mask(high), jump(JUMP_EQUAL, halves(comparison.masked).1, 0, fail)]
        }
    });
    code.extend(lower);
    code
}

fn halves(value: u64) -> (u32, u32) {
    (value as u32, (value >> 32) as u32)
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter { code, jt, jf, k }
}

fn mask(k: u32) -> SockFilter {
    SockFilter { code: AND, jt: 0, jf: 0, k }
}

fn load(offset: u32) -> Code {
    vec![SockFilter { code: LOAD, jt: 0, jf: 0, k: offset }]
}

fn ret(action: u32) -> Code {
    vec![SockFilter { code: RETURN, jt: 0, jf: 0, k: action }]
}
