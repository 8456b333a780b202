//! `daemon.json`: what containers are where nobody says otherwise, and what of it is refused.

use crate::lab::{Lab, raw};
use crate::{with_each_client, with_one_client};
use std::os::unix::net::UnixStream;

/// What `systemctl restart docker` does in a lab host.
pub fn restart(lab: &Lab, config: &str) -> String {
    std::fs::write(lab.socket().with_file_name("daemon.json"), config).unwrap();
    let request =
        b"POST /_isolab/restart HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    raw(UnixStream::connect(lab.socket()).unwrap(), request)
}

const ALL: &str = r#"{
    "no-new-privileges": true, "init": true, "icc": false, "debug": true, "labels": ["tier=lab"],
    "default-shm-size": "8M", "default-ipc-mode": "shareable", "default-cgroupns-mode": "private",
    "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 100, "Hard": 200}},
    "dns": ["10.9.8.7"], "dns-search": ["example"], "dns-opts": ["ndots:3"],
    "log-opts": {"max-size": "1m"}
}"#;

#[test]
fn containers_are_as_configured_unless_they_say_otherwise() {
    with_each_client(|lab| {
        let answer = restart(lab, ALL);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}\n{}", lab.log());
        let run = |flags: &[&str], script: &str| {
            lab.ok(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", script]].concat())
        };
        let look = "grep NoNewPrivs /proc/self/status | tr -s '\\t' ' '; ulimit -n; ulimit -Hn; cat /proc/1/comm; \
            grep -v '^#' /etc/resolv.conf; df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f 2";
        let configured = "NoNewPrivs: 1\n100\n200\ndocker-init\nnameserver 10.9.8.7\nsearch example\noptions ndots:3\n8192";
        let sorted = |text: String| {
            let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(sorted(run(&[], look)), sorted(configured.into()));
        let otherwise =
            [
                &[
                    "--security-opt",
                    "no-new-privileges=false",
                    "--ulimit",
                    "nofile=50:60",
                    "--shm-size",
                    "4m",
                ][..],
                &["--dns", "1.2.3.4", "--dns-search", "other", "--dns-opt", "ndots:1"],
            ]
            .concat();
        let said = run(&otherwise, look);
        for line in
            ["NoNewPrivs: 0", "50", "60", "nameserver 1.2.3.4", "search other", "options ndots:1", "4096"]
        {
            assert!(said.lines().any(|other| other == line), "{line}: {said}");
        }
        lab.ok(&["create", "--name", "shown", "busybox", "true"]);
        let shown = "{{.HostConfig.ShmSize}} {{.HostConfig.IpcMode}} {{json .HostConfig.Ulimits}} {{json .HostConfig.LogConfig}} {{.HostConfig.CgroupnsMode}}";
        assert_eq!(
            lab.ok(&["inspect", "-f", shown, "shown"]),
            r#"8388608 shareable [{"Name":"nofile","Hard":200,"Soft":100}] {"Type":"json-file","Config":{"max-size":"1m"}} private"#
        );
        assert_eq!(lab.ok(&["info", "-f", "{{.Debug}} {{.Labels}}"]), "true [tier=lab]");
        let icc = r#"{{index .Options "com.docker.network.bridge.enable_icc"}}"#;
        assert_eq!(lab.ok(&["network", "inspect", "-f", icc, "bridge"]), "false");
        assert!(restart(lab, "{}").starts_with("HTTP/1.1 204"));
        assert_eq!(run(&[], "grep NoNewPrivs /proc/self/status | cut -f 2; cat /proc/1/comm; true"), "0\nsh");
        assert_eq!(lab.ok(&["network", "inspect", "-f", icc, "bridge"]), "true");
    });
}

#[test]
fn a_profile_of_one_s_own_is_everybody_s() {
    with_one_client(|lab| {
        let profile = lab.socket().with_file_name("profile.json");
        let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}]}"#;
        std::fs::write(&profile, text).unwrap();
        let path = profile.display().to_string();
        let answer = restart(lab, &format!(r#"{{"seccomp-profile": "{path}"}}"#));
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}\n{}", lab.log());
        let chmod = |flags: &[&str]| {
            lab.docker(
                &[&["run", "--rm"], flags, &["busybox", "sh", "-c", "touch /x; chmod 700 /x"]].concat(),
            )
        };
        let refused = chmod(&[]);
        assert!(refused.code != 0 && refused.err.contains("Operation not permitted"), "{refused:?}");
        assert_eq!(chmod(&["--security-opt", "seccomp=unconfined"]).code, 0);
        let shown = lab.ok(&["info", "-f", "{{.SecurityOptions}}"]);
        assert!(shown.contains(&format!("name=seccomp,profile={path}")), "{shown}");
        assert!(restart(lab, r#"{"seccomp-profile": "unconfined"}"#).starts_with("HTTP/1.1 204"));
        assert_eq!(lab.ok(&["run", "--rm", "busybox", "grep", "-c", "Seccomp:.0", "/proc/self/status"]), "1");
    });
}

#[test]
fn what_cannot_be_is_refused_and_all_goes_on() {
    with_one_client(|lab| {
        lab.ok(&["run", "-d", "--name", "goes-on", "busybox", "sleep", "3600"]);
        for (config, words) in [
            (
                r#"{"nonsense": 1, "other": 2}"#,
                "the following directives don't match any configuration option: nonsense, other",
            ),
            (r#"{"live-restore": true}"#, "does not do \\\"live-restore\\\" yet"),
            (r#"{"no-new-privileges": "yes"}"#, "no-new-privileges: invalid type"),
            (r#"{"seccomp-profile": "/nowhere"}"#, "opening seccomp profile (/nowhere) failed"),
            ("{", "unable to configure the Docker daemon with file"),
        ] {
            let answer = restart(lab, config);
            assert!(answer.starts_with("HTTP/1.1 400") && answer.contains(words), "{config}: {answer}");
        }
        assert_eq!(lab.ok(&["inspect", "-f", "{{.State.Running}}", "goes-on"]), "true");
    });
}
