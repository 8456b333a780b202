//! What Docker lets a client choose and of which there is little to choose here: the runtime, the isolation, the storage
//! driver's options, the driver of the log.

use crate::error::ApiError;
use bollard_stubs::models::HostConfig;
use serde_json::Value;

/// Where what a container says is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogDriver {
    /// As JSON, in a file that `docker inspect` names.
    #[default]
    JsonFile,
    /// In a file that is the engine's own affair.
    Local,
    /// Nowhere.
    None,
}

/// The names under which a lab's one runtime can be asked for: those that Docker has from the start.
const RUNTIMES: &[&str] = &["", "runc", "io.containerd.runc.v2"];

/// What can be told to every driver that keeps logs.
const LOG_OPTIONS: &[&str] = &["max-size", "max-file", "compress", "mode", "max-buffer-size"];

/// What can be told to the one that keeps them as JSON besides.
const JSON_OPTIONS: &[&str] = &["labels", "labels-regex", "env", "env-regex", "tag"];

/// Drivers of logs that Docker brings along and the engine does not.
const LOG_DRIVERS: &[&str] =
    &["awslogs", "etwlogs", "fluentd", "gcplogs", "gelf", "journald", "logentries", "splunk", "syslog"];

/// There is one kind of isolation. It is looked at before the types of the API are, which know others.
pub fn check_isolation(isolation: &Value) -> Result<(), ApiError> {
    match isolation.as_str().unwrap_or_default() {
        "" | "default" => Ok(()),
        other => {
            let message = format!("Invalid isolation: {other:?} - linux only supports 'default'");
            Err(ApiError::bad_request(message))
        }
    }
}

/// What Docker finds out when it starts a container: devices for which there is no driver, what cannot be said to the
/// driver of the log.
pub fn unstartable(host: &HostConfig) -> Option<String> {
    if let Some(request) = host.device_requests.iter().flatten().next() {
        let driver = request.driver.as_deref().unwrap_or_default();
        let sets = request.capabilities.iter().flatten().map(|set| format!("[{}]", set.join(" ")));
        let sets = sets.collect::<Vec<_>>().join(" ");
        return Some(format!("could not select device driver {driver:?} with capabilities: [{sets}]"));
    }
    let log = LogDriver::parse(host).ok()?;
    let options = host.log_config.as_ref().and_then(|config| config.config.as_ref())?;
    let why = log.unsayable(|name| options.get(name).map(String::as_str))?;
    Some(format!("failed to initialize logging driver: {why}"))
}

/// Refuses what there is not, in Docker's words.
pub fn check(host: &HostConfig) -> Result<(), ApiError> {
    let runtime = host.runtime.as_deref().unwrap_or_default();
    if !RUNTIMES.contains(&runtime) {
        return Err(ApiError::bad_request(format!("Unknown runtime specified {runtime}")));
    }
    if let Some(option) = host.storage_opt.iter().flatten().map(|(option, _)| option).next() {
        let message = match option.eq_ignore_ascii_case("size") {
            true => "--storage-opt is supported only for overlay over xfs with 'pquota' mount option".into(),
            false => format!("Unknown option {option}"),
        };
        return Err(ApiError::bad_request(message));
    }
    match host.oom_score_adj.unwrap_or(0) {
        -1000..=1000 => Ok(()),
        score => Err(ApiError::bad_request(format!(
            "Invalid value {score}, range for oom score adj is [-1000, 1000]"
        ))),
    }
}

