//! The genuine docker command line against our engine, as any tutorial uses it.

use crate::world::World;
use isolab_tests::ensure;
use isolab_tests::harness::Outcome;
use isolab_tests::programs::Ended;

pub fn it_is_the_genuine_command_line(world: &World) -> Outcome {
    let seen = world.prints("docker --version; head -c4 $(command -v docker) | od -An -c")?;
    ensure!(
        seen.starts_with("Docker version ") && seen.contains("E   L   F"),
        "not Docker's own program: {seen}"
    );
    Ok(())
}

pub fn version_and_info(world: &World) -> Outcome {
    let version = world
        .prints("docker version --format '{{.Client.Os}} {{.Server.Version}} {{.Server.KernelVersion}}'")?;
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    ensure!(
        version.starts_with("linux ") && version.trim().ends_with(kernel.trim()),
        "docker version: {version}"
    );
    let info = world.prints("docker run -d ubuntu sleep 60 >/dev/null; docker info")?;
    for wanted in ["Containers: 1", "Running: 1", "Storage Driver: overlay2", "seccomp"] {
        ensure!(info.contains(wanted), "docker info does not say {wanted:?}: {info}");
    }
    Ok(())
}

pub fn images_say_what_they_are(world: &World) -> Outcome {
    let images = world.prints("docker images --format '{{.Repository}}:{{.Tag}} {{.ID}}'")?;
    let id = |name: &str| images.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    for name in ["alpine:latest", "busybox:latest", "debian:latest", "ubuntu:latest"] {
        let wanted = id(name).unwrap_or_default();
        ensure!(!wanted.is_empty(), "no {name}: {images}");
        let said = images.lines().any(|line| line.starts_with("isolab/") && line.ends_with(wanted));
        ensure!(said, "nothing beside {name} says where it comes from: {images}");
    }
    let release = world.prints("docker run --rm ubuntu cat /etc/os-release")?;
    let real = release.contains("ID=ubuntu");
    ensure!(
        real || release.contains("standing in for Ubuntu"),
        "ubuntu passes for what it is not: {release}"
    );
    let release = world.prints("docker run --rm alpine cat /etc/os-release")?;
    ensure!(release.contains("standing in for Alpine"), "alpine passes for what it is not: {release}");
    Ok(())
}

pub fn run_passes_options_on(world: &World) -> Outcome {
    let command = "docker run --rm -e COLOUR=red -w /var --user 1000:1000 ubuntu sh -c 'echo $COLOUR $PWD $(id -u):$(id -g)'";
    let seen = world.prints(command)?;
    ensure!(seen == "red /var 1000:1000\n", "{seen:?}");
    let seen = world.prints("docker run --rm --hostname box busybox hostname")?;
    ensure!(seen == "box\n", "{seen:?}");
    Ok(())
}

pub fn run_passes_output_and_status_on(world: &World) -> Outcome {
    let ended = world.lab("docker run --rm ubuntu sh -c 'echo out; echo err >&2; exit 9'")?;
    ensure!(ended.code() == 9 && ended.stdout == "out\n", "{ended:?}");
    ensure!(ended.stderr.lines().any(|line| line == "err"), "{ended:?}");
    for (command, wanted) in [("/no/such/program", 127), ("/etc/passwd", 126)] {
        let ended = world.lab(&format!("docker run --rm ubuntu {command}"))?;
        ensure!(
            ended.code() == wanted,
            "{command} ended with {}, not {wanted}: {}",
            ended.code(),
            ended.stderr
        );
    }
    Ok(())
}

pub fn a_container_lives_its_life(world: &World) -> Outcome {
    let seen = world.prints(
        "docker run -d --name pid-test ubuntu sleep 3600 | wc -c
         docker ps --format '{{.Names}}|{{.Image}}|{{.Status}}'
         docker exec pid-test ps -ef | awk '/sleep/ {print \"inside\", $2}'
         pid=$(docker inspect --format '{{.State.Pid}}' pid-test)
         echo $(tr '\\0' ' ' </proc/$pid/cmdline)
         [ $pid != 1 ] && echo another pid outside
         docker rm -f pid-test
         docker ps -aq | wc -l",
    )?;
    let lines: Vec<&str> = seen.lines().collect();
    let wanted =
        ["65", "pid-test|ubuntu|Up", "inside 1", "sleep 3600", "another pid outside", "pid-test", "0"];
    ensure!(lines.len() == wanted.len(), "{seen}");
    for (line, wanted) in lines.iter().zip(wanted) {
        ensure!(line.starts_with(wanted), "{line:?} where {wanted:?} was wanted: {seen}");
    }
    Ok(())
}

pub fn names_and_removal(world: &World) -> Outcome {
    let seen = world.prints(
        "docker run --name once ubuntu true
         docker ps -a --format '{{.Names}} {{.Status}}'
         docker rm once
         docker run --rm ubuntu true
         docker run -d --rm --name short ubuntu sleep 0.2 >/dev/null; sleep 1
         docker ps -aq | wc -l
         docker run ubuntu true; docker ps -a --format '{{.Names}}'",
    )?;
    let lines: Vec<&str> = seen.lines().collect();
    ensure!(
        lines.len() == 4 && lines[0].starts_with("once Exited (0)") && lines[1] == "once" && lines[2] == "0",
        "{seen}"
    );
    ensure!(lines[3].contains('_'), "a container without a name has one of Docker's kind: {seen}");
    Ok(())
}

