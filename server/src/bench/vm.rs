//! `isolab bench vm`: labs in virtual machines.
//!
//! Cold boots are those of templates, each made in a state directory of its own. Everything after is what a learner meets: machines
//! restored from one template, through the agent, a server and a page.

use super::classroom::{ServerThread, keys, open, slug, write_lessons};
use super::page::{Page, Tty};
use super::{Machine, Output, Summary};
use crate::agent_client::{AgentClient, AgentProcess};
use crate::home::Home;
use anyhow::Context;
use clap::Args;
use futures_util::future::try_join_all;
use isolab_protocol::{Lab, LabSpec, Tier};
use serde::Serialize;
use std::os::unix::fs::symlink;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often a machine is booted from cold: each takes half a minute with what makes a template of it.
const COLD_BOOTS: usize = 3;

/// How often the way from the request to a machine that answers is measured, one after the other.
const RESTORES: usize = 20;

/// How often the way from the click to the prompt is measured, each time with a fresh machine.
const CLICKS: usize = 20;

/// At how many machines their memory is looked at.
const MEMORY_AT: [usize; 3] = [1, 10, 50];

/// How long idle machines are watched for what they take of a processor.
const IDLE: Duration = Duration::from_secs(10);

/// Keystrokes measured in each of all terminals.
const KEYS_EACH: usize = 10;

/// The step of opening a lab in which a machine is booted, as the agent tells it.
const BOOTING: &str = "Booting the first virtual machine";

/// What a first command prints.
const COMMANDS: [(&str, &[u8]); 2] = [("id\r", b"uid=0"), ("docker run --rm ubuntu id\r", b"uid=0")];

#[derive(Debug, Args)]
pub struct VmOptions {
    #[command(flatten)]
    output: Output,
    /// How many machines are open side by side in the end
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(50..=120))]
    machines: u16,
}

#[derive(Serialize)]
struct Report {
    machine: Machine,
    /// What executes the machines, as a page tells it.
    executed: String,
    /// From QEMU's start to the answer of the agent inside, with the agent as the machine's first process.
    cold_boot: Summary,
    /// From the request to the agent until a restored machine answers.
    restore: Summary,
    /// From the click to the first prompt in a fresh machine, through server and page.
    click_to_prompt: Summary,
    /// From the first command's last key to its answer: a program, and a container.
    first_program: Summary,
    first_container: Summary,
    /// The median proportional set size of one QEMU when there are so many.
    memory: Vec<Memory>,
    /// What one idle machine takes of a processor, in percent, when there are fifty.
    idle_percent: f64,
    /// How many machines were open side by side in the end, …
    side_by_side: usize,
    /// … and the time from a key to its echo, all being typed in.
    echo: Summary,
}

#[derive(Serialize)]
struct Memory {
    machines: usize,
    pss_kib: u64,
}

pub(super) async fn run(home: &Home, options: &VmOptions) -> anyhow::Result<ExitCode> {
    let machine = Machine::here();
    let mut boots = Vec::new();
    for _ in 0..COLD_BOOTS {
        boots.push(cold_boot(home).await?);
    }
    let agent = AgentProcess::private(home).await?;
    let folder = tempfile::tempdir()?;
    let machines = usize::from(options.machines);
    write_lessons(folder.path(), machines, "vm")?;
    let server = ServerThread::start(folder.path(), agent.client().clone()).await?;
    let page = |n: usize| Page::new(server.address, slug(n));
    let measured = measure(&agent, page, machine, &boots, machines).await;
    server.end();
    agent.end().await;
    let report = measured?;
    if options.output.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{}", report.machine);
    println!("{}", report.executed);
    println!("cold boot to agent:          {}", report.cold_boot);
    println!("restore to agent:            {}", report.restore);
    println!("click to prompt, fresh VM:   {}", report.click_to_prompt);
    println!("first command, id:           {}", report.first_program);
    println!("first docker run:            {}", report.first_container);
    for Memory { machines, pss_kib } in &report.memory {
        println!("memory of one, {machines:>3} open:    {} KiB", pss_kib);
    }
    println!("idle, of one processor:      {:.2} % each", report.idle_percent);
    println!("key to echo, {:>3} machines:   {}", report.side_by_side, report.echo);
    Ok(ExitCode::SUCCESS)
}

