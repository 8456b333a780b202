//! What a learner has done stays done, and is judged here.

use crate::site::{SLUG, Site};
use hyper::StatusCode;
use serde_json::json;

fn api(rest: &str) -> String {
    format!("/api/lessons/{SLUG}/{rest}")
}

#[tokio::test]
async fn a_pass_outlives_the_state_and_the_server() {
    let mut site = Site::open().await;
    let mut events = site.browser().events(&api("events")).await;
    events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    events.find("verdicts", |verdicts| verdicts[0]["state"] == "open").await;

    site.agent.contain(&["box"]);
    events.find("observation", |seen| seen["containers"][0]["name"] == "box").await;
    let progress = events.find("progress", |progress| progress["passed"][0]["check"] == "a-box").await;
    assert_eq!(
        progress["passed"][0]["evidence"],
        json!([{"wanted": "a box", "saw": "1", "place": "the lab"}])
    );
    let check = site.browser().post(&api("check"), "").await.json();
    assert_eq!((&check[0]["state"], &check[0]["message"]), (&json!("passed"), &json!("There is a box.")));

    site.agent.contain(&[]);
    events.find("verdicts", |verdicts| verdicts[0]["state"] == "open").await;
    site.restart().await;
    let mut events = site.browser().events(&api("events")).await;
    let after = events.find("progress", |_| true).await;
    assert_eq!(after["passed"], progress["passed"], "the pass, with its evidence and its time");
    events.find("verdicts", |verdicts| verdicts[0]["state"] == "open").await;
    assert!(site.browser().get("/").await.text.contains("1"), "the home page counts it");
    let opened = site.agent.calls().iter().filter(|call| call.starts_with("open ")).count();
    assert_eq!(opened, 1, "the lab was found again, not opened again");
    site.end().await;
}

#[tokio::test]
async fn predictions_are_kept_and_quizzes_retried() {
    let mut site = Site::open().await;
    let first = site.browser().post(&api("answers/guess"), r#"{"choice":0}"#).await.json();
    assert_eq!((&first["correct"], &first["choice"]), (&json!(false), &json!(0)));
    assert!(first["explanation_html"].as_str().unwrap().contains("It is not."));
    let second = site.browser().post(&api("answers/guess"), r#"{"choice":1}"#).await.json();
    assert_eq!((&second["choice"], &second["tries"]), (&json!(0), &json!(1)), "a prediction is made once");

    site.browser().post(&api("answers/test"), r#"{"choice":1}"#).await;
    let right = site.browser().post(&api("answers/test"), r#"{"choice":0}"#).await.json();
    assert_eq!((&right["correct"], &right["tries"]), (&json!(true), &json!(2)));
    let after = site.browser().post(&api("answers/test"), r#"{"choice":1}"#).await.json();
    assert_eq!(
        (&after["correct"], &after["tries"]),
        (&json!(true), &json!(2)),
        "a quiz ends with the right answer"
    );

    site.restart().await;
    let page = site.browser().get(&format!("/lessons/{SLUG}")).await.text;
    assert!(
        page.contains("It is not.") && page.contains("Yes."),
        "the page shows the answers without scripts"
    );
    for (block, body, status) in [
        ("answers/none", r#"{"choice":0}"#, 404),
        ("answers/test", r#"{"choice":9}"#, 400),
        ("answers/test", r#"{"choice":-1}"#, 400),
        ("answers/test", r#"{"choice":0,"correct":true}"#, 400),
        ("hints/none", "", 404),
    ] {
        let answer = site.browser().post(&api(block), body).await;
        assert_eq!(answer.status.as_u16(), status, "{block} {body}");
    }
    site.end().await;
}

#[tokio::test]
async fn a_form_without_scripts_is_answered_with_the_page() {
    let site = Site::open().await;
    let form = site
        .browser()
        .with("accept", Some("text/html,*/*;q=0.8"))
        .with("content-type", Some("application/x-www-form-urlencoded"));
    let answer = form.post(&api("answers/test"), "choice=0").await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    assert_eq!(answer.headers["location"], format!("/lessons/{SLUG}#test"));
    assert_eq!(form.post(&api("answers/test"), "").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(form.post(&api("hints/solution-box"), "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(site.agent.calls(), Vec::<String>::new(), "who only reads has no lab");
    site.end().await;
}

#[tokio::test]
async fn hints_open_in_turn_and_the_solution_when_asked_for_twice() {
    let site = Site::open().await;
    let page = site.browser().get(&format!("/lessons/{SLUG}")).await.text;
    assert!(!page.contains("The first hint.") && !page.contains("--name box"), "nothing is given away");
    let mut events = site.browser().events(&api("events")).await;
    let first = site.browser().post(&api("hints/solution-box"), "").await.json();
    assert_eq!(first["opened_html"], json!([]));
    assert!(first["notice"].as_str().unwrap().contains("once more"));
    let second = site.browser().post(&api("hints/solution-box"), "").await.json();
    assert!(second["opened_html"][0].as_str().unwrap().contains("--name box"), "{second}");
    let told = |progress: &serde_json::Value| progress["hints"].as_array().unwrap().contains(&second);
    events.find("progress", told).await;
    site.end().await;
}

#[tokio::test]
async fn a_pass_opens_the_solution() {
    let site = Site::open().await;
    let mut events = site.browser().events(&api("events")).await;
    events.find("lab", |view| view["lab"]["phase"] == "ready").await;
    site.agent.contain(&["box"]);
    let open = |progress: &serde_json::Value| {
        let hints = progress["hints"].as_array().unwrap();
        hints.iter().any(|block| block["block"] == "solution-box" && block["left"] == 0)
    };
    events.find("progress", open).await;
    site.end().await;
}