impl LogDriver {
    /// Parses `--log-driver` and `--log-opt`.
    pub fn parse(host: &HostConfig) -> Result<Self, ApiError> {
        let Some(config) = &host.log_config else { return Ok(Self::default()) };
        let name = config.typ.as_deref().unwrap_or_default();
        let own = if name == "local" { &[] } else { JSON_OPTIONS };
        let unknown = config.config.iter().flatten().map(|(key, _)| key);
        let unknown = unknown.filter(|key| !LOG_OPTIONS.iter().chain(own).any(|known| known == key)).min();
        let driver = match (name, unknown) {
            ("" | "json-file", None) => Ok(Self::JsonFile),
            ("local", None) => Ok(Self::Local),
            ("none", _) => Ok(Self::None),
            ("" | "json-file", Some(option)) => {
                Err(ApiError::bad_request(format!("unknown log opt '{option}' for json-file log driver")))
            }
            ("local", Some(option)) => {
                Err(ApiError::bad_request(format!("unknown log opt '{option}' for log driver local")))
            }
            (driver, _) if LOG_DRIVERS.contains(&driver) => {
                Err(ApiError::not_yet(&format!("--log-driver {driver} (HostConfig.LogConfig)")))
            }
            (driver, _) => Err(ApiError::internal(format!(
                "error looking up logging plugin {driver}: plugin {driver:?} not found"
            ))),
        }?;
        let option =
            |name: &str| config.config.as_ref().and_then(|options| options.get(name)).map(String::as_str);
        let refuse = |why: String| Err(ApiError::bad_request(why));
        match (option("mode").unwrap_or_default(), option("max-buffer-size")) {
            ("" | "blocking", Some(_)) => {
                refuse("logger: max-buffer-size option is only supported with 'mode=non-blocking'".into())
            }
            ("non-blocking", Some(size)) if bytes_of(size).is_none() => {
                refuse(format!("error parsing option max-buffer-size: invalid size: '{size}'"))
            }
            ("" | "blocking" | "non-blocking", _) => Ok(driver),
            (mode, _) => refuse(format!("logger: logging mode not supported: {mode}")),
        }
    }

    /// What cannot be said to the driver, which shows when it is begun to be used.
    fn unsayable<'a>(self, option: impl Fn(&str) -> Option<&'a str>) -> Option<String> {
        let (size, files, compress) = (option("max-size"), option("max-file"), option("compress"));
        let no_number = |text: &str| format!("strconv.Atoi: parsing {text:?}: invalid syntax");
        let no_switch = |text: &str| format!("strconv.ParseBool: parsing {text:?}: invalid syntax");
        let count = files.map(|text| text.parse::<i64>().map_err(|_| no_number(text))).transpose();
        let compress = compress.map(|text| switch(text).ok_or_else(|| no_switch(text))).transpose();
        let bad_size =
            size.filter(|size| bytes_of(size).is_none()).map(|size| format!("invalid size: '{size}'"));
        match self {
            Self::None => None,
            Self::JsonFile => {
                let sized = size.and_then(bytes_of);
                let few = |count: Option<i64>| count.unwrap_or(1) < 2;
                bad_size
                    .or_else(|| (sized == Some(0)).then(|| "max-size must be a positive number".into()))
                    .or_else(|| count.clone().err())
                    .or_else(|| (count.clone().ok()?? < 1).then(|| "max-file cannot be less than 1".into()))
                    .or_else(|| compress.clone().err())
                    .or_else(|| {
                        let compressed = compress == Ok(Some(true)) && (few(count.ok()?) || sized.is_none());
                        compressed.then(|| {
                            "compress cannot be true when max-file is less than 2 or max-size is not set"
                                .into()
                        })
                    })
            }
            Self::Local => bad_size
                .map(|why| format!("invalid value for max-size: {}: {why}", size.unwrap_or_default()))
                .or_else(|| Some(format!("invalid value for max-file: {}: {}", files?, count.clone().err()?)))
                .or_else(|| Some(format!("error reading compress log option: {}", compress.clone().err()?)))
                .or_else(|| {
                    let single = count.ok()?? < 2 && compress != Ok(Some(false));
                    single.then(|| "compression cannot be enabled when max file count is 1".into())
                }),
        }
    }
}

