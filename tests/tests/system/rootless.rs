//! An ordinary user's own engine on the lab host: whose its containers are, and what they cannot reach.

use crate::world::World;
use isolab_tests::ensure;
use isolab_tests::harness::Outcome;
use isolab_tests::programs::Ended;

/// What the learner's shell does first: an engine that is ready, and whose pid is `$engine`.
const BEGIN: &str = "
dockerd-rootless.sh 2>/tmp/engine.log & engine=$!
export DOCKER_HOST=unix://$XDG_RUNTIME_DIR/docker.sock
for _ in $(seq 200); do docker version >/dev/null 2>&1 && break; sleep 0.05; done
docker version >/dev/null || cat /tmp/engine.log >&2
";

/// Runs a script as the ordinary user of a fresh lab host, with an engine; `after` runs as its root, once that has ended.
fn as_learner(world: &World, script: &str, after: &str) -> Result<Ended, std::io::Error> {
    world.lab(&format!("su - learner <<'LEARNER'\n{BEGIN}\n{script}\nLEARNER\n{after}"))
}

pub fn root_inside_is_the_user_outside(world: &World) -> Outcome {
    let ended = as_learner(
        world,
        "docker run --rm -v ~:/h ubuntu sh -c 'tr -s \" \" </proc/self/uid_map; id -u; echo >/h/mine; echo >/h/other; chown 5 /h/other'
         stat -c '%u %n' mine other
         docker run -d --name long busybox sleep 1000 >/dev/null
         ps -o user= -C sleep
         docker info -f '{{.SecurityOptions}} {{.DockerRootDir}} {{.CgroupDriver}}'
         docker run --rm --user 5 busybox id -u
         copies() { ls .local/share/docker/layers | wc -l; }; copies; docker rm -f long >/dev/null
         docker rmi $(docker images --format '{{.Repository}}:{{.Tag}}' | grep -v busybox:) >/dev/null; copies",
        "",
    )?;
    let wanted = " 0 1000 1\n 1 120480 4096\n0\n1000 mine\n120484 other\nlearner\n";
    ensure!(ended.stdout.starts_with(wanted), "{ended:?}");
    ensure!(
        ended.stdout.contains("name=rootless name=cgroupns] /home/learner/.local/share/docker none\n5\n"),
        "{ended:?}"
    );
    // The layers of ubuntu (two) and busybox, which alone is kept.
    ensure!(ended.stdout.ends_with("\n5\n3\n1\n"), "{ended:?}");
    Ok(())
}

pub fn an_escape_leads_to_the_user_only(world: &World) -> Outcome {
    let ended = as_learner(
        world,
        "docker run --rm --privileged --pid=host -v /:/host ubuntu sh -c '
           for refused in \"touch /host/etc/x\" \"ls /host/root\" \"chroot /host cat /etc/shadow\" \"kill -9 1\" \"cat /proc/1/environ\" \\
             \"nsenter -t 1 -m true\" \"nsenter -t 1 -n true\" \"chroot /host mount -o remount,rw /usr/lib/isolab/images/archives\"; do
             if $refused >/dev/null 2>&1; then echo done: $refused; else echo refused; fi
           done
           chroot /host mount -t tmpfs t /home/learner/.docker/run && echo mounted
           ls -d /host/home/learner; cat /proc/1/comm'
         ls .docker/run/docker.sock",
        "ls -d /etc/x /home/learner/.docker/run/docker.sock",
    )?;
    let wanted = "refused\n".repeat(8) + "mounted\n/host/home/learner\nisolab-engine\n";
    // What it may do to mounts it does to those of its own namespace: the lab host's are as they were.
    let wanted = wanted + ".docker/run/docker.sock\n/home/learner/.docker/run/docker.sock\n";
    ensure!(ended.stdout == wanted, "{ended:?}");
    Ok(())
}

