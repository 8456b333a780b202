//! `isolab bench echo`: what a learner waits for.
//!
//! A private server and a private agent, and real labs: one per terminal, so that 50 terminals are 50 learners.

use super::classroom::{ServerThread, keys, open, slug, write_lessons};
use super::page::Page;
use super::{Machine, Output, Summary};
use crate::agent_client::AgentProcess;
use crate::home::Home;
use anyhow::Context;
use futures_util::future::try_join_all;
use serde::Serialize;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

/// A full classroom.
const TERMINALS: usize = 50;

/// How often the way from the click to the prompt is measured, each time with a fresh lab.
const CLICKS: usize = 20;

/// Keystrokes measured in one terminal alone.
const KEYS_ALONE: usize = 150;

/// Keystrokes measured in each of many terminals.
const KEYS_EACH: usize = 40;

/// What the report says.
#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// From `POST …/lab` to the first prompt of a fresh lab.
    click_to_prompt: Summary,
    /// From a key to its echo, one terminal being open.
    echo_with_1_terminal: Summary,
    /// The same with [`TERMINALS`], all being typed in.
    echo_with_50_terminals: Summary,
}

pub(super) async fn run(home: &Home, output: &Output) -> anyhow::Result<ExitCode> {
    let machine = Machine::here();
    let agent = AgentProcess::private(home).await?;
    let folder = tempfile::tempdir()?;
    write_lessons(folder.path(), TERMINALS, "user-namespaces")?;
    let server = ServerThread::start(folder.path(), agent.client().clone()).await?;
    let measured = measure(server.address, machine).await;
    server.end();
    agent.end().await;
    let report = measured?;
    if output.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.machine);
        println!("click to prompt, fresh lab:  {}", report.click_to_prompt);
        println!("key to echo, 1 terminal:     {}", report.echo_with_1_terminal);
        println!("key to echo, {TERMINALS} terminals:   {}", report.echo_with_50_terminals);
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(address: SocketAddr, machine: Machine) -> anyhow::Result<Report> {
    let page = |n: usize| Page::new(address, slug(n));
    // The first lab ever may have to wait for images, and its terminal is the one that is measured alone.
    let (mut first, _) = open(&page(0)).await?;
    let mut streams = vec![page(0).listen().await?];
    let alone = keys(&mut first, KEYS_ALONE, 0, 1).await?;
    let (mut clicks, mut terminals) = (vec![], vec![first]);
    for n in 1..TERMINALS {
        let (tty, took) =
            open(&page(n)).await.with_context(|| format!("terminal {} of {TERMINALS}", n + 1))?;
        if clicks.len() < CLICKS {
            clicks.push(took);
        }
        terminals.push(tty);
        streams.push(page(n).listen().await?);
    }
    let typists = terminals.iter_mut().enumerate().map(|(n, tty)| keys(tty, KEYS_EACH, n, TERMINALS));
    let together = try_join_all(typists).await?.concat();
    let summary = |measured: &[Duration]| Summary::of(measured).context("nothing was measured");
    Ok(Report {
        machine,
        click_to_prompt: summary(&clicks)?,
        echo_with_1_terminal: summary(&alone)?,
        echo_with_50_terminals: summary(&together)?,
    })
}
