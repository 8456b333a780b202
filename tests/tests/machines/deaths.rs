//! A learner who is root of a machine can end it. The lab goes on in another one, and says so.

use crate::world::{World, descendants};
use isolab_tests::harness::Outcome;
use serde_json::json;
use std::time::Duration;

/// Ways to end a machine from within, and a word of what the learner is told.
const WAYS: [(&str, &str); 6] = [
    ("echo c > /proc/sysrq-trigger", "kernel panicked"),
    ("echo b > /proc/sysrq-trigger", "rebooted"),
    ("echo o > /proc/sysrq-trigger", "switched off"),
    ("kill -KILL $(pgrep -f 'isolab-agent guest --serve')", "machine"),
    ("kill -KILL $(pgrep -x isolab-engine)", "engine"),
    // It lives, and will never answer again.
    ("kill -STOP $(pgrep -f 'isolab-agent guest --serve')", "does not answer"),
];

pub fn every_death_is_told_and_another_machine_takes_its_place(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let lab = agent.machine("mortal").await;
        for (number, (way, word)) in WAYS.iter().enumerate() {
            let generation = lab.view().await["generation"].as_u64().unwrap();
            lab.ok("echo mine > /root/mine").await;
            // Long enough ago that it does not count as an early death.
            tokio::time::sleep(Duration::from_secs(if number == 0 { 0 } else { 5 })).await;
            lab.begin(way).await;
            let view = lab.ready(generation + 1).await;
            let notice = view["notice"].as_str().unwrap_or_default();
            assert!(notice.starts_with("Your virtual machine died."), "{way}: {view}");
            assert!(notice.contains(word) && notice.ends_with("Here is a new one."), "{way}: {notice}");
            assert_ne!(lab.run("cat /root/mine").await.status, 0, "{way}: another machine");
            assert_eq!(descendants(agent.pid(), "qemu-system").len(), 1, "{way}: the dead one is gone");
        }
    })
}

pub fn a_machine_that_dies_again_and_again_is_given_up(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        // Runs when each machine is ready, as a learner's own start-up script might.
        let setup = "(sleep 1; echo b > /proc/sysrq-trigger) >/dev/null 2>&1 </dev/null &";
        let lab = agent.open(json!({ "id": "hopeless", "tier": "vm", "setup": setup })).await;
        let mut view = json!(null);
        agent
            .until("it is given up", async || {
                view = lab.view().await;
                view["phase"] == "ended"
            })
            .await;
        let why = view["why"].as_str().unwrap();
        assert!(why.contains("3 times in a row") && why.contains("rebooted"), "{why}");
        assert!(descendants(agent.pid(), "qemu-system").is_empty());
        // Others are opened as before.
        agent.machine("other").await.ok("true").await;
    })
}

pub fn nothing_is_left_of_a_killed_agent(world: &World) -> Outcome {
    let mut pids = Vec::new();
    world.with_agent(async |agent| {
        agent.machine("orphan").await.ok("docker run -d ubuntu sleep 7784; echo data > /root/data").await;
        pids = descendants(agent.pid(), "qemu-system");
        assert_eq!(pids.len(), 1);
        let disk = std::fs::read_link(format!("/proc/{}/fd/6", pids[0])).unwrap();
        assert!(disk.to_string_lossy().ends_with("(deleted)"), "its disk has a name: {disk:?}");
        rustix::process::kill_process(
            rustix::process::Pid::from_raw(agent.pid() as i32).unwrap(),
            rustix::process::Signal::KILL,
        )
        .unwrap();
        let gone = async || !std::path::Path::new(&format!("/proc/{}/exe", pids[0])).exists();
        agent.until("QEMU goes with the agent", gone).await;
    })
}
