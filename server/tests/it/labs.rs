//! Labs through what an agent may do: be slow, refuse, talk nonsense, die.

use crate::agent::Fault;
use crate::site::{SLUG, Site};
use hyper::StatusCode;
use isolab_protocol::LabPhase;
use serde_json::json;

fn api(rest: &str) -> String {
    format!("/api/lessons/{SLUG}/{rest}")
}

#[tokio::test]
async fn a_lab_is_opened_once_with_the_lessons_setup() {
    let site = Site::open().await;
    let (path, browser) = (api("lab"), site.browser());
    let (first, second) = tokio::join!(browser.post(&path, ""), browser.post(&path, ""));
    assert_eq!(first.json()["lab"]["phase"], "ready");
    assert_eq!(first.json()["lab"]["id"], second.json()["lab"]["id"]);
    let opened: Vec<_> = site.agent.calls().into_iter().filter(|call| call.starts_with("open ")).collect();
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert!(opened[0].contains("touch /prepared"), "{opened:?}");
    assert_eq!(first.json()["notice"], json!(null), "a first lab needs no explanation");
    site.end().await;
}

#[tokio::test]
async fn steps_are_told_while_a_lab_is_slow() {
    let site = Site::open().await;
    site.agent.set_slow();
    let view = site.browser().post(&api("lab"), "").await.json();
    assert_eq!(view["lab"]["steps"][0]["what"], "Unpacking the lab host");
    let check = site.browser().post(&api("check"), "").await;
    assert_eq!(check.status, StatusCode::CONFLICT);
    let mut events = site.browser().events(&api("events")).await;
    events.find("lab", |view| view["lab"]["phase"] == "opening").await;
    site.agent.change(|lab| lab.state = LabPhase::Ready);
    events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    site.end().await;
}

#[tokio::test]
async fn a_lab_that_is_lost_with_its_agent_is_made_anew_and_the_page_says_so() {
    let mut site = Site::open().await;
    let mut events = site.browser().events(&api("events")).await;
    events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    site.agent.die().await;
    let lost = events.find("lab", |view| view["lab"] == json!(null)).await;
    assert_eq!(lost["trying"], true);
    assert!(lost["notice"].as_str().unwrap().contains("agent"), "{lost}");
    site.agent.rise();
    let new = events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    assert!(new["notice"].as_str().unwrap().starts_with("This is a new lab"), "{new}");
    site.end().await;
}

#[tokio::test]
async fn a_lab_that_has_ended_is_made_anew() {
    let site = Site::open().await;
    let mut events = site.browser().events(&api("events")).await;
    events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    // As a server that has not just opened it sees it.
    let mut later = site;
    later.restart().await;
    let mut events = later.browser().events(&api("events")).await;
    events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    later.agent.change(|lab| lab.state = LabPhase::Ended { why: "nobody had used it for 12 hours".into() });
    let new = events
        .find("lab", |view| view["notice"].as_str().is_some_and(|n| n.starts_with("This is a new")))
        .await;
    assert!(new["notice"].as_str().unwrap().contains("nobody had used it for 12 hours"), "{new}");
    later.end().await;
}

#[tokio::test]
async fn a_lab_that_cannot_be_opened_is_not_tried_for_ever() {
    for (fault, words) in
        [(Fault::Full, "The machine is full. Mend it."), (Fault::Crashing, "its setup failed")]
    {
        let site = Site::open().await;
        site.agent.set_fault(fault);
        let view = site.browser().post(&api("lab"), "").await.json();
        assert_eq!((&view["lab"], &view["trying"]), (&json!(null), &json!(false)), "{fault:?}: {view}");
        assert!(view["notice"].as_str().unwrap().contains(words), "{view}");
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        let opened = site.agent.calls().iter().filter(|call| call.starts_with("open ")).count();
        assert_eq!(opened, 1, "{fault:?}");
        // Asking again is what a reload does.
        site.agent.set_fault(Fault::None);
        let view = site.browser().post(&api("lab"), "").await.json();
        assert_eq!(view["lab"]["phase"], "ready", "{fault:?}: {view}");
        site.end().await;
    }
}

