//! A classroom to measure in: a private server with as many lessons as learners, and what a learner's page and hands do.
//!
//! Clients speak HTTP and WebSocket over TCP as a browser does: each page has its events and its terminal. The server has a
//! thread of its own, as it has a process of its own in use.

use super::page::{Page, Tty};
use crate::agent_client::AgentClient;
use crate::live::Agents;
use crate::serving::Server;
use anyhow::Context;
use isolab_lessons::Course;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The pause between two keystrokes: somebody who types fast, 80 words a minute.
const KEY_PAUSE: Duration = Duration::from_millis(150);

/// The line is cleared after this many characters, before it wraps.
const LINE_CHARACTERS: usize = 40;

/// Opens a page's lab and terminal as the page does, both at once; the time until the prompt is there.
pub(super) async fn open(page: &Page) -> anyhow::Result<(Tty, Duration)> {
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
pub(super) async fn keys(
    tty: &mut Tty,
    count: usize,
    typist: usize,
    typists: usize,
) -> anyhow::Result<Vec<Duration>> {
    // Typists do not strike in step.
    sleep(KEY_PAUSE * u32::try_from(typist)? / u32::try_from(typists)?).await;
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
needs: [NEEDS]
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

/// A course with a lesson for each learner, since a lesson has one lab; `needs` is what all of them need.
pub(super) fn write_lessons(folder: &Path, learners: usize, needs: &str) -> anyhow::Result<()> {
    let lessons = folder.join("lessons");
    fs::create_dir(&lessons)?;
    fs::write(lessons.join("parts.yaml"), "- {id: bench, title: Bench, summary: Measurements.}\n")?;
    for n in 0..learners {
        let lesson = LESSON.replace("NEEDS", needs);
        for (file, text) in [
            ("lesson.md", lesson.as_str()),
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

pub(super) fn slug(n: usize) -> String {
    format!("bench/{n:03}-terminal")
}

/// A server on a thread of its own.
pub(super) struct ServerThread {
    /// Where it listens.
    pub address: SocketAddr,
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<anyhow::Result<()>>,
}

impl ServerThread {
    /// Serves the lessons of this folder, with labs of this agent.
    pub async fn start(folder: &Path, agent: AgentClient) -> anyhow::Result<Self> {
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

    /// Ends it.
    pub fn end(self) {
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
    fn there_is_a_lesson_for_each_learner_with_the_needs_that_were_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        write_lessons(folder.path(), 50, "vm").unwrap();
        let course = Course::read(&folder.path().join("lessons")).unwrap();
        assert_eq!(course.findings, []);
        assert_eq!(course.lessons.len(), 50);
        assert!(course.lessons.iter().all(|lesson| lesson.needs == ["vm"]));
    }
}
