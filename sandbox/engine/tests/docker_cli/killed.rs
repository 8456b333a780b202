//! An engine that is killed at any moment, and the next one over the same data root: it lists what was there, and nothing
//! else is left.

use crate::daemon::Machine;
use crate::eventually;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn what_was_kept_is_found_again() {
    let Some(mut machine) = Machine::start() else { return };
    machine.engine();
    for arguments in [
        &["create", "--name", "created", "--hostname", "h", "busybox", "sleep", "3600"][..],
        &["run", "-d", "--name", "up", "busybox", "sh", "-c", "echo 1 >/kept; echo said; sleep 3600"],
        &["run", "-d", "--name", "always", "--restart", "always", "busybox", "sleep", "3600"],
        &["run", "-d", "--name", "unless", "--restart", "unless-stopped", "busybox", "sleep", "3600"],
        &["run", "-d", "--name", "unless-down", "--restart", "unless-stopped", "busybox", "sleep", "3600"],
        &["stop", "-t", "0", "unless-down"],
        &["run", "-d", "--name", "always-down", "--restart", "always", "busybox", "sleep", "3600"],
        &["stop", "-t", "0", "always-down"],
        &["run", "-d", "--rm", "--name", "passing", "busybox", "sleep", "3600"],
        &["rename", "created", "renamed"],
    ] {
        let came = machine.docker("a.sock", arguments);
        assert_eq!(came.code, 0, "docker {arguments:?}: {came:?}");
    }
    assert_eq!(machine.docker("a.sock", &["run", "--name", "failed", "busybox", "/foo"]).code, 127);
    assert_eq!(
        machine.docker("a.sock", &["run", "--name", "three", "busybox", "sh", "-c", "exit 3"]).code,
        3
    );
    let inspect = |machine: &Machine, name: &str| -> Value {
        let came = machine.docker("a.sock", &["inspect", name]);
        let mut document = serde_json::from_str::<Value>(&came.out).unwrap()[0].take();
        // What an end changes.
        for key in ["Pid", "FinishedAt", "ExitCode", "Status", "Running", "StartedAt"] {
            document["State"][key].take();
        }
        document["NetworkSettings"].take();
        document["SandboxKey"].take();
        document
    };
    let before: Vec<_> = ["renamed", "up", "three", "failed"].map(|name| inspect(&machine, name)).into();
    eventually(|| machine.docker("a.sock", &["logs", "up"]).out, |out| out == "said\n");
    machine.order("kill -9 $e; wait $e");
    machine.engine();
    let after: Vec<_> = ["renamed", "up", "three", "failed"].map(|name| inspect(&machine, name)).into();
    assert_eq!(before, after);
    let ps = machine.docker("a.sock", &["ps", "-a", "--format", "{{.Names}} {{.Status}}"]).out;
    let words = |line: &str| line.split(' ').take(3).collect::<Vec<_>>().join(" ");
    let listed: Vec<_> = ps.lines().map(words).collect();
    let up = |name: &str| format!("{name} Up ");
    let starts: Vec<_> = listed.iter().map(String::as_str).collect();
    assert_eq!(starts[..2], ["three Exited (3)", "failed Created"], "{ps}");
    assert!(starts[2].starts_with(&up("always-down")), "always means after a stop too: {ps}");
    assert_eq!(starts[3], "unless-down Exited (137)", "{ps}");
    assert!(starts[4].starts_with(&up("unless")) && starts[5].starts_with(&up("always")), "{ps}");
    assert_eq!(starts[6..], ["up Exited (255)", "renamed Created"], "{ps}");
    assert_eq!(machine.docker("a.sock", &["logs", "up"]).out, "said\n");
    let came = machine.docker("a.sock", &["start", "up"]);
    assert_eq!(came.code, 0, "{came:?}");
    assert_eq!(machine.docker("a.sock", &["exec", "up", "cat", "/kept"]).out, "1\n");
    // An end that is not a kill: what is up is stopped, not by hand, and comes back.
    assert_eq!(machine.order("kill $e; wait $e; echo $?"), "0\n");
    let none = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        machine.traces().is_empty()
    });
    assert!(none, "{}", machine.traces());
    machine.engine();
    let ps = machine.docker("a.sock", &["ps", "--format", "{{.Names}}"]).out;
    assert_eq!(ps, "always-down\nunless\nalways\n");
}

/// How often the engine is killed: a sample, or as many as `ISOLAB_KILLS` says.
fn kills() -> u64 {
    std::env::var("ISOLAB_KILLS").ok().and_then(|count| count.parse().ok()).unwrap_or(8)
}

