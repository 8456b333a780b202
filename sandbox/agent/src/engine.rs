//! The agent's side of the conversation with a lab's engine: is it there, and what does it call its containers?
//!
//! The engine belongs to the learner, who is root in the lab. Whatever it answers is bounded in size and time and
//! is taken for words, never for facts. The conversation is HTTP over a socket pair that the engine
//! inherited, because a path inside the lab could lead anywhere.

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::collections::HashMap;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// The largest answer that is read, in bytes: a hundred containers need a tenth of it.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// An engine that takes longer than this for one answer is given up for good: answers could no longer be told apart.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// How long an engine may take until it answers for the first time. In an emulated machine on a busy one, a program takes half a minute
/// to begin.
pub const BEGUN_WITHIN: Duration = Duration::from_secs(50);

/// The most containers whose names are asked for.
const CONTAINERS_MAX: usize = 64;

/// The longest name, and the longest name of an image, in characters; what is longer is cut.
const WORD_CHARS_MAX: usize = 200;

/// What the engine says of one running container. Words, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The pid of its first process on the lab host.
    pub pid: u32,
    /// 64 hex digits, or empty where the engine said something else.
    pub id: String,
    /// Its name without the slash.
    pub name: String,
    /// The image's name as the learner gave it.
    pub image: String,
}

/// A handle to the conversation; dropping it ends it.
#[derive(Debug)]
pub struct Engine {
    asks: mpsc::Sender<Ask>,
}

enum Ask {
    Ping(oneshot::Sender<bool>),
    /// With the pids that containers have now, so that only new ones are looked up.
    Labels(Vec<u32>, oneshot::Sender<Vec<Label>>),
}

impl Engine {
    /// Starts the conversation over one end of the socket pair.
    pub fn converse(stream: UnixStream) -> Self {
        // Two may wait: a reading for the page and one for a check. More would only queue up behind a slow engine.
        let (asks, asked) = mpsc::channel(2);
        tokio::spawn(serve(stream, asked));
        Self { asks }
    }

    /// Waits until the engine serves. `false` where it never will.
    pub async fn ready(&self) -> bool {
        let (tell, told) = oneshot::channel();
        self.asks.send(Ask::Ping(tell)).await.is_ok() && told.await.unwrap_or(false)
    }

    /// What the engine calls its running containers; `None` where it does not say so in time.
    pub async fn labels(&self, pids: Vec<u32>, within: Duration) -> Option<Vec<Label>> {
        let (tell, told) = oneshot::channel();
        self.asks.try_send(Ask::Labels(pids, tell)).ok()?;
        timeout(within, told).await.ok()?.ok()
    }
}

/// Answers one ask after the other. A caller that stops waiting does not disturb the conversation.
async fn serve(stream: UnixStream, mut asked: mpsc::Receiver<Ask>) {
    let Ok((mut sender, connection)) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await else {
        return;
    };
    let connection = tokio::spawn(connection);
    let mut known = HashMap::new();
    while let Some(ask) = asked.recv().await {
        let within = if matches!(ask, Ask::Ping(_)) { BEGUN_WITHIN } else { ANSWERED_WITHIN };
        let answered = timeout(within, async {
            match ask {
                Ask::Ping(tell) => {
                    let answer = get(&mut sender, "/_ping").await;
                    // The asker may have given up; that is its own business.
                    let _ = tell.send(answer.is_some());
                }
                Ask::Labels(pids, tell) => {
                    let _ = tell.send(labels(&mut sender, &pids, &mut known).await);
                }
            }
        });
        if answered.await.is_err() {
            tracing::debug!("a lab's engine did not answer; its containers have no names from now on");
            break;
        }
    }
    connection.abort();
}

