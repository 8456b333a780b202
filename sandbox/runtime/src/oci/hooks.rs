//! Hooks: programs of the engine's that are told the container's state at points of its life.
//!
//! `prestart` and `createRuntime` run when the container is set up and before its program is executed (the Spec
//! asks for a moment before its root is pivoted to; what they do to its namespaces works the same), `poststart` after that,
//! `poststop` when it is deleted. `createContainer` and `startContainer`, which would run inside it, are refused.

use super::Failure;
use super::store::Record;
use oci_spec::runtime::{ContainerState, Hook, Hooks, Spec};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a hook with a timeout is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    Created,
    Started,
    Stopped,
}

/// An error where the Spec has hooks that would run inside the container.
pub fn check(spec: &Spec) -> Result<(), Failure> {
    let Some(hooks) = spec.hooks() else { return Ok(()) };
    for (name, inside) in
        [("createContainer", hooks.create_container()), ("startContainer", hooks.start_container())]
    {
        if inside.as_ref().is_some_and(|list| !list.is_empty()) {
            return Err(Failure::plain(format!(
                "config.json: hooks.{name} is not supported: use hooks.createRuntime, which is told the pid"
            )));
        }
    }
    Ok(())
}

/// Whether there is anything to run at this point.
pub fn are_there(spec: &Spec, point: Point) -> bool {
    spec.hooks().as_ref().is_some_and(|hooks| at(hooks, point).next().is_some())
}

/// Runs the hooks of this point in order. The first that fails is the error, except at the end: a container that has
/// started or stopped has done so whatever a hook says, and its failures are only told.
pub fn run(record: &Record, point: Point, status: ContainerState) -> Result<(), Failure> {
    let Some(hooks) = record.spec.hooks() else { return Ok(()) };
    let state = serde_json::to_vec(&record.state(status))
        .map_err(|error| Failure::plain(format!("encoding the state: {error}")))?;
    for hook in at(hooks, point) {
        match run_one(hook, &state) {
            Err(failure) if point == Point::Created => return Err(failure),
            Err(failure) => eprintln!("isolab-runtime: {failure}"),
            Ok(()) => {}
        }
    }
    Ok(())
}

#[allow(deprecated, reason = "Docker's network is set up by a prestart hook still")]
fn at(hooks: &Hooks, point: Point) -> impl Iterator<Item = &Hook> {
    let (first, second) = match point {
        Point::Created => (hooks.prestart(), hooks.create_runtime()),
        Point::Started => (hooks.poststart(), &None),
        Point::Stopped => (hooks.poststop(), &None),
    };
    first.iter().chain(second).flatten()
}

fn run_one(hook: &Hook, state: &[u8]) -> Result<(), Failure> {
    let path = hook.path();
    let failed = |error| Failure::new(format!("running the hook {path:?}"), error);
    let mut child = command(hook).spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its state; the pipe holds all of it either way.
        let _ = stdin.write_all(state);
    }
    let status = match hook.timeout() {
        Some(seconds) => wait_at_most(&mut child, Duration::from_secs(seconds.unsigned_abs())),
        None => child.wait().map(Some),
    };
    match status.map_err(failed)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Failure::plain(format!("the hook {path:?} failed: {status}"))),
        None => Err(Failure::plain(format!("the hook {path:?} took longer than its timeout"))),
    }
}

fn command(hook: &Hook) -> Command {
    let mut command = Command::new(hook.path());
    let mut arguments = hook.args().iter().flatten();
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    let variables = hook.env().iter().flatten().filter_map(|variable| variable.split_once('='));
    command.args(arguments).env_clear().envs(variables).stdin(Stdio::piped()).stdout(Stdio::null());
    // A group of its own, so that a hook that takes too long ends with all that it has started.
    command.process_group(0);
    command
}

/// `None` where it took longer, and was killed with its process group.
fn wait_at_most(child: &mut Child, time: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK_EVERY);
    }
    // Not waited for yet, so that the pid is nobody else's.
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process_group(group, Signal::KILL)?;
    }
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::process::Identity;
    use std::io::Read;
    use std::os::fd::AsRawFd;

    fn record(hooks: serde_json::Value) -> Record {
        let spec = serde_json::json!({"ociVersion": "1.0.2", "hooks": hooks});
        Record {
            id: "a".into(),
            bundle: "/b".into(),
            init: Identity { pid: 7, started_at_ms: 1 },
            created_at_ms: 0,
            annotations: None,
            group: None,
            spec: serde_json::from_value(spec).unwrap(),
        }
    }

    fn shell(script: &str) -> serde_json::Value {
        serde_json::json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["A=b"]})
    }

    #[test]
    fn a_hook_is_told_the_state() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let script = format!("/bin/cat > {0}; echo \"$A\" >> {0}", file.path().display());
        let record = record(serde_json::json!({"createRuntime": [shell(&script)]}));
        run(&record, Point::Started, ContainerState::Created).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "", "it is not its time");
        run(&record, Point::Created, ContainerState::Created).unwrap();
        let told = std::fs::read_to_string(&file).unwrap();
        assert!(told.contains(r#""pid":7"#) && told.contains(r#""status":"created""#), "{told}");
        assert!(told.ends_with("b\n"), "{told}");
    }

    #[test]
    fn a_hook_that_fails_or_hangs_is_an_error_before_the_start_only() {
        let failing = |hook| record(serde_json::json!({"prestart": [hook], "poststop": [shell("exit 3")]}));
        let error = run(&failing(shell("exit 3")), Point::Created, ContainerState::Created).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
        run(&failing(shell("exit 3")), Point::Stopped, ContainerState::Stopped).unwrap();
        // A child of its own holds the pipe open as long as it lives.
        let (mut ends, pipe) = std::io::pipe().unwrap();
        let mut hanging =
            shell(&format!("/bin/sleep 100 3>/proc/{}/fd/{} & wait", std::process::id(), pipe.as_raw_fd()));
        hanging["timeout"] = 1.into();
        let error = run(&failing(hanging), Point::Created, ContainerState::Created).unwrap_err();
        assert!(error.to_string().contains("timeout"), "{error}");
        drop(pipe);
        assert_eq!(ends.read(&mut [0]).unwrap(), 0, "what the hook has started is there still");
    }

    #[test]
    fn a_hook_inside_the_container_is_refused() {
        let inside = record(serde_json::json!({"startContainer": [shell("true")]}));
        assert!(check(&inside.spec).unwrap_err().to_string().contains("startContainer"));
        check(&record(serde_json::json!({"startContainer": []})).spec).unwrap();
    }
}