/// Go's words for yes and no.
fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// A size in bytes: `10m`, `1.5g`, `64KiB`.
pub fn bytes_of(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number: f64 = text[..end].parse().ok()?;
    let unit = text[end..].trim_start_matches(' ').to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "" => 0,
        letter => 1 + "kmgtp".find(letter).filter(|_| letter.len() == 1)? as u32,
    };
    Some((number * 1024_f64.powi(power as i32)) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn host(value: Value) -> HostConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_there_is_not_is_refused_in_docker_s_words() {
        for (asked, message) in [
            (json!({"Runtime": "foo"}), "Unknown runtime specified foo"),
            (
                json!({"StorageOpt": {"size": "10G"}}),
                "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
            ),
            (json!({"StorageOpt": {"foo": "1"}}), "Unknown option foo"),
            (json!({"OomScoreAdj": 1001}), "Invalid value 1001, range for oom score adj is [-1000, 1000]"),
        ] {
            assert_eq!(check(&host(asked)).unwrap_err(), ApiError::bad_request(message));
        }
        let told = "Invalid isolation: \"hyperv\" - linux only supports 'default'";
        assert_eq!(check_isolation(&json!("hyperv")).unwrap_err(), ApiError::bad_request(told));
        check_isolation(&json!("default")).unwrap();
        check(&host(
            json!({"Isolation": "default", "Runtime": "runc", "StorageOpt": {}, "OomScoreAdj": -1000}),
        ))
        .unwrap();
    }

    #[test]
    fn logs_go_where_the_driver_says() {
        let driver = |name: &str, options: Value| {
            LogDriver::parse(&host(json!({"LogConfig": {"Type": name, "Config": options}})))
                .map_err(|error| error.message)
        };
        assert_eq!(driver("", json!({})), Ok(LogDriver::JsonFile));
        assert_eq!(driver("local", json!({"max-size": "1m"})), Ok(LogDriver::Local));
        assert_eq!(driver("none", json!(null)), Ok(LogDriver::None));
        let told = "unknown log opt 'foo' for json-file log driver";
        assert_eq!(driver("json-file", json!({"foo": "1"})).unwrap_err(), told);
        assert_eq!(
            driver("local", json!({"foo": "1"})).unwrap_err(),
            "unknown log opt 'foo' for log driver local"
        );
        assert_eq!(
            driver("foo", json!({})).unwrap_err(),
            "error looking up logging plugin foo: plugin \"foo\" not found"
        );
        assert!(driver("syslog", json!({})).unwrap_err().contains("does not do --log-driver syslog"));
        let told = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
        assert_eq!(driver("", json!({"max-buffer-size": "1m"})).unwrap_err(), told);
        assert_eq!(driver("", json!({"mode": "x"})).unwrap_err(), "logger: logging mode not supported: x");
    }

    #[test]
    fn what_shows_at_the_start_is_kept_until_then() {
        let told = |name: &str, options: Value| {
            unstartable(&host(json!({"LogConfig": {"Type": name, "Config": options}})))
                .map(|why| why.replace("failed to initialize logging driver: ", ""))
        };
        for (options, why) in [
            (json!({"max-size": "x"}), "invalid size: 'x'"),
            (json!({"max-size": "1kk"}), "invalid size: '1kk'"),
            (json!({"max-size": "0"}), "max-size must be a positive number"),
            (json!({"max-file": "x"}), "strconv.Atoi: parsing \"x\": invalid syntax"),
            (json!({"max-file": "0"}), "max-file cannot be less than 1"),
            (json!({"compress": "x"}), "strconv.ParseBool: parsing \"x\": invalid syntax"),
            (
                json!({"compress": "true", "max-size": "1m"}),
                "compress cannot be true when max-file is less than 2 or max-size is not set",
            ),
        ] {
            assert_eq!(told("json-file", options).unwrap(), why);
        }
        let local = told("local", json!({"max-size": "x"})).unwrap();
        assert_eq!(local, "invalid value for max-size: x: invalid size: 'x'");
        for good in
            [json!({"max-size": "1.5m"}), json!({"max-size": "1KiB", "max-file": "2", "compress": "true"})]
        {
            assert_eq!(told("", good), None);
        }
        let gpus = host(json!({"DeviceRequests": [{"Driver": "", "Capabilities": [["gpu"]]}]}));
        let why = "could not select device driver \"\" with capabilities: [[gpu]]";
        assert_eq!(unstartable(&gpus).unwrap(), why);
    }
}
