//! Events as they came from a real kernel, in that order; and orders that tell a right judge from a hasty one.

use super::*;

const HOST: u64 = 4_026_532_238;
const CONTAINER: u64 = 4_026_532_244;
const MOUNT: u32 = 165;
const OPENAT: u32 = 257;

fn looks(mnt: u64) -> Looks {
    let group = if mnt == HOST { String::new() } else { "ab".repeat(32) };
    Looks { mnt, group, comm: "mount".into() }
}

fn capability(number: u32) -> Speech {
    Speech::Capability { number, granted: false, held: false, of_ids: false, root: true }
}

/// Takes events of thread 7, a tenth of a millisecond apart.
fn judged(judge: &mut Judge, events: impl IntoIterator<Item = What>) -> Vec<Refusal> {
    let numbered = events.into_iter().zip(1..);
    numbered.filter_map(|(what, at)| judge.take(Event { tid: 7, at_us: at * 100, what })).collect()
}

/// What comes of these events in a container.
fn in_container(events: impl IntoIterator<Item = What>) -> Vec<Refusal> {
    let mut judge = Judge::new([1, HOST]);
    judged(&mut judge, [What::Exec(looks(CONTAINER))]);
    judged(&mut judge, events)
}

fn one(events: impl IntoIterator<Item = What>) -> Refusal {
    let mut all = in_container(events);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn returned(number: u32, errno: i32) -> What {
    What::Returned { number, errno }
}

#[test]
fn a_missing_capability_is_named_with_its_call() {
    let refusal = one([What::Spoke(capability(21)), returned(MOUNT, EPERM)]);
    let words = (refusal.syscall.as_str(), refusal.errno.as_str(), refusal.comm.as_str());
    assert_eq!(words, ("mount", "EPERM", "mount"));
    assert_eq!((refusal.wall, refusal.capability.as_deref()), (Wall::Capability, Some("CAP_SYS_ADMIN")));
    assert_eq!((refusal.pid, refusal.mnt, refusal.container.len(), refusal.count), (7, CONTAINER, 64, 1));
}

#[test]
fn only_a_call_that_fails_has_met_a_wall() {
    // The call that asked for it went well, and so its end was not told; a later one failed for something else.
    assert_eq!(in_container([What::Spoke(capability(21))]), []);
    let after = one([
        What::Spoke(Speech::Capability { number: 7, granted: false, held: false, of_ids: true, root: false }),
        returned(OPENAT, EACCES),
    ]);
    assert_eq!(
        (after.wall, after.capability),
        (Wall::Other, None),
        "setuid to its own id is no reason for openat"
    );
    // An end takes along what was said before it.
    let both = in_container([What::Spoke(capability(21)), returned(MOUNT, EPERM), returned(OPENAT, EACCES)]);
    assert_eq!(both[1].wall, Wall::Other);
    // What was said long ago is no reason either.
    let mut judge = Judge::new([HOST]);
    judged(&mut judge, [What::Exec(looks(CONTAINER)), What::Spoke(capability(21))]);
    let late = Event { tid: 7, at_us: 200 + BEFORE_END_US + 1, what: returned(MOUNT, EPERM) };
    assert_eq!(judge.take(late).unwrap().wall, Wall::Other);
}

#[test]
fn the_second_of_two_capabilities_that_would_do_clears_the_first() {
    let granted =
        Speech::Capability { number: OVERRIDE, granted: true, held: true, of_ids: false, root: true };
    let refusal =
        one([What::Spoke(capability(READ_SEARCH)), What::Spoke(granted.clone()), returned(OPENAT, EACCES)]);
    assert_eq!(refusal.wall, Wall::Other);
    // It clears nothing else.
    let refusal = one([What::Spoke(capability(21)), What::Spoke(granted), returned(OPENAT, EPERM)]);
    assert_eq!(refusal.capability.as_deref(), Some("CAP_SYS_ADMIN"));
}

#[test]
fn held_in_the_wrong_user_namespace_is_not_missing() {
    let held = Speech::Capability { number: 21, granted: false, held: true, of_ids: false, root: false };
    let refusal = one([What::Spoke(held), returned(170, EPERM)]);
    assert_eq!((refusal.wall, refusal.syscall.as_str()), (Wall::UserNamespace, "sethostname"));
    assert_eq!(refusal.capability.as_deref(), Some("CAP_SYS_ADMIN"));
}

#[test]
fn a_file_s_mode_is_a_wall_for_who_is_not_root_and_the_capability_for_root() {
    for (root, wall) in [(false, Wall::FilePermission), (true, Wall::Capability)] {
        let speech = |number| {
            What::Spoke(Speech::Capability { number, granted: false, held: false, of_ids: false, root })
        };
        let refusal = one([speech(READ_SEARCH), speech(OVERRIDE), returned(OPENAT, EACCES)]);
        assert_eq!((refusal.wall, refusal.capability.as_deref()), (wall, Some("CAP_DAC_OVERRIDE")));
    }
}

#[test]
fn the_last_wall_to_speak_is_the_one_and_a_filter_only_for_its_own_call() {
    let apparmor = Speech::AppArmor { profile: "docker-default".into(), operation: "mount".into() };
    let refusal = one([What::Spoke(capability(READ_SEARCH)), What::Spoke(apparmor), returned(MOUNT, EACCES)]);
    assert_eq!((refusal.wall, refusal.profile.as_deref()), (Wall::Apparmor, Some("docker-default")));
    assert_eq!(refusal.operation.as_deref(), Some("mount"));
    let filter = |number| What::Spoke(Speech::Seccomp { number });
    assert_eq!(one([filter(MOUNT), returned(MOUNT, EPERM)]).wall, Wall::Seccomp);
    // A filter that let a tracer decide, and the call after it.
    assert_eq!(one([filter(MOUNT), returned(OPENAT, EPERM)]).wall, Wall::Other);
    assert_eq!(one([filter(435), returned(435, ENOSYS)]).errno, "ENOSYS");
    assert_eq!(in_container([returned(435, ENOSYS)]), [], "a kernel without the call is no wall");
    assert_eq!(
        one([filter(MOUNT), returned(MOUNT, EROFS)]).wall,
        Wall::Seccomp,
        "a filter gives what errno it likes"
    );
}

#[test]
fn a_read_only_file_system_needs_no_word_of_a_wall() {
    let refusal = one([What::Spoke(capability(READ_SEARCH)), returned(OPENAT, EROFS)]);
    assert_eq!((refusal.wall, refusal.capability, refusal.errno.as_str()), (Wall::ReadOnly, None, "EROFS"));
}

#[test]
fn who_is_killed_for_a_call_is_told_of() {
    let refusal = one([What::Spoke(Speech::Killed { number: MOUNT })]);
    let words = (refusal.wall, refusal.syscall.as_str(), refusal.errno.as_str());
    assert_eq!(words, (Wall::Seccomp, "mount", "SIGSYS"));
}

#[test]
fn a_signal_s_end_is_no_call() {
    assert_eq!(in_container([returned(u32::MAX, EPERM)]), []);
}

#[test]
fn a_thread_goes_by_the_name_that_it_has_now() {
    let renamed = |thread| What::Rename { thread, comm: "new".into() };
    assert_eq!(one([renamed(7), returned(MOUNT, EPERM)]).comm, "new");
    assert_eq!(one([renamed(8), returned(MOUNT, EPERM)]).comm, "mount", "somebody else's");
}

#[test]
fn only_what_containers_execute_counts() {
    let refused = || [What::Spoke(capability(21)), returned(MOUNT, EPERM)];
    // The lab host's shell, and the engine's child before it executes the container's program.
    let mut judge = Judge::new([HOST]);
    assert_eq!(judged(&mut judge, refused()), []);
    let looks_inside = looks(CONTAINER);
    judge.take(Event { tid: 1, at_us: 0, what: What::Fork { child: 7, looks: looks_inside.clone() } });
    assert_eq!(judged(&mut judge, refused()), []);
    judge.take(Event { tid: 7, at_us: 0, what: What::Exec(looks_inside.clone()) });
    assert_eq!(judged(&mut judge, refused()).len(), 1);
    // A child of a container's process is the container's, before it executes anything; it ends, and its number is free.
    judge.take(Event { tid: 7, at_us: 0, what: What::Fork { child: 8, looks: looks_inside } });
    judge.take(Event { tid: 7, at_us: 0, what: What::Exit });
    assert_eq!(judged(&mut judge, refused()), []);
    let [spoke, ended] = refused();
    judge.take(Event { tid: 8, at_us: 0, what: spoke });
    assert!(judge.take(Event { tid: 8, at_us: 0, what: ended }).is_some());
    // One that has escaped to the lab host's mounts is the lab host's.
    judge.take(Event { tid: 8, at_us: 0, what: What::Exec(looks(HOST)) });
    assert_eq!(judge.threads.len(), 0);
}

#[test]
fn everything_is_bounded() {
    let mut judge = Judge::new([HOST]);
    for tid in 0..2 * THREADS_MAX as u32 {
        judge.take(Event { tid, at_us: 0, what: What::Exec(looks(CONTAINER)) });
    }
    assert_eq!((judge.threads.len(), judge.take_passed_over()), (THREADS_MAX, THREADS_MAX as u64));
    assert_eq!(judge.take_passed_over(), 0);
    for number in 0..1000 {
        judge.take(Event { tid: 7, at_us: 0, what: What::Spoke(capability(number)) });
    }
    assert_eq!(judge.threads[&7].said.len(), SPEECHES_MAX);
    let last = judge.take(Event { tid: 7, at_us: 0, what: returned(9999, EPERM) }).unwrap();
    assert_eq!((last.capability.as_deref(), last.syscall.as_str()), (Some("CAP_999"), "9999"));
}
