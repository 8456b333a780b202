//! What a container inherits from its image, and what a program's command line and environment become.

use crate::error::ApiError;
use bollard_stubs::models::{ContainerConfig, ImageConfig};
use serde_json::{Map, Value};
use std::path::{Component, Path, PathBuf};

/// The PATH of a container whose image sets none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Docker takes `"Cmd": "sh"` for `"Cmd": ["sh"]`.
pub fn words_to_lists(fields: &mut Map<String, Value>) {
    for key in ["Cmd", "Entrypoint", "Shell"] {
        if let Some(word @ Value::String(_)) = fields.get(key) {
            let list = Value::Array(vec![word.clone()]);
            fields.insert(key.into(), list);
        }
    }
}

/// Fills in what the request leaves to the image.
pub fn with_image(config: &mut ContainerConfig, image: &ImageConfig) {
    let is_empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    if is_empty(&config.entrypoint) {
        if is_empty(&config.cmd) {
            config.cmd = image.cmd.clone();
        }
        if config.entrypoint.is_none() {
            config.entrypoint = image.entrypoint.clone();
        }
    }
    // `--entrypoint ""` is sent as one empty word: no entrypoint, not even the image's.
    if config.entrypoint.as_deref() == Some(&[String::new()]) {
        config.entrypoint = None;
    }
    let mut env = config.env.take().unwrap_or_default();
    let key = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let inherited = image.env.iter().flatten().filter(|one| !env.iter().any(|other| key(other) == key(one)));
    let inherited: Vec<_> = inherited.cloned().collect();
    env.extend(inherited);
    config.env = Some(env);
    let labels = config.labels.get_or_insert_default();
    for (key, value) in image.labels.iter().flatten() {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    super::health::inherit(&mut config.healthcheck, &image.healthcheck);
    if config.shell.as_ref().is_none_or(Vec::is_empty) {
        config.shell.clone_from(&image.shell);
    }
    inherit(&mut config.user, &image.user);
    inherit(&mut config.working_dir, &image.working_dir);
    inherit(&mut config.stop_signal, &image.stop_signal);
    let volumes = image.volumes.iter().flatten();
    let volumes: Vec<_> = config.volumes.take().into_iter().flatten().chain(volumes.cloned()).collect();
    config.volumes = (!volumes.is_empty()).then_some(volumes);
    let ports = config.exposed_ports.get_or_insert_default();
    ports.extend(image.exposed_ports.iter().flatten().cloned());
    ports.sort();
    ports.dedup();
}

fn inherit(own: &mut Option<String>, image: &Option<String>) {
    if own.as_ref().is_none_or(String::is_empty) {
        own.clone_from(image);
    }
}

/// Entrypoint and command together.
pub fn argv(config: &ContainerConfig) -> Result<Vec<String>, ApiError> {
    let argv: Vec<_> = config.entrypoint.iter().chain(&config.cmd).flatten().cloned().collect();
    if argv.is_empty() {
        return Err(ApiError::bad_request("No command specified"));
    }
    if argv.iter().chain(config.env.iter().flatten()).any(|word| word.contains('\0')) {
        return Err(ApiError::bad_request("a zero byte in the command or the environment"));
    }
    Ok(argv)
}

/// PATH, HOSTNAME and TERM, then the request's entries over them; an entry without `=` removes a variable.
pub fn environment(entries: &[String], hostname: &str, tty: bool) -> Vec<String> {
    let mut env = vec![PATH.to_owned(), format!("HOSTNAME={hostname}")];
    if tty {
        env.push("TERM=xterm".into());
    }
    overlay(env, entries)
}

/// Puts `entries` over `env`: replaced in place, else appended.
pub fn overlay(mut env: Vec<String>, entries: &[String]) -> Vec<String> {
    for entry in entries {
        let (key, value) = entry.split_once('=').map_or((entry.as_str(), None), |(k, v)| (k, Some(v)));
        let same = |other: &String| other.split_once('=').is_some_and(|(k, _)| k == key);
        match (env.iter().position(same), value) {
            (Some(place), Some(_)) => env[place].clone_from(entry),
            (Some(place), None) => drop(env.remove(place)),
            (None, Some(_)) => env.push(entry.clone()),
            (None, None) => {}
        }
    }
    env
}

/// A terminal's size from `[rows, columns]`. Older clients send zeros, and the true size right after the start.
pub fn console(size: Option<&[usize]>) -> (u16, u16) {
    let fits = |n: usize| u16::try_from(n).ok().filter(|&n| n > 0);
    match size {
        Some(&[rows, cols]) => fits(cols).zip(fits(rows)).unwrap_or(CONSOLE_DEFAULT),
        _ => CONSOLE_DEFAULT,
    }
}

/// Columns and rows that every program can live with.
const CONSOLE_DEFAULT: (u16, u16) = (80, 24);

/// The working directory, cleaned of `.` and `..`.
pub fn workdir(config: &ContainerConfig) -> Result<String, ApiError> {
    let given = config.working_dir.as_deref().unwrap_or_default();
    if given.is_empty() {
        return Ok("/".into());
    }
    if !given.starts_with('/') {
        let message = format!("the working directory '{given}' is invalid, it needs to be an absolute path");
        return Err(ApiError::bad_request(message));
    }
    let mut clean = PathBuf::from("/");
    for part in Path::new(given).components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    Ok(clean.to_string_lossy().into_owned())
}
