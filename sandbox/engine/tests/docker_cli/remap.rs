//! `userns-remap`: containers whose root is nobody on the lab host, and back again.

use crate::configured::restart;
use crate::lab::{REMAPPED_COUNT, remapped_first};
use crate::with_one_client;
use std::io::Write;
use std::os::unix::fs::MetadataExt;

const REMAP: &str = r#"{"userns-remap": "remapped"}"#;

#[test]
fn a_container_s_root_is_nobody_on_the_lab_host() {
    with_one_client(|lab| {
        lab.ok(&["create", "--name", "before", "busybox", "true"]);
        if !std::path::Path::new("/etc/subgid").exists() {
            let _ = writeln!(
                std::io::stderr(),
                "SKIPPED, because this machine has no /etc/subgid (Debian's package passwd)"
            );
            return;
        }
        let answer = restart(lab, REMAP);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}\n{}", lab.log());
        let first = remapped_first();
        // As with Docker, what was there before is not lost, but elsewhere.
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
        let run = |flags: &[&str], script: &str| {
            lab.ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
        };
        let map = run(&[], "cat /proc/self/uid_map /proc/self/gid_map");
        let words: Vec<_> = map.split_whitespace().collect();
        let (outside, count) = (first.to_string(), REMAPPED_COUNT.to_string());
        let line = ["0", outside.as_str(), count.as_str()];
        assert_eq!(words, [line, line].concat());
        assert_eq!(
            run(&[], "id -u; stat -c '%u %g' /bin/busybox / /etc/hosts | sort -u; touch /x /etc/y"),
            "0\n0 0"
        );
        assert_eq!(run(&["-u", "app"], "id -u; cat /dev/null > /dev/stdout; echo said"), "1000\nsaid");
        // Seen from the lab host.
        lab.ok(&["run", "-d", "--name", "seen", "-v", "vol:/data", "busybox", "sleep", "3600"]);
        lab.ok(&["run", "-d", "--name", "app", "-u", "app", "busybox", "sleep", "3601"]);
        lab.ok(&["exec", "seen", "sh", "-c", "touch /made /data/made; chown 1000:1000 /made"]);
        let engine = format!("/proc/{}/root", lab.processes()[0]);
        let owner = |path: String| {
            let found = std::fs::symlink_metadata(format!("{engine}{path}")).unwrap();
            (lab.id_inside("uid_map", found.uid()), lab.id_inside("gid_map", found.gid()))
        };
        let upper = lab.ok(&["inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", "seen"]);
        assert!(upper.starts_with(&format!("/mnt/data/{first}.{first}/")), "{upper}");
        assert_eq!(owner(format!("{upper}/made")), (first + 1000, first + 1000));
        let volume = lab.ok(&["volume", "inspect", "-f", "{{.Mountpoint}}", "vol"]);
        assert_eq!(owner(format!("{volume}/made")), (first, first));
        let top = |name: &str| {
            let rows = lab.ok(&["top", name, "-eo", "pid,uid"]);
            rows.split_whitespace().nth(3).unwrap_or_else(|| panic!("{rows}")).to_owned()
        };
        assert_eq!(
            (top("seen").as_str(), top("app").as_str()),
            (outside.as_str(), (first + 1000).to_string().as_str())
        );
        assert_eq!(lab.ok(&["exec", "app", "id", "-u"]), "1000");
        assert!(lab.ok(&["info", "-f", "{{json .SecurityOptions}}"]).contains("name=userns"));
        // A network can be added while it runs.
        lab.ok(&["network", "create", "added"]);
        lab.ok(&["network", "connect", "added", "seen"]);
        let links = "ip -o link | grep -c ': eth'";
        assert_eq!(lab.ok(&["exec", "seen", "sh", "-c", links]), "2");
        lab.ok(&["network", "disconnect", "added", "seen"]);
        assert_eq!(lab.ok(&["exec", "seen", "sh", "-c", links]), "1");
        lab.ok(&["network", "rm", "added"]);
        // Archives and images have the owners that containers see.
        let owner_in = |archive: &[u8], wanted: &str| {
            let mut archive = tar::Archive::new(archive);
            let mut entries = archive.entries().unwrap().map(Result::unwrap);
            let found = entries.find(|entry| entry.path().unwrap() == std::path::Path::new(wanted));
            let header = found.unwrap_or_else(|| panic!("no {wanted}")).header().clone();
            (header.uid().unwrap(), header.gid().unwrap())
        };
        let archive = |arguments: &[&str]| lab.command(arguments).output().unwrap().stdout;
        let copied = archive(&["cp", "seen:/made", "-"]);
        assert_eq!(owner_in(&copied, "made"), (1000, 1000));
        let exported = archive(&["export", "seen"]);
        assert_eq!((owner_in(&exported, "made"), owner_in(&exported, "bin/busybox")), ((1000, 1000), (0, 0)));
        assert_eq!(lab.docker_with_input(&["cp", "-", "seen:/etc"], &copied).code, 0);
        assert_eq!(lab.ok(&["exec", "seen", "stat", "-c", "%u %g", "/etc/made"]), "1000 1000");
        lab.ok(&["commit", "seen", "kept"]);
        let dockerfile =
            "FROM kept\nRUN touch /new && chown 1000:1000 /new\nWORKDIR /w\nCOPY --from=kept /made /copied\n";
        let built = lab.docker_with_input(&["build", "-q", "-t", "built", "-"], dockerfile.as_bytes());
        assert_eq!(built.code, 0, "{built:?}");
        assert_eq!(
            lab.ok(&[
                "run",
                "--rm",
                "built",
                "stat",
                "-c",
                "%n %u %g",
                "/made",
                "/bin/busybox",
                "/new",
                "/w",
                "/copied"
            ]),
            "/made 1000 1000\n/bin/busybox 0 0\n/new 1000 1000\n/w 0 0\n/copied 1000 1000"
        );
        let copies =
            || std::fs::read_dir(format!("{engine}/mnt/data/{first}.{first}/layers")).unwrap().count();
        let before = copies();
        lab.ok(&["rmi", "built", "kept"]);
        assert!(copies() < before && copies() > 0, "{before} copies of layers, then {}", copies());
        // Its own walls still stand, and it has power over nothing outside.
        let caps = run(
            &[],
            "grep CapEff /proc/self/status | cut -f2; hostname inside 2>&1; ip link add d0 type dummy 2>&1; true",
        );
        assert!(caps.starts_with("00000000a80425fb"), "{caps}");
        // Out of it again: the ids are the engine's own.
        let own_map = std::fs::read_to_string(format!("/proc/{}/uid_map", lab.processes()[0])).unwrap();
        assert_eq!(
            run(
                &["--userns", "host"],
                "cat /proc/self/uid_map | wc -l | tr -d ' '; stat -c %u /bin/busybox; id -u"
            ),
            format!("{}\n{first}\n0", own_map.lines().count())
        );
        for (flags, told) in [
            (&["--privileged"][..], "privileged mode is incompatible with user namespaces."),
            (
                &["--network", "host"],
                "cannot share the host's network namespace when user namespaces are enabled",
            ),
            (&["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"),
        ] {
            let came = lab.docker(&[&["run", "--rm"], flags, &["busybox", "true"]].concat());
            assert!(came.code == 125 && came.err.contains(told), "{came:?}");
        }
        run(&["--privileged", "--userns", "host"], "true");
        // A restart ends what runs; the containers are listed again.
        let answer = restart(lab, REMAP);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}\n{}", lab.log());
        assert_eq!(lab.ok(&["ps", "-q"]), "");
        lab.ok(&["start", "seen"]);
        assert_eq!(lab.ok(&["exec", "seen", "stat", "-c", "%u", "/made"]), "1000");
        lab.ok(&["rm", "-f", "seen", "app"]);
        let answer = restart(lab, "{}");
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}\n{}", lab.log());
        assert_eq!(lab.ok(&["ps", "-a", "--format", "{{.Names}}"]), "before");
        assert_eq!(lab.ok(&["start", "-a", "before"]), "");
    });
}

#[test]
fn a_wrong_configuration_ends_nothing() {
    with_one_client(|lab| {
        lab.ok(&["run", "-d", "--name", "runs", "busybox", "sleep", "3600"]);
        for (config, told) in [
            ("{", "unable to configure the Docker daemon with file"),
            (r#"{"userns-remap": "nobody-of-that-name"}"#, "no subuid ranges found for uid"),
            (r#"{"userns-remap": 5}"#, "userns-remap: invalid type"),
        ] {
            let answer = restart(lab, config);
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(told), "{answer}");
        }
        assert_eq!(lab.ok(&["ps", "--format", "{{.Names}}"]), "runs");
    });
}
