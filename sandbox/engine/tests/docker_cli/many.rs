//! Many containers in one lab: they start, are listed and stop, several at a time, and the engine stays small.

use crate::killed::ask;
use crate::{Lab, with_one_client};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many: a sample, or as many as `ISOLAB_MANY` says (500 is what a lab has to bear).
fn many() -> usize {
    std::env::var("ISOLAB_MANY").ok().and_then(|count| count.parse().ok()).unwrap_or(40)
}

/// How many clients work at a time.
const CLIENTS: usize = 10;

/// What an idle container may cost in memory of the engine and its zygote, beside its own process.
const CONTAINER_BYTES_MAX: u64 = 1024 * 1024;

/// Does something with each number, several at a time.
fn at_once(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let number = next.fetch_add(1, Ordering::Relaxed)
                    && number < count
                {
                    work(number);
                }
            });
        }
    });
}

/// Memory that is the engine's and its zygote's own.
fn own_bytes(lab: &Lab) -> u64 {
    let own = |pid: &u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    };
    lab.processes().iter().take(2).map(own).sum()
}

fn in_state(socket: &Path, state: &str) -> usize {
    let (status, list) = ask(socket, "GET", "/containers/json?all=1", &Value::Null).unwrap();
    assert_eq!(status, 200);
    list.as_array().unwrap().iter().filter(|container| container["State"] == state).count()
}

#[test]
fn many_containers_start_and_stop() {
    with_one_client(|lab| {
        let (count, socket) = (many(), lab.socket());
        let post = |path: String, body: &Value, wanted: u16| {
            let (status, answer) = ask(&socket, "POST", &path, body).expect("the engine answers");
            assert_eq!(status, wanted, "{path}: {answer}");
        };
        lab.ok(&["run", "--rm", "busybox", "true"]);
        let before = own_bytes(lab);
        at_once(count, |number| {
            let body = json!({ "Image": "busybox", "Cmd": ["sleep", "3600"] });
            post(format!("/containers/create?name=many-{number}"), &body, 201);
            post(format!("/containers/many-{number}/start"), &Value::Null, 204);
        });
        assert_eq!(in_state(&socket, "running"), count);
        assert_eq!(lab.ok(&["ps", "-q"]).lines().count(), count);
        let each = own_bytes(lab).saturating_sub(before) / count as u64;
        let _ = writeln!(std::io::stderr(), "{count} containers cost {} KiB each", each / 1024);
        assert!(each < CONTAINER_BYTES_MAX, "{each} bytes for each of {count} containers");
        at_once(count, |number| post(format!("/containers/many-{number}/stop?t=0"), &Value::Null, 204));
        assert_eq!((in_state(&socket, "running"), in_state(&socket, "exited")), (0, count));
        at_once(count, |number| {
            let answer = ask(&socket, "DELETE", &format!("/containers/many-{number}"), &Value::Null);
            assert_eq!(answer.unwrap().0, 204);
        });
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
    });
}
