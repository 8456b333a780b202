//! Terminals: echo, resume, watching, floods.

use crate::harness::{Agent, eventually, processes_with};
use isolab_protocol::terminal::{ClientFrame, ServerFrame};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_shell_echoes_and_knows_its_size() {
    let agent = Agent::start().await;
    let lab = agent.lab("shell").await;
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.hello(0).await;
    terminal.ask("echo $((40 + 2)) $TERM $(tty)", "42 xterm-256color /dev/pts/0").await;
    terminal.ask("stty size", "24 80").await;
    terminal.send(ClientFrame::Resize { cols: 100, rows: 30 }).await;
    terminal.ask("stty size", "30 100").await;
    terminal.send(ClientFrame::Ping { stamp: 7 }).await;
    while terminal.frame().await.unwrap() != (ServerFrame::Pong { stamp: 7 }) {}
}

#[tokio::test]
async fn a_reconnect_goes_on_where_it_stopped() {
    let agent = Agent::start().await;
    let lab = agent.lab("resume").await;
    let mut first = agent.client.terminal(&lab.id, "host").await;
    first.hello(0).await;
    first.ask("echo one-$((1))", "one-1\r\n").await;
    let seen = first.seq;
    first.type_in("sleep 1; echo two-$((2))\r").await;
    // Its echo: what an earlier page still has on the way when a later one says HELLO is not taken any more.
    first.until("two-$((2))").await;
    drop(first);
    let mut second = agent.client.terminal(&lab.id, "host").await;
    second.hello(seen).await;
    let text = second.until("two-2\r\n").await;
    assert!(!text.contains("one-1"), "{text:?}");
    drop(second);
    let mut fresh = agent.client.terminal(&lab.id, "host").await;
    fresh.hello(0).await;
    let text = fresh.until("two-2\r\n").await;
    assert!(text.contains("one-1"), "the whole history comes: {text:?}");
}

#[tokio::test]
async fn a_shell_that_ends_is_told_and_the_next_hello_opens_another() {
    let agent = Agent::start().await;
    let lab = agent.lab("exit").await;
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.hello(0).await;
    terminal.ask("echo ready-$((1))", "ready-1").await;
    // What it leaves in the background must not keep the terminal open.
    terminal.type_in("sleep 7774 & exit 3\r").await;
    assert_eq!(terminal.until_exit().await, 3);
    let seq = terminal.seq;
    terminal.hello(seq).await;
    terminal.ask("echo again-$((1))", "again-1").await;
}

#[tokio::test]
async fn the_newest_client_types_and_the_others_watch() {
    let agent = Agent::start().await;
    let lab = agent.lab("watch").await;
    let mut old = agent.client.terminal(&lab.id, "host").await;
    old.hello(0).await;
    old.ask("echo mine-$((1))", "mine-1").await;
    let mut new = agent.client.terminal(&lab.id, "host").await;
    new.hello(0).await;
    new.until("mine-1").await;
    new.ask("echo yours-$((2))", "yours-2").await;
    old.until("yours-2").await;
    old.type_in("echo stolen-$((3))\r").await;
    new.ask("echo after-$((4))", "after-4").await;
    assert!(!String::from_utf8_lossy(&new.output).contains("stolen-3"));
}

#[tokio::test]
async fn what_breaks_the_protocol_is_closed() {
    let agent = Agent::start().await;
    let lab = agent.lab("rude").await;
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.type_in("echo before hello\r").await;
    assert_eq!(terminal.frame().await, None);
    assert_eq!(agent.client.get(&lab.path("/terminals/host")).await.0, 400);
    assert_eq!(agent.client.get("/v1/labs/none/terminals/host").await.0, 404);
}

#[tokio::test]
async fn a_reset_closes_the_terminals_and_opens_new_ones() {
    let agent = Agent::start().await;
    let lab = agent.lab("renew").await;
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.hello(0).await;
    terminal.ask("echo old-$((1))", "old-1").await;
    agent.client.post(&lab.path("/reset"), &json!({})).await;
    while terminal.frame().await.is_some() {}
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.hello(0).await;
    let text = terminal.ask("echo new-$((2))", "new-2").await;
    assert!(!text.contains("old-1"));
}