async fn get(sender: &mut SendRequest<Empty<Bytes>>, path: &str) -> Option<Bytes> {
    sender.ready().await.ok()?;
    let request = Request::builder().method(Method::GET).uri(path).header(header::HOST, "labhost");
    let response = sender.send_request(request.body(Empty::new()).ok()?).await.ok()?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.ok()?.to_bytes();
    (status == StatusCode::OK).then_some(body)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    image: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: InspectedState,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedState {
    #[serde(default)]
    pid: u32,
}

/// `known` holds the pid of each container, which the list does not tell and which changes only with a restart.
async fn labels(
    sender: &mut SendRequest<Empty<Bytes>>,
    pids: &[u32],
    known: &mut HashMap<String, u32>,
) -> Vec<Label> {
    let listed: Vec<Listed> = match get(sender, "/containers/json").await {
        Some(body) => serde_json::from_slice(&body).unwrap_or_default(),
        None => Vec::new(),
    };
    let listed: Vec<Listed> = listed.into_iter().filter(|c| is_id(&c.id)).take(CONTAINERS_MAX).collect();
    known.retain(|id, pid| pids.contains(pid) && listed.iter().any(|c| c.id == *id));
    let mut labels = Vec::new();
    for container in listed {
        let pid = match known.get(&container.id) {
            Some(&pid) => pid,
            None => pid_of(sender, &container.id).await,
        };
        if pid != 0 {
            known.insert(container.id.clone(), pid);
            let name = container.names.first().map(|name| name.trim_start_matches('/')).unwrap_or_default();
            labels.push(Label { pid, name: word(name), image: word(&container.image), id: container.id });
        }
    }
    labels
}

async fn pid_of(sender: &mut SendRequest<Empty<Bytes>>, id: &str) -> u32 {
    let body = get(sender, &format!("/containers/{id}/json")).await;
    let inspected = body.and_then(|body| serde_json::from_slice::<Inspected>(&body).ok());
    inspected.map_or(0, |inspected| inspected.state.pid)
}

/// A container's id becomes part of a request: only one that the engine itself makes is taken.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn word(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(WORD_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// An engine that answers each request with the next of these, whatever was asked.
    fn engine(answers: Vec<Vec<u8>>) -> Engine {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        tokio::spawn(async move {
            let mut request = [0; 4096];
            for answer in answers {
                if theirs.read(&mut request).await.unwrap_or(0) == 0
                    || theirs.write_all(&answer).await.is_err()
                {
                    return;
                }
            }
            // Silent from now on, but not gone.
            tokio::time::sleep(Duration::from_secs(60)).await;
        });
        Engine::converse(ours)
    }

    fn http(body: &str) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[tokio::test]
    async fn names_come_with_the_pid_that_inspecting_tells() {
        let id = "a".repeat(64);
        let list = http(&format!(r#"[{{"Id":"{id}","Names":["/pid-test"],"Image":"ubuntu"}}]"#));
        let engine = engine(vec![http("OK"), list.clone(), http(r#"{"State":{"Pid":42}}"#), list]);
        assert!(engine.ready().await);
        let wanted = vec![Label { pid: 42, id, name: "pid-test".into(), image: "ubuntu".into() }];
        assert_eq!(engine.labels(vec![42], Duration::from_secs(5)).await, Some(wanted.clone()));
        // The second time the pid is known, so that one request is enough.
        assert_eq!(engine.labels(vec![42], Duration::from_secs(5)).await, Some(wanted));
    }

    #[tokio::test]
    async fn a_silent_engine_is_not_waited_for() {
        let engine = engine(vec![]);
        assert_eq!(engine.labels(vec![], Duration::from_millis(20)).await, None);
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut_off() {
        let mut flood = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec();
        flood.resize(3 * ANSWER_BYTES_MAX, b' ');
        let engine = engine(vec![flood]);
        assert_eq!(engine.labels(vec![], Duration::from_secs(5)).await, Some(vec![]));
    }

    #[tokio::test]
    async fn words_that_are_none_are_dropped() {
        let id = "b".repeat(64);
        let list = format!(r#"[{{"Id":"../x"}},{{"Id":"{id}","Names":["/a\u0007b"]}}]"#);
        let engine = engine(vec![http(&list), http(r#"{"State":{"Pid":7}}"#)]);
        let labels = engine.labels(vec![7], Duration::from_secs(5)).await.unwrap();
        assert_eq!(labels, [Label { pid: 7, id, name: "ab".into(), image: String::new() }]);
    }
}