#[test]
fn an_engine_killed_at_random_moments_leaves_nothing_wrong() {
    let Some(mut machine) = Machine::start() else { return };
    machine.engine();
    let (socket, seed) = (machine.path("a.sock"), AtomicU64::new(u64::from(std::process::id())));
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    let mut acknowledged = 0;
    for round in 0..kills() {
        let stop = AtomicBool::new(false);
        let mut shares: Vec<BTreeMap<String, Known>> = vec![BTreeMap::new(); WORKERS];
        for (name, what) in std::mem::take(&mut known) {
            shares[worker_of(&name)].insert(name, what);
        }
        let patience = Duration::from_millis(20 + random(&seed) % 400);
        let done: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = shares
                .into_iter()
                .enumerate()
                .map(|(number, share)| {
                    let (stop, seed, socket) = (&stop, &seed, socket.as_path());
                    scope.spawn(move || work(number, round, share, stop, seed, socket))
                })
                .collect();
            std::thread::sleep(patience);
            machine.order("kill -9 $e; wait $e");
            stop.store(true, Ordering::Relaxed);
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        for (share, count) in done {
            known.extend(share);
            acknowledged += count;
        }
        machine.engine();
        known = check(&mut machine, &known, round);
    }
    assert!(acknowledged > kills(), "there was no load: {acknowledged} operations in {} rounds", kills());
}

/// How many clients there are at a time.
const WORKERS: usize = 4;

/// How many containers each has at most.
const CONTAINERS_PER_WORKER: usize = 4;

/// What a client knows of one of its containers.
#[derive(Clone, Debug)]
struct Known {
    always: bool,
    /// `None` where the engine was killed before it had answered.
    state: Option<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Created,
    Up,
    Down,
}

fn worker_of(name: &str) -> usize {
    name[1..2].parse().unwrap()
}

/// A number that looks like chance and comes again with the same seed (the step of SplitMix64).
fn random(seed: &AtomicU64) -> u64 {
    let mut z = seed.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A request's status and body; `None` where the engine was killed before it had answered.
pub fn ask(socket: &Path, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut answer = String::new();
    // A connection that is reset has told nothing.
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let open = body.find(['{', '[']).unwrap_or(body.len());
    let parsed = serde_json::Deserializer::from_str(&body[open..]).into_iter().next();
    Some((status, parsed.and_then(Result::ok).unwrap_or_default()))
}

/// One client, until the engine is killed. Returns what it knows then, and how many answers it got.
fn work(
    number: usize,
    round: u64,
    mut known: BTreeMap<String, Known>,
    stop: &AtomicBool,
    seed: &AtomicU64,
    socket: &Path,
) -> (BTreeMap<String, Known>, u64) {
    let (mut count, mut made) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let some = (!known.is_empty()).then(|| random(seed) as usize % known.len());
        let some = some.and_then(|place| known.keys().nth(place).cloned());
        let choice = random(seed) % 8;
        let Some(name) = some.filter(|_| choice > 1 || known.len() >= CONTAINERS_PER_WORKER) else {
            let name = format!("w{number}-{round}-{made}");
            made += 1;
            let always = random(seed).is_multiple_of(3);
            let network = if random(seed).is_multiple_of(2) { "bridge" } else { "none" };
            let policy = if always { "always" } else { "no" };
            let body = json!({ "Image": "busybox", "Cmd": ["sleep", "3600"], "Volumes": { "/data": {} }, "HostConfig": {
                "NetworkMode": network, "IpcMode": "shareable", "RestartPolicy": { "Name": policy } } });
            known.insert(name.clone(), Known { always, state: None });
            let path = format!("/containers/create?name={name}");
            let Some((status, answer)) = ask(socket, "POST", &path, &body) else { break };
            assert_eq!(status, 201, "{answer}");
            known.insert(name, Known { always, state: Some(State::Created) });
            count += 1;
            continue;
        };
        let was = known[&name].state;
        known.get_mut(&name).unwrap().state = None;
        let container = format!("/containers/{name}");
        let (answer, then) = match choice {
            2..=3 => (ask(socket, "POST", &format!("{container}/start"), &Value::Null), Some(State::Up)),
            4 => (ask(socket, "POST", &format!("{container}/restart?t=0"), &Value::Null), Some(State::Up)),
            5 => {
                let stopped = ask(socket, "POST", &format!("{container}/stop?t=0"), &Value::Null);
                (stopped, if was == Some(State::Up) { Some(State::Down) } else { was })
            }
            6 => {
                let body = json!({ "Cmd": ["true"] });
                let made = ask(socket, "POST", &format!("{container}/exec"), &body);
                let exec = made.as_ref().and_then(|(_, made)| made["Id"].as_str().map(str::to_owned));
                let detached = json!({ "Detach": true });
                match exec {
                    Some(id) => (ask(socket, "POST", &format!("/exec/{id}/start"), &detached), was),
                    None => (made, was),
                }
            }
            _ => (ask(socket, "DELETE", &format!("{container}?force=1&v=1"), &Value::Null), None),
        };
        let Some((status, answer)) = answer else { break };
        let fine = [200, 201, 204, 304].contains(&status) || choice == 6 && status == 409;
        assert!(fine, "{choice} of {name}, which was {was:?}: {status} {answer}");
        count += 1;
        match choice {
            0..=1 | 7 => drop(known.remove(&name)),
            _ => known.get_mut(&name).unwrap().state = then,
        }
    }
    (known, count)
}

