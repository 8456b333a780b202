//! `docker wait`, and how `docker run` learns of the end.

use super::params::Params;
use crate::container::Ends;
use crate::engine::Engine;
use crate::error::ApiError;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::convert::Infallible;
use std::sync::Arc;

/// `POST /containers/{id}/wait`. The status line is sent at once, since clients start the container only when they
/// have seen it; the body comes at the end.
pub async fn wait(
    State(engine): State<Arc<Engine>>,
    Path(reference): Path<String>,
    Query(params): Query<Params>,
) -> Result<Response, ApiError> {
    let container = engine.find(&reference)?;
    let mut ends = container.ends();
    let count = ends.borrow_and_update().count;
    let (running, code) = (container.is_up(), container.phase().exit_code());
    let condition: fn(&Ends, u64) -> bool = match params.text("condition") {
        "next-exit" => |ends, count| ends.count > count || ends.removed,
        "removed" => |ends, _| ends.removed,
        // What Docker does not know means the usual to it.
        _ if !running => |_, _| true,
        _ => |ends, count| ends.count > count || ends.removed,
    };
    let ended = async move {
        // It is an error only when the container has gone, which counts as an end.
        let _ = ends.wait_for(|ends| condition(ends, count)).await;
        let ends = *ends.borrow();
        let code = if ends.count == 0 { code } else { ends.code };
        let answer = serde_json::json!({ "Error": null, "StatusCode": code });
        Ok::<_, Infallible>(Bytes::from(format!("{answer}\n")))
    };
    let body = Body::from_stream(futures_util::stream::once(ended));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}
