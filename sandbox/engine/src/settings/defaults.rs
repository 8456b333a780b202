//! What a container is where nobody says otherwise, as far as that is configured (`daemon.json`). Pure.

use super::security::SecurityOptions;
use bollard_stubs::models::{HostConfig, HostConfigCgroupnsModeEnum, ResourcesUlimits};
use std::collections::HashMap;

/// The configured part; what is not configured is Docker's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Defaults {
    /// `default-shm-size`, in bytes.
    pub shm_bytes: Option<i64>,
    /// `default-ipc-mode`: `private` or `shareable`.
    pub ipc_mode: Option<String>,
    /// `default-cgroupns-mode`.
    pub cgroupns_mode: Option<HostConfigCgroupnsModeEnum>,
    /// `default-ulimits`.
    pub ulimits: Vec<ResourcesUlimits>,
    /// `dns`, `dns-search`, `dns-opts`.
    pub dns: Vec<String>,
    pub dns_search: Vec<String>,
    pub dns_options: Vec<String>,
    /// `init`.
    pub init: bool,
    /// `no-new-privileges`, `seccomp-profile`.
    pub security: SecurityOptions,
    /// `log-driver`, `log-opts`.
    pub log_driver: Option<String>,
    pub log_options: HashMap<String, String>,
}

impl Defaults {
    /// Fills in what the client leaves open, where `docker inspect` shows it.
    pub fn fill(&self, host: &mut HostConfig) {
        let is_open = |mode: &Option<String>| mode.as_ref().is_none_or(String::is_empty);
        if host.shm_size.is_none_or(|bytes| bytes <= 0) {
            host.shm_size = self.shm_bytes.or(host.shm_size);
        }
        if is_open(&host.ipc_mode) && self.ipc_mode.is_some() {
            host.ipc_mode.clone_from(&self.ipc_mode);
        }
        if host.cgroupns_mode.is_none_or(|mode| mode == HostConfigCgroupnsModeEnum::EMPTY) {
            host.cgroupns_mode = self.cgroupns_mode.or(host.cgroupns_mode);
        }
        if self.init && host.init.is_none() {
            host.init = Some(true);
        }
        let given: Vec<_> = host.ulimits.iter().flatten().filter_map(|limit| limit.name.clone()).collect();
        let others =
            self.ulimits.iter().filter(|limit| !given.iter().any(|name| Some(name) == limit.name.as_ref()));
        let others: Vec<_> = others.cloned().collect();
        if !others.is_empty() {
            host.ulimits.get_or_insert_default().extend(others);
        }
        let is_silent = host.log_config.as_ref().is_none_or(|log| is_open(&log.typ));
        if is_silent && (self.log_driver.is_some() || !self.log_options.is_empty()) {
            let log = host.log_config.get_or_insert_default();
            log.typ = self.log_driver.clone().or(Some("json-file".into()));
            let options = log.config.get_or_insert_default();
            for (name, value) in &self.log_options {
                options.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard_stubs::models::HostConfigLogConfig;

    fn defaults() -> Defaults {
        let limit =
            |name: &str, soft| ResourcesUlimits { name: Some(name.into()), soft: Some(soft), hard: Some(9) };
        Defaults {
            shm_bytes: Some(5),
            ipc_mode: Some("shareable".into()),
            ulimits: vec![limit("nofile", 1), limit("core", 2)],
            init: true,
            log_options: HashMap::from([("max-size".into(), "1m".into())]),
            ..Defaults::default()
        }
    }

    #[test]
    fn what_is_left_open_is_filled_in() {
        let mut host = HostConfig::default();
        defaults().fill(&mut host);
        assert_eq!(
            (host.shm_size, host.ipc_mode.as_deref(), host.init),
            (Some(5), Some("shareable"), Some(true))
        );
        assert_eq!(host.ulimits.unwrap().len(), 2);
        let log = host.log_config.unwrap();
        assert_eq!((log.typ.as_deref(), log.config.unwrap()["max-size"].as_str()), (Some("json-file"), "1m"));
    }

    #[test]
    fn what_the_client_says_stays() {
        let own = ResourcesUlimits { name: Some("core".into()), soft: Some(7), hard: Some(7) };
        let log = HostConfigLogConfig { typ: Some("none".into()), config: None };
        let mut host = HostConfig {
            shm_size: Some(1),
            ipc_mode: Some("none".into()),
            init: Some(false),
            ulimits: Some(vec![own.clone()]),
            log_config: Some(log.clone()),
            ..HostConfig::default()
        };
        defaults().fill(&mut host);
        assert_eq!(
            (host.shm_size, host.ipc_mode.as_deref(), host.init),
            (Some(1), Some("none"), Some(false))
        );
        let limits = host.ulimits.unwrap();
        assert!(limits.contains(&own) && limits.len() == 2, "{limits:?}");
        assert_eq!(host.log_config, Some(log));
        let mut host = HostConfig::default();
        Defaults::default().fill(&mut host);
        assert_eq!(host, HostConfig::default());
    }
}
