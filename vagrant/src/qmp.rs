//! QEMU's control socket, QMP: one command after the other, and the event that tells why a machine stopped.
//!
//! The protocol: <https://www.qemu.org/docs/master/interop/qmp-spec.html>. Each line is a JSON object.

use crate::Error;
use serde_json::{Value, json};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The longest line that is read, in bytes. The longest that is expected tells of a migration and has 1 KiB.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// How long QEMU may take for one command. Those that take longer are only begun by it, and asked about again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(20);

/// How often to ask how far a migration is.
const ASK_EVERY: Duration = Duration::from_millis(5);

/// The conversation with one QEMU.
#[derive(Debug)]
pub struct Qmp {
    socket: BufReader<UnixStream>,
    /// The beginning of a line: who reads may stop waiting in the middle of one.
    begun: Vec<u8>,
    /// Why the machine stopped, in QEMU's word, where it said so.
    stopped: Option<String>,
}

impl Qmp {
    /// Takes QEMU's greeting and agrees on the protocol.
    pub async fn connect(socket: UnixStream) -> Result<Self, Error> {
        const DOING: &str = "greeting QEMU";
        let mut qmp = Self { socket: BufReader::new(socket), begun: Vec::new(), stopped: None };
        let greeting = timeout(ANSWERED_WITHIN, qmp.line())
            .await
            .map_err(|_| Error::TimedOut { doing: DOING, within: ANSWERED_WITHIN })?
            .map_err(Error::socket(DOING))?
            .ok_or_else(|| Error::unexpected(DOING, "it ended at once"))?;
        if greeting.get("QMP").is_none() {
            return Err(Error::unexpected(DOING, "it did not speak QMP"));
        }
        qmp.execute("qmp_capabilities", Value::Null).await?;
        Ok(qmp)
    }

    /// Executes one command; `arguments` may be null.
    pub async fn execute(&mut self, command: &'static str, arguments: Value) -> Result<Value, Error> {
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let answer = async {
            self.socket.write_all(format!("{request}\n").as_bytes()).await?;
            loop {
                let mut line = self.line().await?.ok_or_else(|| io::Error::other("QEMU has ended"))?;
                if line.get("return").is_some() || line.get("error").is_some() {
                    return Ok(line.take());
                }
            }
        };
        let answer = timeout(ANSWERED_WITHIN, answer)
            .await
            .map_err(|_| Error::TimedOut { doing: command, within: ANSWERED_WITHIN })?
            .map_err(Error::socket(command))?;
        match answer.get("error") {
            None => Ok(answer["return"].clone()),
            Some(error) => {
                let why = error["desc"].as_str().unwrap_or("without a word").chars().take(300).collect();
                Err(Error::Refused { command, why })
            }
        }
    }

    /// Waits until a migration, to a file or from one, is complete. Errors: it failed, or takes longer than `within`.
    pub async fn migrated(&mut self, within: Duration) -> Result<(), Error> {
        const DOING: &str = "moving a machine's state";
        let complete = async {
            loop {
                let status = self.execute("query-migrate", Value::Null).await?;
                match status["status"].as_str() {
                    Some("completed") => return Ok(()),
                    Some("failed" | "cancelled") => {
                        let why = status["error-desc"].as_str().unwrap_or("without a word");
                        return Err(Error::unexpected(DOING, format!("it failed: {why}")));
                    }
                    _ => tokio::time::sleep(ASK_EVERY).await,
                }
            }
        };
        timeout(within, complete).await.map_err(|_| Error::TimedOut { doing: DOING, within })?
    }

    /// Waits until QEMU has hung up, which it does when it ends. Why the machine stopped, where it said so.
    pub async fn hung_up(&mut self) -> Option<&str> {
        while let Ok(Some(_)) = self.line().await {}
        self.stopped.as_deref()
    }

    /// The next line; `None` at the end. A line that is no JSON is an error.
    async fn line(&mut self) -> io::Result<Option<Value>> {
        let room = LINE_BYTES_MAX.saturating_sub(self.begun.len() as u64);
        (&mut self.socket).take(room).read_until(b'\n', &mut self.begun).await?;
        let line = std::mem::take(&mut self.begun);
        if line.is_empty() {
            return Ok(None);
        }
        let line: Value = serde_json::from_slice(&line)?;
        if line["event"] == "SHUTDOWN" {
            self.stopped = line["data"]["reason"].as_str().map(str::to_owned);
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that answers each line with these.
    async fn qemu(mut socket: UnixStream, answers: Vec<&'static str>) {
        socket.write_all(b"{\"QMP\":{\"version\":{}}}\n").await.unwrap();
        let (read, mut write) = socket.split();
        let mut lines = BufReader::new(read).lines();
        for answer in answers {
            lines.next_line().await.unwrap();
            write.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    async fn conversation(answers: Vec<&'static str>) -> Qmp {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let all = std::iter::once("{\"return\":{}}\n").chain(answers).collect();
        tokio::spawn(qemu(theirs, all));
        Qmp::connect(ours).await.unwrap()
    }

    #[tokio::test]
    async fn events_between_are_no_answers() {
        let event = "{\"event\":\"RESUME\"}\n{\"return\":{\"status\":\"running\"}}\n";
        let mut qmp = conversation(vec![event]).await;
        let status = qmp.execute("query-status", Value::Null).await.unwrap();
        assert_eq!(status["status"], "running");
    }

    #[tokio::test]
    async fn a_refusal_carries_qemus_words() {
        let refusal = "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no such file\"}}\n";
        let mut qmp = conversation(vec![refusal]).await;
        let error = qmp.execute("migrate", json!({"uri": "file:/x"})).await.unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused migrate: no such file");
    }

    #[tokio::test]
    async fn a_migration_is_waited_for_until_it_is_complete_or_has_failed() {
        let active = "{\"return\":{\"status\":\"active\"}}\n";
        let mut qmp = conversation(vec![active, active, "{\"return\":{\"status\":\"completed\"}}\n"]).await;
        qmp.migrated(Duration::from_secs(5)).await.unwrap();
        let failed = "{\"return\":{\"status\":\"failed\",\"error-desc\":\"disk full\"}}\n";
        let mut qmp = conversation(vec![active, failed]).await;
        assert!(qmp.migrated(Duration::from_secs(5)).await.unwrap_err().to_string().contains("disk full"));
        let mut qmp = conversation(vec![active; 9]).await;
        assert!(qmp.migrated(Duration::from_secs(5)).await.is_err(), "it hung up in between");
    }

    #[tokio::test]
    async fn why_the_machine_stopped_is_remembered() {
        let stopped = "{\"return\":{}}\n{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":true,\"reason\":\"guest-panic\"}}\n";
        let mut qmp = conversation(vec![stopped]).await;
        qmp.execute("cont", Value::Null).await.unwrap();
        assert_eq!(qmp.hung_up().await, Some("guest-panic"));
    }

    #[tokio::test]
    async fn what_is_no_qmp_is_an_error_and_no_panic() {
        for words in [&b"{}\n"[..], b"hello\n", b"", b"{\"QMP\":1}"] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(words).await.unwrap();
            drop(theirs);
            assert!(Qmp::connect(ours).await.is_err());
        }
    }
}