pub fn ports_are_opened_on_the_lab_host(world: &World) -> Outcome {
    let ended = as_learner(
        world,
        "docker run -d --name web -p 8080:80 -p 5353:5353/udp busybox sh -c 'echo hello >/index.html; httpd -f -p 80 -h /' >/dev/null
         for _ in $(seq 100); do curl -s http://127.0.0.1:8080/ && break; sleep 0.05; done
         docker run --rm -p 8080:80 busybox true
         docker run --rm -p 80:80 busybox true
         docker port web 5353/udp | head -n 1; ip -brief addr show docker0
         docker rm -f web
         curl -s http://127.0.0.1:8080/ || echo closed
         docker run --rm -p 8080:80 busybox echo again",
        "",
    )?;
    let lines: Vec<&str> = ended.stdout.lines().collect();
    ensure!(
        lines.len() == 6
            && lines[..2] == ["hello", "0.0.0.0:5353"]
            && lines[3..] == ["web", "closed", "again"],
        "{ended:?}"
    );
    // Both engines have a docker0; this one is root's, which has no container.
    ensure!(lines[2].contains("172.17.0.1/16"), "{ended:?}");
    ensure!(ended.stderr.contains("8080 failed: port is already allocated"), "{ended:?}");
    ensure!(ended.stderr.contains("cannot expose privileged port 80, "), "{ended:?}");
    Ok(())
}

pub fn two_engines_know_nothing_of_each_other(world: &World) -> Outcome {
    let ended = as_learner(
        world,
        "docker run -d --name mine ubuntu sleep 1000 >/dev/null
         docker tag ubuntu mine:1
         printf 'FROM busybox\\nRUN echo made >/x\\n' | docker build -q -t made - >/dev/null
         docker run --rm made cat /x
         docker image inspect -f x mine:1 made 2>/dev/null | grep -c x
         docker -H unix:///run/docker.sock ps 2>&1 | grep -o 'permission denied' | head -n 1
         docker ps --format '{{.Names}}'
         kill $engine; wait $engine; echo ended $?
         dockerd-rootless.sh 2>/dev/null &
         for _ in $(seq 200); do docker version >/dev/null 2>&1 && break; sleep 0.05; done
         docker ps -a --format '{{.Names}} {{.State}}'; docker image inspect -f x mine:1 made 2>/dev/null | grep -c x",
        "docker ps -aq | wc -l; docker image inspect -f x mine:1 made 2>/dev/null | grep -c x",
    )?;
    let wanted = "made\n2\npermission denied\nmine\nended 0\nmine exited\n2\n0\n0\n";
    ensure!(ended.stdout == wanted, "{ended:?}");
    Ok(())
}

pub fn nothing_outlives_the_engine(world: &World) -> Outcome {
    for signal in ["TERM", "KILL"] {
        let ended = as_learner(
            world,
            &format!(
                "docker run -d -p 8080:80 busybox sleep 1000 >/dev/null
                 pgrep -u learner -c .
                 kill -{signal} $engine; wait $engine 2>/dev/null
                 for _ in $(seq 200); do pgrep -u learner 'sleep|isolab' >/dev/null || break; sleep 0.05; done"
            ),
            "pgrep -u learner -a .; pgrep -a sleep; curl -s http://127.0.0.1:8080/ || echo closed",
        )?;
        let (before, after) = ended.stdout.split_once('\n').unwrap_or_default();
        ensure!(
            before.parse::<u32>().unwrap_or(0) >= 5,
            "the engine and its container were not there: {ended:?}"
        );
        ensure!(after == "closed\n", "after SIG{signal}: {ended:?}");
    }
    Ok(())
}

pub fn who_cannot_have_one_is_told_why(world: &World) -> Outcome {
    let ended = world.lab(
        "dockerd-rootless.sh; echo $?
         su learner -c 'unset XDG_RUNTIME_DIR; dockerd-rootless.sh'; echo $?
         useradd -m poor; sed -i /^poor/d /etc/subuid
         su - poor -c 'dockerd-rootless.sh; echo $?; dockerd-rootless-setuptool.sh check; echo $?'
         su - learner -c 'mkdir -p .config/docker; echo {\\\"userns-remap\\\": \\\"default\\\"} >.config/docker/daemon.json; dockerd-rootless.sh'; echo $?
         su - learner -c 'rm .config/docker/daemon.json; dockerd-rootless-setuptool.sh check'
         su - learner -c 'dockerd-rootless-setuptool.sh install' | grep -c DOCKER_HOST=unix:///home/learner",
    )?;
    ensure!(ended.stdout == "1\n2\n1\n1\n1\n[INFO] Requirements are satisfied\n1\n", "{ended:?}");
    for words in [
        "refusing to run as root",
        "export XDG_RUNTIME_DIR=",
        "poor has no line in /etc/subuid",
        "/etc/subuid has no ids for poor",
        "userns-remap cannot be set when rootless mode is enabled",
    ] {
        ensure!(ended.stderr.contains(words), "nobody says {words:?}: {ended:?}");
    }
    Ok(())
}
