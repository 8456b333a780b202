//! `isolab lesson`: the lessons prove themselves in real labs.

use crate::world::World;
use isolab_tests::ensure;
use isolab_tests::harness::Outcome;
use isolab_tests::programs;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Every lesson in a sandbox lab: those in virtual machines take the programs as users build them (`make lessons-vm`). Each opens a lab for each solution, mistake and cheat, and waits for states to settle.
const ALL_LESSONS_MAX: Duration = Duration::from_secs(600);

pub fn every_lesson_proves_itself(world: &World) -> Outcome {
    let ended = programs::run(&mut world.isolab(&["lesson", "test", "--tier", "sandbox"]), ALL_LESSONS_MAX)?;
    ensure!(
        ended.code() == 0,
        "`isolab lesson test` ended with {}: {}{}",
        ended.code(),
        ended.stdout,
        ended.stderr
    );
    Ok(())
}

pub fn list_and_lint(world: &World) -> Outcome {
    let list = world.run(&["lesson", "list", "--json"])?;
    let report: Value = serde_json::from_str(&list.stdout)?;
    let lessons = report["lessons"].as_array().map_or(0, Vec::len);
    ensure!(lessons >= 2, "{lessons} lessons: {report}");
    let lint = world.run(&["lesson", "lint"])?;
    ensure!(lint.code() == 0, "the lint ended with {}: {}{}", lint.code(), lint.stdout, lint.stderr);
    let nothing = world.run(&["lesson", "test", "no-such-lesson"])?;
    ensure!(nothing.code() != 0, "testing no lesson at all passed: {}", nothing.stdout);
    Ok(())
}

/// A lesson that breaks each of its promises once: the test of lessons has to find every one, and nothing else.
pub fn broken_promises_are_found(world: &World) -> Outcome {
    let lessons = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lessons/fixtures/unproven");
    let mut test = world.isolab(&["lesson", "test", "--json"]);
    let ended = programs::run(test.env("ISOLAB_LESSONS", lessons), ALL_LESSONS_MAX)?;
    ensure!(ended.code() == 1, "it ended with {}: {}{}", ended.code(), ended.stdout, ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout)?;
    let expected = [
        ("unsolved", "at-once passes"),
        ("the commands of the page", "the page shows `goodbye`, the lab printed `hello`"),
        ("trusting/wrong/another-message.sh", "should say: What no verdict says."),
        ("trusting/wrong/kept.sh", ""),
        ("trusting/cheats/renamed.sh", "counts as solved"),
        ("trusting/solution.sh", "after a reset of the exercise"),
        ("unsolvable/wrong/fails.sh", "the script ended with status 125"),
        ("unsolvable/cheats/kept.sh", ""),
        ("unsolvable/solution.sh", "never stays open"),
        ("always/wrong/nothing.sh", "counts as solved"),
        ("always/cheats/nothing.sh", "counts as solved"),
        ("always/solution.sh", "at-once passes"),
    ];
    let cases = report["cases"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(cases.len() == expected.len(), "{} cases: {report:#}", cases.len());
    for (case, (name, why)) in cases.iter().zip(expected) {
        let result = if why.is_empty() { "passed" } else { "failed" };
        ensure!(case["case"] == name && case["result"] == result, "not {name} {result}: {case:#}");
        ensure!(
            case["why"].as_str().unwrap_or_default().contains(why),
            "{name} does not say {why}: {case:#}"
        );
    }
    Ok(())
}
