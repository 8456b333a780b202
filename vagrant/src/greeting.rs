//! The first words on the channel: the host tells a guest who it is now and what time it is, and the guest says that it
//! heard. After that the channel carries connections.
//!
//! A template waits for these words: the machines that come of it are told apart by them, and by nothing before.

use crate::Error;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The name of the one lab of the agent inside a guest; the host's agent has its own name for it.
pub const LAB: &str = "machine";

/// What a line begins with, so that the rest of an earlier conversation is not taken for a greeting.
const MARK: &str = "isolab-greeting ";

/// The longest line, in bytes; the words below have a fifth of it.
const LINE_BYTES_MAX: usize = 4096;

/// How many bytes of an earlier conversation are read past: a full window of it.
const STALE_BYTES_MAX: usize = 512 * 1024;

/// From the host to the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Nanoseconds since 1970.
    pub now_ns: u64,
    /// 64 hex digits that nobody else was told: stirred into the guest's random numbers.
    pub seed: String,
    /// 32 hex digits: `/etc/machine-id`.
    pub machine_id: String,
    /// 32 hex digits: names this machine among all that came of the same template.
    pub token: String,
    /// Whether the machine is about to be saved as a template, and has no identity of its own.
    pub template: bool,
}

/// From the guest to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The token of the greeting.
    pub token: String,
}

/// Greets, and waits for the answer to this very greeting.
pub async fn greet(
    channel: &mut (impl AsyncRead + AsyncWrite + Unpin),
    greeting: &Greeting,
) -> Result<(), Error> {
    const DOING: &str = "greeting the guest";
    say(channel, greeting).await.map_err(Error::socket(DOING))?;
    let welcome: Welcome = listen(channel).await.map_err(Error::socket(DOING))?;
    match welcome.token == greeting.token {
        true => Ok(()),
        false => Err(Error::unexpected(DOING, "it answered to another greeting")),
    }
}

/// Waits for a greeting. Errors: the channel is gone, or brings nothing but noise.
pub async fn await_greeting(channel: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Greeting> {
    listen(channel).await
}

/// Answers a greeting.
pub async fn welcome(channel: &mut (impl AsyncWrite + Unpin), greeting: &Greeting) -> std::io::Result<()> {
    say(channel, &Welcome { token: greeting.token.clone() }).await
}

async fn say(channel: &mut (impl AsyncWrite + Unpin), words: &impl Serialize) -> std::io::Result<()> {
    // The line end before it ends whatever was said before.
    let line = format!("\n{MARK}{}\n", serde_json::to_string(words)?);
    channel.write_all(line.as_bytes()).await?;
    channel.flush().await
}

/// Reads up to the first line that is what is waited for; not a byte more, since what follows is another protocol.
async fn listen<T: for<'a> Deserialize<'a>>(channel: &mut (impl AsyncRead + Unpin)) -> std::io::Result<T> {
    let mut line = Vec::new();
    for _ in 0..STALE_BYTES_MAX {
        match channel.read_u8().await? {
            b'\n' => {
                let words = std::str::from_utf8(&line).ok().and_then(|line| line.strip_prefix(MARK));
                if let Some(words) = words.and_then(|words| serde_json::from_str(words).ok()) {
                    return Ok(words);
                }
                line.clear();
            }
            byte if line.len() < LINE_BYTES_MAX => line.push(byte),
            _ => {}
        }
    }
    Err(std::io::Error::other("nothing but noise came"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(token: &str) -> Greeting {
        Greeting {
            now_ns: 1,
            seed: "5".repeat(64),
            machine_id: "6".repeat(32),
            token: token.into(),
            template: false,
        }
    }

    #[tokio::test]
    async fn a_guest_reads_past_what_an_earlier_conversation_left_and_takes_no_byte_too_many() {
        let (mut host, mut guest) = tokio::io::duplex(64 * 1024);
        host.write_all(b"\x00\x03noise\nisolab-greeting {broken\n\x01half a fra").await.unwrap();
        let said = greeting("a");
        let (greeted, heard) = tokio::join!(greet(&mut host, &said), async {
            let heard = await_greeting(&mut guest).await.unwrap();
            welcome(&mut guest, &heard).await.unwrap();
            guest.write_all(b"next").await.unwrap();
            heard
        });
        greeted.unwrap();
        assert_eq!(heard, said);
        let mut next = [0; 4];
        host.read_exact(&mut next).await.unwrap();
        assert_eq!(&next, b"next");
    }

    #[tokio::test]
    async fn an_answer_to_another_greeting_is_none() {
        let (mut host, mut guest) = tokio::io::duplex(64 * 1024);
        welcome(&mut guest, &greeting("b")).await.unwrap();
        assert!(greet(&mut host, &greeting("a")).await.unwrap_err().to_string().contains("another greeting"));
    }

    #[tokio::test]
    async fn endless_noise_is_given_up() {
        let (mut host, mut guest) = tokio::io::duplex(64 * 1024);
        let flood = tokio::spawn(async move { while host.write_all(&[b'x'; 4096]).await.is_ok() {} });
        assert!(await_greeting(&mut guest).await.is_err());
        drop(guest);
        flood.await.unwrap();
    }
}
