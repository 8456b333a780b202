//! `/etc/docker/daemon.json`: read when the engine starts, and again when it is started anew (`systemctl restart docker`).

use crate::settings::{Defaults, Seccomp, bytes_of};
use bollard_stubs::models::{HostConfigCgroupnsModeEnum, ResourcesUlimits};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// A configuration has some lines, and a profile for seccomp some hundred.
const BYTES_MAX: u64 = 64 * 1024;
const PROFILE_BYTES_MAX: u64 = 1024 * 1024;

/// What the file can say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `userns-remap`; empty for none.
    pub userns_remap: String,
    /// What containers are where nobody says otherwise.
    pub defaults: Defaults,
    /// `seccomp-profile`, as `docker info` shows it; empty for Docker's own.
    pub seccomp_profile: String,
    /// `labels`.
    pub labels: Vec<String>,
    /// `debug`.
    pub debug: bool,
    /// `icc`: whether containers in the default network may reach each other.
    pub may_talk: Option<bool>,
}

/// What Docker can be told in this file and this engine cannot do. It is refused: a wall that somebody believes to be there must
/// be there.
const NOT_DONE: &[&str] = &[
    "allow-nondistributable-artifacts",
    "api-cors-header",
    "authorization-plugins",
    "bip",
    "bridge",
    "builder",
    "cgroup-parent",
    "cluster-advertise",
    "cluster-store",
    "cluster-store-opts",
    "config-default",
    "containerd",
    "containerd-namespace",
    "containerd-plugin-namespace",
    "cpu-rt-period",
    "cpu-rt-runtime",
    "data-root",
    "default-address-pools",
    "default-gateway",
    "default-gateway-v6",
    "default-runtime",
    "exec-root",
    "fixed-cidr",
    "fixed-cidr-v6",
    "graph",
    "group",
    "hosts",
    "insecure-registries",
    "ip",
    "ip6tables",
    "ip-forward",
    "ip-masq",
    "iptables",
    "ipv6",
    "live-restore",
    "log-format",
    "max-concurrent-downloads",
    "max-concurrent-uploads",
    "max-download-attempts",
    "metrics-addr",
    "mtu",
    "network-control-plane-mtu",
    "network-diagnostic-port",
    "node-generic-resources",
    "oom-score-adjust",
    "pidfile",
    "raw-logs",
    "registry-mirrors",
    "runtimes",
    "selinux-enabled",
    "shutdown-timeout",
    "storage-opts",
    "swarm-default-advertise-addr",
    "tls",
    "tlscacert",
    "tlscert",
    "tlskey",
    "tlsverify",
    "userland-proxy",
    "userland-proxy-path",
];

/// What may be said because it is so anyway: these values alone.
fn is_so_anyway(key: &str, value: &Value) -> bool {
    match key {
        "live-restore" | "selinux-enabled" | "ipv6" | "ip6tables" | "raw-logs" | "tls" | "tlsverify" => {
            *value == false
        }
        "userland-proxy" | "ip-masq" | "ip-forward" | "iptables" => *value == true,
        "default-runtime" => *value == "runc",
        _ => false,
    }
}

impl Config {
    /// Reads the file; one that is absent says nothing. What it asks for and the engine does not do is an error.
    pub fn read(path: &Path) -> Result<Self, String> {
        let told = |why: String| {
            format!("unable to configure the Docker daemon with file {}: {why}", path.display())
        };
        let text = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(found) if found.len() > BYTES_MAX => return Err(told(format!("more than {BYTES_MAX} bytes"))),
            _ => std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?,
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        Self::parse(&text).map_err(told)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let fields: Map<String, Value> = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut config = Self::default();
        let mut unknown = vec![];
        for (key, value) in fields {
            if NOT_DONE.contains(&key.as_str()) {
                if is_so_anyway(&key, &value) {
                    continue;
                }
                return Err(format!("Isolab's engine does not do {key:?} yet: take it out"));
            }
            if !config.set(&key, value)? {
                unknown.push(key);
            }
        }
        match unknown.is_empty() {
            true => Ok(config),
            false => {
                let all = unknown.join(", ");
                Err(format!("the following directives don't match any configuration option: {all}"))
            }
        }
    }

