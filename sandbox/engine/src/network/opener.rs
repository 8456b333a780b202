//! Sockets of the lab host's, for ports that containers publish.
//!
//! Mostly the engine opens them itself. An ordinary user's engine has a network namespace of its own and is nobody in the lab
//! host's: a process of the same program that stayed behind there opens them, and hands them over.

use super::ports::Protocol;
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_ipv6_v6only, set_socket_reuseaddr, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, bind, listen, recvmsg, sendmsg, socket_with,
    socketpair,
};
use std::ffi::OsStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The name under which the program is started that stays behind.
pub const PROGRAM: &str = "isolab-port-opener";

/// How many connections may wait: what Go, and so Docker, asks for on Linux.
const BACKLOG: i32 = 1024;

/// How long the one who stayed behind may take. It needs microseconds; it can be stopped, since it belongs to the user.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(5);

/// An answer begins with an error number.
const NUMBER_BYTES: usize = 4;

/// The longest question is `tcp` and an IPv6 address with a scope.
const QUESTION_BYTES_MAX: usize = 128;

/// Who opens sockets.
#[derive(Clone, Debug)]
pub enum Opener {
    /// The engine itself.
    Here,
    /// The program at the other end of this socket, in the network namespace that the engine came from.
    Behind(Arc<Mutex<OwnedFd>>),
}

impl Opener {
    /// Who stayed behind, at the other end of this socket.
    pub fn behind(socket: OwnedFd) -> Self {
        Self::Behind(Arc::new(Mutex::new(socket)))
    }

    /// Whether somebody stayed behind for it.
    pub fn is_behind(&self) -> bool {
        matches!(self, Self::Behind(_))
    }

    /// A bound socket, which also listens where it is one for streams. It does not block.
    pub fn open(&self, protocol: Protocol, at: SocketAddr) -> io::Result<OwnedFd> {
        match self {
            Self::Here => open(protocol, at),
            Self::Behind(socket) => {
                ask(socket.lock().unwrap_or_else(PoisonError::into_inner).as_fd(), protocol, at)
            }
        }
    }
}

/// Leaves a process behind in the network namespace of the caller, who is about to leave it. It ends when the socket is closed.
pub fn leave_behind() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    set_socket_timeout(&ours, Timeout::Recv, Some(ANSWER_TIME_MAX))?;
    set_socket_timeout(&ours, Timeout::Send, Some(ANSWER_TIME_MAX))?;
    let mut program = Command::new("/proc/self/exe");
    program.arg0(PROGRAM).stdin(Stdio::from(theirs)).env_clear().current_dir("/");
    program.spawn()?;
    Ok(ours)
}

fn open(protocol: Protocol, at: SocketAddr) -> io::Result<OwnedFd> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if at.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &at)?;
    if protocol == Protocol::Tcp {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}

/// The answer is an error number, or zero with the socket beside it, and the question again: an answer that came too late
/// must not be taken for that to another question.
fn ask(socket: BorrowedFd<'_>, protocol: Protocol, at: SocketAddr) -> io::Result<OwnedFd> {
    let question = format!("{} {at}", protocol.word());
    let broken = |why: &str| io::Error::other(format!("the process that opens ports outside {why}"));
    rustix::net::send(socket, question.as_bytes(), SendFlags::NOSIGNAL)?;
    loop {
        let mut answer = [0; NUMBER_BYTES + QUESTION_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [IoSliceMut::new(&mut answer)];
        let length = recvmsg(socket, &mut bytes, &mut beside, RecvFlags::CMSG_CLOEXEC)?.bytes;
        let (number, about) = answer[..length]
            .split_first_chunk::<NUMBER_BYTES>()
            .ok_or_else(|| broken("has ended: start the engine again"))?;
        if about != question.as_bytes() {
            continue;
        }
        let rights = beside.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
            _ => None,
        });
        return match i32::from_le_bytes(*number) {
            0 => rights.ok_or_else(|| broken("has sent no socket")),
            errno => Err(io::Error::from_raw_os_error(errno)),
        };
    }
}

