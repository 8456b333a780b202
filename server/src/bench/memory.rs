//! `isolab bench memory`: what a lab costs in which nobody does anything.

use super::{Machine, Output};
use crate::agent_client::{AgentClient, AgentProcess};
use crate::home::Home;
use anyhow::Context;
use isolab_protocol::{LabId, LabSpec};
use serde::Serialize;
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::sleep;

/// Labs that are open at once. Pages that they share are divided among them, as in a classroom.
const LABS: usize = 10;

/// What is left to do after a lab is ready is done by then.
const SETTLE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// The proportional set size of all processes of the first lab while it is the only one, in KiB: it bears alone
    /// what labs share.
    alone_pss_kib: u64,
    /// The same of each of ten labs, ascending.
    idle_lab_pss_kib: Vec<u64>,
    /// The median of them.
    median_kib: u64,
}

pub(super) async fn run(home: &Home, output: &Output) -> anyhow::Result<ExitCode> {
    let machine = Machine::here();
    let agent = AgentProcess::private(home).await?;
    let measured = measure(agent.client()).await;
    agent.end().await;
    let (alone_pss_kib, idle_lab_pss_kib) = measured?;
    let median_kib = idle_lab_pss_kib[LABS / 2];
    let report = Report { machine, alone_pss_kib, idle_lab_pss_kib, median_kib };
    if output.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        let (smallest, largest) = (report.idle_lab_pss_kib[0], report.idle_lab_pss_kib[LABS - 1]);
        println!("{}", report.machine);
        println!("idle lab, the only one:   {} KiB", report.alone_pss_kib);
        println!("idle lab, one of {LABS}:     {} KiB (min {smallest}, max {largest})", report.median_kib);
    }
    Ok(ExitCode::SUCCESS)
}

/// The memory of the first lab alone, and then of each of [`LABS`], ascending.
async fn measure(agent: &AgentClient) -> anyhow::Result<(u64, Vec<u64>)> {
    let mut ids = vec![open(agent).await?];
    sleep(SETTLE).await;
    let alone = memory(agent, &ids[0]).await?;
    while ids.len() < LABS {
        ids.push(open(agent).await?);
    }
    sleep(SETTLE).await;
    let mut measured = vec![];
    for id in &ids {
        measured.push(memory(agent, id).await?);
    }
    measured.sort_unstable();
    Ok((alone, measured))
}

async fn open(agent: &AgentClient) -> anyhow::Result<LabId> {
    Ok(agent.open_ready(&LabSpec::default(), |_| ()).await?.id)
}

async fn memory(agent: &AgentClient, id: &LabId) -> anyhow::Result<u64> {
    let measured = agent.lab(id).await?.memory_kib.filter(|kib| *kib > 0);
    measured.context("the agent could not measure the lab's memory")
}