pub fn logs_follow(world: &World) -> Outcome {
    let seen = world.prints(
        "docker run -d --name log ubuntu sh -c 'for i in 1 2 3; do echo line $i; sleep 0.3; done; echo late >&2' >/dev/null
         timeout 20 docker logs -f log
         docker logs --tail 1 log 2>/dev/null",
    )?;
    ensure!(seen == "line 1\nline 2\nline 3\nline 3\n" || seen == "line 1\nline 2\nline 3\n", "{seen:?}");
    Ok(())
}

pub fn stop_kill_and_wait(world: &World) -> Outcome {
    let seen = world.prints(
        "docker run -d --name slow ubuntu sleep 3600 >/dev/null
         (docker wait slow) & sleep 0.5; docker stop -t 1 slow; wait
         docker run -d --name kin ubuntu sleep 3600 >/dev/null; docker kill kin; docker wait kin
         docker run -d --name trap ubuntu sh -c 'trap \"exit 5\" TERM; while :; do sleep 0.1; done' >/dev/null; sleep 0.5
         docker stop trap; docker inspect --format '{{.State.ExitCode}} {{.State.Running}}' trap",
    )?;
    let mut first: Vec<&str> = seen.lines().take(2).collect();
    first.sort_unstable();
    let rest: Vec<&str> = seen.lines().skip(2).collect();
    ensure!(first == ["137", "slow"] && rest == ["kin", "137", "trap", "5 false"], "{seen}");
    Ok(())
}

pub fn top_inspect_and_exec(world: &World) -> Outcome {
    let seen = world.prints(
        "docker run -d --name web -e A=b ubuntu sleep 3600 >/dev/null
         pid=$(docker inspect --format '{{.State.Pid}}' web)
         docker top web | awk -v pid=$pid '$2 == pid {print \"top has\", $NF}'
         docker inspect web | jq -r '.[0] | .Name, .Config.Cmd[1], .State.Status'
         docker exec web sh -c 'exit 4'; echo $?
         docker exec -e C=d -w /tmp --user 1000 web sh -c 'echo $A $C $PWD $(id -u)'",
    )?;
    ensure!(seen == "top has 3600\n/web\n3600\nrunning\n4\nb d /tmp 1000\n", "{seen:?}");
    Ok(())
}

pub fn a_terminal_in_a_container(world: &World) -> Outcome {
    let seen = world.prints(
        "export TERM=xterm
         script -qec \"docker run --rm -it ubuntu sh -c 'tty; echo T=\\$TERM'\" /dev/null
         docker run -dit --name box ubuntu >/dev/null
         script -qec \"docker exec -it box tty\" /dev/null",
    )?;
    let terminals = seen.matches("/dev/pts/").count();
    ensure!(terminals == 2 && seen.contains("T=xterm"), "{seen:?}");
    Ok(())
}

pub fn standard_input_reaches_a_container(world: &World) -> Outcome {
    let seen = world.prints(
        "seq 1 20000 | docker run -i --rm ubuntu sh -c 'wc -l; echo end'
         docker run -d --name box ubuntu sleep 60 >/dev/null; echo hello | docker exec -i box cat",
    )?;
    ensure!(seen == "20000\nend\nhello\n", "{seen:?}");
    Ok(())
}

fn says(ended: &Ended, code: i32, words: &str) -> Outcome {
    ensure!(ended.code() == code, "ended with {}, not {code}: {}", ended.code(), ended.stderr);
    let said = ended.stderr.to_lowercase();
    ensure!(said.contains(&words.to_lowercase()), "{:?} does not say {words:?}", ended.stderr);
    Ok(())
}

pub fn errors_are_dockers_own(world: &World) -> Outcome {
    says(&world.lab("docker stop nobody")?, 1, "Error response from daemon: No such container: nobody")?;
    says(&world.lab("docker inspect nobody")?, 1, "No such object: nobody")?;
    let twice =
        "docker run -d --name web ubuntu sleep 60 >/dev/null; docker run -d --name web ubuntu sleep 60";
    says(&world.lab(twice)?, 125, "Conflict. The container name \"/web\" is already in use by container")?;
    let running = "docker run -d --name web ubuntu sleep 60 >/dev/null; docker rm web";
    says(&world.lab(running)?, 1, "force remove")?;
    let ended = "docker run --name web ubuntu true; docker exec web true";
    says(&world.lab(ended)?, 1, "is not running")
}

pub fn what_is_missing_says_so(world: &World) -> Outcome {
    let ended = world.lab("docker run --rm no-such-image true")?;
    ensure!(ended.code() == 125 && ended.stderr.contains("no-such-image"), "{ended:?}");
    let ended = world.lab("docker swarm init")?;
    ensure!(ended.code() != 0 && ended.stderr.contains("Error response from daemon"), "{ended:?}");
    Ok(())
}

pub fn a_container_is_walled_in(world: &World) -> Outcome {
    let seen = world.prints(
        "docker run --rm --name wall ubuntu bash -c '
           awk \"/^(CapEff|Seccomp):/ {print \\$1, \\$2}\" /proc/self/status
           echo x >/proc/sys/kernel/domainname || echo /proc/sys is read-only
           head -c1 /proc/kcore | wc -c
           mount -t tmpfs none /mnt || echo no mount
           unshare --user true || echo no user namespace
           chmod 700 /tmp && chown 1:1 /tmp && echo but chown and chmod
           ls /sys/class/net | sort | xargs' 2>/dev/null",
    )?;
    let wanted = "CapEff: 00000000a80425fb\nSeccomp: 2\n/proc/sys is read-only\n0\nno mount\nno user namespace\nbut chown and chmod\neth0 lo\n";
    ensure!(seen == wanted, "{seen}");
    Ok(())
}