/// Looks at everything that the next engine has made of it. Returns what is there now.
fn check(machine: &mut Machine, known: &BTreeMap<String, Known>, round: u64) -> BTreeMap<String, Known> {
    let socket = machine.path("a.sock");
    let (_, list) = ask(&socket, "GET", "/containers/json?all=1", &Value::Null).unwrap();
    let list = list.as_array().unwrap();
    let mut now = BTreeMap::new();
    for container in list {
        let name = container["Names"][0].as_str().unwrap()[1..].to_owned();
        let (state, status) = (container["State"].as_str().unwrap(), container["Status"].as_str().unwrap());
        let what =
            known.get(&name).unwrap_or_else(|| panic!("round {round}: {name} was removed: {container}"));
        let wanted = match (what.always, what.state) {
            (_, None) => state,
            (true, Some(_)) => "running",
            (false, Some(State::Created)) => "created",
            (false, Some(State::Up | State::Down)) => "exited",
        };
        assert_eq!(state, wanted, "round {round}: {name} was {what:?}: {status}");
        match (what.always, what.state) {
            (false, Some(State::Up)) => assert!(status.starts_with("Exited (255)"), "{name}: {status}"),
            (false, Some(State::Down)) => {
                // What an earlier engine left up and was never started again is down too.
                let ended = ["Exited (137)", "Exited (255)"].iter().any(|end| status.starts_with(end));
                assert!(ended, "{name}: {status}");
            }
            _ => {}
        }
        let state = match state {
            "running" => State::Up,
            "created" => State::Created,
            _ => State::Down,
        };
        now.insert(name, Known { always: what.always, state: Some(state) });
    }
    for (name, what) in known {
        let there = now.contains_key(name);
        assert!(there || what.state.is_none(), "round {round}: {name} is lost; it was {what:?}");
    }
    // What is on disk is what is listed, whole.
    let ids: BTreeSet<_> =
        list.iter().map(|container| container["Id"].as_str().unwrap().to_owned()).collect();
    for directory in ["containers", "overlay2"] {
        let listing = machine.order(&format!("ls /mnt/data/{directory}"));
        let found: BTreeSet<_> = listing.lines().filter(|name| name.len() == 64).map(str::to_owned).collect();
        assert_eq!(found, ids, "round {round}: {directory}");
    }
    assert_eq!(machine.order("find /mnt/data -name '*.new'"), "", "round {round}: half-written files");
    // Each has one volume, which its own removal removes. As with Docker, a kill between the two can leave a volume that
    // nobody uses, never a container without its own.
    for container in list {
        let mounts = container["Mounts"].as_array().unwrap();
        let volume = mounts[0]["Name"].as_str().unwrap();
        let there = machine.order(&format!("test -d /mnt/data/volumes/{volume}/_data && echo there"));
        assert_eq!((mounts.len(), there.as_str()), (1, "there\n"), "round {round}: {container}");
    }
    // What runs is what is said to run. Network namespaces are taken down in the kernel's own time.
    let running: Vec<_> = list.iter().filter(|container| container["State"] == "running").collect();
    let plugged = running.iter().filter(|c| c["HostConfig"]["NetworkMode"] == "bridge").count();
    let count = |traces: &str, word: &str| traces.lines().filter(|line| line.contains(word)).count();
    let mut last = String::new();
    for _ in 0..100 {
        last = machine.traces();
        if count(&last, "veth") == plugged {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let counts = ["sleep", "merged", "veth"].map(|word| count(&last, word));
    assert_eq!(counts, [running.len(), running.len(), plugged], "round {round}: {last}");
    let engines = machine.order("ps -o comm= -e | grep -c ^isolab-");
    assert_eq!(engines, "2\n", "round {round}: an engine and its zygote");
    now
}
