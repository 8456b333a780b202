//! What is left on the machine when labs and agents have ended, in every way that they can: nothing.

use crate::harness::{Agent, eventually, processes_with, program};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What an ended lab could have left.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    mounts: BTreeSet<String>,
    links: BTreeSet<String>,
    cgroups: usize,
    shared_memory: BTreeSet<String>,
}

fn names(directory: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

impl Traces {
    fn now() -> Self {
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let point = |line: &str| line.split(' ').nth(4).unwrap_or_default().to_owned();
        Self {
            mounts: mountinfo.lines().map(point).collect(),
            links: names("/sys/class/net"),
            cgroups: names("/sys/fs/cgroup").len(),
            shared_memory: names("/dev/shm"),
        }
    }
}

#[tokio::test]
async fn an_ended_lab_leaves_nothing() {
    let before = Traces::now();
    let agent = Agent::start().await;
    let lab = agent.lab("leave").await;
    lab.ok("docker run -d --name left ubuntu sleep 7101 && ip link add br7 type bridge; sleep 7101 & disown")
        .await;
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.hello(0).await;
    terminal.ask("sleep 7101 & echo on-$((1))", "on-1").await;
    assert!(!processes_with("sleep 7101").is_empty());
    lab.end().await;
    assert!(processes_with("sleep 7101").is_empty());
    drop(terminal);
    drop(agent);
    assert_eq!(Traces::now(), before);
}

#[tokio::test]
async fn an_agent_that_is_killed_takes_its_labs_along() {
    let before = Traces::now();
    let mut agent = Agent::start().await;
    let lab = agent.lab("orphan").await;
    lab.ok("docker run -d ubuntu sleep 7102; setsid sleep 7102 & disown").await;
    assert!(!processes_with("sleep 7102").is_empty());
    agent.process.kill().unwrap();
    assert_eq!(agent.process.wait().unwrap().signal(), Some(9));
    eventually("the lab ends with its agent", || processes_with("sleep 7102").is_empty()).await;
    eventually("the zygote ends with its agent", || zygotes_of(&agent).is_empty()).await;
    drop(agent);
    assert_eq!(Traces::now(), before);
}

#[tokio::test]
async fn a_lab_that_is_ended_while_it_opens_leaves_nothing() {
    let agent = Agent::start().await;
    agent.lab("first").await.end().await;
    for n in 0..20 {
        let spec = serde_json::json!({ "id": "hasty", "setup": "sleep 7105" });
        assert_eq!(agent.client.post("/v1/labs", &spec).await.0, 201);
        if n % 2 == 0 {
            assert_eq!(agent.client.post("/v1/labs/hasty/reset", &serde_json::json!({})).await.0, 202);
        }
        tokio::time::sleep(Duration::from_millis(n * 5)).await;
        assert_eq!(agent.client.delete("/v1/labs/hasty").await.0, 204);
    }
    // The zygote is the only child that an agent without labs has: none is running, and none waits to be reaped.
    eventually("all children are gone and reaped", || children_of(&agent) == ["isolab-zygote"]).await;
    assert!(processes_with("sleep 7105").is_empty());
}

/// The names of an agent's child processes, zombies included.
fn children_of(agent: &Agent) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stat = |entry: std::fs::DirEntry| std::fs::read_to_string(entry.path().join("stat")).ok();
    let child = |stat: String| {
        let (name, rest) = (stat.split_once('(')?.1.rsplit_once(')')?.0, stat.rsplit_once(')')?.1);
        let parent: u32 = rest.split_whitespace().nth(1)?.parse().ok()?;
        (parent == agent.process.id()).then(|| name.to_owned())
    };
    entries.filter_map(stat).filter_map(child).collect()
}

/// Processes that came from this agent: they have its socket's path on their command line.
fn zygotes_of(agent: &Agent) -> Vec<u32> {
    let own = agent.process.id();
    processes_with("serve --die-with-parent")
        .into_iter()
        .filter(|pid| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(|p| p.trim().parse());
            parent == Some(Ok(own))
        })
        .collect()
}

#[tokio::test]
async fn an_agent_ends_when_its_parent_is_gone_or_says_so() {
    let mut agent = Agent::start().await;
    let lab = agent.lab("closed").await;
    lab.ok("sleep 7103 & disown").await;
    // A parent that is killed lets go of the pipe just like this.
    drop(agent.process.stdin.take());
    eventually("the agent ends", || matches!(agent.process.try_wait(), Ok(Some(_)))).await;
    assert!(processes_with("sleep 7103").is_empty());

    let mut agent = Agent::start().await;
    agent.lab("told").await.ok("sleep 7104 & disown").await;
    let pid = rustix::process::Pid::from_raw(agent.process.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    eventually("the agent ends", || matches!(agent.process.try_wait(), Ok(Some(_)))).await;
    assert!(agent.process.wait().unwrap().success());
    assert!(processes_with("sleep 7104").is_empty());
}

#[tokio::test]
async fn a_socket_has_one_agent() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent.sock");
    let start = || {
        let mut command = Command::new(program());
        command.args(["serve", "--die-with-parent", "--socket"]).arg(&socket);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut first = start();
    let client = crate::client::Client::new(socket.clone());
    while !client.answers("/v1/healthz").await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut second = start();
    assert!(!second.wait().unwrap().success(), "the second one gives way");
    assert!(client.answers("/v1/healthz").await);
    first.kill().unwrap();
    first.wait().unwrap();
    let mut third = start();
    while !client.answers("/v1/healthz").await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(third.stdin.take());
    assert!(third.wait().unwrap().success());
}
