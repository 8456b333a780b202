//! Configurations and histories against those of the images that Docker's classic builder made of the same Dockerfiles.

use super::*;
use crate::build::dockerfile::{self, tests::cases};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a Dockerfile without files comes to: its configuration, author, history (newest first) and remarks; or the failure.
fn build(text: &[u8]) -> Result<(Configuration, Vec<String>, Vec<String>), ApiError> {
    let dockerfile = dockerfile::parse("Dockerfile", text)?;
    let mut arguments = Arguments::default();
    for (_, declared) in &dockerfile.arguments {
        for (name, value) in declared {
            let known = arguments.beside(&[]);
            let variables = Variables::new(&known);
            let expand = |text: &String| expand::word(text, dockerfile.escape, &variables);
            let value = value.as_ref().map(expand).transpose().map_err(ApiError::bad_request)?;
            arguments.declare_global(name, value);
        }
    }
    let mut stages: BTreeMap<String, (Configuration, Vec<String>)> = BTreeMap::new();
    let mut last = None;
    let mut notes = vec![];
    for stage in &dockerfile.stages {
        arguments.begin_stage();
        let base = stages.get(&stage.from.base.to_lowercase()).cloned().unwrap_or_default();
        let (mut configuration, mut history) = (Configuration::begin(base.0.config), base.1);
        for step in &stage.steps {
            let instruction = configuration.expand(&step.instruction, dockerfile.escape, &arguments)?;
            let changed = configuration.apply(&instruction, &mut arguments)?;
            notes.extend(changed.note.map(|note| note.trim_end().to_owned()));
            history.insert(0, [configuration.shell(), changed.said].concat().join(" "));
        }
        last = Some((configuration.clone(), history.clone()));
        stages.insert(stage.from.name.clone(), (configuration, history));
    }
    let (configuration, history) = last.unwrap_or_default();
    Ok((configuration, history, notes))
}

/// A document without what is empty: Go writes nulls where we write nothing.
fn without_empty(value: &Value) -> Value {
    let empty = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| {
                (key.clone(), if key == "Labels" { value.clone() } else { without_empty(value) })
            })
            .filter(|(key, value)| !empty(value) && key != "ArgsEscaped")
            .collect(),
        other => other.clone(),
    }
}

#[test]
fn configurations_are_docker_s() {
    let (mut compared, mut refused, mut wrong) = (0, 0, vec![]);
    for (name, text, came) in cases() {
        if let Some(config) = came.get("config") {
            let (configuration, history, notes) =
                build(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut ours = json!({
                "config": configuration.config,
                "history": history,
                "author": configuration.author,
                "notes": notes,
            });
            let volumes = ours["config"].get("Volumes").cloned();
            ours["config"] = without_empty(&ours["config"]);
            let mut theirs = json!({
                "config": without_empty(config),
                "history": came["history"],
                "author": came["author"],
                "notes": came["warnings"].as_array().into_iter().flatten()
                    .filter(|line| line.as_str().is_some_and(|line| line.starts_with("Note"))).collect::<Vec<_>>(),
            });
            // Sets are objects whose values are empty objects.
            for (document, key) in [(&mut ours, "Volumes"), (&mut theirs, "Volumes")] {
                document["config"][key] = Value::Null;
            }
            let keys = |value: Option<&Value>| {
                let fields = value.and_then(Value::as_object);
                fields.map(|fields| fields.keys().cloned().collect::<Vec<_>>()).unwrap_or_default()
            };
            if keys(volumes.as_ref()) != keys(config.get("Volumes")) {
                wrong.push(format!("{name}: volumes {volumes:?}"));
            }
            compared += 1;
            if ours != theirs {
                wrong.push(format!("{name}\n  ours:   {ours}\n  theirs: {theirs}"));
            }
        } else if let Some(failure) = came["failure"]["message"].as_str()
            && !String::from_utf8_lossy(&text).contains("busybox")
            && !failure.contains("COPY")
            && let Err(error) = build(&text)
            && !error.message.contains("changes files")
        {
            refused += 1;
            if error.message != failure {
                wrong.push(format!("{name}\n  ours:   {error}\n  theirs: {failure}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared >= 60 && refused >= 24, "{compared} {refused}");
}

#[test]
fn a_configuration_cannot_grow_without_end() {
    let mut text = String::from("FROM scratch\nENV a=0123456789abcdef\n");
    text.push_str(&"ENV a=$a$a\n".repeat(30));
    assert!(build(text.as_bytes()).unwrap_err().message.contains("longer than"));
    let many: String = (0..4).map(|i| format!("ENV v{i}={}\n", "x".repeat(65_000))).collect();
    let text = format!("FROM scratch\n{many}ENV last={}\n", "y".repeat(10_000));
    assert!(build(text.as_bytes()).unwrap_err().message.contains("at most 262144 fit"));
}
