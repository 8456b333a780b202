//! Published ports: sockets of the lab host's whose streams and datagrams are passed on to a container.
//!
//! It is what Docker calls its userland proxy. The container sees the bridge's own address as its peer.

use super::opener::Opener;
use super::ports::{Port, Protocol};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// How many streams of one published port are open at a time; what comes beyond waits in the kernel's queue.
const STREAMS_MAX: usize = 128;
/// How many senders of datagrams are remembered for one published port, so that answers find them.
const SENDERS_MAX: usize = 256;
/// How long a sender is remembered after its last answer: as long as Docker's proxy does.
const SENDER_TIME_MAX: Duration = Duration::from_secs(90);
/// The longest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// How long to wait when a connection cannot be accepted (no descriptor is free), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where a container is: it moves as its networks change.
#[derive(Debug, Default)]
pub struct Target(AtomicU32);

impl Target {
    /// The container is there now; `None`: nowhere.
    pub fn set(&self, address: Option<Ipv4Addr>) {
        self.0.store(address.map_or(0, u32::from), Ordering::Relaxed);
    }

    fn at(&self, port: u16) -> Option<SocketAddr> {
        let address = Some(self.0.load(Ordering::Relaxed)).filter(|&address| address != 0)?;
        Some(SocketAddrV4::new(address.into(), port).into())
    }
}

/// A published port; it is closed when this is dropped, with all streams over it.
#[derive(Debug)]
pub struct Proxy(AbortHandle);

impl Drop for Proxy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A socket that holds its port, before anything is passed on.
#[derive(Debug)]
pub enum Bound {
    /// For streams.
    Tcp(TcpListener),
    /// For datagrams.
    Udp(UdpSocket),
}

impl Bound {
    /// Takes a port of the lab host's.
    pub fn open(opener: &Opener, protocol: Protocol, address: IpAddr, port: u16) -> io::Result<Self> {
        let socket = opener.open(protocol, SocketAddr::new(address, port))?;
        match protocol {
            Protocol::Tcp => TcpListener::from_std(socket.into()).map(Self::Tcp),
            Protocol::Udp => UdpSocket::from_std(socket.into()).map(Self::Udp),
        }
    }

    /// Passes on what comes to a container's port.
    pub fn serve(self, target: Arc<Target>, port: Port) -> Proxy {
        let task = match self {
            Self::Tcp(listener) => tokio::spawn(streams(listener, target, port.number)),
            Self::Udp(socket) => tokio::spawn(datagrams(Arc::new(socket), target, port.number)),
        };
        Proxy(task.abort_handle())
    }
}

