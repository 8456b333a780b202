//! The guest's end of the channel: a port of virtio-serial, as a stream of bytes.

use crate::readiness;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// Where the kernel lists the ports, each with its name.
const PORTS: &str = "/sys/class/virtio-ports";

/// How long to wait before a port without a host is tried again. The kernel then reports an end at every turn, and nothing
/// tells when the host is there.
const RETRY: Duration = Duration::from_millis(50);

/// The open port; clones share it.
#[derive(Clone, Debug)]
pub struct Port {
    file: Arc<AsyncFd<OwnedFd>>,
}

impl Port {
    /// Opens the port of this name. Errors: there is none, or another program has it.
    pub fn open(name: &str) -> io::Result<Self> {
        let device = find(name)?;
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open(&device, flags, Mode::empty())
            .map_err(|error| io::Error::other(format!("{}: {error}", device.display())))?;
        Ok(Self { file: Arc::new(readiness::register(file, Interest::READABLE | Interest::WRITABLE)?) })
    }
}

fn find(name: &str) -> io::Result<PathBuf> {
    for entry in std::fs::read_dir(PORTS)? {
        let entry = entry?;
        let named = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
        if named.trim() == name {
            return Ok(PathBuf::from("/dev").join(entry.file_name()));
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, format!("this machine has no virtio port called {name}")))
}

impl AsyncRead for Port {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.file.poll_read_ready(context))?;
            match rustix::io::read(&*self.file, buffer.initialize_unfilled()) {
                // The host has hung up. That is no end: it comes back, and until then there is nothing to wait on.
                Ok(0) => {
                    ready.clear_ready();
                    let waker = context.waker().clone();
                    tokio::spawn(async move {
                        tokio::time::sleep(RETRY).await;
                        waker.wake();
                    });
                    return Poll::Pending;
                }
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }
}

impl AsyncWrite for Port {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.file.poll_write_ready(context))?;
            match rustix::io::write(&*self.file, bytes) {
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