    /// Takes one field; false where it is none.
    fn set(&mut self, key: &str, value: Value) -> Result<bool, String> {
        let defaults = &mut self.defaults;
        match key {
            "userns-remap" => self.userns_remap = typed(key, value)?,
            "labels" => self.labels = typed(key, value)?,
            "debug" => self.debug = typed(key, value)?,
            "icc" => self.may_talk = Some(typed(key, value)?),
            "no-new-privileges" => defaults.security.no_new_privileges = typed(key, value)?,
            "init" => defaults.init = typed(key, value)?,
            "default-shm-size" => defaults.shm_bytes = Some(size(&value)?),
            "default-ipc-mode" => defaults.ipc_mode = Some(one_of(key, value, &["private", "shareable"])?),
            "default-cgroupns-mode" => {
                defaults.cgroupns_mode = Some(match one_of(key, value, &["private", "host"])?.as_str() {
                    "host" => HostConfigCgroupnsModeEnum::HOST,
                    _ => HostConfigCgroupnsModeEnum::PRIVATE,
                });
            }
            "default-ulimits" => {
                let limits: HashMap<String, Ulimit> = typed(key, value)?;
                let mut limits: Vec<_> = limits.into_iter().map(|(name, limit)| limit.named(name)).collect();
                limits.sort_by(|one, other| one.name.cmp(&other.name));
                defaults.ulimits = limits;
            }
            "dns" => {
                defaults.dns = typed(key, value)?;
                if let Some(bad) = defaults.dns.iter().find(|text| text.parse::<IpAddr>().is_err()) {
                    return Err(format!("{bad} is not an ip address"));
                }
            }
            "dns-search" => defaults.dns_search = typed(key, value)?,
            "dns-opts" => defaults.dns_options = typed(key, value)?,
            "log-driver" => {
                defaults.log_driver = Some(one_of(key, value, &["json-file", "local", "none"])?);
            }
            "log-opts" => defaults.log_options = typed(key, value)?,
            "seccomp-profile" => {
                let path: String = typed(key, value)?;
                defaults.security.seccomp = match path.as_str() {
                    "" | "builtin" => Seccomp::Default,
                    "unconfined" => Seccomp::Unconfined,
                    path => Seccomp::Profile(profile(Path::new(path))?),
                };
                self.seccomp_profile =
                    if defaults.security.seccomp == Seccomp::Default { String::new() } else { path };
            }
            // These change nothing here: there is one storage driver, one driver of control groups, and one builder.
            "storage-driver" => drop(one_of(key, value, &["overlay2"])?),
            "exec-opts" => {
                let options: Vec<String> = typed(key, value)?;
                if let Some(other) = options.iter().find(|option| *option != "native.cgroupdriver=cgroupfs") {
                    return Err(format!(
                        "exec-opts {other:?}: Isolab's engine has native.cgroupdriver=cgroupfs alone"
                    ));
                }
            }
            "experimental" => drop(typed::<bool>(key, value)?),
            "features" => drop(typed::<HashMap<String, bool>>(key, value)?),
            "log-level" => drop(one_of(key, value, &["debug", "info", "warn", "error", "fatal"])?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A limit as this file has it.
#[derive(serde::Deserialize)]
struct Ulimit {
    #[serde(rename = "Soft", alias = "soft")]
    soft: i64,
    #[serde(rename = "Hard", alias = "hard")]
    hard: i64,
    /// Said twice by Docker's own examples; the key is what counts.
    #[serde(rename = "Name", alias = "name", default)]
    _name: String,
}

impl Ulimit {
    fn named(self, name: String) -> ResourcesUlimits {
        ResourcesUlimits { name: Some(name), soft: Some(self.soft), hard: Some(self.hard) }
    }
}

fn typed<T: DeserializeOwned>(key: &str, value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("{key}: {error}"))
}

fn one_of(key: &str, value: Value, all: &[&str]) -> Result<String, String> {
    let word: String = typed(key, value)?;
    match all.contains(&word.as_str()) {
        true => Ok(word),
        false => Err(format!("{key} {word:?}: it can be {} here", all.join(" or "))),
    }
}

/// Bytes, as a number or as `64M`.
fn size(value: &Value) -> Result<i64, String> {
    let bytes = value.as_i64().or_else(|| bytes_of(value.as_str()?.trim())?.try_into().ok());
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| format!("default-shm-size: invalid size: {value}"))
}

/// The text of a profile; what is in it is looked at when a container is started.
fn profile(path: &Path) -> Result<String, String> {
    let told = |why: String| format!("opening seccomp profile ({}) failed: {why}", path.display());
    let found = std::fs::metadata(path).map_err(|error| told(error.to_string()))?;
    if found.len() > PROFILE_BYTES_MAX {
        return Err(told(format!("more than {PROFILE_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| told(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::read(file.path())
    }

    #[test]
    fn a_file_says_what_it_says() {
        assert_eq!(Config::read(Path::new("/nonexistent/daemon.json")).unwrap(), Config::default());
        assert_eq!(read("").unwrap(), Config::default());
        assert_eq!(read(r#"{"userns-remap": "default"}"#).unwrap().userns_remap, "default");
        let config = read(
            r#"{"default-shm-size": "64M", "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 9, "Soft": 8}}, "icc": false,
                "log-opts": {"max-size": "1m"}, "labels": ["a=b"], "live-restore": false, "storage-driver": "overlay2"}"#,
        )
        .unwrap();
        assert_eq!(config.defaults.shm_bytes, Some(64 << 20));
        let limit = &config.defaults.ulimits[0];
        assert_eq!((limit.name.as_deref(), limit.soft, limit.hard), (Some("nofile"), Some(8), Some(9)));
        assert_eq!((config.may_talk, config.labels), (Some(false), vec!["a=b".to_owned()]));
    }

    #[test]
    fn a_profile_is_a_word_or_a_file() {
        let profile = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(profile.path(), "{}").unwrap();
        let path = profile.path().display().to_string();
        let with = |word: &str| read(&serde_json::json!({ "seccomp-profile": word }).to_string());
        assert_eq!(with("builtin").unwrap(), Config::default());
        assert_eq!(with("unconfined").unwrap().defaults.security.seccomp, Seccomp::Unconfined);
        let config = with(&path).unwrap();
        assert_eq!(
            (config.defaults.security.seccomp, config.seccomp_profile),
            (Seccomp::Profile("{}".into()), path)
        );
        assert!(with("/nonexistent").unwrap_err().contains("opening seccomp profile"));
    }

    #[test]
    fn what_is_wrong_or_not_done_is_told_with_the_file() {
        for wrong in [
            "{",
            "[]",
            r#"{"userns-remap": 5}"#,
            r#"{"bip": "10.0.0.1/8"}"#,
            r#"{"live-restore": true}"#,
            r#"{"log-driver": "syslog"}"#,
            r#"{"dns": ["nowhere"]}"#,
            r#"{"default-shm-size": "-5"}"#,
            r#"{"default-shm-size": "5x"}"#,
            r#"{"default-shm-size": 0}"#,
            r#"{"default-shm-size": true}"#,
        ] {
            let error = read(wrong).unwrap_err();
            assert!(
                error.starts_with("unable to configure the Docker daemon with file "),
                "{wrong}: {error}"
            );
        }
        let error = read(r#"{"icc": true, "nonsense": 1}"#).unwrap_err();
        assert!(
            error.ends_with("the following directives don't match any configuration option: nonsense"),
            "{error}"
        );
    }
}
