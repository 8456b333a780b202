//! `isolab lab`: a lab of one's own in one's own terminal. It ends with the command, and leaves nothing behind.

use crate::agent_client::{AgentClient, AgentProcess, Terminal};
use crate::home::Home;
use crate::own_terminal::OwnTerminal;
use clap::Args;
use isolab_protocol::terminal::{ClientFrame, FRAME_BYTES_MAX, ServerFrame};
use isolab_protocol::{ExecResult, LabId, LabSpec, Observation, StartStep, Tier};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// The agent allows a command no longer than this.
const COMMAND_SECONDS_MAX: u32 = 600;

/// As much input as is read at once; a larger paste makes several frames.
const INPUT_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;

/// Ctrl-D: how a terminal says that there is no more input.
const END_OF_INPUT: u8 = 0x04;

/// Open a lab in this terminal
#[derive(Debug, Args)]
pub(super) struct OpenLab {
    /// Run CMD on a fresh lab host, print what it printed when it has ended, and exit with its status
    #[arg(short = 'c', value_name = "CMD")]
    command: Option<String>,
    /// With -c: print the outcome and the kernel's view of the lab as JSON
    #[arg(long, requires = "command")]
    json: bool,
    /// Where the lab host runs: in a container on this machine, or in a virtual machine of its own
    #[arg(long, value_name = "TIER", default_value = "sandbox", value_parser = tier)]
    tier: Tier,
}

fn tier(word: &str) -> Result<Tier, String> {
    let known = serde_json::from_value(word.into());
    known.map_err(|_| "a tier is `sandbox` or `vm`".to_owned())
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    result: ExecResult,
    /// The state of the lab after the command.
    observation: Observation,
}

impl OpenLab {
    /// The same in a virtual machine.
    pub fn in_machine(command: Option<String>, json: bool) -> Self {
        Self { command, json, tier: Tier::Vm }
    }

    pub async fn run(self, home: &Home) -> anyhow::Result<ExitCode> {
        let agent = AgentProcess::private(home).await?;
        // The signals that end this program have to end the lab first.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let outcome = tokio::select! {
            outcome = self.work(agent.client()) => outcome,
            _ = tokio::signal::ctrl_c() => Ok(130),
            _ = terminate.recv() => Ok(143),
            _ = hang_up.recv() => Ok(129),
        };
        agent.end().await;
        outcome.map(super::status)
    }

    async fn work(&self, agent: &AgentClient) -> anyhow::Result<i32> {
        let loud = io::stderr().is_terminal();
        let tell = |step: &StartStep| {
            if loud {
                eprintln!("{}", step.what);
            }
        };
        let spec = LabSpec { tier: Some(self.tier), ..LabSpec::default() };
        let lab = agent.open_ready(&spec, tell).await?.id;
        match &self.command {
            Some(command) => self.exec(agent, &lab, command).await,
            None => shell(agent, &lab).await,
        }
    }

    async fn exec(&self, agent: &AgentClient, lab: &LabId, command: &str) -> anyhow::Result<i32> {
        let result = agent.script(lab, command, COMMAND_SECONDS_MAX).await?;
        let status = result.status;
        if self.json {
            let observation = agent.observation(lab).await?;
            println!("{}", serde_json::to_string_pretty(&Report { result, observation })?);
            return Ok(status);
        }
        // Whoever reads this may have stopped reading; the status still counts.
        let _ = io::stdout().write_all(result.stdout.as_bytes()).and_then(|()| io::stdout().flush());
        let _ = io::stderr().write_all(result.stderr.as_bytes());
        if result.truncated {
            eprintln!("isolab: the command printed more than 1 MiB; the rest is not shown");
        }
        Ok(status)
    }
}

/// Joins this terminal to a shell of the lab host until the shell ends. Its status.
async fn shell(agent: &AgentClient, lab: &LabId) -> anyhow::Result<i32> {
    let own = OwnTerminal::raw()?;
    let mut terminal = Terminal::open(agent, lab, "host", own.size()).await?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut input = tokio::io::stdin();
    let mut buffer = vec![0; INPUT_BYTES_MAX];
    let mut more_input = true;
    loop {
        tokio::select! {
            frame = terminal.next() => match frame? {
                Some(ServerFrame::Exit { status }) => return Ok(status),
                Some(frame) => show(&mut terminal, frame).await?,
                None => anyhow::bail!("the lab has closed the terminal"),
            },
            count = input.read(&mut buffer), if more_input => {
                let bytes = match count? {
                    0 => vec![END_OF_INPUT],
                    count => buffer[..count].to_vec(),
                };
                more_input = bytes != [END_OF_INPUT] || own.is_raw();
                terminal.send(ClientFrame::Input { bytes }).await?;
            }
            _ = resized.recv() => {
                let (cols, rows) = own.size();
                terminal.send(ClientFrame::Resize { cols, rows }).await?;
            }
        }
    }
}

async fn show(terminal: &mut Terminal, frame: ServerFrame) -> anyhow::Result<()> {
    let mut output = io::stdout();
    match frame {
        ServerFrame::Output { seq, bytes } => {
            output.write_all(&bytes)?;
            output.flush()?;
            terminal.send(ClientFrame::Ack { seq: seq + bytes.len() as u64 }).await?;
        }
        ServerFrame::Snapshot { seq, screen, .. } => {
            output.write_all(&screen)?;
            output.flush()?;
            terminal.send(ClientFrame::Ack { seq }).await?;
        }
        ServerFrame::State { message } => eprint!("{message}\r\n"),
        ServerFrame::Exit { .. } | ServerFrame::Pong { .. } => {}
    }
    Ok(())
}
