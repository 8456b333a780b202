//! `isolab lab -c`: a command on a fresh lab host.

use crate::world::World;
use isolab_tests::ensure;
use isolab_tests::harness::Outcome;
use serde_json::Value;

pub fn exit_status_is_the_commands(world: &World) -> Outcome {
    for (script, wanted) in [("true", 0), ("exit 7", 7), ("kill -9 $$", 137), ("no-such-command", 127)] {
        let ended = world.lab(script)?;
        ensure!(
            ended.code() == wanted,
            "`{script}` ended with {}, not {wanted}: {}",
            ended.code(),
            ended.stderr
        );
    }
    Ok(())
}

pub fn output_and_errors_stay_apart(world: &World) -> Outcome {
    let ended = world.lab("echo to-out; echo to-err >&2")?;
    ensure!(ended.stdout == "to-out\n", "standard output: {:?}", ended.stdout);
    ensure!(ended.stderr.lines().any(|line| line == "to-err"), "standard error: {:?}", ended.stderr);
    Ok(())
}

pub fn the_lab_host_is_a_machine_of_its_own(world: &World) -> Outcome {
    let seen = world.prints(
        "hostname; id -un; cat /proc/1/comm; uname -r; tty || true; ls /dev/null; ip -br link show lo",
    )?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    for wanted in ["labhost", "root", "isolab-engine", kernel.trim(), "not a tty", "/dev/null", "lo"] {
        ensure!(seen.lines().any(|line| line.starts_with(wanted)), "no line with {wanted:?} in: {seen}");
    }
    let processes = world.prints("ls -d /proc/[0-9]* | wc -l")?;
    let count: u32 = processes.trim().parse()?;
    ensure!(count < 20, "{count} processes on a lab host that nobody has used");
    Ok(())
}

pub fn json_adds_what_the_kernel_says(world: &World) -> Outcome {
    let ended = world.run(&["lab", "--json", "-c", "docker run -d --name web ubuntu sleep 3600; exit 3"])?;
    ensure!(ended.code() == 3, "ended with {}: {}", ended.code(), ended.stderr);
    let report: Value = serde_json::from_str(&ended.stdout)?;
    ensure!(report["status"] == 3, "the report's status: {}", report["status"]);
    let containers = report["observation"]["containers"].as_array().cloned().unwrap_or_default();
    let sleeping = containers
        .iter()
        .flat_map(|container| container["processes"].as_array().cloned().unwrap_or_default());
    let argv: Vec<Value> = sleeping.map(|process| process["argv"].clone()).collect();
    ensure!(argv.contains(&serde_json::json!(["sleep", "3600"])), "no `sleep 3600` among {argv:?}");
    Ok(())
}
