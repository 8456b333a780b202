//! Many connections over the one channel between host and guest, by yamux: the host dials, the guest takes the calls.
//!
//! Whoever is at the other end of a VM's channel may be hostile. Streams are bounded in number and each in bytes
//! that wait; a broken frame ends the channel, and the machine with it.

use futures_util::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};
use yamux::{Config, Connection, Mode};

/// Connections at once: eight terminals, four commands, a stream of observations, and room for those that are ending.
const STREAMS_MAX: usize = 48;

/// What all of them together may have waiting, in bytes: the least that yamux allows for so many.
const WAITING_BYTES_MAX: usize = STREAMS_MAX * 256 * 1024;

/// How many calls may wait until the channel takes them.
const DIALS_WAITING_MAX: usize = STREAMS_MAX;

/// One connection.
pub type Stream = Compat<yamux::Stream>;

/// The host's end: opens connections. The channel is closed when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Dialer {
    asks: mpsc::Sender<oneshot::Sender<Stream>>,
}

/// The guest's end: takes connections.
#[derive(Debug)]
pub struct Callers {
    calls: mpsc::Receiver<Stream>,
}

fn config() -> Config {
    let mut config = Config::default();
    // In this order: either call checks itself against the other's present value.
    config.set_max_num_streams(STREAMS_MAX);
    config.set_max_connection_receive_window(Some(WAITING_BYTES_MAX));
    config
}

impl Dialer {
    /// Speaks over `channel` in a task of its own.
    pub fn over(channel: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (asks, mut asked) = mpsc::channel(DIALS_WAITING_MAX);
        let mut connection = Connection::new(channel.compat(), config(), Mode::Client);
        tokio::spawn(async move {
            let mut waiting = None;
            let hung_up = poll_fn(|context| dial(&mut connection, &mut asked, &mut waiting, context)).await;
            if hung_up {
                // An error says that the other end was faster.
                let _ = poll_fn(|context| connection.poll_close(context)).await;
            }
        });
        Self { asks }
    }

    /// Opens one connection. Errors: the channel is gone.
    pub async fn dial(&self) -> io::Result<Stream> {
        let gone = || io::Error::new(io::ErrorKind::NotConnected, "the virtual machine has hung up");
        let (tell, told) = oneshot::channel();
        self.asks.send(tell).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())
    }

    /// Waits until the channel is gone.
    pub async fn closed(&self) {
        self.asks.closed().await;
    }
}

/// One turn of the host's end. Ready when it is over: with `true` where nobody dials any more, so that it has to be closed.
fn dial<T: futures_util::AsyncRead + futures_util::AsyncWrite + Unpin>(
    connection: &mut Connection<T>,
    asked: &mut mpsc::Receiver<oneshot::Sender<Stream>>,
    waiting: &mut Option<oneshot::Sender<Stream>>,
    context: &mut Context<'_>,
) -> Poll<bool> {
    loop {
        if waiting.is_none() {
            match asked.poll_recv(context) {
                Poll::Ready(Some(tell)) => *waiting = Some(tell),
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Pending => {}
            }
        }
        if let Some(tell) = waiting.take() {
            match connection.poll_new_outbound(context) {
                Poll::Ready(Ok(stream)) => {
                    // Whoever dialled may have given up; the stream is then dropped, and so closed.
                    let _ = tell.send(stream.compat());
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => *waiting = Some(tell),
            }
        }
        match connection.poll_next_inbound(context) {
            // A guest has nothing to call us for.
            Poll::Ready(Some(Ok(stream))) => drop(stream),
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(false),
            Poll::Pending => return Poll::Pending,
        }
    }
}

impl Callers {
    /// Takes calls over `channel` in a task of its own, until the other end hangs up.
    pub fn over(channel: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (call, calls) = mpsc::channel(1);
        let mut connection = Connection::new(channel.compat(), config(), Mode::Server);
        tokio::spawn(async move {
            while let Some(Ok(stream)) = poll_fn(|context| connection.poll_next_inbound(context)).await {
                let call = call.clone();
                // The connection has to be polled on, or nothing flows.
                tokio::spawn(async move { call.send(stream.compat()).await });
            }
        });
        Self { calls }
    }

    /// The next connection; `None` when the other end has hung up.
    pub async fn next(&mut self) -> Option<Stream> {
        self.calls.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    async fn echo(mut callers: Callers) {
        while let Some(mut stream) = callers.next().await {
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(&mut stream);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    }

    #[tokio::test]
    async fn connections_side_by_side_do_not_mix_and_end_with_the_last_dialer() {
        let (host, guest) = duplex(1024);
        let dialer = Dialer::over(host);
        let serving = tokio::spawn(echo(Callers::over(guest)));
        let calls = (0..20_u8).map(|number| {
            let dialer = dialer.clone();
            async move {
                let mut stream = dialer.dial().await.unwrap();
                let sent = vec![number; 50_000];
                let mut got = vec![0; sent.len()];
                let (mut read, mut write) = tokio::io::split(&mut stream);
                let (_, _) = tokio::try_join!(write.write_all(&sent), read.read_exact(&mut got)).unwrap();
                assert_eq!(got, sent);
            }
        });
        futures_util::future::join_all(calls).await;
        drop(dialer);
        serving.await.unwrap();
    }

    #[tokio::test]
    async fn one_that_does_not_read_holds_up_no_other() {
        let (host, guest) = duplex(1024);
        let dialer = Dialer::over(host);
        tokio::spawn(echo(Callers::over(guest)));
        let mut stuck = dialer.dial().await.unwrap();
        // Echoed and never read: after a window's worth, writing has to wait, and only here.
        let flood = tokio::spawn(async move { while stuck.write_all(&[1; 4096]).await.is_ok() {} });
        let mut stream = dialer.dial().await.unwrap();
        for _ in 0..100 {
            stream.write_all(b"ping").await.unwrap();
            stream.read_exact(&mut [0; 4]).await.unwrap();
        }
        flood.abort();
    }

    #[tokio::test]
    async fn noise_ends_the_channel_and_no_more() {
        let (host, mut guest) = duplex(1024);
        let dialer = Dialer::over(host);
        tokio::spawn(async move { while guest.write_all(&[0xff; 512]).await.is_ok() {} });
        dialer.closed().await;
        assert_eq!(dialer.dial().await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}
