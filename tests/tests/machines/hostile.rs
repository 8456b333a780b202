//! What a hostile machine costs its neighbour. Figures are reported; what is asserted is that the neighbour goes on.

use crate::client::Terminal;
use crate::world::{Agent, World};
use isolab_tests::harness::Outcome;
use std::time::{Duration, Instant};

/// Keys typed in the neighbour's terminal to measure one state of affairs.
const KEYS: usize = 40;

/// The pause between two keys: somebody who types fast.
const KEY_PAUSE: Duration = Duration::from_millis(50);

/// An echo that takes longer than this is no share of the machine any more, but standing still.
const ECHO_MAX: Duration = Duration::from_secs(5);

/// What a learner who is root of a machine can do to it, each for a while.
const ATTACKS: [(&str, &str); 6] = [
    ("fork bomb", "b() { b | b & }; b"),
    ("memory full", "cat /dev/zero | tail & cat /dev/zero | tail & head -c 1G /dev/zero > /dev/shm/full"),
    ("disk full", "cat /dev/zero > /root/full"),
    ("a gigabyte on the console", "head -c 1G /dev/urandom > /dev/ttyS0"),
    // The channel itself, beside the agent's own descriptor, which the learner's root can take from it.
    (
        "noise on the channel",
        "agent=$(pgrep -f 'isolab-agent guest --serve' | head -1)
         for fd in /proc/$agent/fd/*; do case $(readlink $fd) in /dev/vport*) port=$fd ;; esac; done
         cat /dev/urandom > $port",
    ),
    ("reboots", "echo b > /proc/sysrq-trigger"),
];

pub fn a_neighbour_does_not_notice(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let neighbour = agent.machine("neighbour").await;
        let mut terminal = agent.client.terminal(&neighbour.id, "host").await;
        terminal.hello(0).await;
        terminal.ask("echo here-$((1))", "here-1").await;
        report("before", &echoes(&mut terminal).await);
        for (name, attack) in ATTACKS {
            let hostile = agent.machine("hostile").await;
            hostile.begin(&format!("({attack}) >/dev/null 2>&1 </dev/null & sleep 1")).await;
            report(name, &echoes(&mut terminal).await);
            assert_eq!(neighbour.ok("echo well").await, "well", "{name}");
            assert_eq!(
                neighbour.view().await["generation"],
                0,
                "{name}: the neighbour's machine is the same"
            );
            hostile.end().await;
            agent_is_well(agent).await;
        }
    })
}

async fn agent_is_well(agent: &Agent) {
    let asked = Instant::now();
    assert!(agent.client.answers("/v1/healthz").await);
    assert!(asked.elapsed() < Duration::from_secs(5), "the agent took {:?} to answer", asked.elapsed());
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 200 * 1024, "the agent keeps what machines send: {kib} KiB");
}

/// Types keys, and takes the time of each until it is echoed.
async fn echoes(terminal: &mut Terminal) -> Vec<Duration> {
    let mut took = Vec::new();
    for key in 0..KEYS {
        let pressed = Instant::now();
        let key = char::from(b'a' + (key % 26) as u8).to_string();
        terminal.output.clear();
        terminal.type_in(&key).await;
        terminal.until(&key).await;
        took.push(pressed.elapsed());
        assert!(pressed.elapsed() < ECHO_MAX, "an echo took {:?}", pressed.elapsed());
        tokio::time::sleep(KEY_PAUSE).await;
    }
    terminal.type_in("\u{15}").await;
    took.sort_unstable();
    took
}

fn report(state: &str, echoes: &[Duration]) {
    let at = |share: usize| echoes[(echoes.len() - 1) * share / 100];
    println!("    echo of a neighbour, {state}: p50 {:?}, p99 {:?}", at(50), at(99));
}
