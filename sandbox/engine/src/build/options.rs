//! The parameters of a build request, parsed once.

use crate::error::ApiError;
use crate::image::{DOCKER_HUB, Reference};
use crate::transfer::Credentials;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How many tags, labels or variables a request may carry. Command lines are shorter.
const ITEMS_MAX: usize = 1024;

/// What a build is asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where in the context the Dockerfile is.
    pub dockerfile: String,
    /// What the image is to be called.
    pub tags: Vec<Reference>,
    /// The stage to stop after; empty for the last.
    pub target: String,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, Option<String>>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--cache-from`.
    pub cache_from: Vec<String>,
    /// `--no-cache`.
    pub no_cache: bool,
    /// `--rm`: containers of steps go when the step has succeeded.
    pub remove: bool,
    /// `--force-rm`: also when it has not.
    pub force_remove: bool,
    /// `-q`.
    pub quiet: bool,
    /// `--pull`: images that are named come from their registries even where they are here.
    pub pull: bool,
    /// What the client has logged in with, by registry.
    pub credentials: BTreeMap<String, Credentials>,
    /// `HostConfig` of the containers that run steps.
    pub host: Map<String, Value>,
}

/// The parameters as they came; some come several times.
struct Query<'a>(&'a [(String, String)]);

impl Query<'_> {
    fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
    }

    fn flag(&self, name: &str) -> bool {
        !matches!(self.text(name).trim().to_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A number; 0 where it is none, as Docker has it here.
    fn number(&self, name: &str) -> i64 {
        self.text(name).parse().unwrap_or_default()
    }

    fn json<T: DeserializeOwned + Default>(&self, name: &str, what: &str) -> Result<T, ApiError> {
        match self.text(name) {
            "" | "null" => Ok(T::default()),
            text => serde_json::from_str(text)
                .map_err(|error| ApiError::bad_request(format!("error reading {what}: {error}"))),
        }
    }
}

impl Options {
    /// Parses the parameters, for a machine of this architecture (Go's word).
    pub fn parse(query: &[(String, String)], architecture: &str) -> Result<Self, ApiError> {
        let query = Query(query);
        refuse(&query)?;
        platform(query.text("platform"), architecture)?;
        let tag = |name: String| Reference::parse(&name).map_err(ApiError::internal);
        let tags: Vec<_> = query.all("t").into_iter().map(tag).collect::<Result<_, _>>()?;
        let force_remove = query.flag("forcerm");
        let options = Self {
            dockerfile: match query.text("dockerfile") {
                "" => "Dockerfile".into(),
                path => path.into(),
            },
            tags,
            target: query.text("target").into(),
            arguments: query.json("buildargs", "build args")?,
            labels: query.json("labels", "labels")?,
            cache_from: query.json("cachefrom", "cache sources")?,
            no_cache: query.flag("nocache"),
            remove: force_remove || query.text("rm").is_empty() || query.flag("rm"),
            force_remove,
            quiet: query.flag("q"),
            pull: query.flag("pull"),
            credentials: BTreeMap::new(),
            host: host(&query)?,
        };
        let counts =
            [options.tags.len(), options.arguments.len(), options.labels.len(), options.cache_from.len()];
        if counts.iter().any(|&count| count > ITEMS_MAX) {
            return Err(ApiError::bad_request(format!(
                "more than {ITEMS_MAX} tags, labels, variables or sources"
            )));
        }
        Ok(options)
    }
}

impl Options {
    /// What the client has logged in to the registry of a name with.
    pub fn credentials_for(&self, reference: &Reference) -> Credentials {
        let registry = match reference.registry() {
            DOCKER_HUB => "https://index.docker.io/v1/",
            other => other,
        };
        self.credentials.get(registry).cloned().unwrap_or_default()
    }
}

fn refuse(query: &Query<'_>) -> Result<(), ApiError> {
    match query.text("version") {
        "" | "1" => {}
        "2" => return Err(ApiError::bad_request("buildkit is not enabled on daemon")),
        other => return Err(ApiError::internal(format!("invalid version {other:?}"))),
    }
    if query.flag("squash") {
        return Err(ApiError::bad_request("squash is only supported with experimental mode"));
    }
    if !query.all("securityopt").is_empty() {
        return Err(ApiError::bad_request(
            "The daemon on this platform does not support setting security options on build",
        ));
    }
    match query.text("remote") {
        "" => Ok(()),
        "client-session" => Err(ApiError::bad_request("buildkit is not enabled on daemon")),
        url if ["http://", "https://", "git://", "git@", "github.com/"]
            .iter()
            .any(|p| url.starts_with(p)) =>
        {
            Err(ApiError::not_yet(&format!(
                "docker build from a URL ({url}): fetch it and build from the directory, or pipe it in with `docker build -`,"
            )))
        }
        other => Err(ApiError::internal(format!("remoteURL ({other}) could not be recognized as URL"))),
    }
}

/// Containers run on this machine only: another platform is refused.
pub fn platform(text: &str, architecture: &str) -> Result<(), ApiError> {
    let mut parts = text.split('/');
    let (os, rest) = (parts.next().unwrap_or_default(), parts.next());
    match (os, rest) {
        ("", None) | ("linux", None) => Ok(()),
        ("linux", Some(wanted)) if wanted == architecture && parts.next().is_none() => Ok(()),
        (only, None) if only == architecture => Ok(()),
        ("linux", Some(_)) if text.split('/').count() <= 3 => Err(ApiError::not_yet(&format!(
            "--platform {text}: this machine is linux/{architecture}, and builds for others"
        ))),
        _ if text.contains('/') => {
            Err(ApiError::bad_request(format!("{text:?}: cannot parse platform specifier: invalid argument")))
        }
        _ => Err(ApiError::bad_request(format!(
            "{text:?}: unknown operating system or architecture: invalid argument"
        ))),
    }
}

/// What the containers of `RUN` get; what is not asked for is left to the defaults.
fn host(query: &Query<'_>) -> Result<Map<String, Value>, ApiError> {
    let mut host = Map::new();
    for (parameter, field) in [
        ("memory", "Memory"),
        ("memswap", "MemorySwap"),
        ("cpushares", "CpuShares"),
        ("cpuperiod", "CpuPeriod"),
        ("cpuquota", "CpuQuota"),
        ("shmsize", "ShmSize"),
    ] {
        let number = query.number(parameter);
        if number != 0 {
            host.insert(field.into(), json!(number));
        }
    }
    for (parameter, field) in [
        ("cpusetcpus", "CpusetCpus"),
        ("cpusetmems", "CpusetMems"),
        ("cgroupparent", "CgroupParent"),
        ("networkmode", "NetworkMode"),
    ] {
        let text = query.text(parameter);
        if !text.is_empty() {
            host.insert(field.into(), json!(text));
        }
    }
    let ulimits: Vec<Value> = query.json("ulimits", "ulimit settings")?;
    if !ulimits.is_empty() {
        host.insert("Ulimits".into(), Value::Array(ulimits));
    }
    let hosts = query.all("extrahosts");
    if !hosts.is_empty() {
        host.insert("ExtraHosts".into(), json!(hosts));
    }
    Ok(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Options, ApiError> {
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Options::parse(&pairs, "amd64")
    }

    #[test]
    fn what_a_client_sends_is_read() {
        let options = parse(&[
            ("t", "a"),
            ("t", "b:1"),
            ("buildargs", r#"{"x":"1","y":null}"#),
            ("labels", "{}"),
            ("cachefrom", "null"),
            ("networkmode", "none"),
            ("shmsize", "0"),
            ("rm", "0"),
            ("platform", "linux/amd64"),
        ])
        .unwrap();
        assert_eq!(options.tags.iter().map(Reference::familiar).collect::<Vec<_>>(), ["a:latest", "b:1"]);
        assert_eq!(options.arguments, BTreeMap::from([("x".into(), Some("1".into())), ("y".into(), None)]));
        assert_eq!(Value::Object(options.host), json!({"NetworkMode": "none"}));
        assert!(
            !options.remove
                && parse(&[]).unwrap().remove
                && parse(&[("forcerm", "1"), ("rm", "0")]).unwrap().remove
        );
    }

    #[test]
    fn what_the_classic_builder_cannot_is_refused() {
        for (pair, status, words) in [
            (("version", "2"), 400, "buildkit is not enabled"),
            (("version", "3"), 500, "invalid version \"3\""),
            (("squash", "1"), 400, "experimental mode"),
            (("remote", "foo"), 500, "remoteURL (foo) could not be recognized as URL"),
            (("remote", "https://example.com/x.git"), 501, "from a URL"),
            (("remote", "client-session"), 400, "buildkit is not enabled"),
            (("t", "A"), 500, "must be lowercase"),
            (("platform", "foo"), 400, "\"foo\": unknown operating system or architecture: invalid argument"),
            (("platform", "linux/arm64"), 501, "linux/amd64"),
            (("buildargs", "x"), 400, "error reading build args"),
        ] {
            let error = parse(&[pair]).unwrap_err();
            assert!(error.status.as_u16() == status && error.message.contains(words), "{pair:?}: {error:?}");
        }
    }
}
