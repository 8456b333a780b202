//! The standard streams of one program: its output goes to the log and to whoever is attached, input comes from any of them.
//!
//! A container's streams outlive its runs: a client attaches before the container is started.

use crate::error::ApiError;
use crate::fd::AsyncFile;
use crate::log::Log;
use crate::stdcopy::Source;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

/// Output is read and handed on in pieces of at most this.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// How many pieces may wait for one client. When they do, the program's output stalls until the client has read (as
/// with Docker), so that a slow client costs at most half a MiB.
const PIECES_MAX: usize = 32;

/// A pipe holds 64 KiB: what comes beyond this after the program's end is from a process that it has left behind,
/// and could go on for ever.
const DRAIN_BYTES_MAX: usize = 128 * 1024;

/// How many clients may be attached to one program.
const CLIENTS_MAX: usize = 16;

/// One piece of output.
#[derive(Debug)]
pub struct Piece {
    /// Where it came from.
    pub source: Source,
    /// The bytes.
    pub bytes: Bytes,
    /// Its room in the client's queue, given back when the client has taken the piece.
    _room: Option<OwnedSemaphorePermit>,
}

/// What an attached client receives; it ends when the program has.
pub type Output = mpsc::UnboundedReceiver<Piece>;

/// The engine's end of a client's queue, which `room` bounds.
#[derive(Clone, Debug)]
struct Client {
    queue: mpsc::UnboundedSender<Piece>,
    room: Arc<Semaphore>,
}

/// The streams of one program.
#[derive(Debug)]
pub struct Streams {
    clients: Mutex<Vec<Client>>,
    input: watch::Sender<Option<Arc<AsyncFile>>>,
    /// Whether the program has ended. What it has left in its pipes is at most 64 KiB each, and goes to every client
    /// at once: the end of a program must not hang on a client that is slow to read.
    draining: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            clients: Mutex::default(),
            input: watch::Sender::new(None),
            draining: watch::Sender::new(false),
        }
    }
}

impl Streams {
    /// Registers a client for all output from now on.
    pub fn subscribe(&self) -> Result<Output, ApiError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.retain(|client| !client.queue.is_closed());
        if clients.len() >= CLIENTS_MAX {
            return Err(ApiError::conflict(format!("{CLIENTS_MAX} clients are attached already")));
        }
        let (queue, receiver) = mpsc::unbounded_channel();
        clients.push(Client { queue, room: Arc::new(Semaphore::new(PIECES_MAX)) });
        Ok(receiver)
    }

    /// Opens the program's input: a pipe, or the terminal.
    pub fn open_input(&self, input: Arc<AsyncFile>) {
        self.input.send_replace(Some(input));
    }

    /// Ends the program's input: its client has no more to give. A client may be done before the program is started
    /// (`docker run -i … </dev/null`), so this waits for the start. (A terminal stays open: its reader holds it too.)
    pub async fn end_input(&self) {
        let mut watched = self.input.subscribe();
        if watched.wait_for(Option::is_some).await.is_ok() {
            self.input.send_replace(None);
        }
    }

    /// Writes to the program, waiting for it to be started; an error when it does not read any more.
    pub async fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        let mut watched = self.input.subscribe();
        let input = watched.wait_for(Option::is_some).await.ok().and_then(|input| input.clone());
        match input {
            Some(input) => input.write_all(bytes).await,
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Tells the terminal its size.
    pub fn resize(&self, cols: u16, rows: u16) -> Result<(), ApiError> {
        match self.input.borrow().as_ref() {
            Some(terminal) => Ok(terminal.resize(cols, rows)?),
            None => Ok(()),
        }
    }

    /// Reads one output stream to its end, into the log and to the clients.
    pub async fn pump(&self, source: Source, stream: Arc<AsyncFile>, log: Option<&Log>) {
        let mut buffer = vec![0; PIECE_BYTES_MAX];
        let mut drained = 0;
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            if let Some(log) = log {
                log.append(source, &buffer[..length]);
            }
            self.publish(source, Bytes::copy_from_slice(&buffer[..length])).await;
            if *self.draining.borrow() {
                drained += length;
            }
            if drained > DRAIN_BYTES_MAX {
                break;
            }
        }
        if let Some(log) = log {
            log.flush(source);
        }
    }

    /// Hands a piece of output to all clients, waiting for those that are slow.
    pub async fn publish(&self, source: Source, bytes: Bytes) {
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for Client { queue, room } in clients {
            let mut draining = self.draining.subscribe();
            let room = tokio::select! {
                biased;
                room = room.acquire_owned() => room.ok(),
                _ = draining.wait_for(|&draining| draining) => None,
                () = queue.closed() => continue,
            };
            // A client that has left is forgotten at the next subscription.
            let _ = queue.send(Piece { source, bytes: bytes.clone(), _room: room });
        }
    }

    /// The program runs, or does not any more: its pipes are to be emptied without waiting for clients.
    pub fn set_draining(&self, draining: bool) {
        self.draining.send_replace(draining);
    }

    /// The program has ended: clients see the end of its output, and input has nowhere to go.
    pub fn close(&self) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.input.send_replace(None);
    }
}
