//! Lines that Linux 6.12 really printed, and lines that it never would.

use super::*;

/// The name in the first column is padded to 16 bytes, whatever it is.
fn line(rest: &str) -> Line {
    parse(format!("           <...>-{rest}").as_bytes())
}

fn what(rest: &str) -> What {
    match line(rest) {
        Line::Event(event) => event.what,
        other => panic!("{rest} is {other:?}"),
    }
}

fn speech(rest: &str) -> Speech {
    match what(rest) {
        What::Spoke(speech) => speech,
        other => panic!("{rest} is {other:?}"),
    }
}

#[test]
fn a_call_that_failed() {
    let event = Event { tid: 274, at_us: 89_228_881, what: What::Returned { number: 165, errno: 1 } };
    assert_eq!(line("274     [000] .....    89.228881: sys_exit: NR 165 = -1"), Line::Event(event));
    // A signal's handler has returned.
    let none = What::Returned { number: u32::MAX, errno: 1 };
    assert_eq!(what("260     [000] .....   161.790551: sys_exit: NR -1 = -1"), none);
    // A pid of seven digits fills its column.
    assert_eq!(
        what("4194303 [001] d..2. 161.790551: sys_exit: NR 0 = -13"),
        What::Returned { number: 0, errno: 13 }
    );
}

#[test]
fn what_threads_look_like() {
    let exec = "265     [000] ...1.   211.720755: exec: (__probestub_sched_process_exec+0x4/0x10) pid=265 mnt=4026532244 comm={0x746e756f6d,0x0} group=\"7c50a402178b\"";
    let looks = Looks { mnt: 4_026_532_244, group: "7c50a402178b".into(), comm: "mount".into() };
    assert_eq!(what(exec), What::Exec(looks.clone()));
    let fork = exec.replace("265     [", "144     [").replace("exec: (", "fork: (");
    assert_eq!(what(&fork), What::Fork { child: 265, looks });
    let rename = "275     [000] ...1.    89.2: rename: (x) pid=276 comm={0x6f0a61,0x8877665544332211}";
    assert_eq!(
        what(rename),
        What::Rename { thread: 276, comm: "a\no".into() },
        "the name, and nothing behind it"
    );
    let exit = "275     [000] ...1.    89.249026: exit: (__probestub_sched_process_exit+0x4/0x10) pid=275";
    assert_eq!(what(exit), What::Exit);
}

#[test]
fn capabilities_held_and_not() {
    let text = "303     [000] ...1.    97.598022: cap: (security_capable+0x165/0x180 <- cap_capable) ret=-1 cap=21 \
                opts=0x0 held=0xa82425fb euid=0";
    let held = Speech::Capability { number: 21, granted: false, held: true, of_ids: false, root: true };
    assert_eq!(speech(text), held);
    let text = text.replace("0xa82425fb", "0xa80425fb").replace("euid=0", "euid=1000");
    let missing = Speech::Capability { number: 21, granted: false, held: false, of_ids: false, root: false };
    assert_eq!(speech(&text), missing);
    let text = text.replace("ret=-1 cap=21 opts=0x0", "ret=0 cap=7 opts=0x4");
    let granted = Speech::Capability { number: 7, granted: true, held: true, of_ids: true, root: false };
    assert_eq!(speech(&text), granted);
    // A capability beyond the mask is in no set, and no overflow.
    let text = text.replace("cap=7", "cap=64");
    assert!(matches!(speech(&text), Speech::Capability { number: 64, held: false, .. }));
}

#[test]
fn the_other_walls() {
    let file = "280     [000] .N.1.    89.650988: aa_file: (profile_path_perm+0x10c/0x130 <- aa_audit_file) ret=-13 \
                op=\"open\" profile=\"docker-default\"";
    let wanted = Speech::AppArmor { profile: "docker-default".into(), operation: "open".into() };
    assert_eq!(speech(file), wanted);
    let filter = "274     [000] ...1.    89.228765: seccomp: (syscall_trace_enter+0x90/0x190 <- __seccomp_filter) \
                  ret=-1 nr=165";
    assert_eq!(speech(filter), Speech::Seccomp { number: 165 });
    let device = "282     [000] ...1.    89.671824: device: (inode_permission+0x147/0x190 <- \
                  devcgroup_check_permission) ret=-1 type=1 major=8 minor=0 access=2";
    assert_eq!(speech(device), Speech::Device("b 8:0 r".into()));
    assert_eq!(
        speech(&device.replace("type=1", "type=2").replace("access=2", "access=7")),
        Speech::Device("c 8:0 mrw".into())
    );
}

#[test]
fn lost_events_are_counted() {
    assert_eq!(parse(b"CPU:0 [LOST 1234 EVENTS]"), Line::Lost(1234));
    assert_eq!(parse(b"CPU:0 [LOST EVENTS]"), Line::Odd);
}

#[test]
fn nothing_else_is_an_event_and_nothing_panics() {
    let whole: &[u8] = b"           <...>-274     [000] ...1.    89.228765: cap: (a <- b) ret=-1 cap=21 opts=0x0 held=0x1 euid=0";
    assert!(matches!(parse(whole), Line::Event(_)));
    for end in 0..whole.len() - 1 {
        // Cut anywhere, it is no event: at most one with a shorter number at the very end, which is why that is left out.
        assert_eq!(parse(&whole[..end]), Line::Odd, "{end}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.to_vec();
        for byte in [0, b'\n', b' ', b'-', b'9', 0xff] {
            changed[at] = byte;
            let _ = parse(&changed);
        }
    }
    for odd in [
        "",
        "-",
        "274     [000] ...1.    89.228765: other: (a <- b) ret=-1",
        "274     [000] ...1.    18446744073709551615.9: sys_exit: NR 1 = -1",
        "274     [000] ...1.    1.9: sys_exit: NR 1 = 9223372036854775807",
        "274     [000] ...1.    1.9: device: (a <- b) ret=-1 type=1",
        "274     [000] ...1.    1.9: exec: (a) pid=1 mnt=1 group=\"\"",
        "x       [000] ...1.    1.9: exit: (a) pid=1",
    ] {
        assert_eq!(line(odd), Line::Odd, "{odd}");
    }
    // What is not at its place in the line is a name, or a line's remainder.
    assert_eq!(parse(b"-274     [000] .....    89.228881: sys_exit: NR 165 = -1"), Line::Odd);
}