async fn streams(listener: TcpListener, target: Arc<Target>, port: u16) {
    let places = Arc::new(Semaphore::new(STREAMS_MAX));
    // Ended with this task, when the port is closed.
    let mut open = tokio::task::JoinSet::new();
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        while open.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let target = Arc::clone(&target);
                open.spawn(async move {
                    // A stream that fails is told to both of its ends by being closed.
                    let _ = pass_on(stream, target.at(port)).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn pass_on(mut stream: TcpStream, target: Option<SocketAddr>) -> io::Result<()> {
    let target = target.ok_or(io::ErrorKind::ConnectionRefused)?;
    let mut inside = TcpStream::connect(target).await?;
    tokio::io::copy_bidirectional(&mut stream, &mut inside).await.map(drop)
}

/// The sockets over which senders' datagrams go to the container, each with an address of its own.
type Senders = Arc<Mutex<HashMap<SocketAddr, Arc<UdpSocket>>>>;

async fn datagrams(outside: Arc<UdpSocket>, target: Arc<Target>, port: u16) {
    let senders = Senders::default();
    let mut answers = tokio::task::JoinSet::new();
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        while answers.try_join_next().is_some() {}
        let Ok((length, sender)) = outside.recv_from(&mut buffer).await else {
            // The kernel tells of answers that could not be delivered; the next datagram is another's.
            tokio::task::yield_now().await;
            continue;
        };
        let Some(at) = target.at(port) else { continue };
        let known = senders.lock().unwrap_or_else(PoisonError::into_inner).get(&sender).cloned();
        let inside = match known {
            Some(inside) => inside,
            None => {
                if answers.len() >= SENDERS_MAX {
                    continue;
                }
                let Ok(inside) = to_container(at).await else { continue };
                let inside = Arc::new(inside);
                senders.lock().unwrap_or_else(PoisonError::into_inner).insert(sender, Arc::clone(&inside));
                answers.spawn(answer(
                    Arc::clone(&outside),
                    Arc::clone(&inside),
                    sender,
                    Arc::clone(&senders),
                ));
                inside
            }
        };
        // A datagram may be lost.
        let _ = inside.send(&buffer[..length]).await;
    }
}

async fn to_container(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(at).await?;
    Ok(socket)
}

async fn answer(outside: Arc<UdpSocket>, inside: Arc<UdpSocket>, sender: SocketAddr, senders: Senders) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    while let Ok(Ok(length)) = tokio::time::timeout(SENDER_TIME_MAX, inside.recv(&mut buffer)).await {
        let _ = outside.send_to(&buffer[..length], sender).await;
    }
    senders.lock().unwrap_or_else(PoisonError::into_inner).remove(&sender);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Publishes a port that leads to `inside`, has `client` talk to it in a thread, and returns what it heard.
    fn through(
        protocol: Protocol,
        inside: u16,
        client: impl FnOnce(u16) -> Vec<u8> + Send + 'static,
    ) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bound = Bound::open(&Opener::Here, protocol, HERE, 0).unwrap();
            let outside = match &bound {
                Bound::Tcp(listener) => listener.local_addr().unwrap().port(),
                Bound::Udp(socket) => socket.local_addr().unwrap().port(),
            };
            let taken = Bound::open(&Opener::Here, protocol, HERE, outside).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
            let target = Arc::<Target>::default();
            target.set(Some(Ipv4Addr::LOCALHOST));
            let proxy = bound.serve(target, Port { number: inside, protocol });
            let heard = tokio::task::spawn_blocking(move || client(outside)).await.unwrap();
            drop(proxy);
            tokio::task::yield_now().await;
            // Closed, the port is free again.
            Bound::open(&Opener::Here, protocol, HERE, outside).unwrap();
            heard
        })
    }

    #[test]
    fn streams_are_passed_on_both_ways() {
        let server = std::net::TcpListener::bind((HERE, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let serve = std::thread::spawn(move || {
            let (mut stream, mut all) = (server.accept().unwrap().0, vec![]);
            stream.read_to_end(&mut all).unwrap();
            stream.write_all(&all).unwrap();
        });
        let heard = through(Protocol::Tcp, port, |port| {
            let mut stream = std::net::TcpStream::connect((HERE, port)).unwrap();
            stream.write_all(&[7; 100_000]).unwrap();
            // Half of it is closed: what the other side still says has to arrive.
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut all = vec![];
            stream.read_to_end(&mut all).unwrap();
            all
        });
        assert_eq!(heard, vec![7; 100_000]);
        serve.join().unwrap();
    }

    #[test]
    fn datagrams_are_passed_on_and_answered() {
        let server = std::net::UdpSocket::bind((HERE, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let serve = std::thread::spawn(move || {
            let mut buffer = [0; 100];
            for _ in 0..2 {
                let (length, from) = server.recv_from(&mut buffer).unwrap();
                server.send_to(&buffer[..length], from).unwrap();
            }
        });
        let heard = through(Protocol::Udp, port, |port| {
            let ask = |word: &[u8]| {
                let socket = std::net::UdpSocket::bind((HERE, 0)).unwrap();
                socket.send_to(word, (HERE, port)).unwrap();
                let mut buffer = [0; 100];
                let length = socket.recv(&mut buffer).unwrap();
                buffer[..length].to_vec()
            };
            [ask(b"one "), ask(b"two")].concat()
        });
        assert_eq!(heard, b"one two");
        serve.join().unwrap();
    }
}
