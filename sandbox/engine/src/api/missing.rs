//! The answers to what the engine does not do: Docker's own where Docker does not do it either as it stands (no swarm, no
//! plugins, no experiments), else 501 with a sentence that names it, or Docker's 404.

use super::params::{Params, check};
use crate::error::ApiError;
use crate::json::Json;
use axum::extract::Query;
use axum::http::{Method, Uri};

/// First words of the paths of what only a manager of a swarm has.
const OF_SWARMS: &[&str] = &["configs", "nodes", "secrets", "services", "swarm", "tasks"];

/// First words of other paths of Docker's, and what people call what is behind them.
const AREAS: &[(&str, &str)] =
    &[("distribution", "docker manifest"), ("grpc", "BuildKit"), ("session", "BuildKit")];

/// `docker plugin ls`: there are none.
pub async fn plugins(Query(params): Query<Params>) -> Result<Json<[(); 0]>, ApiError> {
    check(&params.filters()?, &["capability", "enabled"])?;
    Ok(Json([]))
}

/// Answers any request that no route takes.
pub async fn answer(method: Method, uri: Uri) -> ApiError {
    let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    let not_yet = |what: &str| ApiError::not_yet(&format!("{what} ({method} {})", uri.path()));
    match parts[..] {
        ["containers", _, "checkpoints", ..] => ApiError::experimental(),
        ["containers", _, "attach", "ws"] => not_yet("attach over WebSocket"),
        ["images", "search"] => not_yet("docker search"),
        ["plugins", "pull" | "create" | "privileges"] => not_yet("docker plugin"),
        ["plugins", name, ..] => ApiError::not_found(format!("plugin {name:?} not found")),
        ["swarm", "init" | "join"] => not_yet("docker swarm"),
        ["swarm", "leave"] => ApiError::unavailable("This node is not part of a swarm"),
        [area, ..] if OF_SWARMS.contains(&area) => ApiError::unavailable(
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to \
             swarm and try again.",
        ),
        [area, ..] => match AREAS.iter().find(|(word, _)| *word == area) {
            Some((_, what)) => not_yet(what),
            None => ApiError::not_found("page not found"),
        },
        [] => ApiError::not_found("page not found"),
    }
}
