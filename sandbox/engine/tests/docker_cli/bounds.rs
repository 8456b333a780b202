//! What an engine may use: containers are counted, and an idle engine is small.

use crate::lab::raw;
use crate::with_one_client;
use serde_json::Value;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

#[test]
fn counts_are_bounded() {
    with_one_client(|lab| {
        let body = r#"{"Image":"busybox"}"#;
        let request = format!(
            "POST /containers/create HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let create = || raw(UnixStream::connect(lab.socket()).unwrap(), request.as_bytes());
        for _ in 0..512 {
            assert!(create().starts_with("HTTP/1.1 201"));
        }
        let refused = create();
        assert!(
            refused.starts_with("HTTP/1.1 409") && refused.contains("at most 512 containers"),
            "{refused}"
        );
        let names: Value = serde_json::from_str(
            raw(
                UnixStream::connect(lab.socket()).unwrap(),
                b"GET /containers/json?all=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            )
            .split("\r\n\r\n")
            .nth(1)
            .unwrap(),
        )
        .unwrap();
        let mut names: Vec<_> = names.as_array().unwrap().iter().map(|c| c["Names"][0].to_string()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 512, "each has a name of its own");
    });
}

/// Memory of their own that an idle engine and its zygote may have, in KiB. The program's pages are shared by all labs;
/// this is what each lab adds.
const IDLE_KIB_MAX: u64 = 3072;

/// How long an engine may take to come to rest.
const IDLE_WAIT_MAX: Duration = Duration::from_secs(10);

#[test]
fn an_idle_engine_is_small() {
    with_one_client(|lab| {
        lab.ok(&["run", "--rm", "busybox", "true"]);
        lab.ok(&["ps", "-a"]);
        let processes = lab.processes();
        assert_eq!(processes.len(), 2, "an engine and its zygote");
        let own = |pid: &u32| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
            let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let kib: u64 = processes.iter().map(own).sum();
        assert!(kib <= IDLE_KIB_MAX, "{kib} KiB");
        // Threads that did something are there a little longer.
        let threads = || -> usize {
            processes.iter().map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().count()).sum()
        };
        let begun = Instant::now();
        while threads() != 2 {
            assert!(begun.elapsed() < IDLE_WAIT_MAX, "{} threads, not one each", threads());
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}