#[tokio::test]
async fn nonsense_from_the_agent_is_not_passed_on() {
    let site = Site::open().await;
    site.agent.set_fault(Fault::Garbage);
    let mut events = site.browser().events(&api("events")).await;
    let view = events
        .find("lab", |view| view["notice"].as_str().is_some_and(|n| n.contains("does not answer")))
        .await;
    assert!(!view.to_string().contains("html"), "{view}");
    site.agent.set_fault(Fault::None);
    events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    site.end().await;
}

#[tokio::test]
async fn an_exercise_is_reset_in_its_lab_and_a_lab_as_a_whole() {
    let site = Site::open().await;
    let id = site.browser().post(&api("lab"), "").await.json()["lab"]["id"].as_str().unwrap().to_owned();
    let exercise = site.browser().post(&api("reset"), r#"{"scope":"exercise"}"#).await;
    assert_eq!(exercise.status, StatusCode::OK, "{}", exercise.text);
    let calls = site.agent.calls();
    let script = calls.iter().find(|call| call.starts_with("exec ")).unwrap();
    assert!(script.contains("docker rm --force") && script.ends_with("touch /prepared\n"), "{script}");
    assert!(!calls.contains(&format!("reset {id}")));

    let mut events = site.browser().events(&api("events")).await;
    assert_eq!(site.browser().post(&api("reset"), r#"{"scope":"lab"}"#).await.status, StatusCode::OK);
    events.find("lab", |view| view["lab"]["generation"] == 2).await;
    assert!(site.agent.calls().contains(&format!("reset {id}")));

    site.agent.set_exec_status(1);
    let failed = site.browser().post(&api("reset"), r#"{"scope":"exercise"}"#).await;
    assert_eq!(failed.status, StatusCode::CONFLICT);
    assert!(failed.json()["mend"].as_str().unwrap().contains("whole lab"));
    assert!(!failed.text.contains("secret"), "what the lab printed stays in the log");
    assert_eq!(
        site.browser().post(&api("reset"), r#"{"scope":"machine"}"#).await.status,
        StatusCode::BAD_REQUEST
    );
    site.end().await;
}

#[tokio::test]
async fn an_ending_server_ends_its_streams_at_once() {
    let site = Site::open().await;
    let mut events = site.browser().events(&api("events")).await;
    events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    let mut tty = site.browser().terminal(&api("terminals/host")).await.unwrap();
    tty.hello().await;
    tty.reads("$ ").await;
    let begun = std::time::Instant::now();
    site.end().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    while events.next().await.is_some() {}
    assert!(matches!(tty.next().await, Ok(isolab_protocol::terminal::ServerFrame::State { .. })));
    assert_eq!(tty.next().await.unwrap_err(), 1001);
}

#[tokio::test]
async fn a_lesson_is_not_opened_on_a_machine_that_lacks_what_it_needs() {
    let site = Site::open().await;
    site.agent.set_fault(Fault::Lacking);
    let view = site.browser().post(&api("lab"), "").await.json();
    assert_eq!((&view["lab"], &view["trying"]), (&json!(null), &json!(false)), "{view}");
    let notice = view["notice"].as_str().unwrap();
    assert!(
        notice.contains("user-namespaces: They are off.") && notice.ends_with("To mend it: sysctl it"),
        "{notice}"
    );
    assert!(!site.agent.calls().iter().any(|call| call.starts_with("open ")));
    // Mended, it is looked at again; and then not any more.
    site.agent.set_fault(Fault::None);
    assert_eq!(site.browser().post(&api("lab"), "").await.json()["lab"]["phase"], "ready");
    assert_eq!(site.agent.calls().iter().filter(|call| *call == "capabilities").count(), 2);
    site.end().await;
}
