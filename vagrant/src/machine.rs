//! A lab VM's life, one type per phase, each of which consumes the one before.
//!
//! ```text
//! Launched ── boot ───▶ Running ── save ──▶ a template's files
//!     └────── restore ─▶ Running ── ended
//! ```
//!
//! QEMU's process belongs to whoever launched it: dropping these types hangs up, and ends nothing.

use crate::channel::Dialer;
use crate::greeting::{Greeting, greet};
use crate::hardware::{STATE, TEMPLATE};
use crate::qmp::Qmp;
use crate::{Console, Error};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

/// How long the agent of a restored machine may take to answer: a hundred times what it takes when idle.
const GREETED_WITHIN: Duration = Duration::from_secs(20);

/// How long a machine's state may take to be written or read: some MB.
const MOVED_WITHIN: Duration = Duration::from_secs(30);

/// How long a template rests before it is saved: what it still has to do, all machines that come of it would do again.
const SETTLES: Duration = Duration::from_secs(3);

/// A QEMU that was just started, with our ends of its sockets.
#[derive(Debug)]
pub struct Launched {
    /// QMP.
    pub control: UnixStream,
    /// The channel to the agent inside.
    pub channel: UnixStream,
    /// The serial console, being read.
    pub console: Console,
}

/// A machine whose agent answers.
#[derive(Debug)]
pub struct Running {
    control: Qmp,
    dialer: Dialer,
    console: Console,
}

impl Launched {
    /// Waits until a machine that starts from its kernel has booted; no longer than `within`.
    pub async fn boot(self, greeting: &Greeting, within: Duration) -> Result<Running, Error> {
        let control = Qmp::connect(self.control).await?;
        Self::greeted(control, self.channel, self.console, greeting, within).await
    }

    /// Fills a machine that waits for it with the template's state, and sets it going.
    pub async fn restore(self, greeting: &Greeting) -> Result<Running, Error> {
        let mut control = Qmp::connect(self.control).await?;
        share_memory(&mut control).await?;
        control.execute("migrate-incoming", json!({ "uri": state() })).await?;
        control.migrated(MOVED_WITHIN).await?;
        control.execute("cont", Value::Null).await?;
        Self::greeted(control, self.channel, self.console, greeting, GREETED_WITHIN).await
    }

    async fn greeted(
        mut control: Qmp,
        mut channel: UnixStream,
        console: Console,
        greeting: &Greeting,
        within: Duration,
    ) -> Result<Running, Error> {
        const DOING: &str = "waiting for the guest's agent";
        let greeted = async {
            tokio::select! {
                greeted = greet(&mut channel, greeting) => greeted,
                why = control.hung_up() => {
                    let why = why.unwrap_or("it was killed");
                    Err(Error::unexpected(DOING, format!("the machine stopped ({why})")))
                }
            }
        };
        timeout(within, greeted).await.map_err(|_| Error::TimedOut { doing: DOING, within })??;
        Ok(Running { control, dialer: Dialer::over(channel), console })
    }
}

impl Running {
    /// Opens connections to the agent inside.
    pub fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// What the machine printed.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Waits until QEMU has hung up; why, in a sentence that a learner understands.
    pub async fn ended(&mut self) -> String {
        in_words(self.control.hung_up().await)
    }

    /// Hangs up, lets the machine come to rest, and saves it: its memory is in the template's file already, the rest is written
    /// beside it. QEMU then ends.
    pub async fn save(self) -> Result<(), Error> {
        let Self { mut control, dialer, .. } = self;
        drop(dialer);
        sleep(SETTLES).await;
        control.execute("stop", Value::Null).await?;
        share_memory(&mut control).await?;
        control.execute("migrate", json!({ "uri": state() })).await?;
        control.migrated(MOVED_WITHIN).await?;
        control.execute("quit", Value::Null).await?;
        control.hung_up().await;
        Ok(())
    }
}

fn state() -> String {
    format!("file:{TEMPLATE}/{STATE}")
}

/// Memory that lies in a file that both sides have is not moved.
async fn share_memory(control: &mut Qmp) -> Result<(), Error> {
    let capabilities = json!({ "capabilities": [{ "capability": "x-ignore-shared", "state": true }] });
    control.execute("migrate-set-capabilities", capabilities).await.map(drop)
}

/// The reasons are QEMU's `ShutdownCause`.
fn in_words(reason: Option<&str>) -> String {
    match reason {
        Some("guest-panic") => "Its kernel panicked.".into(),
        // A panic of the kernel reboots, too.
        Some("guest-reset") => "It rebooted, or its kernel panicked.".into(),
        Some("guest-shutdown") => "It was switched off from within.".into(),
        Some("host-signal" | "host-qmp-quit") | None => "Its QEMU was ended.".into(),
        Some(other) => format!("QEMU says: {other}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_sentence() {
        for reason in [Some("guest-panic"), Some("guest-reset"), Some("guest-shutdown"), Some("x"), None] {
            assert!(in_words(reason).ends_with('.'), "{reason:?}");
        }
    }

    #[tokio::test]
    async fn a_qemu_that_dies_before_it_speaks_is_an_error() {
        let (control, _) = UnixStream::pair().unwrap();
        let (channel, _) = UnixStream::pair().unwrap();
        let greeting = Greeting {
            now_ns: 0,
            seed: String::new(),
            machine_id: String::new(),
            token: String::new(),
            template: true,
        };
        let launched = Launched { control, channel, console: Console::default() };
        assert!(launched.boot(&greeting, Duration::from_secs(5)).await.is_err());
    }
}
