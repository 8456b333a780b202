//! The zygote and its owner: how long each lives, who may start one, and what is asked of it.

use crate::harness::{Outcome, Test};
use crate::need;
use crate::support::*;
use isolab_runtime::{Rootfs, Stdio, Zygote, process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::fd::AsFd;

pub const TESTS: &[Test] = &[
    ("zygotes::a_created_container_that_is_dropped_is_gone", a_created_container_that_is_dropped_is_gone),
    ("zygotes::many_threads_share_a_zygote", many_threads_share_a_zygote),
    (
        "zygotes::a_request_that_is_too_long_is_refused_and_the_next_is_not",
        a_request_that_is_too_long_is_refused,
    ),
    ("zygotes::a_zygote_is_refused_once_there_are_threads", a_zygote_is_refused_once_there_are_threads),
    ("zygotes::the_zygote_ends_with_its_last_handle", the_zygote_ends_with_its_last_handle),
    ("zygotes::a_container_that_waits_ends_with_its_owner", a_container_that_waits_ends_with_its_owner),
];

/// The caller's children.
pub fn children() -> BTreeSet<u32> {
    let text = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    text.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// A zygote and its pid.
pub fn zygote() -> (Zygote, u32) {
    let before = children();
    let zygote = Zygote::start().unwrap();
    let pid = *children().difference(&before).next().unwrap();
    (zygote, pid)
}

fn a_created_container_that_is_dropped_is_gone() -> Outcome {
    let root = need!(busybox_root());
    let spec = need!(docker_spec(&["sleep", "100"]));
    let (zygote, _) = zygote();
    let before = children();
    let created = create(&zygote, &spec, Rootfs::Directory(root.path().into()), Stdio::Null).unwrap();
    let pid = created.pid();
    assert!(children().contains(&pid));
    drop(created);
    assert_eq!(children(), before);
    Outcome::Passed
}

fn many_threads_share_a_zygote() -> Outcome {
    let root = need!(busybox_root());
    need!(id_maps());
    let zygote = Zygote::start().unwrap();
    let one = &|number: usize| {
        let words = format!("number {number}");
        let spec = docker_spec(&["sh", "-c", &format!("echo {words}")]).unwrap();
        let rootfs = Rootfs::Directory(root.path().into());
        let ran = finish(create(&zygote, &spec, rootfs, Stdio::Pipes).unwrap().start().unwrap());
        assert_eq!(ran.stdout.trim(), words);
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..6).map(|number| scope.spawn(move || (0..4).for_each(|_| one(number)))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    Outcome::Passed
}

fn a_request_that_is_too_long_is_refused() -> Outcome {
    let root = need!(busybox_root());
    let mut spec = need!(docker_spec(&["true"]));
    let zygote = Zygote::start().unwrap();
    let run = |spec: &Value| create(&zygote, spec, Rootfs::Directory(root.path().into()), Stdio::Pipes);
    let good = spec["process"]["env"].clone();
    spec["process"]["env"].as_array_mut().unwrap().push(format!("LONG={}", "x".repeat(1 << 20)).into());
    assert_eq!(run(&spec).unwrap_err().errno, nix::libc::EMSGSIZE);
    spec["process"]["env"] = good;
    assert_eq!(finish(run(&spec).unwrap().start().unwrap()).status, 0);
    Outcome::Passed
}

fn a_zygote_is_refused_once_there_are_threads() -> Outcome {
    let (_keep, end) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || end.recv());
    let error = Zygote::start().unwrap_err();
    assert!(error.call.contains("threads") && error.errno == nix::libc::EBUSY, "{error}");
    drop(_keep);
    let _ = thread.join().unwrap();
    Outcome::Passed
}

fn the_zygote_ends_with_its_last_handle() -> Outcome {
    let (zygote, pid) = zygote();
    let other = zygote.clone();
    let pidfd = process::open(pid).unwrap();
    drop(zygote);
    assert_eq!(process::try_wait(pidfd.as_fd()).unwrap(), None);
    drop(other);
    // Reaped as well: what ended and was not waited for would still be listed.
    assert!(!children().contains(&pid));
    Outcome::Passed
}

fn a_container_that_waits_ends_with_its_owner() -> Outcome {
    let root = need!(busybox_root());
    let spec = need!(docker_spec(&["sleep", "100"]));
    let zygote = Zygote::start().unwrap();
    let created = create(&zygote, &spec, Rootfs::Directory(root.path().into()), Stdio::Null).unwrap();
    // The owner's end closes with the owner; here only it does.
    let pidfd = process::open(created.pid()).unwrap();
    std::mem::forget(zygote);
    let io = close_sockets();
    assert!(io > 0);
    assert_eq!(process::wait(pidfd.as_fd()).unwrap().as_shell(), 1);
    std::mem::forget(created);
    Outcome::Passed
}

/// Closes every socket of ours as our end would, and says how many there were.
fn close_sockets() -> usize {
    let is_socket = |path: &std::path::Path| {
        std::fs::read_link(path).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    let numbers: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| entry.ok())
        .filter(|entry| is_socket(&entry.path()))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    numbers.iter().filter(|&&number| nix::unistd::close(number).is_ok()).count()
}
