//! What a lab in a virtual machine is good for, and that it is used like any other.

use crate::world::{World, descendants};
use isolab_protocol::terminal::ClientFrame;
use isolab_tests::harness::Outcome;
use serde_json::json;
use std::time::Duration;

pub fn the_lab_host_is_a_whole_machine(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let lab = agent.machine("whole").await;
        let own = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let release = lab.ok("uname -r").await;
        assert_ne!(release, own.trim(), "a kernel of its own");
        assert_eq!(lab.ok("id -u; hostname").await, "0\nlabhost");
        assert_eq!(lab.ok("cat /proc/self/uid_map | xargs").await, "0 0 4294967295", "real root");
        assert_eq!(lab.ok("cat /sys/module/apparmor/parameters/enabled").await, "Y");
        let controllers = lab.ok("cat /sys/fs/cgroup/cgroup.controllers").await;
        for controller in ["cpu", "memory", "pids"] {
            assert!(controllers.split(' ').any(|word| word == controller), "{controllers}");
        }
        lab.ok("modprobe loop && test -b /dev/vda && mkdir /m && mount /dev/vda /m && test -e /m/etc/passwd && umount /m")
            .await;
        let view = lab.view().await;
        assert_eq!(view["tier"], "vm");
        assert!(view["tier_why"].as_str().unwrap().contains("kernel of its own"), "{view}");
        assert!(view["memory_kib"].as_u64().unwrap() > 0, "{view}");
        let links = lab.ok("ls /sys/class/net | xargs").await;
        assert_eq!(links, "docker0 lo", "no way out");
        // A sandbox lab beside it is what it always was.
        let other = agent.open(json!({ "id": "sandbox" })).await;
        other.ready(0).await;
        assert_eq!(other.ok("uname -r").await, own.trim());
        assert_eq!(other.view().await["tier"], "sandbox");
    })
}

pub fn docker_default_is_loaded_and_enforced(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let lab = agent.machine("apparmor").await;
        let label = "cat /proc/1/attr/current";
        for options in ["", "--security-opt apparmor=docker-default"] {
            assert_eq!(
                lab.ok(&format!("docker run --rm {options} ubuntu {label}")).await,
                "docker-default (enforce)"
            );
        }
        let unconfined = format!("docker run --rm --security-opt apparmor=unconfined ubuntu {label}");
        assert_eq!(lab.ok(&unconfined).await, "unconfined");
        let absent = lab.run("docker run --rm --security-opt apparmor=absent ubuntu true").await;
        assert!(absent.status != 0 && absent.stderr.contains("apparmor profile"), "{absent:?}");
        // What only the profile refuses: capabilities and the filter allow this mount.
        let mount = "mount -t tmpfs none /tmp && echo mounted";
        let options = "--rm --cap-add SYS_ADMIN --security-opt seccomp=unconfined";
        let refused = lab.run(&format!("docker run {options} alpine sh -c '{mount}'")).await;
        assert!(refused.status != 0 && refused.stderr.contains("denied"), "{refused:?}");
        let open = format!("docker run {options} --security-opt apparmor=unconfined alpine sh -c '{mount}'");
        assert_eq!(lab.ok(&open).await, "mounted");
        // A profile of the learner's own.
        let profile =
            "profile mine flags=(attach_disconnected) { file, deny /etc/passwd r, capability, network, }";
        lab.ok(&format!("echo '{profile}' | apparmor_parser -r")).await;
        let own = lab.run("docker run --rm --security-opt apparmor=mine ubuntu cat /etc/passwd").await;
        assert!(own.status != 0 && own.stderr.contains("Permission denied"), "{own:?}");
        assert_eq!(lab.ok("docker run --rm ubuntu head -c 4 /etc/passwd").await, "root");
    })
}

pub fn limits_are_kept_by_the_kernel(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let lab = agent.machine("limits").await;
        let eat = "docker run --name eater --memory 64m ubuntu sh -c 'head -c 200m /dev/zero | tail | wc -c'";
        let eaten = lab.run(eat).await;
        assert!(!eaten.stdout.starts_with("209715200"), "200 MiB fit into 64: {eaten:?}");
        let killed = lab.ok("docker inspect --format '{{.State.OOMKilled}}' eater").await;
        assert_eq!(killed, "true", "{eaten:?}");
        let limits = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/pids.max /sys/fs/cgroup/cpu.max";
        let run = format!("docker run --rm --memory 64m --pids-limit 20 --cpus 0.5 ubuntu sh -c '{limits}'");
        assert_eq!(lab.ok(&run).await, "67108864\n20\n50000 100000");
        let bomb = "for i in $(seq 40); do sleep 20 & done; wait";
        let stopped = lab.run(&format!("docker run --rm --pids-limit 20 ubuntu bash -c '{bomb}'")).await;
        assert!(stopped.stderr.contains("Resource temporarily unavailable"), "{stopped:?}");
    })
}

