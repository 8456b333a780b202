//! CVE-2019-5736: a container that has the runtime execute `/proc/self/exe` finds the runtime's own file in its `/proc`,
//! and writes to it.
//!
//! Mechanism: the program has started again from a read-only mount of its own file, which is attached nowhere. Here the
//! runtime, once it is a program of the container's, is kept there by a fifo in place of a bundle's config.json.

use super::{Place, text};
use serde_json::json;
use std::process::Stdio;

/// The runtime, in the container, waits for somebody to write to the fifo.
const CAUGHT: [&str; 5] = ["/proc/self/exe", "create", "--bundle", "/trap", "x"];

/// Writes to the file of every process that executes the runtime, and says what came of it. A file that is mounted nowhere has
/// the name `/`.
const OVERWRITE: &str = "for p in /proc/[0-9]*; do case $(readlink $p/exe) in /|*isolab-runtime*) (echo spoilt > $p/exe) 2>&1;; esac; done";

fn trap(args: &[&str]) -> Place {
    let place = Place::new(args);
    std::fs::create_dir(place.root().join("trap")).unwrap();
    let fifo = place.root().join("trap/config.json");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("busybox", place.root().join("bin/readlink")).unwrap();
    std::fs::create_dir(place.root().join("run")).unwrap();
    place.change(|spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|namespace| namespace["type"] != "user");
        let linux = spec["linux"].as_object_mut().unwrap();
        linux.retain(|name, _| !["uidMappings", "gidMappings"].contains(&name.as_str()));
        spec["process"]["env"].as_array_mut().unwrap().push(json!("XDG_RUNTIME_DIR=/run"));
    });
    place
}

fn overwritten(place: &Place) -> String {
    let mut said = String::new();
    // The runtime has to have become a program of the container's first.
    for _ in 0..500 {
        said = text(&place.call(&["exec", "c", "sh", "-c", OVERWRITE]).stdout);
        if !said.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    said
}

#[test]
fn the_runtime_that_makes_a_container_cannot_be_overwritten_from_inside() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root of a container is root of the machine only where that made it");
        return;
    }
    let place = trap(&CAUGHT);
    place.create();
    place.good(&["start", "c"]);
    let said = overwritten(&place);
    assert!(said.contains("Read-only file system"), "{said:?}");
}

#[test]
fn the_runtime_that_joins_a_container_cannot_be_overwritten_from_inside() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root of a container is root of the machine only where that made it");
        return;
    }
    let place = trap(&["sleep", "1000"]);
    place.create();
    place.good(&["start", "c"]);
    let words: Vec<_> = ["exec", "c"].into_iter().chain(CAUGHT).collect();
    let mut caught = place.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let said = overwritten(&place);
    place.good(&["kill", "c", "KILL"]);
    caught.wait().unwrap();
    assert!(said.contains("Read-only file system"), "{said:?}");
}

#[test]
fn descriptors_that_the_caller_leaked_reach_no_program() {
    // CVE-2024-21626, with an engine that leaks. Mechanism: close_range(CLOSE_RANGE_CLOEXEC) before the program.
    let listing = "for f in /proc/self/fd/*; do echo ${f##*/}; done | grep -v -x 3";
    let place = Place::new(&["sh", "-c", &format!("{listing} > /tmp/listed; exec sleep 1000")]);
    let leaky = |words: &str| {
        let script = format!("exec 7</ 8</etc; exec \"$0\" --root \"$1\" {words}");
        let mut command = std::process::Command::new("sh");
        command
            .args(["-c", &script, env!("CARGO_BIN_EXE_isolab-runtime")])
            .arg(place.dir.path().join("state"));
        command.arg(place.bundle()).arg(listing).stdin(Stdio::null());
        command
    };
    let made =
        leaky("create --bundle \"$2\" c").stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(made.success());
    place.good(&["start", "c"]);
    place.wait_for_file("tmp/listed");
    assert_eq!(std::fs::read_to_string(place.root().join("tmp/listed")).unwrap(), "0\n1\n2\n");
    let entered = leaky("exec c sh -c \"$3\"").output().unwrap();
    assert_eq!(text(&entered.stdout), "0\n1\n2\n", "{entered:?}");
    for number in [7, 8] {
        let refused = leaky(&format!("exec --cwd /proc/self/fd/{number} c true")).output().unwrap();
        assert!(!refused.status.success(), "{refused:?}");
    }
}
