//! The browser's terminal joined to the agent's.

use crate::site::{SLUG, Site};
use futures_util::SinkExt;
use isolab_protocol::LabPhase;
use isolab_protocol::terminal::{ClientFrame, FRAME_BYTES_MAX, ServerFrame};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

fn path() -> String {
    format!("/api/lessons/{SLUG}/terminals/host")
}

async fn type_and_read(tty: &mut crate::browser::Tty, text: &str) {
    tty.send(ClientFrame::Input { bytes: text.into() }).await;
    tty.reads(text).await;
}

#[tokio::test]
async fn what_is_typed_comes_back_at_once() {
    let site = Site::open().await;
    let mut tty = site.browser().terminal(&path()).await.unwrap();
    tty.hello().await;
    tty.reads("$ ").await;
    let begun = Instant::now();
    for _ in 0..50 {
        type_and_read(&mut tty, "x").await;
    }
    // With Nagle's algorithm and delayed acknowledgements each would take 40 ms.
    assert!(begun.elapsed() < Duration::from_secs(1), "50 echoes took {:?}", begun.elapsed());
    let largest = "y".repeat(FRAME_BYTES_MAX - 32);
    type_and_read(&mut tty, &largest).await;
    site.end().await;
}

#[tokio::test]
async fn a_terminal_waits_for_its_lab_and_says_so() {
    let site = Site::open().await;
    site.agent.set_slow();
    let mut tty = site.browser().terminal(&path()).await.unwrap();
    tty.hello().await;
    loop {
        match tty.next().await {
            Ok(ServerFrame::State { message }) if message == "Unpacking the lab host" => break,
            Ok(ServerFrame::State { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    site.agent.change(|lab| lab.state = LabPhase::Ready);
    tty.reads("$ ").await;
    site.end().await;
}

#[tokio::test]
async fn a_dead_agent_is_told_and_the_terminal_can_be_had_again() {
    let mut site = Site::open().await;
    let mut tty = site.browser().terminal(&path()).await.unwrap();
    tty.hello().await;
    tty.reads("$ ").await;
    site.agent.die().await;
    match tty.next().await {
        Ok(ServerFrame::State { message }) => assert!(message.contains("lost"), "{message}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(tty.next().await.unwrap_err(), 4503);
    site.agent.rise();
    let mut again = site.browser().terminal(&path()).await.unwrap();
    again.hello().await;
    again.reads("$ ").await;
    site.end().await;
}

#[tokio::test]
async fn what_is_not_of_the_protocol_ends_the_connection() {
    let site = Site::open().await;
    for (first, code) in [
        (Message::Binary(ClientFrame::Input { bytes: b"ls".into() }.encode().into()), 1008),
        (Message::Binary(vec![].into()), 1008),
        (Message::Text("hello".into()), 1008),
    ] {
        let mut tty = site.browser().terminal(&path()).await.unwrap();
        tty.socket.send(first.clone()).await.unwrap();
        assert!(matches!(tty.next().await, Ok(ServerFrame::State { .. })));
        assert_eq!(tty.next().await.unwrap_err(), code, "{first:?}");
    }
    let mut tty = site.browser().terminal(&path()).await.unwrap();
    tty.hello().await;
    tty.reads("$ ").await;
    // The connection may be reset while this is still being sent.
    let _ = tty.socket.send(Message::Binary(vec![0x82; 1024 * 1024].into())).await;
    let ended = loop {
        match tty.next().await {
            Ok(ServerFrame::State { .. }) => {}
            ended => break ended,
        }
    };
    assert!(ended.is_err(), "{ended:?}");
    site.end().await;
}
