//! A descriptor in the event queue of the runtime.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor. Errors: the event queue refuses it.
#[allow(
    deprecated,
    reason = "deprecated because a type could give another descriptor each time it is asked; OwnedFd cannot, and the \
              successor is unsafe to call"
)]
pub fn register(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, interest)
}
