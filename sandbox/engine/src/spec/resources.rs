//! `linux.resources`: what a container may use, and which devices.

use super::{Given, Placement, impossible};
use crate::error::ApiError;
use crate::settings::{Limits, Settings};
use oci_spec::runtime::{LinuxDeviceType, LinuxResources};
use serde_json::{Value, json};

/// What Docker and its runtime open to every container: null, zero, full, random, urandom, tty, console, ptmx, tun, and
/// the terminals of its own.
const DEVICES: &[(i64, Option<i64>)] = &[
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(1)),
    (5, Some(2)),
    (10, Some(200)),
    (136, None),
];

/// All of them, for a container that is started. The rules say what can be opened: nodes can be made of anything
/// (CAP_MKNOD), and a disk of the machine behind one is the whole machine.
pub fn of(settings: &Settings, limits: &Limits, place: &Placement<'_>) -> Result<LinuxResources, ApiError> {
    let mut all = limits.resources();
    all["devices"] = json!(devices(settings, place));
    serde_json::from_value(all).map_err(impossible)
}

/// The limits alone, for one that runs.
pub fn of_update(limits: &Limits) -> Result<LinuxResources, ApiError> {
    serde_json::from_value(limits.resources()).map_err(impossible)
}

fn devices(settings: &Settings, place: &Placement<'_>) -> Vec<Value> {
    if settings.privileged {
        return vec![json!({ "allow": true, "access": "rwm" })];
    }
    let allow = |kind: &str, numbers: [Option<i64>; 2], access: &str| json!({ "allow": true, "type": kind, "major": numbers[0], "minor": numbers[1], "access": access });
    let given = |given: &Given| {
        let kind = if given.device.typ() == LinuxDeviceType::B { "b" } else { "c" };
        let numbers = [Some(given.device.major()), Some(given.device.minor())];
        allow(kind, numbers, &given.access)
    };
    let mut rules = vec![
        json!({ "allow": false, "access": "rwm" }),
        allow("c", [None, None], "m"),
        allow("b", [None, None], "m"),
    ];
    rules.extend(DEVICES.iter().map(|&(major, minor)| allow("c", [Some(major), minor], "rwm")));
    rules.extend(place.given.iter().map(given));
    rules.extend(settings.device_rules.iter().map(|rule| allow(&rule.kind, rule.numbers, &rule.access)));
    rules
}
