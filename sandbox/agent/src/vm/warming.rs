//! What a machine does before it becomes a template, so that those that come of it need not: a shell waits in the terminal, and
//! what the first commands of a learner need has been read and done once.

use super::guest::Guest;
use crate::refusal::{Kind, Refusal};
use futures_util::{SinkExt, StreamExt};
use isolab_protocol::ExecRequest;
use isolab_protocol::terminal::{ClientFrame, ServerFrame};
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

/// The terminal that a page opens first.
pub const TERMINAL: &str = "host";

/// How long the shell may take to print its prompt.
const PROMPT_WITHIN: Duration = Duration::from_secs(30);

/// How long a prompt has to be the last that was printed.
const QUIET: Duration = Duration::from_secs(1);

/// The longest that a warming command may take, in seconds.
const SECONDS_MAX: u32 = 60;

/// A container is started, looked at, entered and removed; nothing of it is left.
const COMMANDS: &str = "docker run --detach --name warm ubuntu sleep 60 && docker exec warm ps -ef &&
  docker ps && docker logs warm && docker rm --force warm && docker run --rm alpine true &&
  ps -ef && ls -la / && cat /proc/self/status && ip addr";

/// Warms a machine.
pub async fn warm(guest: &Guest) -> Result<(), Refusal> {
    let argv = ["/bin/bash", "-c", COMMANDS].map(str::to_owned).to_vec();
    let done = guest.exec(&ExecRequest { argv, stdin: None, seconds_max: SECONDS_MAX }).await?;
    if done.status != 0 {
        let said = done.stderr.trim();
        let message = format!("A first container in the virtual machine ended with {}: {said}", done.status);
        return Err(Refusal::new(Kind::Failed, message));
    }
    timeout(PROMPT_WITHIN, prompt(guest)).await.map_err(|_| {
        Refusal::new(Kind::TimedOut, "The shell in the virtual machine printed no prompt in time.")
    })?
}

/// Opens the terminal and waits until its shell has nothing more to print.
async fn prompt(guest: &Guest) -> Result<(), Refusal> {
    let broken = |error| Refusal::new(Kind::Failed, format!("The virtual machine's terminal: {error}."));
    let mut terminal = guest.terminal(TERMINAL).await?;
    let hello = ClientFrame::Hello { last_seq: 0, cols: 80, rows: 24 }.encode();
    terminal.send(Message::Binary(hello.into())).await.map_err(broken)?;
    let mut printed = false;
    loop {
        match timeout(QUIET, terminal.next()).await {
            Err(_) if printed => return Ok(()),
            Err(_) => {}
            Ok(Some(Ok(Message::Binary(bytes)))) => {
                printed |= matches!(ServerFrame::decode(&bytes), Ok(ServerFrame::Output { .. }));
            }
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(error))) => return Err(broken(error)),
            Ok(None) => return Err(Refusal::new(Kind::Failed, "The virtual machine's shell has ended.")),
        }
    }
}
