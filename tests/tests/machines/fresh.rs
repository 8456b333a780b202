//! Machines that come of one template are not told apart by anything that the template had.

use crate::world::{Agent, World};
use isolab_tests::harness::Outcome;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many machines are restored in CI, and how many side by side. `make endure` restores two hundred.
const RESTORES: usize = 12;
const AT_ONCE: usize = 6;

/// How far a machine's clock may be off, in seconds.
const CLOCK_OFF_MAX: f64 = 1.0;

/// What a machine tells of itself, a line each.
const TELL: &str = "cat /etc/machine-id /proc/sys/kernel/random/boot_id /run/isolab/token
  until test -s /etc/ssh/ssh_host_ed25519_key.pub; do sleep 0.1; done
  cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub
  head -c 16 /dev/urandom | base64
  date +%s.%N";

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

pub fn machines_share_nothing_that_tells_them_apart(world: &World) -> Outcome {
    let wanted = std::env::var("ISOLAB_RESTORES").ok().and_then(|count| count.parse().ok());
    let (count, at_once) = match wanted {
        Some(count) => (count, 20),
        None => (RESTORES, AT_ONCE),
    };
    world.with_agent(async |agent| {
        let mut told: Vec<Vec<String>> = Vec::new();
        while told.len() < count {
            let batch = (0..at_once.min(count - told.len())).map(|at| one(agent, told.len() + at));
            told.extend(futures_util::future::join_all(batch).await);
        }
        for (line, what) in ["machine id", "boot id", "token", "host key", "random bytes"].iter().enumerate()
        {
            let different: BTreeSet<&str> = told.iter().map(|lines| lines[line].as_str()).collect();
            assert_eq!(different.len(), count, "two machines share their {what}");
            assert!(different.iter().all(|told| told.len() >= 22), "{what}: {different:?}");
        }
        println!("    {count} machines, {at_once} at a time");
    })
}

/// Restores a machine, lets it tell, and ends it. The clock is judged here, where the time is known.
async fn one(agent: &Agent, number: usize) -> Vec<String> {
    let lab = agent.machine(&format!("fresh-{number}")).await;
    let asked = now();
    let lines: Vec<String> = lab.ok(TELL).await.lines().map(str::to_owned).collect();
    let clock: f64 = lines.last().unwrap().parse().unwrap();
    let answered = now();
    let off = (asked - clock).max(clock - answered).max(0.0);
    assert!(off < CLOCK_OFF_MAX, "the clock of machine {number} is {off:.3} s off");
    lab.end().await;
    lines
}

pub fn a_reset_is_another_machine(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let setup = "echo prepared > /root/prepared";
        let lab = agent.open(json!({ "id": "again", "tier": "vm", "setup": setup })).await;
        lab.ready(0).await;
        let boot = "cat /proc/sys/kernel/random/boot_id";
        let before = lab.ok(boot).await;
        lab.ok("echo mine > /root/mine; docker run -d ubuntu sleep 7783; mount -t tmpfs none /opt").await;
        let mut terminal = agent.client.terminal(&lab.id, "host").await;
        terminal.hello(0).await;
        terminal.ask("echo before-$((1))", "before-1").await;
        let (status, body) = agent.client.post(&lab.path("/reset"), &json!({})).await;
        assert_eq!(status, 202, "{body}");
        let view = lab.ready(1).await;
        assert_eq!(
            (&view["generation"], &view["notice"]),
            (&json!(1), &json!(null)),
            "asked for, so nothing to explain"
        );
        assert_ne!(lab.ok(boot).await, before);
        assert_eq!(
            lab.ok(
                "cat /root/prepared; ls /root/mine 2>&1 | wc -l; docker ps -q; mount | grep -c /opt; true"
            )
            .await,
            "prepared\n1\n0"
        );
        // The old terminal is closed as a sandbox's is, so that the page opens it anew.
        while terminal.frame().await.is_some() {}
        let mut fresh = agent.client.terminal(&lab.id, "host").await;
        fresh.hello(0).await;
        fresh.ask("echo after-$((1))", "after-1").await;
        assert!(!String::from_utf8_lossy(&fresh.output).contains("before-1"));
    })
}
