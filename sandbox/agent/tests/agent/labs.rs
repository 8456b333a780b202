//! Opening, using, resetting and ending labs.

use crate::harness::{Agent, Lab, eventually, processes_with};
use isolab_agent::labs::LABS_MAX;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_lab_opens_in_steps_and_its_root_has_a_host_of_its_own() {
    let agent = Agent::start().await;
    let lab = agent.lab("first").await;
    let view = lab.wait_for_phase("ready").await;
    let steps: Vec<&str> =
        view["steps"].as_array().unwrap().iter().map(|s| s["what"].as_str().unwrap()).collect();
    assert!(steps.ends_with(&["Starting the lab host", "Waiting for its engine"]), "{steps:?}");
    assert!(view["steps"].as_array().unwrap().iter().all(|s| s["took_ms"].is_u64()), "{view}");
    assert!(view["memory_kib"].as_u64().unwrap() > 0, "{view}");
    assert_eq!(lab.ok("id -u; hostname; cat /proc/1/comm").await, "0\nlabhost\nisolab-engine");
    assert_eq!(lab.ok("docker ps -q | wc -l").await, "0");
}

#[tokio::test]
async fn a_name_is_taken_while_its_lab_lives_and_unknown_ones_are_told() {
    let agent = Agent::start().await;
    let lab = agent.lab("mine").await;
    let (status, body) = agent.client.post("/v1/labs", &json!({ "id": "mine" })).await;
    assert_eq!(status, 409, "{body}");
    assert!(body["mend"].as_str().unwrap().contains("DELETE"), "{body}");
    assert_eq!(agent.client.get("/v1/labs/other").await.0, 404);
    assert_eq!(agent.client.get("/v1/labs/..%2f..%2fetc").await.0, 404);
    assert_eq!(agent.client.post("/v1/labs", &json!({ "id": "../etc" })).await.0, 400);
    assert_eq!(agent.client.post("/v1/labs", &json!({ "surprise": 1 })).await.0, 400);
    assert_eq!(agent.client.post("/v1/labs", &json!({ "tier": "cloud" })).await.0, 400);
    assert_eq!(agent.client.get("/v1/nowhere").await.0, 404);
    lab.end().await;
    assert_eq!(agent.client.get("/v1/labs/mine").await.0, 404);
    agent.lab("mine").await;
}

