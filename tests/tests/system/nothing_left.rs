//! After a lab nothing is left on the machine: no process, mount, link, control group or file.

use crate::world::World;
use isolab_tests::ensure;
use isolab_tests::harness::Outcome;
use isolab_tests::traces::Look;
use std::process::Stdio;
use std::time::Duration;

fn nothing_since(before: &Look, world: &World) -> Outcome {
    let left = before.left_since(&world.owner);
    ensure!(left.is_empty(), "left behind: {}", left.join("; "));
    Ok(())
}

pub fn by_a_command_in_a_lab(world: &World) -> Outcome {
    for (script, code) in [("true", 0), ("false", 1)] {
        let before = Look::now(&world.owner);
        let ended = world.lab(script)?;
        ensure!(ended.code() == code, "`{script}` ended with {}: {}", ended.code(), ended.stderr);
        nothing_since(&before, world)?;
    }
    Ok(())
}

pub fn by_containers_that_still_run(world: &World) -> Outcome {
    let before = Look::now(&world.owner);
    world.prints("for i in 1 2 3; do docker run -d ubuntu sleep 3600; done; setsid sleep 3600 & ip link add left0 type veth peer name left1")?;
    nothing_since(&before, world)
}

/// Killed, a program cannot clean up after itself: the kernel has to, because everything hangs on one process. Only the
/// folder of its agent's socket stays, which is in a place of this test's own.
pub fn by_a_killed_program(world: &World) -> Outcome {
    let folder = tempfile::tempdir()?;
    let before = Look::now(&world.owner);
    for wait in [20, 100, 400, 1500] {
        let mut lab = world
            .isolab(&["lab", "-c", "docker run -d ubuntu sleep 3600; sleep 3600"])
            .env("TMPDIR", folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        // Killed while it starts the agent, while the lab opens, and while it runs.
        std::thread::sleep(Duration::from_millis(wait));
        lab.kill()?;
        lab.wait()?;
    }
    nothing_since(&before, world)
}

/// The last of all tests: since before the first.
pub fn by_all_of_these_tests(world: &World) -> Outcome {
    nothing_since(&world.before, world)
}
