//! `docker images`.

use super::{Params, names, seconds};
use crate::api::list::{REGEX_BYTES_MAX, has_label};
use crate::api::params::{Filters, check};
use crate::aside::aside;
use crate::clock;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::{Image, Reference};
use crate::json::Json;
use axum::extract::{Query, State};
use regex::{Regex, RegexBuilder};
use serde_json::{Value, json};
use std::sync::Arc;

const FILTERS: &[&str] = &["dangling", "label", "before", "since", "reference"];

/// `GET /images/json`.
pub async fn list(
    State(engine): State<Arc<Engine>>,
    Query(params): Query<Params>,
) -> Result<Json<Vec<Value>>, ApiError> {
    let mut filters = params.filters()?;
    if let Some(name) = Some(params.text("filter")).filter(|name| !name.is_empty()) {
        // What clients older than API 1.28 send.
        filters.entry("reference".into()).or_default().push(name.to_owned());
    }
    let wanted = Wanted::parse(&engine, &filters, params.flag("all"))?;
    aside(move || Ok(listed(&engine, &wanted))).await.map(Json)
}

/// All images that are listed without a filter.
pub fn all(engine: &Engine) -> Vec<Value> {
    listed(engine, &Wanted::default())
}

/// What a list is to hold.
#[derive(Debug, Default)]
struct Wanted {
    all: bool,
    dangling: Option<bool>,
    labels: Vec<String>,
    before: Option<i64>,
    since: Option<i64>,
    references: Option<Vec<Option<Regex>>>,
}

impl Wanted {
    fn parse(engine: &Engine, filters: &Filters, all: bool) -> Result<Self, ApiError> {
        check(filters, FILTERS)?;
        let values = |key: &str| filters.get(key).map(Vec::as_slice).unwrap_or_default();
        let created = |key: &str| {
            let first = values(key).first().map(|name| engine.images.find(name)).transpose();
            first.map(|image| image.map(|image| seconds(&image.created)))
        };
        Ok(Self {
            all,
            dangling: dangling(values("dangling"))?,
            labels: values("label").to_vec(),
            before: created("before")?,
            since: created("since")?,
            references: filters.get("reference").map(|texts| texts.iter().map(|text| glob(text)).collect()),
        })
    }
}

/// The one filter that is a switch.
pub fn dangling(values: &[String]) -> Result<Option<bool>, ApiError> {
    match values {
        [] => Ok(None),
        _ if values.iter().any(|value| value == "true" || value == "1") => Ok(Some(true)),
        _ if values.iter().any(|value| value == "false" || value == "0") => Ok(Some(false)),
        _ => Err(ApiError::bad_request(format!("Invalid filter 'dangling=[{}]'", values.join(" ")))),
    }
}

fn listed(engine: &Engine, wanted: &Wanted) -> Vec<Value> {
    let mut images = engine.images.all();
    images.sort_by_key(|image| (std::cmp::Reverse(seconds_and_more(&image.created)), image.id.clone()));
    let mut items = vec![];
    for image in images {
        let created = seconds(&image.created);
        let labels = image.config.labels.clone().unwrap_or_default();
        let in_time = wanted.before.is_none_or(|before| created < before)
            && wanted.since.is_none_or(|since| created > since);
        if !in_time || !wanted.labels.iter().all(|label| has_label(&labels, label)) {
            continue;
        }
        let all = engine.images.names_of(&image.id);
        let is_named = |name: &&Reference| wanted.references.as_ref().is_none_or(|all| names_one(name, all));
        let named: Vec<_> = all.iter().filter(is_named).cloned().collect();
        let (mut tags, mut digests) = names(&named);
        if tags.is_empty() && digests.is_empty() {
            let hidden = !wanted.all && engine.images.has_children(&image.id);
            if hidden || wanted.references.is_some() || wanted.dangling == Some(false) {
                continue;
            }
            tags = vec!["<none>:<none>".into()];
            digests = vec!["<none>@<none>".into()];
        } else if wanted.dangling == Some(true) && !tags.is_empty() {
            continue;
        }
        items.push(summary(engine, &image, &tags, &digests));
    }
    items
}

/// One line of the list. An absent name is `null`, as with Docker.
pub fn summary(engine: &Engine, image: &Image, tags: &[String], digests: &[String]) -> Value {
    let size = engine.images.image_bytes(image);
    let some = |names: &[String]| if names.is_empty() { Value::Null } else { json!(names) };
    json!({
        "Containers": -1,
        "Created": seconds(&image.created),
        "Id": image.id,
        "Labels": image.config.labels,
        "ParentId": engine.images.parent_of(&image.id).unwrap_or_default(),
        "RepoDigests": some(digests),
        "RepoTags": some(tags),
        "SharedSize": -1,
        "Size": size,
        "VirtualSize": size,
    })
}

/// `docker images PATTERN`: a shell pattern for a repository, with or without a tag. One that is none matches nothing.
fn glob(text: &str) -> Option<Regex> {
    let familiar = text.strip_prefix("docker.io/").unwrap_or(text);
    let familiar = familiar.strip_prefix("library/").unwrap_or(familiar);
    let pattern = regex::escape(familiar).replace(r"\*", "[^/]*").replace(r"\?", "[^/]");
    RegexBuilder::new(&format!("^{pattern}$")).size_limit(REGEX_BYTES_MAX).build().ok()
}

fn names_one(name: &Reference, patterns: &[Option<Regex>]) -> bool {
    let (whole, repository) = (name.familiar(), name.name());
    patterns.iter().flatten().any(|pattern| pattern.is_match(&whole) || pattern.is_match(&repository))
}

/// The same to the nanosecond, to sort by.
fn seconds_and_more(text: &str) -> i64 {
    clock::parse_rfc3339(text).map_or(i64::MIN, clock::unix_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_pattern() {
        for (pattern, tag, matches) in [
            ("ubuntu", "ubuntu:latest", true),
            ("library/ubuntu", "ubuntu:latest", true),
            ("ubuntu:22.04", "ubuntu:latest", false),
            ("ubu*", "ubuntu:latest", true),
            ("*", "isolab/x:1", false),
            ("isolab/*", "isolab/x:1", true),
            ("u.untu", "ubuntu:latest", false),
            ("(", "ubuntu:latest", false),
        ] {
            let name = Reference::parse(tag).unwrap();
            assert_eq!(names_one(&name, &[glob(pattern)]), matches, "{pattern} {tag}");
        }
    }

    #[test]
    fn a_switch_is_on_off_or_wrong() {
        let read = |text: &str| dangling(&[text.to_owned()]);
        assert_eq!((read("true"), read("0"), dangling(&[])), (Ok(Some(true)), Ok(Some(false)), Ok(None)));
        assert_eq!(read("x").unwrap_err().message, "Invalid filter 'dangling=[x]'");
    }
}
