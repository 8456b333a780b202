//! `isolab bench echo`: what a learner waits for.
//!
//! A private server and a private agent, real labs, and clients that speak HTTP and WebSocket over TCP as a browser
//! does: each page has its events and its terminal. The server has a thread of its own, as it has a process of its own
//! in use. One lab per terminal, so that 50 terminals are 50 learners.

use super::page::{Page, Tty};
use super::{Machine, Output, Summary};
use crate::agent_client::{AgentClient, AgentProcess};
use crate::home::Home;
use crate::live::Agents;
use crate::serving::Server;
use anyhow::Context;
use futures_util::future::try_join_all;
use isolab_lessons::Course;
use serde::Serialize;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// A full classroom.
const TERMINALS: usize = 50;

/// How often the way from the click to the prompt is measured, each time with a fresh lab.
const CLICKS: usize = 20;

/// Keystrokes measured in one terminal alone.
const KEYS_ALONE: usize = 150;

/// Keystrokes measured in each of many terminals.
const KEYS_EACH: usize = 40;

/// The pause between two keystrokes: somebody who types fast, 80 words a minute.
const KEY_PAUSE: Duration = Duration::from_millis(150);

/// The line is cleared after this many characters, before it wraps.
const LINE_CHARACTERS: usize = 40;

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
    write_lessons(folder.path())?;
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
    let alone = keys(&mut first, KEYS_ALONE, 0).await?;
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
    let typists = terminals.iter_mut().enumerate().map(|(n, tty)| keys(tty, KEYS_EACH, n));
    let together = try_join_all(typists).await?.concat();
    let summary = |measured: &[Duration]| Summary::of(measured).context("nothing was measured");
    Ok(Report {
        machine,
        click_to_prompt: summary(&clicks)?,
        echo_with_1_terminal: summary(&alone)?,
        echo_with_50_terminals: summary(&together)?,
    })
}

/// Opens a page's lab and terminal as the page does, both at once; the time until the prompt is there.
async fn open(page: &Page) -> anyhow::Result<(Tty, Duration)> {
    let clicked = Instant::now();
    let prompt = async {
        let mut tty = page.terminal().await?;
        tty.until(b"# ").await?;
        anyhow::Ok((tty, clicked.elapsed()))
    };
    let ((), (mut tty, took)) = tokio::try_join!(page.open_lab(), prompt)?;
    tty.settle(Duration::from_millis(100)).await?;
    Ok((tty, took))
}

/// Types `count` characters one after the other, and takes the time of each until it is echoed.
async fn keys(tty: &mut Tty, count: usize, typist: usize) -> anyhow::Result<Vec<Duration>> {
    // Typists do not strike in step.
    sleep(KEY_PAUSE * u32::try_from(typist)? / u32::try_from(TERMINALS)?).await;
    let mut measured = Vec::with_capacity(count);
    for n in 0..count {
        if n > 0 && n % LINE_CHARACTERS == 0 {
            tty.input(b"\x15").await?;
            tty.settle(KEY_PAUSE).await?;
        }
        let key = [b'a' + u8::try_from(n % 26)?];
        let struck = Instant::now();
        tty.input(&key).await?;
        tty.until(&key).await?;
        measured.push(struck.elapsed());
        sleep(KEY_PAUSE).await;
    }
    tty.input(b"\x15").await?;
    Ok(measured)
}

/// A lesson as short as one can be; its check is judged like any other.
const LESSON: &str = r#"---
title: A terminal
level: beginner
minutes: 1
summary: A measurement.
---

A terminal.

```predict id=fast
question: Is it fast?
choices:
  - {text: "yes", right: true, because: It is measured here.}
  - {text: "no", because: It is measured here.}
```

```check id=containers exercise=any
title: a container is there
pass: containers.size() > 0
passed: There is a container.
evidence:
  - {wanted: one, saw: string(containers.size()), place: '"the lab"'}
open:
  - say: There is no container.
```
"#;

/// A course with a lesson for each terminal: a lesson has one lab.
fn write_lessons(folder: &Path) -> anyhow::Result<()> {
    let lessons = folder.join("lessons");
    fs::create_dir(&lessons)?;
    fs::write(lessons.join("parts.yaml"), "- {id: bench, title: Bench, summary: Measurements.}\n")?;
    for n in 0..TERMINALS {
        for (file, text) in [
            ("lesson.md", LESSON),
            ("any/solution.sh", "docker run -d ubuntu sleep 60\n"),
            ("any/wrong/none.sh", "# says: There is no container.\ntrue\n"),
            ("any/cheats/word.sh", "# says: There is no container.\necho container\n"),
        ] {
            let path = lessons.join(slug(n)).join(file);
            fs::create_dir_all(path.parent().context("it has a folder")?)?;
            fs::write(path, text)?;
        }
    }
    Ok(())
}

fn slug(n: usize) -> String {
    format!("bench/{n:02}-terminal")
}

/// A server on a thread of its own.
struct ServerThread {
    address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<anyhow::Result<()>>,
}

impl ServerThread {
    async fn start(folder: &Path, agent: AgentClient) -> anyhow::Result<Self> {
        let (told, address) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let folder = folder.to_owned();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(serve(folder, agent, told, ended))
        });
        let address = match address.await {
            Ok(address) => address,
            Err(_) => return Err(joined(thread).err().context("the server did not start")?),
        };
        Ok(Self { address, end, thread })
    }

    fn end(self) {
        // A server that has ended by itself has said why.
        let _ = self.end.send(());
        if let Err(error) = joined(self.thread) {
            tracing::warn!("the server: {error:#}");
        }
    }
}

fn joined(thread: thread::JoinHandle<anyhow::Result<()>>) -> anyhow::Result<()> {
    thread.join().map_err(|_| anyhow::anyhow!("the server has panicked"))?
}

async fn serve(
    folder: PathBuf,
    agent: AgentClient,
    told: oneshot::Sender<SocketAddr>,
    ended: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let course = Course::read(&folder.join("lessons"))?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server =
        Server::start(listener, &folder.join("isolab.db"), Arc::new(course), Agents::At(agent)).await?;
    // Who waits for the address may have given up, which shows in `ended`.
    let _ = told.send(server.address());
    let _ = ended.await;
    server.end().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_lesson_for_each_terminal() {
        let folder = tempfile::tempdir().unwrap();
        write_lessons(folder.path()).unwrap();
        let course = Course::read(&folder.path().join("lessons")).unwrap();
        assert_eq!(course.findings, []);
        assert_eq!(course.lessons.len(), TERMINALS);
    }
}
