//! A small encoder and decoder for rtnetlink: just the requests that the network doll makes.
//!
//! It knows the wire and no meaning: which message brings up a link is in [`super::network`].

use crate::error::{Call, Failed};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// The flags of a request (netlink(7)).
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCLUSIVE: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
}

const HEADER_BYTES: usize = 16;
const TYPE_ERROR: u16 = 2;
const TYPE_DONE: u16 = 3;
/// The kernel fills at most this much into one datagram of a dump when it is offered.
const DATAGRAM_BYTES: usize = 32 * 1024;
/// A namespace with more replies than this is no longer one that a person looks at.
const REPLIES_MAX: usize = 4096;

/// A request being written.
#[derive(Debug)]
pub(crate) struct Request {
    kind: u16,
    flags: u16,
    body: Vec<u8>,
}

/// One reply: its type and what follows its header.
#[derive(Debug)]
pub(crate) struct Reply {
    pub kind: u16,
    pub body: Vec<u8>,
}

impl Request {
    /// A request of this type, whose fixed part is `fixed`.
    pub(crate) fn new(kind: u16, flags: u16, fixed: &[u8]) -> Self {
        Self { kind, flags, body: fixed.to_vec() }
    }

    /// Adds an attribute.
    pub(crate) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        push_attribute(&mut self.body, kind, value);
        self
    }

    fn encode(&self, flags: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.body.len());
        bytes.extend(((HEADER_BYTES + self.body.len()) as u32).to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend((self.flags | flags | flag::REQUEST).to_ne_bytes());
        // Sequence number and port: one request is under way at a time, on a socket of its own.
        bytes.extend([0; 8]);
        bytes.extend(&self.body);
        bytes
    }
}

/// Appends an attribute to what may be the value of another one.
pub(crate) fn push_attribute(to: &mut Vec<u8>, kind: u16, value: &[u8]) {
    to.extend(((4 + value.len()) as u16).to_ne_bytes());
    to.extend(kind.to_ne_bytes());
    to.extend(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

/// The attributes in `bytes`; a malformed tail ends them.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (length, kind) = (u16_at(bytes, 0)?, u16_at(bytes, 2)?);
        let value = bytes.get(4..length.into())?;
        bytes = bytes.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        // The two high bits say how the value is nested and ordered; they are not part of the type.
        Some((kind & 0x3fff, value))
    })
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// A socket to the routing part of the caller's network namespace.
#[derive(Debug)]
pub(crate) struct Route(OwnedFd);

impl Route {
    pub(crate) fn open() -> Result<Self, Failed> {
        // NETLINK_ROUTE is protocol 0, the default.
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)
            .map(Self)
            .call(|| "socket(AF_NETLINK, NETLINK_ROUTE)")
    }

    /// Asks for one thing, or has one change made. `words` name it in errors.
    pub(crate) fn ask(&self, request: &Request, words: &str) -> Result<Vec<Reply>, Failed> {
        self.exchange(request, flag::ACK, words)
    }

    /// Asks for everything of a kind.
    pub(crate) fn dump(&self, request: &Request, words: &str) -> Result<Vec<Reply>, Failed> {
        self.exchange(request, flag::DUMP, words)
    }

    /// Sends a request and collects its replies up to the acknowledgement or the end of the dump. The kernel
    /// answers synchronously, so there is nothing to time out.
    fn exchange(&self, request: &Request, flags: u16, words: &str) -> Result<Vec<Reply>, Failed> {
        send(&self.0, &request.encode(flags), SendFlags::empty())
            .call(|| format!("netlink send: {words}"))?;
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let mut replies = Vec::new();
        loop {
            let (length, _) = recv(&self.0, &mut buffer, RecvFlags::empty())
                .call(|| format!("netlink receive: {words}"))?;
            let mut left = &buffer[..length];
            while let (Some(bytes), Some(kind)) = (u32_at(left, 0), u16_at(left, 4)) {
                let body = left.get(HEADER_BYTES..bytes as usize).unwrap_or_default();
                match kind {
                    TYPE_ERROR => return acknowledged(body, words).map(|()| replies),
                    TYPE_DONE => return Ok(replies),
                    _ if replies.len() < REPLIES_MAX => replies.push(Reply { kind, body: body.to_vec() }),
                    _ => {}
                }
                left = left.get((bytes as usize).next_multiple_of(4).max(HEADER_BYTES)..).unwrap_or_default();
            }
        }
    }
}

fn acknowledged(body: &[u8], words: &str) -> Result<(), Failed> {
    match u32_at(body, 0).map(|errno| errno as i32) {
        Some(0) => Ok(()),
        Some(errno) => Err(Errno::from_raw_os_error(-errno)).call(|| format!("netlink: {words}")),
        None => Err(Failed::because(format!("netlink: {words}: a malformed answer"), Errno::BADMSG)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_survive_the_wire() {
        let mut bytes = Vec::new();
        push_attribute(&mut bytes, 3, b"eth0\0");
        push_attribute(&mut bytes, 1, &[1, 2, 3, 4]);
        assert_eq!(bytes.len() % 4, 0);
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read, [(3, &b"eth0\0"[..]), (1, &[1, 2, 3, 4][..])]);
    }

    #[test]
    fn malformed_attributes_end_the_list_and_nothing_else() {
        for bytes in [&[][..], &[1], &[3, 0, 1, 0], &[255, 255, 0, 0, 0], &[4, 0]] {
            assert!(attributes(bytes).count() <= 1, "{bytes:?}");
        }
        // A length of zero must not make the reader stand still.
        assert_eq!(attributes(&[0, 0, 0, 0, 0, 0, 0, 0]).count(), 0);
    }

    #[test]
    fn the_loopback_answers() {
        let links = Route::open().unwrap().dump(&Request::new(18, 0, &[0; 16]), "list links").unwrap();
        assert!(!links.is_empty());
    }
}
