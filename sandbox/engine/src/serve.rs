//! Sockets: the one that clients of the lab connect to, and the agent's connection. Both get the same router.

use crate::api;
use crate::linger::Lingering;
use axum::Router;
use axum::body::Body;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustix::fs::{Gid, Mode, chmod, chown};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

/// How many clients are served at once. A learner has a few terminals, each attached container and each
/// `docker events` holds one connection; what comes beyond waits in the socket's queue.
const CONNECTIONS_MAX: usize = 128;

/// How long to wait when a connection cannot be accepted (no descriptor is free), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Makes the socket, readable and writable for root and for the group `docker` where there is one.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    if let Some(gid) = docker_group(&std::fs::read_to_string("/etc/group").unwrap_or_default()) {
        chown(path, None, Some(Gid::from_raw(gid)))?;
    }
    chmod(path, Mode::from_raw_mode(0o660))?;
    Ok(listener)
}

fn docker_group(text: &str) -> Option<u32> {
    let line = text.lines().find_map(|line| line.strip_prefix("docker:"))?;
    line.split(':').nth(1)?.parse().ok()
}

/// Accepts clients for ever.
pub async fn accept(listener: UnixListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(stream, router).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Serves one connection to its end.
pub async fn connection(stream: UnixStream, router: Router) {
    let routes = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let routes = routes.clone();
        async move {
            match api::without_version(request.uri()) {
                Ok(uri) => {
                    *request.uri_mut() = uri;
                    let (parts, body) = request.into_parts();
                    let (body, rest) = Lingering::new(body);
                    let answer = routes.call(hyper::Request::from_parts(parts, Body::new(body))).await;
                    let refused = |status: StatusCode| status.is_client_error() || status.is_server_error();
                    if answer.as_ref().is_ok_and(|answer| refused(answer.status())) {
                        rest.done().await;
                    }
                    answer
                }
                Err(refusal) => Ok(*refusal),
            }
        }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    // A client that goes away in the middle is its own affair.
    let _ = served.await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_docker_group_is_found() {
        assert_eq!(docker_group("root:x:0:\ndocker:x:999:me\n"), Some(999));
        assert_eq!(docker_group("dockerx:x:1:\n"), None);
    }
}
