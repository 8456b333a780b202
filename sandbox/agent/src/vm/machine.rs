//! One lab in a virtual machine of its own: restored, followed, and ended with its QEMU.

use super::guest::{Distant, Guest};
use super::launch::Qemu;
use super::templates::{Template, Templates, greeting};
use crate::refusal::{Kind, Refusal};
use http_body_util::BodyExt;
use isolab_protocol::observation::Observation;
use isolab_protocol::{ExecRequest, ExecResult, Lab, LabId, LabPhase};
use isolab_vm::{Console, Running};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{sleep, timeout};

/// How often the agent inside is asked whether it is there. It is the learner's to kill.
const ASKED_EVERY: Duration = Duration::from_secs(5);

/// How often in a row it may fail to answer, each time for ten seconds: a machine under a fork bomb is slow, and not dead.
const UNANSWERED_MAX: u32 = 3;

/// How long after a broken stream of news to ask for another.
const NEWS_AGAIN: Duration = Duration::from_millis(500);

/// The longest piece of news that is read, in bytes: an observation of 512 processes has a quarter of it.
const NEWS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How long the kernel may take to end a QEMU.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How long a machine that has hung up may take to say why.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);

/// What a kernel says last. The console is the learner's to write to, and so is the sentence that they are told.
const PANIC: &str = "Kernel panic - not syncing";

/// How many lines of the console are looked through, and logged.
const CONSOLE_LINES: usize = 30;

const QEMU_ENDED: &str = "Its QEMU was ended.";

/// A machine that runs.
#[derive(Debug)]
pub struct Machine {
    lab: LabId,
    qemu: Qemu,
    running: Mutex<Running>,
    console: Console,
    guest: Guest,
    accelerated: String,
    latest: watch::Sender<Option<Arc<Observation>>>,
    /// How many changes were told so far; never goes back.
    seq: Mutex<u64>,
    followed: Notify,
}

impl Machine {
    /// Restores a machine for a lab. `seq` is where an earlier one of the same lab ended.
    pub async fn start(
        templates: &Templates,
        template: &Template,
        lab: LabId,
        seq: u64,
    ) -> Result<Self, Refusal> {
        let greeting = greeting(false)
            .map_err(|error| Refusal::new(Kind::Failed, format!("There are no random numbers: {error}.")))?;
        let (qemu, running) = templates.restore(template, &greeting).await?;
        Ok(Self {
            lab,
            qemu,
            console: running.console().clone(),
            guest: Guest::new(running.dialer().clone()),
            running: Mutex::new(running),
            accelerated: template.accelerated.clone(),
            latest: watch::channel(None).0,
            seq: Mutex::new(seq),
            followed: Notify::new(),
        })
    }

    /// What executes it, in a sentence.
    pub fn accelerated(&self) -> &str {
        &self.accelerated
    }

    /// Runs a command as its root.
    pub async fn exec(&self, request: &ExecRequest) -> Result<ExecResult, Refusal> {
        self.guest.exec(request).await
    }

    /// One of its terminals.
    pub async fn terminal(&self, name: &str) -> Result<Distant, Refusal> {
        self.guest.terminal(name).await
    }

    /// Looks, now.
    pub async fn look(&self) -> Result<Arc<Observation>, Refusal> {
        let seen = self.guest.observation().await?;
        Ok(self.tell(seen).await)
    }

    /// Follows the lab: the receiver sees each change. While any receiver lives, the lab is looked at.
    pub fn follow(&self) -> watch::Receiver<Option<Arc<Observation>>> {
        let receiver = self.latest.subscribe();
        self.followed.notify_one();
        receiver
    }

    /// Where the count of changes stands.
    pub async fn seq(&self) -> u64 {
        *self.seq.lock().await
    }

