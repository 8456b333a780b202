//! `docker save`, `docker load` and `docker import`: images from and to archives.

use super::Params;
use super::change::{give_name, new_name};
use super::changes;
use crate::aside::aside;
use crate::body;
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::{Image, Origin, Reference};
use crate::json::Json;
use crate::progress::Lines;
use crate::transfer::{Platform, Saving, load as load_archive};
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::SystemTime;

/// More names than a person types; each is looked for.
const NAMES_MAX: usize = 256;

/// `GET /images/get?names=…`.
pub async fn save(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    let names = params.into_iter().filter(|(key, _)| key == "names").map(|(_, name)| name);
    let names: Vec<String> =
        names.flat_map(|name| name.split(',').map(str::to_owned).collect::<Vec<_>>()).collect();
    save_these(engine, names).await
}

/// Saves the images of these names.
pub async fn save_these(engine: Arc<Engine>, names: Vec<String>) -> Result<Response, ApiError> {
    if names.len() > NAMES_MAX {
        return Err(ApiError::bad_request(format!("at most {NAMES_MAX} images can be saved at once")));
    }
    let working = Arc::clone(&engine);
    let saving = aside(move || Saving::new(&working.images, &names)).await?;
    for image in &saving.images {
        engine.tell_of_image("save", image, &image.id);
    }
    let body = body::written_by(move |out| saving.write(&engine.images, out));
    Ok(([(header::CONTENT_TYPE, "application/x-tar")], body).into_response())
}

/// `POST /images/load`.
pub async fn load(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
    request: Body,
) -> Result<Response, ApiError> {
    let quiet = params.flag("quiet");
    let archive = body::reading(request);
    let body = body::written_by(move |out| {
        let mut lines = Lines::new(out);
        match load_archive(&engine.images, archive, &engine.data_root, &mut lines, quiet) {
            Ok(loaded) => {
                for loaded in loaded {
                    engine.tell_of_image("load", &loaded.image, &loaded.image.id);
                    for name in loaded.names {
                        engine.tell_of_image("tag", &loaded.image, &name.familiar());
                    }
                }
                Ok(())
            }
            Err(error) => lines.failed(&error),
        }
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

/// `POST /images/create?fromSrc=-`: a file system becomes an image of one layer.
pub async fn import(engine: Arc<Engine>, params: Params, request: Body) -> Result<Response, ApiError> {
    let source = params.text("fromSrc").to_owned();
    if source != "-" {
        return Err(ApiError::bad_request(format!(
            "{source}: a lab has no way to other machines; fetch the archive yourself and use docker import - or a file"
        )));
    }
    let name = match params.text("repo") {
        "" => None,
        repository => Some(new_name(repository, params.text("tag"))?),
    };
    let platform = match params.text("platform") {
        "" => Platform::own(),
        text => Platform::parse(text).map_err(ApiError::bad_request)?,
    };
    if platform.os != "linux" {
        return Err(ApiError::bad_request("operating system is not supported"));
    }
    let mut config = json!({});
    changes::apply(&mut config, params.all("changes"))?;
    let message = match params.text("message") {
        "" => "Imported from -".to_owned(),
        message => message.to_owned(),
    };
    let archive = body::reading(request);
    let working = Arc::clone(&engine);
    let (image, name): (Arc<Image>, Option<Reference>) = aside(move || {
        let made = working.images.layer_of_archive(archive, Origin::Elsewhere).map_err(|error| {
            ApiError::internal(format!("Error processing tar file(exit status 1): {error}"))
        })?;
        let now = clock::rfc3339(SystemTime::now());
        let document = json!({
            "architecture": Platform::own().architecture,
            "os": platform.os,
            "config": config,
            "created": now,
            "docker_version": crate::api::system::VERSION,
            "history": [{ "created": now, "comment": message }],
            "rootfs": { "type": "layers", "diff_ids": [made.held.digest.to_string()] },
        });
        Ok((working.images.create(document.to_string().into_bytes(), None)?, name))
    })
    .await?;
    engine.tell_of_image("import", &image, &image.id);
    if let Some(name) = name {
        give_name(&engine, &image, &name)?;
    }
    let line: Value = json!({ "status": image.id });
    Ok(Json(line).into_response())
}
