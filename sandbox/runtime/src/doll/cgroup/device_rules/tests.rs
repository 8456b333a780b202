//! The program, run by an interpreter of the few instructions that it is made of, against the rules as version 1 would read them.

use super::*;

/// What the kernel would have of the program.
fn asks(program: &[u64], kind: Kind, access: i32, major: u32, minor: u32) -> bool {
    let context = [(access as u32) << 16 | kind as u32, major, minor];
    let mut registers = [0_i64; 11];
    let (mut at, mut steps) = (0_usize, 0);
    loop {
        let [code, both, o0, o1, n0, n1, n2, n3] = program[at].to_ne_bytes();
        let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
        let (offset, number) =
            (i16::from_ne_bytes([o0, o1]), i64::from(i32::from_ne_bytes([n0, n1, n2, n3])));
        let jump = usize::try_from(offset).unwrap();
        at += 1;
        steps += 1;
        assert!(steps <= program.len(), "it runs in a circle");
        match code {
            LOAD_WORD => registers[to] = context[jump / 4].into(),
            MOVE => registers[to] = registers[from],
            MOVE_NUMBER => registers[to] = number,
            AND_NUMBER => registers[to] &= number,
            SHIFT_RIGHT => registers[to] >>= number,
            JUMP_UNLESS_EQUAL if registers[to] != number => at += jump,
            JUMP_IF_EQUAL if registers[to] == number => at += jump,
            JUMP_UNLESS_EQUAL | JUMP_IF_EQUAL => {}
            EXIT => return registers[usize::from(ANSWER)] == 1,
            other => panic!("instruction {other:#x}"),
        }
    }
}

/// The rules themselves.
fn allowed(rules: &[Rule], kind: Kind, access: i32, major: u32, minor: u32) -> bool {
    let about = |rule: &&Rule, bit| {
        rule.access & bit != 0
            && rule.kind.is_none_or(|k| k == kind)
            && rule.major.is_none_or(|n| n == major)
            && rule.minor.is_none_or(|n| n == minor)
    };
    [MAKE, READ, WRITE]
        .into_iter()
        .filter(|bit| access & bit != 0)
        .all(|bit| rules.iter().rev().find(|rule| about(rule, bit)).is_none_or(|rule| rule.allow))
}

fn rules(json: serde_json::Value) -> Vec<Rule> {
    let rules: Vec<LinuxDeviceCgroup> = serde_json::from_value(json).unwrap();
    read(&rules).unwrap()
}

#[test]
fn a_program_says_what_its_rules_say() {
    let docker = serde_json::json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "access": "m"},
        {"allow": true, "type": "b", "access": "m"},
        {"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"},
        {"allow": true, "type": "c", "major": 136, "access": "rwm"},
    ]);
    let mixed = serde_json::json!([
        {"allow": true, "type": "a", "access": "rwm"},
        {"allow": false, "type": "b", "major": 8, "access": "w"},
        {"allow": true, "type": "b", "major": 8, "minor": 1, "access": "rw"},
        {"allow": false, "minor": 3, "access": "m"},
        {"allow": false, "type": "c", "major": -1, "minor": 0, "access": "r"},
    ]);
    let mut different = 0;
    for rules in [rules(docker), rules(mixed), vec![]] {
        let program = compile(&rules);
        for kind in [Kind::Block, Kind::Character] {
            for access in 0..8 {
                for (major, minor) in
                    [(1, 3), (1, 5), (8, 0), (8, 1), (8, 3), (136, 9), (0, 0), (4095, 0xf_ffff)]
                {
                    let wanted = allowed(&rules, kind, access, major, minor);
                    different += u32::from(!wanted);
                    let at = format!("{kind:?} {access} {major}:{minor} of {rules:?}");
                    assert_eq!(asks(&program, kind, access, major, minor), wanted, "{at}");
                }
            }
        }
    }
    assert!(different > 50, "the rules refuse nothing");
}

#[test]
fn rules_are_told_in_version_1_s_words() {
    let rules = rules(serde_json::json!([
        {"allow": false},
        {"allow": true, "type": "u", "major": 4, "access": "mr"},
        {"allow": true, "type": "b", "minor": 7, "access": "w"},
    ]));
    assert_eq!(rules.iter().map(Rule::words).collect::<Vec<_>>(), ["a *:* rwm", "c 4:* rm", "b *:7 w"]);
}

#[test]
fn what_is_no_rule_is_refused() {
    for bad in [
        serde_json::json!({"allow": true, "access": "x"}),
        serde_json::json!({"allow": true, "access": ""}),
        serde_json::json!({"allow": true, "type": "p"}),
        serde_json::json!({"allow": true, "major": 1_u64 << 40}),
    ] {
        let rule = serde_json::from_value(bad.clone()).unwrap();
        assert!(read(&[rule]).unwrap_err().call.contains("devices"), "{bad}");
    }
}
