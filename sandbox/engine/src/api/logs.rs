//! `docker logs`.

use super::params::Params;
use crate::clock;
use crate::container::Container;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::log::{Entry, Reader};
use crate::stdcopy::{Framing, Source};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Which entries a client wants, and how.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    streams: [bool; 2],
    since: Option<SystemTime>,
    until: Option<SystemTime>,
    timestamps: bool,
    /// Whether lines are told with what the log's options add to them. None of ours adds anything, which leaves a blank.
    details: bool,
    framing: Framing,
}

impl Wanted {
    fn frame(&self, entry: &Entry) -> Option<Bytes> {
        let stream = match entry.source {
            Source::Stdout => self.streams[0],
            Source::Stderr => self.streams[1],
        };
        let time = clock::parse_rfc3339(&entry.time);
        let early = self.since.zip(time).is_some_and(|(since, time)| time < since);
        let late = self.until.zip(time).is_some_and(|(until, time)| time > until);
        if !stream || early || late {
            return None;
        }
        let mut line = Vec::with_capacity(entry.line.len() + 32);
        if self.timestamps {
            line.extend_from_slice(entry.time.as_bytes());
            line.push(b' ');
        }
        if self.details {
            line.push(b' ');
        }
        line.extend_from_slice(&entry.line);
        Some(self.framing.frame(entry.source, &line.into()))
    }
}

/// `GET /containers/{id}/logs`.
pub async fn logs(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let container = engine.find(&reference)?;
    let streams = [params.flag("stdout"), params.flag("stderr")];
    if streams == [false, false] {
        return Err(ApiError::bad_request("Bad parameters: you must choose at least one stream"));
    }
    if container.kept_log().is_none() {
        return Err(ApiError::internal("configured logging driver does not support reading"));
    }
    let time = |name: &str| params.time(name).map(|time| time.filter(|&time| time != UNIX_EPOCH));
    let wanted = Wanted {
        streams,
        since: time("since")?,
        until: time("until")?,
        timestamps: params.flag("timestamps"),
        details: params.flag("details"),
        framing: Framing::of(container.request.settings.tty),
    };
    // Docker takes what is no number (`all`) for everything.
    let tail = params.text("tail").parse().unwrap_or(usize::MAX);
    let mut reader = container.log.read()?;
    let last = last(&mut reader, wanted, tail)?;
    let body = if params.flag("follow") { follow(last, reader, wanted) } else { all(last) };
    Ok(([(header::CONTENT_TYPE, "application/vnd.docker.raw-stream")], body).into_response())
}

/// The last `tail` wanted entries that are written. They fit in memory: a log has a bound.
fn last(reader: &mut Reader, wanted: Wanted, tail: usize) -> io::Result<VecDeque<Bytes>> {
    let mut last = VecDeque::new();
    while let Some(entry) = reader.next_now()? {
        if let Some(framed) = wanted.frame(&entry) {
            if last.len() >= tail {
                last.pop_front();
            }
            if tail > 0 {
                last.push_back(framed);
            }
        }
    }
    Ok(last)
}

fn all(pieces: VecDeque<Bytes>) -> Body {
    Body::from_stream(futures_util::stream::iter(pieces.into_iter().map(Ok::<_, io::Error>)))
}

fn follow(last: VecDeque<Bytes>, reader: Reader, wanted: Wanted) -> Body {
    let stream = futures_util::stream::unfold((last, reader), move |(mut last, mut reader)| async move {
        if let Some(piece) = last.pop_front() {
            return Some((Ok(piece), (last, reader)));
        }
        loop {
            match reader.next_live().await {
                Ok(Some(entry)) => match wanted.frame(&entry) {
                    Some(framed) => return Some((Ok::<_, io::Error>(framed), (last, reader))),
                    None => continue,
                },
                Ok(None) => return None,
                Err(error) => return Some((Err(error), (last, reader))),
            }
        }
    });
    Body::from_stream(stream)
}

/// All that a container has written, for `attach?logs=1`.
pub fn written(container: &Container, framing: Framing, streams: [bool; 2]) -> Result<Vec<Bytes>, ApiError> {
    let wanted = Wanted { streams, since: None, until: None, timestamps: false, details: false, framing };
    Ok(last(&mut container.log.read()?, wanted, usize::MAX)?.into())
}
