//! `isolab doctor`: what this machine can do, said to people and to programs alike.

use crate::world::World;
use isolab_tests::ensure;
use isolab_tests::harness::Outcome;
use serde_json::Value;

pub fn json_and_text_agree(world: &World) -> Outcome {
    let json = world.run(&["doctor", "--json"])?;
    let report: Value = serde_json::from_str(&json.stdout)?;
    let capabilities = report["capabilities"].as_array().cloned().unwrap_or_default();
    ensure!(capabilities.len() >= 5, "only {} capabilities: {report}", capabilities.len());
    let text = world.run(&["doctor"])?;
    ensure!(text.code() == json.code(), "the text ends with {}, the JSON with {}", text.code(), json.code());
    let mut missing = false;
    for capability in &capabilities {
        let name = capability["name"].as_str().unwrap_or_default();
        ensure!(!name.is_empty() && text.stdout.contains(name), "the text does not name {capability}");
        let available = capability["available"].as_bool();
        ensure!(available.is_some(), "neither there nor missing: {capability}");
        ensure!(
            capability["why"].as_str().is_some_and(|why| !why.is_empty()),
            "no word on why: {capability}"
        );
        missing |= available == Some(false) && capability["required"] == Value::Bool(true);
    }
    ensure!(
        missing == (json.code() != 0),
        "exit status {} with something required missing: {missing}",
        json.code()
    );
    Ok(())
}