/// The time from a key to its echo.
async fn echo(terminal: &mut crate::client::Terminal) -> Duration {
    terminal.output.clear();
    let began = Instant::now();
    terminal.type_in("k").await;
    terminal.until("k").await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_output_costs_bounded_memory_and_nobody_elses_echo() {
    let agent = Agent::start().await;
    let (noisy, quiet) = (agent.lab("noisy").await, agent.lab("quiet").await);
    let mut neighbour = agent.client.terminal(&quiet.id, "host").await;
    neighbour.hello(0).await;
    neighbour.ask("echo calm-$((1)); stty -icanon; cat > /dev/null", "calm-1\r\n").await;
    let before = agent.resident_kib();
    let mut terminal = agent.client.terminal(&noisy.id, "host").await;
    terminal.hello(0).await;
    terminal.ask("echo loud-$((1))", "loud-1").await;
    terminal.type_in("yes $(printf %01000d 0) | head -c 1000000000; echo all-$((1000))-done\r").await;
    // The page reads and acknowledges for a while …
    let watching = Instant::now();
    let mut received = 0_u64;
    while watching.elapsed() < Duration::from_secs(3) {
        if let Some(ServerFrame::Output { bytes, .. }) = terminal.frame().await {
            received += bytes.len() as u64;
            terminal.output.clear();
        }
    }
    assert!(received > 1_000_000, "{received}");
    // … then is closed. The program goes on, unwatched.
    drop(terminal);
    let mut echoes = Vec::new();
    for _ in 0..50 {
        echoes.push(echo(&mut neighbour).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    echoes.sort();
    assert!(echoes[25] < Duration::from_millis(100), "half of the echoes take {:?}", echoes[25]);
    let grown = agent.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "the agent grew by {grown} KiB");
    // Whoever comes back sees the screen as it is now, not a gigabyte.
    let mut back = agent.client.terminal(&noisy.id, "host").await;
    back.hello(0).await;
    while back.snapshots == 0 {
        assert!(back.frame().await.is_some());
    }
    assert!(back.output.len() < 65_536);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_is_costly_to_show_slows_only_its_own_terminal() {
    let agent = Agent::start().await;
    let (costly, quiet) = (agent.lab("costly").await, agent.lab("quiet").await);
    // Four bytes that clear a quarter of a million cells, again and again, in all terminals that a lab may have.
    for n in 0..8 {
        let mut terminal = agent.client.terminal(&costly.id, &format!("t{n}")).await;
        terminal.send(ClientFrame::Hello { last_seq: 0, cols: 500, rows: 500 }).await;
        terminal.type_in("yes $'\\e[2J\\e[1J\\e[2J'\r").await;
        terminal.until("\u{1b}[2J\u{1b}[1J").await;
    }
    let mut neighbour = agent.client.terminal(&quiet.id, "host").await;
    neighbour.hello(0).await;
    neighbour.ask("echo calm-$((1)); stty -icanon; cat > /dev/null", "calm-1\r\n").await;
    let mut echoes = Vec::new();
    for _ in 0..50 {
        echoes.push(echo(&mut neighbour).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    echoes.sort();
    println!("keystroke to echo beside costly output: p50 {:?}, max {:?}", echoes[25], echoes[49]);
    assert!(echoes[25] < Duration::from_millis(100), "half of the echoes take {:?}", echoes[25]);
}

#[tokio::test]
async fn a_page_that_does_not_acknowledge_holds_its_program_and_not_the_agent() {
    let agent = Agent::start().await;
    let lab = agent.lab("held").await;
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.hello(0).await;
    terminal.ask("echo go-$((1))", "go-1").await;
    terminal.acknowledge = false;
    terminal.output.clear();
    terminal.type_in("yes | head -c 20000000; echo end-$((1))\r").await;
    let mut quiet = false;
    while !quiet {
        quiet = tokio::time::timeout(Duration::from_secs(2), terminal.frame()).await.is_err();
    }
    assert!(terminal.output.len() < 400_000, "{} bytes came without being asked for", terminal.output.len());
    terminal.acknowledge = true;
    let seq = terminal.seq;
    terminal.send(ClientFrame::Ack { seq }).await;
    terminal.output.clear();
    terminal.until("end-1\r\n").await;
}

#[tokio::test]
async fn ten_thousand_resizes_are_a_few() {
    let agent = Agent::start().await;
    let lab = agent.lab("resizes").await;
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.hello(0).await;
    terminal.ask("n=0; trap 'n=$((n+1))' WINCH; echo set-$((1))", "set-1").await;
    let began = Instant::now();
    for n in 0..10_000_u16 {
        terminal.send(ClientFrame::Resize { cols: 20 + n % 400, rows: 5 + n % 300 }).await;
    }
    terminal.send(ClientFrame::Resize { cols: 81, rows: 25 }).await;
    terminal.ask("sleep 0.2; stty size", "25 81").await;
    let took = began.elapsed();
    let text = terminal.ask("echo resized=$n,$((1))", ",1\r\n").await;
    let count: u64 = text.split("resized=").last().unwrap().split(',').next().unwrap().parse().unwrap();
    let possible = 2 + took.as_millis() as u64 / 16;
    assert!(count <= possible, "{count} resizes reached the shell in {took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
}

#[tokio::test]
async fn input_that_nobody_reads_is_bounded() {
    let agent = Agent::start().await;
    let lab = agent.lab("input").await;
    let mut terminal = agent.client.terminal(&lab.id, "host").await;
    terminal.hello(0).await;
    terminal.ask("stty raw -echo; echo raw-$((1)); exec sleep 7775", "raw-1").await;
    let before = agent.resident_kib();
    for _ in 0..400 {
        terminal.type_in(&"x".repeat(60_000)).await;
    }
    let told = async {
        loop {
            if let Some(ServerFrame::State { message }) = terminal.frame().await {
                return message;
            }
        }
    };
    let message = tokio::time::timeout(Duration::from_secs(20), told).await.expect("the learner is told");
    assert!(message.contains("dropped"), "{message}");
    assert!(agent.resident_kib().saturating_sub(before) < 32 * 1024);
    lab.end().await;
    eventually("the program ends with its lab", || processes_with("sleep 7775").is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_echoed_soon_among_fifty_terminals() {
    let agent = Agent::start().await;
    let mut terminals = Vec::new();
    for n in 0..10 {
        let lab = agent.lab(&format!("crowd-{n}")).await;
        for name in ["a", "b", "c", "d", "e"] {
            let mut terminal = agent.client.terminal(&lab.id, name).await;
            terminal.hello(0).await;
            terminal.ask("echo in-$((1)); stty -icanon; cat > /dev/null", "in-1\r\n").await;
            terminals.push(terminal);
        }
    }
    let mut echoes = Vec::new();
    for _ in 0..4 {
        for terminal in &mut terminals {
            echoes.push(echo(terminal).await);
        }
    }
    echoes.sort();
    let (p50, p99) = (echoes[echoes.len() / 2], echoes[echoes.len() * 99 / 100]);
    println!("keystroke to echo among 50 terminals: p50 {p50:?}, p99 {p99:?}");
    // The aim is a p99 below 20 ms on an idle machine (`isolab bench echo`); a busy one must still be usable.
    assert!(p50 < Duration::from_millis(20) && p99 < Duration::from_millis(500), "p50 {p50:?}, p99 {p99:?}");
}

#[tokio::test]
async fn a_prompt_comes_soon_after_a_lab_is_asked_for() {
    let agent = Agent::start().await;
    // The first lab of an agent waits for the images to be mounted.
    agent.lab("warm").await;
    let mut took = Vec::new();
    for n in 0..10 {
        let began = Instant::now();
        let id = format!("prompt-{n}");
        assert_eq!(agent.client.post("/v1/labs", &json!({ "id": id })).await.0, 201);
        let mut terminal = agent.client.terminal(&id, "host").await;
        terminal.hello(0).await;
        terminal.until("# ").await;
        took.push(began.elapsed());
    }
    took.sort();
    println!("from asking for a lab to its prompt: p50 {:?}, max {:?}", took[5], took[9]);
    // The aim is a p50 below 150 ms on an idle machine (`isolab bench`); this one may be busy.
    assert!(took[5] < Duration::from_secs(2), "{took:?}");
}
