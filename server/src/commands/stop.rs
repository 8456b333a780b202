//! `isolab stop`: ends the servers and labs of a home, and the agent that runs the labs.

use crate::agent_client::{AgentClient, AgentError};
use crate::home::Home;
use crate::presence;
use anyhow::{Context, bail};
use isolab_protocol::LabPhase;
use rustix::process::{Pid, Signal, kill_process};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// How long the agent, or a server, may take to end after it was asked to.
const END_WAIT_MAX: Duration = Duration::from_secs(15);

/// How often is looked whether it has.
const ASK_EVERY: Duration = Duration::from_millis(20);

pub(super) async fn run(home: &Home) -> anyhow::Result<ExitCode> {
    // Servers first: the page of a lab that has ended would ask for it again.
    let servers = end_servers(home).await?;
    let client = AgentClient::new(home.agent_socket());
    let labs = match client.labs().await {
        Ok(labs) => labs,
        Err(AgentError::Unreachable { .. }) => {
            println!("Ended: {}. No agent runs for {}.", count(servers, "server"), home.path().display());
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => return Err(error.into()),
    };
    let mut ended = 0;
    for lab in labs.iter().filter(|lab| !matches!(lab.state, LabPhase::Ended { .. })) {
        match client.end(&lab.id).await {
            Ok(()) => ended += 1,
            Err(error) if error.is_not_found() => {}
            Err(error) => tracing::warn!("the lab {}: {error}", lab.id),
        }
    }
    end_agent(&client).await?;
    println!("Ended: {}, {} and the agent.", count(servers, "server"), count(ended, "lab"));
    Ok(ExitCode::SUCCESS)
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Ends the servers of the home; how many there were.
async fn end_servers(home: &Home) -> anyhow::Result<usize> {
    let found = presence::servers(home).context("the state directory cannot be read")?;
    for pid in &found {
        terminate(*pid, "the server")?;
    }
    let asked = Instant::now();
    while !presence::servers(home)?.is_empty() {
        if asked.elapsed() > END_WAIT_MAX {
            bail!("a server has not ended within {END_WAIT_MAX:?}");
        }
        sleep(ASK_EVERY).await;
    }
    Ok(found.len())
}

fn terminate(pid: Pid, who: &str) -> anyhow::Result<()> {
    kill_process(pid, Signal::TERM)
        .with_context(|| format!("{who} (pid {}) cannot be ended", pid.as_raw_nonzero()))
}

/// The agent is whoever listens at the socket: the kernel knows its pid.
async fn end_agent(client: &AgentClient) -> anyhow::Result<()> {
    let socket = client.socket();
    let stream = UnixStream::connect(socket).await.context("the agent's socket")?;
    let pid = stream.peer_cred()?.pid().and_then(Pid::from_raw).context("the agent's pid is not known")?;
    drop(stream);
    terminate(pid, "the agent")?;
    let asked = Instant::now();
    while UnixStream::connect(socket).await.is_ok() {
        if asked.elapsed() > END_WAIT_MAX {
            bail!("the agent (pid {}) has not ended within {END_WAIT_MAX:?}", pid.as_raw_nonzero());
        }
        sleep(ASK_EVERY).await;
    }
    Ok(())
}