    /// The memory that it adds to the machine, proportional set size in KiB: QEMU's own.
    pub async fn memory_kib(&self) -> Option<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.qemu.child.pid());
        let text = tokio::fs::read_to_string(path).await.ok()?;
        let number = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        number.trim().strip_suffix(" kB")?.parse().ok()
    }

    /// Waits until the machine cannot go on. Why, for its learner.
    pub async fn died(&self) -> String {
        let mut running = self.running.lock().await;
        let why = tokio::select! {
            why = running.ended() => why,
            _ = self.qemu.child.exited() => QEMU_ENDED.to_owned(),
            () = self.guest.hung_up() => {
                // A machine that ends hangs up first, and says why a moment later.
                let ended = timeout(LAST_WORDS_WITHIN, running.ended()).await;
                ended.unwrap_or_else(|_| "The agent inside broke the connection.".into())
            }
            why = self.over() => why,
            why = self.news() => why,
        };
        let console = self.console.last_lines(CONSOLE_LINES);
        tracing::info!(lab = %self.lab, why, console = console.join(" / "), "a virtual machine has died");
        match console.iter().any(|line| line.contains(PANIC)) {
            true => "Its kernel panicked.".into(),
            false => why,
        }
    }

    /// Ends it, and waits until it is gone.
    pub async fn end(&self) {
        self.qemu.child.signal(rustix::process::Signal::KILL);
        if timeout(GONE_WITHIN, self.qemu.child.exited()).await.is_err() {
            tracing::warn!(pid = self.qemu.child.pid(), "a virtual machine does not end");
        }
    }

    /// Returns when the agent inside has not answered for too long, or answers that it is over.
    async fn over(&self) -> String {
        let mut unanswered = 0;
        while unanswered < UNANSWERED_MAX {
            sleep(ASKED_EVERY).await;
            match self.guest.is_over().await {
                Ok(Some(why)) => return why,
                Ok(None) => unanswered = 0,
                Err(_) => unanswered += 1,
            }
        }
        "The agent inside does not answer any more.".into()
    }

    /// Passes on what the agent inside tells, while somebody follows. Returns when it tells that its lab host is over.
    async fn news(&self) -> String {
        loop {
            if self.latest.is_closed() {
                self.followed.notified().await;
            }
            if let Ok(body) = self.guest.news().await
                && let Some(why) = self.pass_on(body).await
            {
                return why;
            }
            sleep(NEWS_AGAIN).await;
        }
    }

    /// Reads server-sent events until nobody follows, they end, or they tell that the lab host is over: why.
    async fn pass_on(&self, mut body: hyper::body::Incoming) -> Option<String> {
        let (mut line, mut event) = (Vec::new(), String::new());
        while !self.latest.is_closed() {
            let frame = body.frame().await?.ok()?.into_data().unwrap_or_default();
            for byte in frame {
                match byte {
                    b'\n' => {
                        let text = String::from_utf8_lossy(&line);
                        if let Some(name) = text.strip_prefix("event:") {
                            event = name.trim().to_owned();
                        } else if let Some(data) = text.strip_prefix("data:")
                            && let Some(why) = self.hear(&event, data).await
                        {
                            return Some(why);
                        }
                        line.clear();
                    }
                    _ if line.len() >= NEWS_BYTES_MAX => return None,
                    byte => line.push(byte),
                }
            }
        }
        None
    }

    async fn hear(&self, event: &str, data: &str) -> Option<String> {
        match event {
            "observation" => {
                let seen = serde_json::from_str(data).ok()?;
                self.tell(seen).await;
                None
            }
            "lab" => match serde_json::from_str::<Lab>(data).ok()?.state {
                LabPhase::Ended { why } => Some(why),
                LabPhase::Opening | LabPhase::Ready => None,
            },
            _ => None,
        }
    }

    /// Tells followers what was seen, under this lab's name and count.
    async fn tell(&self, mut seen: Observation) -> Arc<Observation> {
        let mut seq = self.seq.lock().await;
        let before = self.latest.borrow().clone();
        seen.lab = self.lab.clone();
        seen.seq = *seq;
        if let Some(before) = before {
            let taken_at_ms = std::mem::replace(&mut seen.taken_at_ms, before.taken_at_ms);
            if *before == seen {
                return before;
            }
            seen.taken_at_ms = taken_at_ms;
        }
        *seq += 1;
        seen.seq = *seq;
        let seen = Arc::new(seen);
        self.latest.send_replace(Some(Arc::clone(&seen)));
        seen
    }
}
