//! Messages between an owner, its zygote and the processes that it makes: one packet each, with descriptors.

use crate::error::{Call, Failed};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::io::{Errno, IoSlice, IoSliceMut};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::mem::MaybeUninit;
use std::time::Duration;

/// The longest message. A plan with the longest filter that the kernel takes (4096 instructions) is below 40 KiB,
/// and the kernel's default socket buffer holds 208 KiB.
const MESSAGE_BYTES_MAX: usize = 192 * 1024;
/// The kernel's own bound on descriptors in one message (`SCM_MAX_FD`).
const DESCRIPTORS_MAX: usize = 253;

/// Two connected ends, closed by `execve`.
pub(crate) fn pair() -> Result<(OwnedFd, OwnedFd), Failed> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .call(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")
}

/// Waits for somebody to connect to a listening socket.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<OwnedFd, Failed> {
    loop {
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Err(Errno::INTR) => {}
            done => return done.call(|| "accept4()"),
        }
    }
}

/// Sends a message with descriptors.
pub(crate) fn send(
    to: BorrowedFd<'_>,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> Result<(), Failed> {
    let bytes = postcard::to_stdvec(message)
        .map_err(|error| Failed::because(format!("encoding a message: {error}"), Errno::INVAL))?;
    if bytes.len() > MESSAGE_BYTES_MAX || descriptors.len() > DESCRIPTORS_MAX {
        let what = format!("a message of {} bytes and {} descriptors", bytes.len(), descriptors.len());
        return Err(Failed::because(what, Errno::MSGSIZE));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    sendmsg(to, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL).call(|| "sendmsg").map(drop)
}

/// Receives a message, waiting for at most `timeout` where one is given. `None` is the end: nobody is at the other
/// side any more.
pub(crate) fn receive<M: DeserializeOwned>(
    from: BorrowedFd<'_>,
    timeout: Option<Duration>,
) -> Result<Option<(M, Vec<OwnedFd>)>, Failed> {
    if let Some(timeout) = timeout {
        wait_readable(from, timeout)?;
    }
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let buffers = &mut [IoSliceMut::new(&mut bytes)];
        match recvmsg(from, buffers, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => {}
            // A peer that ended with unread messages of ours: the kernel tells that once, before what the peer had still
            // sent, and then gives that and the end.
            Err(Errno::CONNRESET) => {}
            done => break done.call(|| "recvmsg")?,
        }
    };
    let descriptors = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .collect();
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(Failed::because("recvmsg: the message was cut", Errno::MSGSIZE));
    }
    let message = postcard::from_bytes(&bytes[..received.bytes])
        .map_err(|error| Failed::because(format!("decoding a message: {error}"), Errno::BADMSG))?;
    Ok(Some((message, descriptors)))
}

/// Waits until there is something to receive. Errors: ETIMEDOUT.
fn wait_readable(from: BorrowedFd<'_>, timeout: Duration) -> Result<(), Failed> {
    let deadline = std::time::Instant::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let spec = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&spec)) {
            Err(Errno::INTR) => {}
            Ok(0) => {
                let what = format!("no answer within {} s", timeout.as_secs());
                return Err(Failed::because(what, Errno::TIMEDOUT));
            }
            done => return done.call(|| "poll").map(drop),
        }
    }
}

/// Whether the other end is closed.
pub(crate) fn is_hung_up(end: BorrowedFd<'_>) -> bool {
    let mut ends = [PollFd::new(&end, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut ends, Some(&now)).is_ok() && ends[0].revents().contains(PollFlags::HUP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsFd;

    #[test]
    fn a_message_arrives_with_its_descriptors() {
        let (ours, theirs) = pair().unwrap();
        let file = tempfile::tempfile().unwrap();
        send(ours.as_fd(), &("words", 7u32), &[file.as_fd()]).unwrap();
        let (message, descriptors) = receive::<(String, u32)>(theirs.as_fd(), None).unwrap().unwrap();
        assert_eq!(message, ("words".into(), 7));
        assert_eq!(
            rustix::fs::fstat(&descriptors[0]).unwrap().st_ino,
            rustix::fs::fstat(&file).unwrap().st_ino
        );
    }

    #[test]
    fn the_end_silence_and_nonsense_are_told_apart() {
        let (ours, theirs) = pair().unwrap();
        let silence = receive::<u32>(theirs.as_fd(), Some(Duration::from_millis(10))).unwrap_err();
        assert_eq!(silence.errno(), Errno::TIMEDOUT);
        rustix::net::send(&ours, &[0xff; 9], SendFlags::empty()).unwrap();
        assert_eq!(receive::<(String, u32)>(theirs.as_fd(), None).unwrap_err().errno(), Errno::BADMSG);
        assert!(!is_hung_up(theirs.as_fd()));
        drop(ours);
        assert!(is_hung_up(theirs.as_fd()));
        assert!(receive::<u32>(theirs.as_fd(), None).unwrap().is_none());
    }
}
