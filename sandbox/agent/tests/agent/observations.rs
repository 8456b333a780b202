//! What the agent sees of a lab, from outside.

use crate::harness::Agent;
use serde_json::{Value, json};

fn container<'a>(observation: &'a Value, name: &str) -> Option<&'a Value> {
    observation["containers"].as_array().unwrap().iter().find(|c| c["name"] == name)
}

#[tokio::test]
async fn a_container_is_seen_with_its_two_pids_and_its_walls() {
    let agent = Agent::start().await;
    let lab = agent.lab("seen").await;
    let mut events = agent.client.events(&lab.path("/observations")).await;
    let first = events.wait_for("observation", |_| true).await;
    assert_eq!(first["containers"], json!([]));
    assert_eq!(first["host"]["hostname"], "labhost");
    lab.ok("docker run -d --name pid-test ubuntu sleep 3600").await;
    let sees =
        |o: &Value| container(o, "pid-test").is_some_and(|c| c["init"]["argv"] == json!(["sleep", "3600"]));
    let seen = events.wait_for("observation", sees).await;
    let one = container(&seen, "pid-test").unwrap();
    assert_eq!((one["image"].as_str(), one["init"]["pid_inside"].as_u64()), (Some("ubuntu"), Some(1)));
    let pid = one["init"]["pid"].as_u64().unwrap();
    assert!(pid > 1);
    assert_eq!(lab.ok(&format!("tr '\\0' ' ' < /proc/{pid}/cmdline")).await, "sleep 3600");
    for (wall, shared) in
        [("pid", false), ("mnt", false), ("net", false), ("uts", false), ("ipc", false), ("user", true)]
    {
        assert_eq!(one["namespaces"][wall]["shared"], shared, "{wall}");
    }
    assert_eq!(one["init"]["executable"]["pristine"], true, "{}", one["init"]["executable"]);
    assert!(one["init"]["executable"]["path"].as_str().unwrap().ends_with("/sleep"));
    assert_eq!(lab.ok("docker exec pid-test hostname").await, one["hostname"].as_str().unwrap());
    assert!(one["links"].as_array().unwrap().iter().any(|l| l["name"] == "lo"), "{}", one["links"]);
    lab.ok("docker rm -f pid-test").await;
    events.wait_for("observation", |o| o["containers"] == json!([])).await;
}

#[tokio::test]
async fn a_fake_program_is_told_from_the_genuine_one() {
    let agent = Agent::start().await;
    let lab = agent.lab("fakes").await;
    lab.ok("cp /bin/cat /root/sleep; mkfifo /root/fifo; (exec -a sleep /root/sleep < /root/fifo) & \
         sleep 3601 & exec 3>/root/fifo; disown -a; sleep 0.3; echo started")
        .await;
    let script = "cp /bin/sleep /usr/local/bin/sleep; /usr/local/bin/sleep 3602 & disown";
    lab.ok(script).await;
    let (status, seen) = agent.client.get(&lab.path("/observation")).await;
    assert_eq!(status, 200, "{seen}");
    let process = |argument: &str| {
        let mut all = seen["host"]["processes"].as_array().unwrap().iter();
        all.find(|p| p["argv"][1] == argument).unwrap_or_else(|| panic!("{argument} in {seen}"))
    };
    assert_eq!(process("3601")["executable"]["pristine"], true);
    let copied = &process("3602")["executable"];
    assert_eq!(
        (copied["path"].as_str(), copied["pristine"].as_bool()),
        (Some("/usr/local/bin/sleep"), Some(false))
    );
}

#[tokio::test]
async fn the_stream_follows_a_reset_and_ends_with_the_lab() {
    let agent = Agent::start().await;
    let lab = agent.lab("follow").await;
    let mut events = agent.client.events(&lab.path("/observations")).await;
    let (name, view) = events.next().await.unwrap();
    assert_eq!((name.as_str(), view["phase"].as_str()), ("lab", Some("ready")));
    let before = events.wait_for("observation", |_| true).await;
    agent.client.post(&lab.path("/reset"), &json!({})).await;
    events.wait_for("lab", |lab| lab["generation"] == 1 && lab["phase"] == "opening").await;
    events.wait_for("lab", |lab| lab["generation"] == 1 && lab["phase"] == "ready").await;
    let after = events.wait_for("observation", |_| true).await;
    assert!(after["seq"].as_u64() > before["seq"].as_u64(), "the count never goes back");
    let began = |seen: &Value| seen["host"]["processes"][0]["started_at_ms"].as_u64();
    assert!(began(&after) > began(&before), "it is another lab host");
    lab.end().await;
    events.wait_for("lab", |lab| lab["phase"] == "ended").await;
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_lab_full_of_processes_is_cut_and_said_to_be() {
    let agent = Agent::start().await;
    let lab = agent.lab("crowded").await;
    // It stops at the lab's bound; the commands after it need processes themselves.
    lab.run("for n in $(seq 1 600); do sleep 3603 & done 2>/dev/null; true").await;
    let (status, seen) = agent.client.get(&lab.path("/observation")).await;
    assert_eq!(status, 200, "{seen}");
    let count = seen["host"]["processes"].as_array().unwrap().len();
    assert!(count > 300 && count <= 512, "{count}");
}
