//! What clients meet: the router of the engine that runs now. A restart puts another engine behind it, while sockets and
//! connections stay.
//!
//! `POST /_isolab/restart` is what `systemctl restart docker` does in a lab host, where the engine is PID 1 and cannot end.
//! Whoever reaches the socket is as good as root on the lab host anyway, and may restart its engine.

use crate::api;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::world::World;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use std::sync::{Arc, Mutex, PoisonError};

/// The engine that runs, and what it takes to make another.
#[derive(Debug)]
pub struct Front {
    world: World,
    current: Mutex<(Arc<Engine>, Router)>,
    /// One restart at a time.
    restarting: tokio::sync::Mutex<()>,
}

impl Front {
    /// Starts the first engine.
    pub fn new(world: World) -> Result<Arc<Self>, String> {
        let current = Mutex::new(start(&world)?);
        Ok(Arc::new(Self { world, current, restarting: tokio::sync::Mutex::default() }))
    }

    /// What to serve on every socket.
    pub fn router(self: &Arc<Self>) -> Router {
        let front = Arc::clone(self);
        Router::new().route("/_isolab/restart", post(restart)).fallback(pass).with_state(front)
    }

    /// The engine that runs now.
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner).0)
    }
}

fn start(world: &World) -> Result<(Arc<Engine>, Router), String> {
    let engine = world.engine(world.configured()?)?;
    Ok((Arc::clone(&engine), api::router(engine)))
}

async fn pass(State(front): State<Arc<Front>>, request: Request) -> Response {
    let router = front.current.lock().unwrap_or_else(PoisonError::into_inner).1.clone();
    let Ok(response) = TowerToHyperService::new(router).call(request).await;
    response
}

/// Ends all containers and begins anew with the configuration as it is now. One that is wrong is told before anything ends.
async fn restart(State(front): State<Arc<Front>>) -> Result<StatusCode, ApiError> {
    let _one_at_a_time = front.restarting.lock().await;
    front.world.configured().map_err(ApiError::bad_request)?;
    front.engine().shut_down().await;
    let next = start(&front.world).map_err(ApiError::internal)?;
    *front.current.lock().unwrap_or_else(PoisonError::into_inner) = next;
    Ok(StatusCode::NO_CONTENT)
}
