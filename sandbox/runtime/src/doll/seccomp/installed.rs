//! Filters installed for real, on threads of their own: the kernel's answers, call by call.

use super::*;
use crate::sys;
use nix::libc;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};

/// Makes the calls on a thread under `filter`, and tells what the kernel answered.
fn answers(filter: Option<CompiledFilter>) -> Vec<(&'static str, Option<Errno>)> {
    let thread = std::thread::spawn(move || {
        if let Some(filter) = filter {
            rustix::thread::set_no_new_privs(true).unwrap();
            let instruction = |i: &SockFilter| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
            let program: Vec<_> = filter.program.iter().map(instruction).collect();
            sys::install_filter(&program, filter.flags).unwrap();
        }
        calls()
    });
    thread.join().unwrap()
}

/// Calls that change nothing whatever the answer, and that fail in other ways where no filter refuses them.
fn calls() -> Vec<(&'static str, Option<Errno>)> {
    use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, OpenTreeFlags, UnmountFlags};
    let stdin = rustix::stdio::stdin();
    let nowhere = rustix::time::Timespec { tv_sec: 0, tv_nsec: -1 };
    let vsock = AddressFamily::from_raw(libc::AF_VSOCK as u16);
    vec![
        ("mount", rustix::mount::mount("x", "/nonexistent", "x", MountFlags::empty(), None).err()),
        ("umount2", rustix::mount::unmount("/nonexistent", UnmountFlags::empty()).err()),
        ("pivot_root", rustix::process::pivot_root("/nonexistent", "/nonexistent").err()),
        ("open_tree", rustix::mount::open_tree(stdin, "/nonexistent", OpenTreeFlags::empty()).err()),
        ("fsopen", rustix::mount::fsopen("nonexistent", FsOpenFlags::empty()).err()),
        ("fsmount", rustix::mount::fsmount(stdin, FsMountFlags::empty(), MountAttrFlags::empty()).err()),
        ("setns", rustix::thread::move_into_link_name_space(stdin, None).err()),
        ("finit_module", rustix::system::finit_module(stdin, c"", 0).err()),
        ("clock_settime", rustix::time::clock_settime(rustix::time::ClockId::Realtime, nowhere).err()),
        ("socket(AF_VSOCK)", socket(vsock, SocketType::from_raw(99), None).err()),
        ("clone3", clone3()),
        ("socket(AF_INET)", socket(AddressFamily::INET, SocketType::DGRAM, None).err()),
        (
            "openat",
            rustix::fs::open("/nonexistent", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).err(),
        ),
    ]
}

/// Flags that cannot go together, so that no process is made where the call is allowed.
fn clone3() -> Option<Errno> {
    let flags = libc::CLONE_NEWNS | libc::CLONE_FS;
    sys::clone(flags as u64).err()
}

#[test]
fn the_kernel_answers_as_docker_would() {
    let bounding = ["CHOWN", "NET_RAW", "SETUID"].map(|name| name.parse::<Capability>().unwrap());
    for (name, answer) in answers(Some(compile(&docker_default(bounding)).unwrap())) {
        let wanted = match name {
            "clone3" => Some(Errno::NOSYS),
            "socket(AF_INET)" => None,
            "openat" => Some(Errno::NOENT),
            _ => Some(Errno::PERM),
        };
        assert_eq!(answer, wanted, "{name}");
    }
}

#[test]
fn without_a_filter_the_same_calls_fail_in_other_ways() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: an ordinary user is refused most of these calls without a filter, too");
        return;
    }
    for (name, answer) in answers(None) {
        assert_ne!(answer, Some(Errno::PERM), "{name} is a poor witness");
    }
}

#[test]
fn the_lab_host_may_make_containers() {
    for (name, answer) in answers(Some(compile(&lab_host()).unwrap())) {
        let refused = ["finit_module", "socket(AF_VSOCK)"].contains(&name);
        let by_filter = answer == Some(Errno::PERM);
        if rustix::process::geteuid().is_root() {
            assert_eq!(by_filter, refused, "{name}: {answer:?}");
        } else if refused {
            assert!(by_filter, "{name}: {answer:?}");
        }
    }
}