/// Makes a template in a state directory of its own; how long its machine took to boot.
async fn cold_boot(home: &Home) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir_in(home.path())?;
    for part in ["images", "vm"] {
        symlink(home.path().join(part), folder.path().join(part))?;
    }
    let agent = AgentProcess::private(&Home::find(Some(folder.path().to_owned()))).await?;
    let opened = machine(agent.client()).await;
    agent.end().await;
    let booted = opened?.steps.into_iter().find(|step| step.what.starts_with(BOOTING));
    let took =
        booted.and_then(|step| step.took_ms).context("the agent did not tell how long the boot took")?;
    Ok(Duration::from_millis(took.into()))
}

async fn machine(agent: &AgentClient) -> anyhow::Result<Lab> {
    let spec = LabSpec { tier: Some(Tier::Vm), ..LabSpec::default() };
    Ok(agent.open_ready(&spec, |_| ()).await?)
}

async fn measure(
    agent: &AgentProcess,
    page: impl Fn(usize) -> Page,
    machine: Machine,
    boots: &[Duration],
    machines: usize,
) -> anyhow::Result<Report> {
    let summary = |measured: &[Duration]| Summary::of(measured).context("nothing was measured");
    let client = agent.client();
    // The first has to wait for the template.
    let first = self::machine(client).await?;
    client.end(&first.id).await?;
    let mut restores = Vec::new();
    for _ in 0..RESTORES {
        let asked = Instant::now();
        let lab = self::machine(client).await?;
        restores.push(asked.elapsed());
        client.end(&lab.id).await?;
    }
    let (mut clicks, mut commands) = (vec![], [vec![], vec![]]);
    let (mut terminals, mut streams, mut memory) = (Vec::<Tty>::new(), vec![], vec![]);
    let mut idle_percent = 0.0;
    for n in 0..machines {
        let (mut tty, took) =
            open(&page(n)).await.with_context(|| format!("machine {} of {machines}", n + 1))?;
        if n < CLICKS {
            clicks.push(took);
            for ((command, answer), took) in COMMANDS.iter().zip(&mut commands) {
                let entered = Instant::now();
                tty.input(command.as_bytes()).await?;
                tty.until(answer).await?;
                took.push(entered.elapsed());
                tty.until(b"# ").await?;
            }
        }
        terminals.push(tty);
        streams.push(page(n).listen().await?);
        let open = n + 1;
        if MEMORY_AT.contains(&open) {
            sleep(Duration::from_secs(2)).await;
            memory.push(Memory { machines: open, pss_kib: pss_kib(client).await? });
        }
        if open == MEMORY_AT[MEMORY_AT.len() - 1] {
            idle_percent = idle(agent, open).await?;
        }
    }
    let typists = terminals.iter_mut().enumerate().map(|(n, tty)| keys(tty, KEYS_EACH, n, machines));
    let echoes = try_join_all(typists).await?.concat();
    Ok(Report {
        machine,
        executed: first.tier_why,
        cold_boot: summary(boots)?,
        restore: summary(&restores)?,
        click_to_prompt: summary(&clicks)?,
        first_program: summary(&commands[0])?,
        first_container: summary(&commands[1])?,
        memory,
        idle_percent,
        side_by_side: machines,
        echo: summary(&echoes)?,
    })
}

/// The median of all machines.
async fn pss_kib(agent: &AgentClient) -> anyhow::Result<u64> {
    let mut all = Vec::new();
    for lab in agent.labs().await? {
        all.extend(agent.lab(&lab.id).await?.memory_kib);
    }
    all.sort_unstable();
    all.get(all.len() / 2).copied().context("the agent could not measure the machines' memory")
}

/// What one of so many idle machines takes of a processor, in percent.
async fn idle(agent: &AgentProcess, machines: usize) -> anyhow::Result<f64> {
    let before = qemus_ticks(agent)?;
    sleep(IDLE).await;
    let ticks = qemus_ticks(agent)? - before;
    // The kernel tells times to user space in hundredths of a second.
    Ok(ticks as f64 / IDLE.as_secs_f64() / machines as f64)
}

/// The processor time of all QEMUs of this agent, in hundredths of a second.
fn qemus_ticks(agent: &AgentProcess) -> anyhow::Result<u64> {
    let agent = agent.pid().context("the agent has ended")?;
    let mut ticks = 0;
    for entry in std::fs::read_dir("/proc")? {
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else { continue };
        // The name may contain anything: the last parenthesis ends it. Then come state, parent, …
        let Some((front, back)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<&str> = back.split_whitespace().collect();
        if front.contains("(qemu-system") && fields.get(1).is_some_and(|parent| *parent == agent.to_string())
        {
            let field = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
            ticks += field(11) + field(12);
        }
    }
    Ok(ticks)
}
