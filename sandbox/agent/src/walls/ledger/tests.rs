//! What is told changes when something new happens, and not for ever.

use super::*;
use isolab_protocol::Wall;

fn refusal(comm: &str) -> Refusal {
    Refusal {
        container: String::new(),
        name: String::new(),
        mnt: 5,
        pid: 38,
        comm: comm.into(),
        syscall: "mount".into(),
        errno: "EPERM".into(),
        wall: Wall::Capability,
        capability: Some("CAP_SYS_ADMIN".into()),
        profile: None,
        operation: None,
        count: 1,
    }
}

fn comms(told: &Told) -> Vec<&str> {
    told.refusals.iter().map(|refusal| refusal.comm.as_str()).collect()
}

#[test]
fn like_refusals_are_one_with_a_count_and_the_newest_is_last() {
    let (ledger, now) = (Ledger::default(), Instant::now());
    ledger.record(refusal("a"));
    ledger.record(refusal("b"));
    ledger.record(Refusal { pid: 99, ..refusal("a") });
    let told = ledger.tell(now);
    assert_eq!(comms(&told), ["b", "a"]);
    assert_eq!((told.refusals[1].count, told.refusals[1].pid), (2, 38));
    // Each thing that tells them apart does.
    for other in [
        Refusal { mnt: 6, ..refusal("a") },
        Refusal { syscall: "umount2".into(), ..refusal("a") },
        Refusal { errno: "EACCES".into(), ..refusal("a") },
        Refusal { wall: Wall::UserNamespace, ..refusal("a") },
        Refusal { capability: None, ..refusal("a") },
        Refusal { profile: Some("x".into()), ..refusal("a") },
        Refusal { operation: Some("x".into()), ..refusal("a") },
    ] {
        let before = ledger.tell(now).refusals.len();
        ledger.record(other);
        assert_eq!(ledger.tell(now + CHANGE_EVERY).refusals.len(), before + 1);
    }
}

#[test]
fn a_million_of_the_same_change_it_some_twenty_times() {
    let (ledger, mut now, mut changes) = (Ledger::default(), Instant::now(), 0);
    let mut before = Told::default();
    for _ in 0..1_000_000 {
        ledger.record(refusal("loop"));
        now += Duration::from_millis(100);
        let told = ledger.tell(now);
        changes += u32::from(told != before);
        before = told;
    }
    assert_eq!((changes, before.refusals[0].count), (4 + 17, 1 << 19));
}

#[test]
fn a_flood_of_different_ones_is_bounded_in_number_and_in_rate_and_is_told_in_the_end() {
    let (ledger, began) = (Ledger::default(), Instant::now());
    let (mut before, mut changes) = (Told::default(), 0);
    for n in 0..1000 {
        ledger.record(refusal(&n.to_string()));
        let told = ledger.tell(began + Duration::from_millis(10 * n));
        changes += u32::from(told != before);
        before = told;
        assert!(before.refusals.len() <= REFUSALS_MAX);
    }
    assert!((CHANGES_AT_ONCE..=CHANGES_AT_ONCE + 10).contains(&changes), "{changes}");
    let told = ledger.tell(began + Duration::from_secs(60));
    assert_eq!((told.refusals.len(), comms(&told).last().copied()), (REFUSALS_MAX, Some("999")));
}

#[test]
fn a_number_that_the_kernel_gives_again_is_another_container() {
    let (ledger, now) = (Ledger::default(), Instant::now());
    let of = |container: &str| Refusal { container: container.into(), ..refusal("a") };
    ledger.record(of("gone"));
    ledger.record(of("new"));
    ledger.record(of("new"));
    let told = ledger.tell(now);
    let counts: Vec<_> = told.refusals.iter().map(|r| (r.container.as_str(), r.count)).collect();
    assert_eq!(counts, [("gone", 1), ("new", 2)]);
}

#[test]
fn what_is_lost_is_rounded_as_well() {
    let (ledger, now) = (Ledger::default(), Instant::now());
    for (count, told) in [(1, 1), (2, 3), (2, 4), (2, 4), (1, 8), (92, 64)] {
        ledger.lose(count);
        assert_eq!(ledger.tell(now).lost, told);
    }
}

#[test]
fn a_name_is_kept_when_the_container_has_gone_and_nothing_outlives_a_lab() {
    let (ledger, now) = (Ledger::default(), Instant::now());
    ledger.record(refusal("a"));
    ledger.record(Refusal { mnt: 6, container: "kernel's word".into(), ..refusal("a") });
    ledger.name(5, "id", "web");
    // The kernel has given the namespace's number to another container: it is not that one that was refused.
    ledger.name(6, "another", "cache");
    ledger.name(6, "kernel's word", "db");
    ledger.name(5, "", "");
    let told = ledger.tell(now);
    let names: Vec<_> = told.refusals.iter().map(|r| (r.container.as_str(), r.name.as_str())).collect();
    assert_eq!(names, [("id", "web"), ("kernel's word", "db")]);
    ledger.lose(9);
    ledger.forget();
    assert_eq!(ledger.tell(now), Told::default());
}
