//! Lines from a task to a client, without waiting. A transfer tells of itself at a pace, so that what lies between stays
//! small; a client that has left ends it with an error.

use axum::body::{Body, Bytes};
use futures_util::stream;
use std::convert::Infallible;
use std::io::{self, Write};
use tokio::sync::mpsc;

/// Where the task writes.
#[derive(Clone, Debug)]
pub struct Outlet(mpsc::UnboundedSender<Bytes>);

/// An outlet, and the body that has what it is given.
pub fn outlet() -> (Outlet, Body) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let pieces = stream::unfold(receiver, |mut receiver: mpsc::UnboundedReceiver<Bytes>| async move {
        receiver.recv().await.map(|piece| (Ok::<_, Infallible>(piece), receiver))
    });
    (Outlet(sender), Body::from_stream(pieces))
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