pub fn commands_and_terminals_are_as_in_a_sandbox(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let lab = agent.machine("alike").await;
        let request = json!({ "argv": ["sh", "-c", "cat; echo oops >&2; exit 7"], "stdin": "in\n" });
        let (_, ran) = agent.client.post(&lab.path("/exec"), &request).await;
        assert_eq!(
            (&ran["status"], &ran["stdout"], &ran["stderr"]),
            (&json!(7), &json!("in\n"), &json!("oops\n"))
        );
        assert_eq!(lab.run("kill -9 $$").await.status, 137);
        let (_, ran) = agent.client.post(&lab.path("/exec"), &json!({ "argv": ["/no/such"] })).await;
        assert_eq!(ran["status"], 127, "{ran}");
        let (status, refused) = agent.client.post(&lab.path("/exec"), &json!({ "argv": [] })).await;
        assert_eq!(status, 400, "{refused}");
        let slow = json!({ "argv": ["sleep", "60"], "seconds_max": 1 });
        assert_eq!(agent.client.post(&lab.path("/exec"), &slow).await.1["status"], 124);

        let mut terminal = agent.client.terminal(&lab.id, "host").await;
        terminal.hello(0).await;
        terminal.ask("echo $((40 + 2)) $TERM", "42 xterm-256color").await;
        terminal.send(ClientFrame::Resize { cols: 100, rows: 30 }).await;
        terminal.ask("stty size", "30 100").await;
        let seen = terminal.seq;
        drop(terminal);
        let mut again = agent.client.terminal(&lab.id, "host").await;
        again.hello(seen).await;
        again.ask("echo again-$((1))", "again-1").await;
        assert!(
            !String::from_utf8_lossy(&again.output).contains("xterm-256color"),
            "it goes on where it stopped"
        );
        again.type_in("exit 3\r").await;
        assert_eq!(again.until_exit().await, 3);
        let mut flood = agent.client.terminal(&lab.id, "other").await;
        flood.hello(0).await;
        flood.ask("seq 200000; echo flood-$((1))", "flood-1").await;
    })
}

pub fn what_happens_is_observed(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let lab = agent.machine("seen").await;
        let mut events = agent.client.events(&lab.path("/observations")).await;
        events.wait_for("lab", |lab| lab["phase"] == "ready").await;
        let first = events.wait_for("observation", |_| true).await;
        assert_eq!(first["lab"], "seen", "under the host's name for it");
        lab.ok("docker run -d --name watched ubuntu sleep 7781").await;
        let seen = events.wait_for("observation", |seen| seen["containers"][0]["name"] == "watched").await;
        assert!(seen["seq"].as_u64() > first["seq"].as_u64());
        let init = &seen["containers"][0]["init"];
        assert_eq!(init["lsm_label"], "docker-default (enforce)", "{init}");
        assert_eq!(init["executable"]["pristine"], true, "{init}");
        assert_eq!(init["argv"], json!(["sleep", "7781"]));
        let names = |seen: &serde_json::Value| {
            let all = seen["host"]["processes"].as_array().unwrap().iter();
            all.map(|process| process["comm"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let host = names(&seen);
        assert!(host.iter().any(|name| name == "isolab-engine"), "{host:?}");
        assert!(
            !host.iter().any(|name| name.starts_with("kworker")),
            "the kernel's own threads are nobody's: {host:?}"
        );
        assert_eq!(seen["containers"].as_array().unwrap().len(), 1, "{seen}");
        let copied =
            "docker exec watched sh -c 'cp /bin/sleep /bin/other && (/bin/other 7782 &) && sleep 0.1'";
        lab.ok(copied).await;
        let (_, seen) = agent.client.get(&lab.path("/observation")).await;
        let all = seen["containers"][0]["processes"].as_array().unwrap();
        let other = all.iter().find(|process| process["argv"][0] == "/bin/other").expect("the copy runs");
        assert_eq!(other["executable"]["pristine"], false, "{other}");
        lab.ok("docker rm -f watched").await;
        events.wait_for("observation", |seen| seen["containers"] == json!([])).await;
    })
}

pub fn qemu_is_confined(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let (first, second) = (agent.machine("one").await, agent.machine("two").await);
        let pids = descendants(agent.pid(), "qemu-system");
        assert_eq!(pids.len(), 2, "one for each lab");
        let mut uids = std::collections::BTreeSet::new();
        for pid in &pids {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                line.trim().trim_start_matches(':').trim().to_owned()
            };
            for set in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(field(set), "0000000000000000", "{set}");
            }
            assert_eq!((field("NoNewPrivs").as_str(), field("Seccomp").as_str()), ("1", "2"));
            uids.insert(field("Uid"));
            for kind in ["user", "pid", "mnt", "net", "uts", "ipc"] {
                let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
                assert_ne!(of(&pid.to_string()), of("self"), "{kind}");
            }
            let network = std::fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
            assert_eq!(network.lines().count(), 3, "nothing but lo: {network}");
            let files = std::fs::read_dir(format!("/proc/{pid}/root")).unwrap();
            let names: Vec<String> =
                files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
            for name in ["root", "home", "var", "tmp", "srv"] {
                assert!(!names.iter().any(|other| other == name), "QEMU sees /{name}: {names:?}");
            }
        }
        assert_eq!(uids.len(), 2, "an id of its own for each: {uids:?}");
        assert!(uids.iter().all(|uid| !uid.starts_with("0\t")), "none is root: {uids:?}");
        first.end().await;
        second.end().await;
        let gone = async || descendants(agent.pid(), "qemu-system").is_empty();
        agent.until("both are gone", gone).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    })
}
