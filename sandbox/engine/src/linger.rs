//! A request's body that nobody has read to its end is read on and thrown away, up to a point.
//!
//! A request may be refused by its first line. Were its connection closed then, a client that is still writing would
//! see a broken pipe instead of the reason.

use axum::body::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A client that has more to say than this does not get to hear why it was refused.
const DRAINED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A client that takes longer than this over it has stopped, or plays for time.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);

/// How long a refusal waits for the client to be done: many take an early answer for a fault of their own, and say so.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);

/// A request's body; dropped before its end, the rest is drained.
#[derive(Debug)]
pub struct Lingering {
    body: Option<Incoming>,
    /// Dropped when there is nothing left of the body.
    left: Option<oneshot::Sender<()>>,
}

/// Tells when there is nothing left of a request's body.
#[derive(Debug)]
pub struct Rest(oneshot::Receiver<()>);

impl Lingering {
    /// The same body.
    pub fn new(body: Incoming) -> (Self, Rest) {
        let (left, rest) = oneshot::channel();
        (Self { body: Some(body), left: Some(left) }, Rest(rest))
    }
}

impl Rest {
    /// Waits for that, but not for long.
    pub async fn done(self) {
        // Nothing is ever sent: it is the end of the other side that is waited for.
        let _ = timeout(REFUSAL_TIME_MAX, self.0).await;
    }
}

impl Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        let left = self.left.take();
        // Without an event loop the engine is ending, and its connections with it.
        if let (Some(rest), Ok(runtime)) = (rest, tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                // One that takes too long does not get to hear why it was refused.
                let _ = timeout(DRAIN_TIME_MAX, drain(rest)).await;
                drop(left);
            });
        }
    }
}

async fn drain(mut body: Incoming) {
    let mut left = DRAINED_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