#[tokio::test]
async fn exec_tells_status_output_and_input() {
    let agent = Agent::start().await;
    let lab = agent.lab("exec").await;
    let ran = lab.exec(json!({ "argv": ["sh", "-c", "cat; echo oops >&2; exit 7"], "stdin": "in\n" })).await;
    assert_eq!((ran.status, ran.stdout.as_str(), ran.stderr.as_str()), (7, "in\n", "oops\n"));
    assert_eq!(lab.run("kill -9 $$").await.status, 137);
    let ran = lab.run("head -c 3000000 /dev/zero | tr '\\0' x").await;
    assert_eq!((ran.status, ran.stdout.len(), ran.truncated), (0, 1 << 20, true));
    let ran = lab.run("yes; echo $? >&2").await;
    assert_eq!((ran.stderr.as_str(), ran.truncated), ("141\n", true), "endless output is cut off");
    let ran = lab.exec(json!({ "argv": ["/no/such"] })).await;
    assert!(ran.status == 127 && ran.stderr.contains("/no/such"), "{ran:?}");
    assert_eq!(lab.exec(json!({ "argv": ["/etc"] })).await.status, 126);
    assert_eq!(agent.client.post(&lab.path("/exec"), &json!({ "argv": [] })).await.0, 400);
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_killed_with_what_it_started() {
    let agent = Agent::start().await;
    let lab = agent.lab("slow").await;
    let began = Instant::now();
    let script = "sleep 7771 & sleep 7772 & echo begun; wait";
    let ran = lab.exec(json!({ "argv": ["/bin/bash", "-c", script], "seconds_max": 1 })).await;
    assert_eq!((ran.status, ran.stdout.as_str()), (124, "begun\n"));
    assert!(began.elapsed() < Duration::from_secs(20));
    eventually("the command's children end", || processes_with("sleep 777").is_empty()).await;
}

#[tokio::test]
async fn a_background_process_does_not_keep_its_command_waiting() {
    let agent = Agent::start().await;
    let lab = agent.lab("background").await;
    let began = Instant::now();
    assert_eq!(lab.ok("sleep 50 & echo done").await, "done");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn setup_runs_before_the_lab_is_ready_and_its_failure_is_told() {
    let agent = Agent::start().await;
    let spec = json!({ "id": "prepared", "setup": "echo flag > /root/flag" });
    assert_eq!(agent.client.post("/v1/labs", &spec).await.0, 201);
    let lab = Lab { agent: &agent, id: "prepared".into() };
    let view = lab.wait_for_phase("ready").await;
    assert_eq!(view["steps"].as_array().unwrap().last().unwrap()["what"], "Preparing the lesson");
    assert_eq!(lab.ok("cat /root/flag").await, "flag");

    let spec = json!({ "id": "broken", "setup": "echo no such thing >&2; exit 3" });
    assert_eq!(agent.client.post("/v1/labs", &spec).await.0, 201);
    let view = Lab { agent: &agent, id: "broken".into() }.wait_for_phase("ended").await;
    let why = view["why"].as_str().unwrap();
    assert!(why.contains("status 3") && why.contains("no such thing"), "{why}");
}

#[tokio::test]
async fn a_reset_is_a_new_lab_host_under_the_same_name() {
    let agent = Agent::start().await;
    let lab = agent.lab("again").await;
    lab.ok("touch /root/mine; sleep 7773 & disown").await;
    let (status, view) = agent.client.post(&lab.path("/reset"), &json!({})).await;
    assert_eq!(
        (status, view["generation"].as_u64(), view["phase"].as_str()),
        (202, Some(1), Some("opening"))
    );
    let view = lab.wait_for_phase("ready").await;
    assert_eq!(view["generation"], 1);
    assert_eq!(lab.run("test -e /root/mine").await.status, 1);
    assert!(processes_with("sleep 7773").is_empty());
    let setup = json!({ "setup": "touch /root/prepared" });
    assert_eq!(agent.client.post(&lab.path("/reset"), &setup).await.0, 202);
    lab.wait_for_phase("ready").await;
    lab.ok("test -e /root/prepared").await;
}

#[tokio::test]
async fn a_lab_that_nobody_returns_to_is_ended() {
    let agent = Agent::start().await;
    let spec = json!({ "id": "idle", "idle_seconds_max": 1 });
    assert_eq!(agent.client.post("/v1/labs", &spec).await.0, 201);
    let view = Lab { agent: &agent, id: "idle".into() }.wait_for_phase("ended").await;
    assert!(view["why"].as_str().unwrap().contains("Nobody was here"), "{view}");
    let metrics = agent.client.text("/v1/metrics").await;
    assert!(metrics.contains("isolab_labs_reaped_total 1") && metrics.contains("isolab_labs 0"), "{metrics}");
}

#[tokio::test]
async fn labs_are_counted() {
    let agent = Agent::start().await;
    // Opening is refused before anything is made, so that a setup which fails at once costs little.
    for n in 0..LABS_MAX {
        let (status, body) = agent.client.post("/v1/labs", &json!({ "id": format!("n{n}") })).await;
        assert_eq!(status, 201, "{body}");
    }
    let (status, body) = agent.client.post("/v1/labs", &json!({})).await;
    assert_eq!(status, 429, "{body}");
    for n in 0..LABS_MAX {
        agent.client.delete(&format!("/v1/labs/n{n}")).await;
    }
    assert_eq!(agent.client.post("/v1/labs", &json!({})).await.0, 201);
}

#[tokio::test]
async fn the_agent_tells_of_itself_and_its_machine() {
    let agent = Agent::start().await;
    let (status, found) = agent.client.get("/v1/capabilities").await;
    assert_eq!(status, 200);
    for capability in found["capabilities"].as_array().unwrap() {
        let required = capability["required"].as_bool().unwrap();
        assert!(capability["available"].as_bool().unwrap() || !required, "{capability}");
    }
    assert_eq!(agent.client.text("/v1/readyz").await, "ok\n");
    let (_, description) = agent.client.get("/v1/openapi.json").await;
    for path in [
        "/v1/labs",
        "/v1/labs/{id}",
        "/v1/labs/{id}/reset",
        "/v1/labs/{id}/exec",
        "/v1/labs/{id}/observation",
        "/v1/labs/{id}/observations",
        "/v1/labs/{id}/terminals/{name}",
        "/v1/capabilities",
        "/v1/metrics",
    ] {
        assert!(description["paths"][path].is_object(), "{path} is described");
    }
}

#[tokio::test]
async fn containers_of_a_lab_can_have_ids_of_their_own() {
    let agent = Agent::start().await;
    let lab = agent.lab("remapped").await;
    let restart =
        "curl --silent --fail --request POST --unix-socket /run/docker.sock http://docker/_isolab/restart";
    lab.ok(&format!(
        "mkdir -p /etc/docker; echo '{{\"userns-remap\": \"default\"}}' > /etc/docker/daemon.json; {restart}"
    ))
    .await;
    let map = lab.ok("docker run --rm busybox cat /proc/self/uid_map | tr -s ' '").await;
    assert_eq!(map.trim(), "0 100000 20480");
    lab.ok(
        "docker run -d --name root busybox sleep 3600; docker run -d --name user -u 1000 busybox sleep 3601",
    )
    .await;
    assert_eq!(lab.ok("ps -o uid= -C sleep | sort -n | xargs").await, "100000 101000");
    assert_eq!(lab.ok("docker run --rm --userns=host busybox sh -c 'wc -l < /proc/self/uid_map'").await, "3");
}
