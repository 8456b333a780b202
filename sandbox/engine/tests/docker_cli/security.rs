//! `--security-opt`, told as dockerd 20.10.24 tells it on a machine without AppArmor.

use crate::lab::Lab;
use crate::{with_each_client, with_one_client};
use std::path::PathBuf;

/// A profile in a file, for the client to read.
fn profile(lab: &Lab, name: &str, text: &str) -> (PathBuf, String) {
    let path = lab.socket().with_file_name(name);
    std::fs::write(&path, text).unwrap();
    let option = format!("seccomp={}", path.display());
    (path, option)
}

const STATUS: &str = "grep -E 'Seccomp|NoNewPrivs' /proc/self/status | tr -d '\\t\\n'; mkdir /tmp/a; true";

#[test]
fn a_profile_of_one_s_own_is_the_filter() {
    with_each_client(|lab| {
        let no_mkdir = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38,
             "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}"#;
        let (_, option) = profile(lab, "no-mkdir.json", no_mkdir);
        let run = |flags: &[&str]| {
            let came = lab.docker(&[&["run", "--rm"], flags, &["busybox", "sh", "-c", STATUS]].concat());
            assert_eq!(came.code, 0, "{came:?}");
            (came.out, came.err)
        };
        let refused = "mkdir: can't create directory '/tmp/a': Function not implemented\n";
        let (out, err) = run(&["--security-opt", &option]);
        assert_eq!((out.as_str(), err.as_str()), ("NoNewPrivs:0Seccomp:2Seccomp_filters:1", refused));
        let (out, err) = run(&["--security-opt", &option, "--security-opt", "no-new-privileges"]);
        assert_eq!((out.as_str(), err.as_str()), ("NoNewPrivs:1Seccomp:2Seccomp_filters:1", refused));
        // The condition is on what the container may have.
        assert_eq!(run(&["--security-opt", &option, "--cap-add", "SYS_ADMIN"]).1, "");
        let (_, empty) = profile(lab, "empty.json", "{}");
        assert_eq!(run(&["--security-opt", &empty]).0, "NoNewPrivs:0Seccomp:0Seccomp_filters:0");
        lab.ok(&["run", "-d", "--name", "filtered", "--security-opt", &option, "busybox", "sleep", "3600"]);
        for exec in [&["exec", "filtered"][..], &["exec", "--privileged", "filtered"]] {
            let came = lab.docker(&[exec, &["mkdir", "/tmp/a"]].concat());
            assert!(came.code == 1 && came.err == refused, "{came:?}");
        }
        let shown = lab.ok(&[
            "inspect",
            "-f",
            "{{json .HostConfig.SecurityOpt}} {{json .AppArmorProfile}}",
            "filtered",
        ]);
        assert!(
            shown.starts_with(r#"["seccomp={\"defaultAction\":"#) && shown.ends_with(r#"] """#),
            "{shown}"
        );
    });
}

#[test]
fn a_profile_that_is_none_is_told_at_the_start() {
    with_one_client(|lab| {
        let (_, option) = profile(lab, "act.json", r#"{"defaultAction": "FOO"}"#);
        lab.ok(&["create", "--name", "wrong", "--security-opt", &option, "busybox"]);
        let came = lab.docker(&["start", "wrong"]);
        let told = "Error response from daemon: failed to create shim task: OCI runtime create failed: runc create failed: \
                    string FOO is not a valid action for seccomp: unknown\n";
        assert!(came.code == 1 && came.err.starts_with(told), "{came:?}");
        let (_, option) = profile(lab, "list.json", "[]");
        let came = lab.docker(&["run", "--rm", "--security-opt", &option, "busybox", "true"]);
        let told = "daemon: Decoding seccomp profile failed: json: cannot unmarshal array into Go value of type seccomp.Seccomp";
        assert!(came.code == 125 && came.err.contains(told), "{came:?}");
    });
}

#[test]
fn labels_and_profiles_of_other_walls_are_taken_and_mean_nothing_here() {
    with_one_client(|lab| {
        for option in
            ["apparmor=unconfined", "apparmor=foo", "apparmor:foo", "label=disable", "label=type:foo"]
        {
            lab.ok(&["run", "--rm", "--security-opt", option, "busybox", "true"]);
        }
        for (option, place) in [("foo=bar", 2), ("no-new-privileges=foo", 2), ("systempaths=foo", 2)] {
            let came = lab.docker(&["run", "--rm", "--security-opt", option, "busybox", "true"]);
            let told = format!("daemon: invalid --security-opt {place}: {option:?}");
            assert!(came.code == 125 && came.err.contains(&told), "{came:?}");
        }
        let masked = |flags: &[&str]| {
            let count = ["busybox", "sh", "-c", "grep -c -E ' /(proc|sys)/' /proc/self/mounts; true"];
            lab.ok(&[&["run", "--rm"], flags, &count].concat())
        };
        assert_ne!(masked(&[]), masked(&["--security-opt", "systempaths=unconfined"]));
        lab.ok(&["create", "--name", "seeing", "--pid", "host", "busybox"]);
        assert_eq!(
            lab.ok(&["inspect", "-f", "{{json .HostConfig.SecurityOpt}}", "seeing"]),
            r#"["label=disable"]"#
        );
    });
}
