//! `docker tag` and `docker rmi`.

use super::{Params, users};
use crate::aside::aside;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::{Image, Reference, Removed};
use crate::json::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// `POST /images/{name}/tag?repo=&tag=`.
pub fn tag(engine: &Engine, name: &str, params: &Params) -> Result<Response, ApiError> {
    let image = engine.images.find(name)?;
    give_name(engine, &image, &new_name(params.text("repo"), params.text("tag"))?)?;
    Ok(StatusCode::CREATED.into_response())
}

/// The name that a request wants to give.
pub fn new_name(repository: &str, tag: &str) -> Result<Reference, ApiError> {
    let reference = Reference::parse(repository).map_err(ApiError::bad_request)?;
    if reference.digest().is_some() {
        return Err(ApiError::bad_request("refusing to create a tag with a digest reference"));
    }
    if reference.name() == "sha256" {
        let message = "refusing to create an ambiguous tag using digest algorithm as name";
        return Err(ApiError::bad_request(message));
    }
    match tag {
        "" => Ok(reference),
        tag => reference.with_tag(tag).map_err(ApiError::bad_request),
    }
}

/// Gives an image a name, and tells of it.
pub fn give_name(engine: &Engine, image: &Image, name: &Reference) -> Result<(), ApiError> {
    engine.images.tag(&image.id, name)?;
    engine.tell_of_image("tag", image, &name.familiar());
    Ok(())
}

/// `DELETE /images/{name}`.
pub async fn remove(engine: Arc<Engine>, name: &str, params: &Params) -> Result<Response, ApiError> {
    let (force, prune) = (params.flag("force"), !params.flag("noprune"));
    let (working, name) = (Arc::clone(&engine), name.to_owned());
    let removed = aside(move || {
        let removed = working.images.remove(&name, force, prune, &users(&working))?;
        working.forget_copies()?;
        Ok(removed)
    })
    .await?;
    Ok(Json(told(&engine, &removed)).into_response())
}

/// What was removed in Docker's form, and as events.
pub fn told(engine: &Engine, removed: &[Removed]) -> Vec<Value> {
    let event = |action: &str, id: &str| {
        let attributes = [("name".to_owned(), id.to_owned())].into();
        engine.events.tell_of("image", action.into(), id, attributes);
    };
    let item = |removed: &Removed| match removed {
        Removed::Untagged { id, name } => {
            event("untag", id);
            json!({ "Untagged": name })
        }
        Removed::Image(id) => {
            event("delete", id);
            json!({ "Deleted": id })
        }
        Removed::Layer(chain) => json!({ "Deleted": chain }),
    };
    removed.iter().map(item).collect()
}
