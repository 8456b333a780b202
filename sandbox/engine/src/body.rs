//! Bytes between a client and a thread that may block: a request's body as [`Read`], a response's body as [`Write`].
//!
//! A queue of a few pieces lies between, so that neither side runs ahead of the other by more than that.

use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};
use std::io::{self, Read, Write};
use tokio::sync::mpsc;

/// How many pieces lie between the two sides; a piece that a thread writes has at most [`PIECE_BYTES`].
const PIECES_MAX: usize = 8;

/// Large enough that waking the other side costs little.
const PIECE_BYTES: usize = 64 * 1024;

/// A request's body, to be read in a thread that may block.
#[derive(Debug)]
pub struct Reading {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
}

/// Has a body read by a thread. The task that moves the pieces ends with the body, or when [`Reading`] is dropped.
pub fn reading(body: Body) -> Reading {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let mut stream = body.into_data_stream();
        while let Some(piece) = stream.next().await {
            if sender.send(piece.map_err(io::Error::other)).await.is_err() {
                break;
            }
        }
    });
    Reading { pieces, rest: Bytes::new() }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.rest.len());
        buffer[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

/// A response's body, to be written by a thread that may block. It is an error to write once the client has left.
#[derive(Debug)]
pub struct Writing {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    gathered: Vec<u8>,
}

/// A body that `write` writes in a thread of its own. Where it fails the client's connection breaks off, so that half
/// of a body is never taken for a whole one.
pub fn written_by(write: impl FnOnce(&mut Writing) -> io::Result<()> + Send + 'static) -> Body {
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    let mut writing = Writing { pieces, gathered: vec![] };
    tokio::task::spawn_blocking(move || {
        if let Err(error) = write(&mut writing).and_then(|()| writing.flush()) {
            // A client that has left hears of nothing.
            let _ = writing.pieces.blocking_send(Err(error));
        }
    });
    Body::from_stream(pieces_of(receiver))
}

fn pieces_of(receiver: mpsc::Receiver<io::Result<Bytes>>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) })
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        self.pieces.blocking_send(Ok(piece)).map_err(|_gone| io::ErrorKind::BrokenPipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_in_both_directions() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let bytes: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
            let expected = bytes.clone();
            let body = written_by(move |out| out.write_all(&bytes));
            let mut reading = reading(body);
            let read = tokio::task::spawn_blocking(move || {
                let mut all = vec![];
                reading.read_to_end(&mut all).map(|_| all)
            });
            assert_eq!(read.await.unwrap().unwrap(), expected);
        });
    }

    #[test]
    fn a_failure_breaks_the_body_off() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let body = written_by(|out| {
                out.write_all(b"half")?;
                Err(io::Error::other("failed"))
            });
            let pieces: Vec<_> = body.into_data_stream().collect().await;
            assert!(pieces.last().unwrap().is_err());
        });
    }
}
