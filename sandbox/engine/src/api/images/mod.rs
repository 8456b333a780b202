//! `/images`: what the lab came with, and what was added to it.

mod change;
mod changes;
mod files;
mod inspect;
mod list;
mod prune;
pub use prune::until;
mod pull;

pub use change::{give_name, new_name};
pub use changes::apply as apply_changes;
pub use files::{load, save};
pub use list::{all, list};
pub use prune::prune;
pub use pull::{create, log_in, of_header};

use super::missing;
use super::params::Params;
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::{Reference, User};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use std::sync::Arc;

/// `/images/{name}/…`, by hand because a name may hold slashes.
pub async fn of_one(
    State(engine): State<Arc<Engine>>,
    Path(rest): Path<String>,
    Query(params): Query<Params>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (name, what) = rest.rsplit_once('/').unwrap_or((&rest, ""));
    match (&method, what) {
        (&Method::GET, "json") => inspect::inspect(engine, name).await,
        (&Method::GET, "history") => inspect::history(engine, name).await,
        (&Method::GET, "get") => files::save_these(engine, vec![name.to_owned()]).await,
        (&Method::POST, "push") => pull::push(engine, name, &params, &headers).await,
        (&Method::POST, "tag") => change::tag(&engine, name, &params),
        (&Method::DELETE, _) => change::remove(engine, &rest, &params).await,
        _ => Err(missing::answer(method, uri).await),
    }
}

/// The containers, as far as the removal of images cares.
fn users(engine: &Engine) -> Vec<User> {
    let user = |container: &Arc<crate::container::Container>| User {
        container: container.id.clone(),
        image: Arc::clone(&container.image),
        running: container.is_running(),
    };
    engine.all().iter().map(user).collect()
}

/// Tags and digests, each in the familiar form.
fn names(references: &[Reference]) -> (Vec<String>, Vec<String>) {
    let (digests, tags): (Vec<_>, Vec<_>) = references.iter().partition(|name| name.digest().is_some());
    let text = |names: Vec<&Reference>| names.into_iter().map(Reference::familiar).collect();
    (text(tags), text(digests))
}

/// The seconds of an RFC 3339 time in UTC. Where it is none, what Go's zero time has.
fn seconds(text: &str) -> i64 {
    /// 0001-01-01.
    const ZERO: i64 = -62_135_596_800;
    clock::parse_rfc3339(text).map_or(ZERO, clock::unix_seconds)
}
