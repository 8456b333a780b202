//! The counting of a test run (`scripts/tally.sh`): a run that could not fail would prove nothing. What the steps run is not
//! tried here.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::Command;

/// The last line of a run with these steps, all that it wrote, and whether it passed.
fn run(steps: &str) -> (String, String, bool) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let script = format!(". scripts/tally.sh\nLINGER_SECONDS_MAX=1\n{steps}\nfinish\n");
    let output = Command::new("bash").args(["-c", &script]).current_dir(root).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().last().unwrap_or_default().to_owned(), text, output.status.success())
}

#[test]
fn what_runners_count_is_added_up() {
    let (counts, text, passed) =
        run("step cargo echo 'test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured'
        step ours echo '5 passed, 0 failed, 2 skipped'
        step node printf '# pass 4\\n# fail 0\\n# skipped 1\\n'
        step other true
        skip_step absent 'there is none'");
    assert_eq!((counts.as_str(), passed), ("13 passed, 0 failed, 5 skipped", true), "{text}");
}

#[test]
fn a_step_that_fails_fails_the_run() {
    for (step, counts) in [
        ("false", "0 passed, 1 failed, 0 skipped"),
        ("sh -c 'echo 7 passed, 0 failed, 0 skipped; exit 1'", "7 passed, 1 failed, 0 skipped"),
        ("echo '7 passed, 2 failed, 0 skipped'", "7 passed, 2 failed, 0 skipped"),
    ] {
        let (last, text, passed) = run(&format!("step one {step}"));
        assert_eq!((last.as_str(), passed), (counts, false), "{text}");
        assert!(text.contains("FAILED: one"), "{text}");
    }
}

#[test]
fn a_run_in_which_nothing_passed_fails() {
    let (counts, text, passed) = run("skip_step all 'there is nothing'");
    assert_eq!((counts.as_str(), passed), ("0 passed, 0 failed, 1 skipped", false), "{text}");
}

#[test]
fn a_leaked_process_is_told_and_holds_nothing_up() {
    let (counts, text, passed) = run("step leaky sh -c 'sleep 20 & echo; exit 0'\nstep next true");
    assert_eq!((counts.as_str(), passed), ("1 passed, 1 failed, 0 skipped", false), "{text}");
    assert!(text.contains("LEAKED") && text.contains("sleep 20"), "{text}");
    assert!(text.contains("next: ok"), "{text}");
}

#[test]
fn a_step_that_hangs_is_ended_and_told() {
    // Its programs after the first are ended as well, and none of them comes to its last words; the next step is tried.
    let mark = std::process::id();
    let (counts, text, passed) = run(&format!(
        "STEP_SECONDS_MAX=1
        several() {{
          sh -c 'echo 2 passed, 0 failed, 0 skipped; sleep 31.{mark}; echo 4 passed, 0 failed, 0 skipped'
          sh -c 'sleep 31.{mark} & wait; echo 8 passed, 0 failed, 0 skipped'
          false
        }}
        step hanging several
        step next true"
    ));
    assert_eq!((counts.as_str(), passed), ("3 passed, 1 failed, 0 skipped", false), "{text}");
    assert!(text.contains("HANGS: \"hanging\" has taken 1 s") && text.contains("sleep 31."), "{text}");
    assert!(text.contains("FAILED: hanging") && text.contains("next: ok"), "{text}");
    let left = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.flat_map(|process| std::fs::read_to_string(process.path().join("cmdline")));
        lines.filter(|line| line.contains(&format!("31.{mark}"))).collect::<Vec<_>>()
    };
    // A busy machine takes a moment to end what was killed; by itself it would run for half a minute.
    let began = std::time::Instant::now();
    while !left().is_empty() && began.elapsed() < std::time::Duration::from_secs(5) {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(left(), [] as [String; 0], "it is left running");
}

#[test]
fn a_run_without_time_begins_nothing() {
    let (counts, text, passed) = run("step one true
        RUN_SECONDS_MAX=100
        step_if_time 50 two true
        step_if_time 150 three false
        RUN_SECONDS_MAX=0
        step four false");
    assert_eq!((counts.as_str(), passed), ("2 passed, 0 failed, 2 skipped", true), "{text}");
    assert!(text.contains("four: SKIPPED, because the time for this run is used up"), "{text}");
}
