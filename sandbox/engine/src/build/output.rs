//! What a build tells its client: one JSON document a line, as Docker streams them.

use crate::error::ApiError;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// How many lines may wait for a slow client; then the build waits too.
const LINES_MAX: usize = 64;

/// With `-q`, what is kept to be shown if the build fails. The beginning of it tells what went wrong less than its end, but
/// Docker keeps everything, and no lab has the memory for that.
const KEPT_BYTES_MAX: usize = 1024 * 1024;

/// A build that failed: the words, and the exit code of the step that did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the client prints.
    pub message: String,
    /// What the client exits with; 1 where there is none.
    pub code: Option<i32>,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        error.message.into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        error.to_string().into()
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { message, code: None }
    }
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        message.to_owned().into()
    }
}

/// Where a build tells what it does.
#[derive(Clone, Debug)]
pub struct Output {
    lines: mpsc::Sender<Bytes>,
    /// With `-q`, what was not said.
    kept: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Output {
    /// A build's end and the client's end.
    pub fn new(quiet: bool) -> (Self, mpsc::Receiver<Bytes>) {
        let (lines, receiver) = mpsc::channel(LINES_MAX);
        (Self { lines, kept: quiet.then(Arc::default) }, receiver)
    }

    /// Ends when the client has left.
    pub async fn closed(&self) {
        self.lines.closed().await;
    }

    async fn write(&self, document: Value) {
        self.pass_on(format!("{document}\r\n").into()).await;
    }

    /// Says what another has already put in the form of lines.
    pub async fn pass_on(&self, lines: Bytes) {
        match &self.kept {
            Some(kept) => {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() + lines.len() <= KEPT_BYTES_MAX {
                    kept.extend_from_slice(&lines);
                }
            }
            None => self.send(lines).await,
        }
    }

    async fn send(&self, line: Bytes) {
        // A client that has left: the build is ended by whoever waits for that.
        let _ = self.lines.send(line).await;
    }

    /// Says something.
    pub async fn say(&self, text: impl Into<String>) {
        self.write(json!({ "stream": text.into() })).await;
    }

    /// Says what a command has written to its standard error: in red.
    pub async fn complain(&self, text: &str) {
        self.say(format!("\u{1b}[91m{text}\u{1b}[0m")).await;
    }

    /// Tells programs the id of an image.
    pub async fn image(&self, id: &str) {
        self.write(json!({ "aux": { "ID": id } })).await;
    }

    /// Says something even with `-q`.
    pub async fn say_aloud(&self, text: String) {
        self.send(format!("{}\r\n", json!({ "stream": text })).into()).await;
    }

    /// The build has failed. With `-q`, all is told now.
    pub async fn fail(&self, failure: &Failure) {
        if let Some(kept) = &self.kept {
            let kept = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
            self.send(kept.into()).await;
        }
        let mut detail = json!({ "message": failure.message });
        if let Some(code) = failure.code {
            detail["code"] = json!(code);
        }
        let document = json!({ "errorDetail": detail, "error": failure.message });
        self.send(format!("{document}\r\n").into()).await;
    }
}
