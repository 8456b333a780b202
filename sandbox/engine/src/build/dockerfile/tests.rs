//! The parser against what Docker's classic builder made of the same Dockerfiles (`tests/dockerfiles/record`).

use super::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The recorded cases: name, Dockerfile, what Docker made of it.
pub fn cases() -> Vec<(String, Vec<u8>, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dockerfiles");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "dockerfile"));
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let came = std::fs::read(path.with_extension("json")).unwrap();
        (name, std::fs::read(path).unwrap(), serde_json::from_slice(&came).unwrap())
    };
    paths.iter().map(read).collect()
}

#[test]
fn refusals_and_steps_are_docker_s() {
    let cases = cases();
    assert!(cases.len() > 150, "{}", cases.len());
    let mut wrong = vec![];
    for (name, text, came) in cases {
        let ours = match parse("Dockerfile", &text) {
            Err(error) => Err((u64::from(error.status.as_u16()), error.message)),
            Ok(dockerfile) => {
                let stages = dockerfile.stages.iter().flat_map(|stage| {
                    std::iter::once(&stage.text).chain(stage.steps.iter().map(|step| &step.text))
                });
                let texts: Vec<_> = dockerfile.arguments.iter().map(|(text, _)| text).chain(stages).collect();
                let count = texts.len();
                let step = |(index, text): (usize, &&String)| format!("Step {}/{count} : {text}", index + 1);
                Ok(texts.iter().enumerate().map(step).collect::<Vec<_>>())
            }
        };
        let theirs = match came["message"].as_str() {
            Some(message) => Err((came["status"].as_u64().unwrap(), message.to_owned())),
            None => {
                let steps = came["steps"].as_array().unwrap().iter();
                Ok(steps.map(|step| step.as_str().unwrap().to_owned()).collect::<Vec<_>>())
            }
        };
        // A build that failed has printed no further steps.
        let same = match (&ours, &theirs) {
            (Ok(ours), Ok(theirs)) => ours.starts_with(theirs) && !theirs.is_empty(),
            (ours, theirs) => ours == theirs,
        };
        if !same {
            wrong.push(format!("{name}\n  ours:   {ours:?}\n  theirs: {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_bytes_make_it_panic_or_hang() {
    let nested = "ONBUILD ".repeat(100_000);
    for text in
        [&nested[..], "\\", "\\\n", "FROM", "FROM \u{0}", "A\\\n\\\n\\", "HEALTHCHECK \u{a0} x", "ONBUILDé x"]
    {
        let _ = parse("Dockerfile", text.as_bytes());
        let _ = parse("Dockerfile", format!("FROM x\n{text}").as_bytes());
    }
    let _ = parse("Dockerfile", &[0xff, 0xfe, b'\n', 0xc0]);
}
