//! The agent's HTTP API, `/v1`: the labs and what belongs to them. Described by `GET /v1/openapi.json`.

mod about;
mod answer;
mod labs;
mod observations;
mod terminals;

use crate::labs::Labs;
use crate::presence::Presence;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use tower_http::limit::RequestBodyLimitLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest request, in bytes: an exec with a full MiB of input, escaped as JSON.
const REQUEST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct Api {
    /// All labs.
    pub labs: Arc<Labs>,
    /// Who has made a request, and when.
    pub activity: Presence,
}

#[derive(OpenApi)]
#[openapi(info(
    title = "isolab-agent",
    description = "Labs on one machine. Every response with a 4xx or 5xx status has an ApiError as its body.",
))]
struct Description;

/// The whole API as one service.
pub fn router(api: Api) -> Router {
    let (routes, description) = OpenApiRouter::with_openapi(Description::openapi())
        .nest(
            "/v1",
            OpenApiRouter::new()
                .routes(routes!(about::capabilities))
                .routes(routes!(about::healthz))
                .routes(routes!(about::readyz))
                .routes(routes!(about::metrics))
                .routes(routes!(labs::list, labs::open))
                .routes(routes!(labs::one, labs::end))
                .routes(routes!(labs::reset))
                .routes(routes!(labs::exec))
                .routes(routes!(observations::observation))
                .routes(routes!(observations::observations))
                .routes(routes!(terminals::terminal)),
        )
        .split_for_parts();
    let description = description.to_pretty_json().unwrap_or_default();
    let description = ([(axum::http::header::CONTENT_TYPE, "application/json")], description);
    routes
        .route("/v1/openapi.json", get(move || std::future::ready(description.clone())))
        .fallback(|| std::future::ready(answer::no_such_place().into_response()))
        .layer(RequestBodyLimitLayer::new(REQUEST_BYTES_MAX))
        .layer(middleware::from_fn_with_state(api.clone(), note_activity))
        .with_state(api)
}

/// An agent that is asked something is needed.
async fn note_activity(State(api): State<Api>, request: Request, next: Next) -> Response {
    let _here = api.activity.attach();
    next.run(request).await
}