/// Whether the program was started to stay behind.
pub fn is_asked_for(program: Option<&OsStr>) -> bool {
    program.is_some_and(|name| name == PROGRAM)
}

/// The program that stays behind: answers on its standard input until nobody is there to ask.
pub fn stay_behind() -> ExitCode {
    match answer(io::stdin().as_fd()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{PROGRAM}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(socket: BorrowedFd<'_>) -> io::Result<()> {
    let mut buffer = [0; QUESTION_BYTES_MAX];
    loop {
        let length = match rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((0, _)) => return Ok(()),
            Err(Errno::INTR) => continue,
            received => received?.0,
        };
        let opened = read_question(&buffer[..length]).and_then(|(protocol, at)| open(protocol, at));
        let number: i32 = match &opened {
            Ok(_) => 0,
            Err(error) => error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error()),
        };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let opened = opened.ok();
        let rights = opened.iter().map(AsFd::as_fd).collect::<Vec<_>>();
        if !rights.is_empty() {
            beside.push(SendAncillaryMessage::ScmRights(&rights));
        }
        let number = number.to_le_bytes();
        let answer = [IoSlice::new(&number), IoSlice::new(&buffer[..length])];
        sendmsg(socket, &answer, &mut beside, SendFlags::NOSIGNAL)?;
    }
}

fn read_question(bytes: &[u8]) -> io::Result<(Protocol, SocketAddr)> {
    let bad = || io::Error::from_raw_os_error(Errno::INVAL.raw_os_error());
    let text = std::str::from_utf8(bytes).map_err(|_| bad())?;
    let (protocol, at) = text.split_once(' ').ok_or_else(bad)?;
    let protocol = match protocol {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return Err(bad()),
    };
    Ok((protocol, at.parse().map_err(|_| bad())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};

    /// An opener whose other end is a thread.
    fn behind() -> Opener {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        std::thread::spawn(move || answer(theirs.as_fd()));
        Opener::behind(ours)
    }

    #[test]
    fn both_openers_open_the_same() {
        for opener in [Opener::Here, behind()] {
            let tcp = opener.open(Protocol::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
            let at = TcpListener::from(tcp.try_clone().unwrap()).local_addr().unwrap();
            std::net::TcpStream::connect(at).unwrap();
            let taken = opener.open(Protocol::Tcp, at).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
            let udp = UdpSocket::from(opener.open(Protocol::Udp, (Ipv4Addr::LOCALHOST, 0).into()).unwrap());
            assert!(udp.local_addr().unwrap().port() > 0);
            // Both families can have the same port.
            if let Ok(six) = opener.open(Protocol::Tcp, (Ipv6Addr::UNSPECIFIED, 0).into()) {
                let port = TcpListener::from(six.try_clone().unwrap()).local_addr().unwrap().port();
                opener.open(Protocol::Tcp, (Ipv4Addr::UNSPECIFIED, port).into()).unwrap();
            }
        }
    }

    #[test]
    fn nonsense_is_refused_and_the_next_question_answered() {
        let opener = behind();
        let Opener::Behind(socket) = &opener else { unreachable!() };
        for nonsense in ["", "tcp", "sctp 127.0.0.1:1", "tcp nowhere", "\u{0}"] {
            assert_eq!(
                read_question(nonsense.as_bytes()).unwrap_err().raw_os_error(),
                Some(22),
                "{nonsense:?}"
            );
        }
        // Its answer is still to come when the next question is asked.
        rustix::net::send(&*socket.lock().unwrap(), b"tcp nowhere", SendFlags::empty()).unwrap();
        opener.open(Protocol::Udp, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    }

    #[test]
    fn an_opener_that_has_gone_is_told() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        drop(theirs);
        let opener = Opener::behind(ours);
        opener.open(Protocol::Tcp, (Ipv4Addr::LOCALHOST, 0).into()).unwrap_err();
    }
}
