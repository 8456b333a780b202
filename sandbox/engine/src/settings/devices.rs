//! `--device` and `--device-cgroup-rule`.
//!
//! Pure: which nodes there are is looked up when the container is started (see [`crate::container::devices`]).

use crate::error::ApiError;
use bollard_stubs::models::HostConfig;

/// A device of the lab host, or a directory of them, and what it is called inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceMapping {
    /// On the lab host.
    pub source: String,
    /// In the container.
    pub path: String,
    /// What may be done with it: some of `rwm`.
    pub access: String,
}

/// A rule about devices, for the control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRule {
    /// `a`, `b` or `c`.
    pub kind: String,
    /// Major and minor number; `None`: any.
    pub numbers: [Option<i64>; 2],
    /// Some of `rwm`.
    pub access: String,
}

/// How many devices can be asked for: a machine has some two hundred.
const DEVICES_MAX: usize = 512;

/// Parses the request's devices.
pub fn parse(host: &HostConfig) -> Result<Vec<DeviceMapping>, ApiError> {
    let devices = host.devices.as_deref().unwrap_or_default();
    check_count("devices", devices.len())?;
    let mapping = |device: &bollard_stubs::models::DeviceMapping| {
        let source = device.path_on_host.clone().unwrap_or_default();
        let path = device.path_in_container.clone().filter(|path| !path.is_empty());
        let access = device.cgroup_permissions.clone().filter(|access| !access.is_empty());
        let path = path.unwrap_or_else(|| source.clone());
        let mapping = DeviceMapping { path, source, access: access.unwrap_or_else(|| "rwm".into()) };
        match mapping.path.starts_with('/') && !mapping.path.contains('\0') {
            true => Ok(mapping),
            false => Err(ApiError::bad_request(format!("{} is not an absolute path", mapping.path))),
        }
    };
    devices.iter().map(mapping).collect()
}

/// Parses the request's rules.
pub fn rules(host: &HostConfig) -> Result<Vec<DeviceRule>, ApiError> {
    let rules = host.device_cgroup_rules.as_deref().unwrap_or_default();
    check_count("rules about devices", rules.len())?;
    let bad = |rule| ApiError::bad_request(format!("invalid device cgroup rule format: '{rule}'"));
    rules.iter().map(|text| rule(text).ok_or_else(|| bad(text))).collect()
}

fn check_count(what: &str, count: usize) -> Result<(), ApiError> {
    match count {
        0..=DEVICES_MAX => Ok(()),
        _ => Err(ApiError::bad_request(format!("{count} {what}; at most {DEVICES_MAX}"))),
    }
}

/// `c 1:3 rwm`, as Docker's own expression has it.
fn rule(text: &str) -> Option<DeviceRule> {
    let number = |text: &str| match text {
        "*" => Some(None),
        _ if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().map(Some),
        _ => None,
    };
    let words: Vec<_> = text.split(' ').collect();
    let [kind, numbers, access] = words[..] else { return None };
    let (major, minor) = numbers.split_once(':')?;
    let right = matches!(kind, "a" | "b" | "c")
        && (1..=3).contains(&access.len())
        && access.bytes().all(|b| b"rwm".contains(&b));
    let numbers = [number(major)?, number(minor)?];
    right.then(|| DeviceRule { kind: kind.into(), numbers, access: access.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse_json(host: serde_json::Value) -> Result<Vec<DeviceMapping>, String> {
        parse(&serde_json::from_value(host).unwrap()).map_err(|error| error.message)
    }

    #[test]
    fn a_device_has_its_own_name_unless_it_is_given_another() {
        let found = parse_json(json!({"Devices": [
            {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/x", "CgroupPermissions": "r"},
            {"PathOnHost": "/dev/kvm"}]}));
        let mapping = |source: &str, path: &str, access: &str| DeviceMapping {
            source: source.into(),
            path: path.into(),
            access: access.into(),
        };
        let expected = [mapping("/dev/fuse", "/dev/x", "r"), mapping("/dev/kvm", "/dev/kvm", "rwm")];
        assert_eq!(found.unwrap(), expected);
        let relative = json!({"Devices": [{"PathOnHost": "/dev/fuse", "PathInContainer": "x"}]});
        assert_eq!(parse_json(relative).unwrap_err(), "x is not an absolute path");
    }

    #[test]
    fn rules_are_checked_as_docker_checks_them() {
        let parsed = DeviceRule { kind: "b".into(), numbers: [None, Some(3)], access: "mr".into() };
        assert_eq!(rule("b *:3 mr"), Some(parsed));
        for text in ["c 1:3 rwm", "b *:* r", "a 7:* mw"] {
            assert!(rule(text).is_some(), "{text}");
        }
        for text in ["", "foo", "d 1:3 r", "c 1 r", "c 1:3", "c 1:3 x", "c 1:3 rwmr", "c -1:3 r", "c  1:3 r"]
        {
            assert_eq!(rule(text), None, "{text}");
        }
    }
}
