//! `--change` of `docker commit` and `docker import`: instructions of a Dockerfile that only touch the configuration.

use crate::build::dockerfile::{Instruction, parse_instruction};
use crate::error::ApiError;
use serde_json::{Map, Value, json};

/// The instructions that Docker takes here.
const ALLOWED: [&str; 10] =
    ["cmd", "entrypoint", "healthcheck", "env", "expose", "label", "onbuild", "user", "volume", "workdir"];

/// As many as anybody types.
const CHANGES_MAX: usize = 256;

/// Applies changes to a configuration.
pub fn apply<'a>(config: &mut Value, changes: impl IntoIterator<Item = &'a str>) -> Result<(), ApiError> {
    if !config.is_object() {
        *config = Value::Object(Map::new());
    }
    let texts = changes.into_iter().flat_map(str::lines).map(str::trim).filter(|text| !text.is_empty());
    for (count, text) in texts.enumerate() {
        if count >= CHANGES_MAX {
            return Err(ApiError::bad_request(format!("more than {CHANGES_MAX} changes")));
        }
        let word = text.split_whitespace().next().unwrap_or_default().to_lowercase();
        if !ALLOWED.contains(&word.as_str()) {
            return Err(ApiError::bad_request(format!("{word} is not a valid change command")));
        }
        apply_one(config, parse_instruction(text)?)?;
    }
    Ok(())
}

fn apply_one(config: &mut Value, instruction: Instruction) -> Result<(), ApiError> {
    let command = |words: Vec<String>, shell: bool| match shell {
        true => json!([vec!["/bin/sh".to_owned(), "-c".into()], words].concat()),
        false => json!(words),
    };
    match instruction {
        Instruction::Cmd(line) => config["Cmd"] = command(line.words, line.shell),
        Instruction::Entrypoint(line) => config["Entrypoint"] = command(line.words, line.shell),
        Instruction::Healthcheck(check) => {
            config["Healthcheck"] =
                serde_json::to_value(check).map_err(|e| ApiError::internal(e.to_string()))?;
        }
        Instruction::Env(pairs) => {
            let env = list(&mut config["Env"]);
            for (name, value) in pairs {
                let entry = json!(format!("{name}={value}"));
                let is_same = |entry: &Value| entry.as_str().and_then(|e| e.split('=').next()) == Some(&name);
                match env.iter().position(is_same) {
                    Some(place) => env[place] = entry,
                    None => env.push(entry),
                }
            }
        }
        Instruction::Label(pairs) => {
            let labels = map(&mut config["Labels"]);
            labels.extend(pairs.into_iter().map(|(key, value)| (key, json!(value))));
        }
        Instruction::Expose(ports) => {
            for port in ports {
                let port = if port.contains('/') { port } else { format!("{port}/tcp") };
                map(&mut config["ExposedPorts"]).insert(port, json!({}));
            }
        }
        Instruction::Volume(paths) => {
            map(&mut config["Volumes"]).extend(paths.into_iter().map(|path| (path, json!({}))));
        }
        Instruction::OnBuild(text) => list(&mut config["OnBuild"]).push(json!(text)),
        Instruction::User(user) => config["User"] = json!(user),
        Instruction::Workdir(path) => {
            let before = config["WorkingDir"].as_str().filter(|before| !before.is_empty()).unwrap_or("/");
            config["WorkingDir"] = json!(std::path::Path::new(before).join(path).display().to_string());
        }
        other => return Err(ApiError::internal(format!("{other:?} is not a change"))),
    }
    Ok(())
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    if !value.is_array() {
        *value = Value::Array(vec![]);
    }
    match value {
        Value::Array(list) => list,
        _ => unreachable!("it was made one above"),
    }
}

fn map(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was made one above"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_goes_where_docker_puts_it() {
        let mut config = json!({"Env": ["A=1", "B=2"], "Cmd": ["old"], "WorkingDir": "/w", "Volumes": null});
        let changes = [
            "CMD [\"cat\",\"/hi\"]",
            "entrypoint sh -e",
            "ENV A=b C=d",
            "EXPOSE 80 53/udp",
            "LABEL x=y",
            "WORKDIR sub",
            "USER 5",
            "VOLUME /v",
            "ONBUILD RUN x",
            "HEALTHCHECK CMD true",
        ];
        apply(&mut config, changes).unwrap();
        assert_eq!(config["Cmd"], json!(["cat", "/hi"]));
        assert_eq!(config["Entrypoint"], json!(["/bin/sh", "-c", "sh -e"]));
        assert_eq!(config["Env"], json!(["A=b", "B=2", "C=d"]));
        assert_eq!(config["ExposedPorts"], json!({"80/tcp": {}, "53/udp": {}}));
        assert_eq!((&config["Labels"], &config["Volumes"]), (&json!({"x": "y"}), &json!({"/v": {}})));
        assert_eq!((&config["WorkingDir"], &config["User"]), (&json!("/w/sub"), &json!("5")));
        assert_eq!(config["Healthcheck"]["Test"], json!(["CMD-SHELL", "true"]));
        assert_eq!(config["OnBuild"], json!(["RUN x"]));
    }

    #[test]
    fn other_instructions_are_refused_in_docker_s_words() {
        for (text, word) in [("RUN x", "run"), ("STOPSIGNAL 9", "stopsignal"), ("FOO x", "foo")] {
            let error = apply(&mut json!({}), [text]).unwrap_err();
            assert_eq!(error, ApiError::bad_request(format!("{word} is not a valid change command")));
        }
    }
}
