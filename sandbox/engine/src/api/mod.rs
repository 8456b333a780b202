//! The Docker Engine API: one router, served on every socket alike. One file per area; what the areas do is in
//! [`crate::engine`].

mod archive;
mod attach;
mod build;
mod commit;
mod containers;
mod df;
mod document;
mod events;
mod exec;
mod images;
mod inspect;
mod list;
mod logs;
mod missing;
mod network_settings;
mod networks;
mod order;
mod params;
mod prune;
mod stats;
mod system;
mod top;
mod upgrade;
mod volumes;
mod wait;

use crate::engine::Engine;
use crate::error::ApiError;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::sync::Arc;

/// The version of the API that we speak: that of Docker 20.10.
pub const API_VERSION: &str = "1.41";

/// The oldest that we take; 1.24 is the oldest that today's clients still speak.
pub const API_VERSION_MIN: &str = "1.24";

/// The same as numbers.
const NEWEST: (u32, u32) = (1, 41);
const OLDEST: (u32, u32) = (1, 24);

/// Requests are small documents; a create request with everything in it has a few KiB.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// All routes, without the version prefix.
pub fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/_ping", get(system::ping))
        .route("/version", get(system::version))
        .route("/info", get(system::info))
        .route("/system/df", get(df::df))
        .route("/events", get(events::stream))
        .route("/build", post(build::build))
        .route("/build/prune", post(build::prune))
        .route("/build/cancel", post(build::cancel))
        .route("/auth", post(images::log_in))
        .route("/commit", post(commit::commit))
        .route("/images/json", get(images::list))
        .route("/images/create", post(images::create))
        .route("/images/get", get(images::save))
        .route("/images/load", post(images::load))
        .route("/images/prune", post(images::prune))
        .route("/images/{*rest}", axum::routing::any(images::of_one))
        .route("/networks", get(networks::list))
        .route("/networks/create", post(networks::create))
        .route("/networks/prune", post(networks::prune))
        .route("/networks/{name}", get(networks::inspect).delete(networks::remove))
        .route("/networks/{name}/connect", post(networks::connect))
        .route("/networks/{name}/disconnect", post(networks::disconnect))
        .route("/volumes", get(volumes::list))
        .route("/volumes/create", post(volumes::create))
        .route("/volumes/prune", post(volumes::prune))
        .route("/volumes/{name}", get(volumes::inspect).delete(volumes::remove))
        .route("/plugins", get(missing::plugins))
        .route("/containers/json", get(list::list))
        .route("/containers/prune", post(prune::prune))
        .route("/containers/create", post(containers::create))
        .route("/containers/{id}", axum::routing::delete(containers::remove))
        .route("/containers/{id}/json", get(inspect::inspect))
        .route("/containers/{id}/start", post(containers::start))
        .route("/containers/{id}/stop", post(containers::stop))
        .route("/containers/{id}/restart", post(containers::restart))
        .route("/containers/{id}/kill", post(containers::kill))
        .route("/containers/{id}/stats", get(stats::stats))
        .route("/containers/{id}/update", post(containers::update))
        .route("/containers/{id}/pause", post(containers::pause))
        .route("/containers/{id}/unpause", post(containers::unpause))
        .route("/containers/{id}/rename", post(containers::rename))
        .route("/containers/{id}/resize", post(containers::resize))
        .route("/containers/{id}/archive", get(archive::get).head(archive::stat).put(archive::put))
        .route("/containers/{id}/export", get(archive::export))
        .route("/containers/{id}/changes", get(archive::diff))
        .route("/containers/{id}/wait", post(wait::wait))
        .route("/containers/{id}/logs", get(logs::logs))
        .route("/containers/{id}/top", get(top::top))
        .route("/containers/{id}/attach", post(attach::attach))
        .route("/containers/{id}/exec", post(exec::create))
        .route("/exec/{id}/start", post(exec::start))
        .route("/exec/{id}/resize", post(exec::resize))
        .route("/exec/{id}/json", get(exec::inspect))
        .fallback(missing::answer)
        .method_not_allowed_fallback(missing::answer)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(map_response(name_ourselves))
        .with_state(engine)
}

/// The headers by which clients tell what they talk to.
async fn name_ourselves(mut response: Response) -> Response {
    let headers = response.headers_mut();
    for (name, value) in [
        ("api-version", API_VERSION),
        ("docker-experimental", "false"),
        ("ostype", "linux"),
        ("server", concat!("Isolab/", env!("CARGO_PKG_VERSION"), " (linux)")),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// Takes `/v1.41` off a path. A version that we do not speak is refused in Docker's words.
pub fn without_version(uri: &Uri) -> Result<Uri, Box<Response>> {
    let path_and_query = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let Some((version, rest)) = split_version(path_and_query) else {
        return Ok(uri.clone());
    };
    let refuse = |message: String| Box::new(ApiError::bad_request(message).into_response());
    match number(version) {
        Some(asked) if asked > NEWEST => Err(refuse(format!(
            "client version {version} is too new. Maximum supported API version is {API_VERSION}"
        ))),
        Some(asked) if asked < OLDEST => Err(refuse(format!(
            "client version {version} is too old. Minimum supported API version is {API_VERSION_MIN}, please upgrade \
             your client to a newer version"
        ))),
        _ => rest.parse().map_err(|_| refuse("the path is not one".into())),
    }
}

fn split_version(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/v")?;
    let end = rest.find('/')?;
    let (version, rest) = rest.split_at(end);
    number(version).map(|_| (version, rest))
}

fn number(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Result<String, u16> {
        let taken = without_version(&text.parse().unwrap());
        taken.map(|uri| uri.to_string()).map_err(|response| response.status().as_u16())
    }

    #[test]
    fn the_version_is_taken_off() {
        assert_eq!(path("/v1.41/containers/json?all=1"), Ok("/containers/json?all=1".into()));
        assert_eq!(path("/containers/json"), Ok("/containers/json".into()));
        assert_eq!(path("/v1.24/_ping"), Ok("/_ping".into()));
        assert_eq!(path("/volumes"), Ok("/volumes".into()));
        assert_eq!(path("/v1.x/y"), Ok("/v1.x/y".into()));
        assert_eq!((number(API_VERSION), number(API_VERSION_MIN)), (Some(NEWEST), Some(OLDEST)));
        assert_eq!(path("/v1.42/_ping"), Err(400));
        assert_eq!(path("/v1.9/_ping"), Err(400));
    }
}
