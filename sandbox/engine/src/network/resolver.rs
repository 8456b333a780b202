//! The DNS server that containers in user-defined networks find at 127.0.0.11.
//!
//! Docker listens there on ports by chance and has packet filter rules in the container lead port 53 to them. Our sockets
//! are at port 53 itself, opened in the container's network namespace: to a program that asks, it is the same, and there
//! need be no packet filter. Names of the asker's networks are answered from the list of networks; all else is passed on
//! to the lab host's own servers, and where none is reached the answer says so at once.

use super::dns::{self, Code, Kind, Question};
use super::state::{self, State};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// Where it is found.
pub const ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, 11), 53);

/// How many questions of one container are being passed on at a time; more are not answered, and are asked again.
const QUESTIONS_MAX: usize = 64;
/// How many of its connections are served at a time: TCP is for what does not fit into a datagram.
const CONNECTIONS_MAX: usize = 8;
/// How long a server that a question is passed on to may take: less than the five seconds after which resolvers ask again.
const SERVER_TIME_MAX: Duration = Duration::from_secs(2);
/// How long a connection may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How many servers are asked, as with the C library.
const SERVERS_MAX: usize = 3;
/// The longest message over UDP that anybody sends (EDNS) and over TCP.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// The server of one container; it ends when this is dropped.
#[derive(Debug)]
pub struct Resolver(AbortHandle);

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What an answer is made of.
#[derive(Clone, Debug)]
struct Source {
    state: Arc<Mutex<State>>,
    /// The id of the container that asks.
    asker: Arc<str>,
    servers: Arc<[IpAddr]>,
}

impl Resolver {
    /// Serves a container over these sockets, one for datagrams and one that listens.
    pub fn serve(
        sockets: Vec<OwnedFd>,
        state: Arc<Mutex<State>>,
        asker: &str,
        servers: &[IpAddr],
    ) -> io::Result<Self> {
        let mut sockets = sockets.into_iter();
        let (Some(datagrams), Some(listener)) = (sockets.next(), sockets.next()) else {
            return Err(io::Error::other("two sockets were to be opened"));
        };
        let datagrams = UdpSocket::from_std(datagrams.into())?;
        let listener = TcpListener::from_std(listener.into())?;
        let servers = servers.iter().take(SERVERS_MAX).copied().collect();
        let source = Source { state, asker: asker.into(), servers };
        let task = tokio::spawn(async move {
            tokio::join!(serve_datagrams(datagrams, source.clone()), serve_connections(listener, source));
        });
        Ok(Self(task.abort_handle()))
    }
}

async fn serve_datagrams(socket: UdpSocket, source: Source) {
    let socket = Arc::new(socket);
    let (mut passed_on, mut buffer) = (JoinSet::new(), vec![0; MESSAGE_BYTES_MAX]);
    loop {
        while passed_on.try_join_next().is_some() {}
        let Ok((length, sender)) = socket.recv_from(&mut buffer).await else {
            tokio::task::yield_now().await;
            continue;
        };
        // An answer that does not arrive is asked for again.
        match source.answer(&buffer[..length]) {
            Answer::None => {}
            Answer::Ready(answer) => drop(socket.send_to(&answer, sender).await),
            Answer::PassOn(question) if passed_on.len() < QUESTIONS_MAX => {
                let (message, source, socket) =
                    (buffer[..length].to_vec(), source.clone(), Arc::clone(&socket));
                passed_on.spawn(async move {
                    let answer = source.pass_on(&message, &question, false).await;
                    drop(socket.send_to(&answer, sender).await);
                });
            }
            Answer::PassOn(_) => {}
        }
    }
}

async fn serve_connections(listener: TcpListener, source: Source) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut open = JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let source = source.clone();
                open.spawn(async move {
                    // One that fails is the container's own affair.
                    let _ = converse(stream, source).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(SERVER_TIME_MAX).await,
        }
    }
}

async fn converse(mut stream: TcpStream, source: Source) -> io::Result<()> {
    loop {
        let message = timeout(SILENCE_MAX, receive(&mut stream)).await??;
        let answer = match source.answer(&message) {
            Answer::None => return Ok(()),
            Answer::Ready(answer) => answer,
            Answer::PassOn(question) => source.pass_on(&message, &question, true).await,
        };
        timeout(SILENCE_MAX, send(&mut stream, &answer)).await??;
    }
}

/// Over TCP, each message comes after its length.
async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await.map(|_| message)
}

async fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat()).await
}

enum Answer {
    /// Not even that it was not understood.
    None,
    Ready(Vec<u8>),
    /// Somebody else may know.
    PassOn(Question),
}

impl Source {
    fn answer(&self, message: &[u8]) -> Answer {
        let question = match dns::read(message) {
            Ok(question) => question,
            Err(refusal) => return refusal.map_or(Answer::None, Answer::Ready),
        };
        let state = state::of(&self.state);
        let found = match question.kind {
            Kind::Ptr => {
                let name = question.reversed().and_then(|address| state.name_of(&self.asker, address));
                name.map(|name| question.with_name(&name))
            }
            kind => state.addresses_of(&self.asker, &question.name).map(|addresses| {
                // A name that is known has no other kind of record, and nobody outside is to make one up.
                question.with_addresses(if kind == Kind::A { &addresses } else { &[] })
            }),
        };
        found.map_or(Answer::PassOn(question), Answer::Ready)
    }

    /// Asks the lab host's servers, one after the other.
    async fn pass_on(&self, message: &[u8], question: &Question, stream: bool) -> Vec<u8> {
        for &server in self.servers.iter() {
            let server = SocketAddr::new(server, 53);
            let asked = async {
                if stream { ask_over_stream(server, message).await } else { ask(server, message).await }
            };
            if let Ok(Ok(answer)) = timeout(SERVER_TIME_MAX, asked).await {
                return answer;
            }
        }
        question.failed(Code::ServerFailure)
    }
}

async fn ask(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let socket = UdpSocket::bind((any, 0)).await?;
    // From here on the kernel takes datagrams of that server only.
    socket.connect(server).await?;
    socket.send(message).await?;
    let mut answer = vec![0; MESSAGE_BYTES_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= 12 && answer[..2] == message[..2] {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn ask_over_stream(server: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    send(&mut stream, message).await?;
    receive(&mut stream).await
}
