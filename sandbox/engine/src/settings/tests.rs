//! Create requests as clients send them, and what becomes of them.

use super::*;
use serde_json::json;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn available() -> Available {
    Available {
        capabilities: capabilities::from_mask(!0),
        hostname: "labhost".into(),
        remapped: false,
        groups: None,
        defaults: Default::default(),
        apparmor: false,
        processors: 1,
    }
}

fn parse_with(image: Value, body: Value) -> Result<Request, ApiError> {
    parse(body, ID, &serde_json::from_value(image).unwrap(), &available())
}

fn settings_of(body: Value) -> Settings {
    parse_with(json!({"Cmd": ["sh"], "Env": ["A=image", "B=image"]}), body).unwrap().settings
}

fn refusal(body: Value) -> (u16, String) {
    let error = parse_with(json!({"Cmd": ["sh"]}), body).unwrap_err();
    (error.status.as_u16(), error.message)
}

/// What `docker run -it` of the Debian CLI sends, less what is empty.
fn interactive() -> Value {
    json!({
        "Hostname": "", "User": "", "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": true,
        "OpenStdin": true, "StdinOnce": true, "Env": ["A=run"], "Cmd": null, "Image": "ubuntu", "Volumes": {},
        "WorkingDir": "", "Entrypoint": null, "OnBuild": null, "Labels": {},
        "HostConfig": {
            "Binds": null, "ContainerIDFile": "", "LogConfig": {"Type": "", "Config": {}}, "NetworkMode": "default",
            "PortBindings": {}, "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "AutoRemove": true,
            "ConsoleSize": [40, 120], "CapAdd": null, "CapDrop": null, "CgroupnsMode": "", "Dns": [], "DnsOptions": [],
            "IpcMode": "", "PidMode": "", "Privileged": false, "SecurityOpt": null, "ShmSize": 0, "Isolation": "",
            "MemorySwappiness": -1, "OomKillDisable": false, "PidsLimit": 0, "KernelMemory": 0, "MaskedPaths": null,
        },
        "NetworkingConfig": {"EndpointsConfig": {}},
    })
}

#[test]
fn an_interactive_run_is_understood() {
    let settings = settings_of(interactive());
    assert_eq!(settings.argv, ["sh"]);
    assert_eq!(
        settings.environment(&settings.hostname),
        [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=0123456789ab",
            "TERM=xterm",
            "A=run",
            "B=image"
        ]
    );
    assert_eq!(settings.console, (120, 40));
    assert!(settings.tty && settings.open_stdin && settings.stdin_once && settings.auto_remove);
    assert_eq!(
        (settings.namespaces.network, settings.namespaces.ipc, settings.workdir.as_str()),
        (Network::Bridge, Ipc::Private, "/")
    );
    assert_eq!(settings.stop_timeout, Duration::from_secs(10));
    assert_eq!(settings.masked_paths.len(), 10);
}

#[test]
fn entrypoint_and_command_go_together_as_docker_has_it() {
    let image = json!({"Entrypoint": ["/entry"], "Cmd": ["default"]});
    for (entrypoint, cmd, argv) in [
        (json!(null), json!(null), vec!["/entry", "default"]),
        (json!(null), json!(["x"]), vec!["/entry", "x"]),
        (json!(["/mine"]), json!(null), vec!["/mine"]),
        (json!("/mine"), json!("x"), vec!["/mine", "x"]),
        (json!([""]), json!(["x"]), vec!["x"]),
    ] {
        let body = json!({"Image": "x", "Entrypoint": entrypoint, "Cmd": cmd});
        assert_eq!(parse_with(image.clone(), body).unwrap().settings.argv, argv);
    }
    let nothing = parse_with(json!({}), json!({"Image": "x"})).unwrap_err();
    assert_eq!(nothing, ApiError::bad_request("No command specified"));
}

#[test]
fn the_hostname_is_the_lab_host_s_in_its_network_only() {
    let hostname = |field: &str| settings_of(json!({"Image": "x", "HostConfig": {field: "host"}})).hostname;
    assert_eq!(hostname("NetworkMode"), "labhost");
    // In the lab host's UTS namespace nobody sets it, but Docker writes it into the container's files all the same.
    assert_eq!(hostname("UTSMode"), ID[..12]);
}

#[test]
fn privileged_takes_filter_and_paths_away() {
    let privileged = settings_of(json!({"Image": "x", "HostConfig": {"Privileged": true}}));
    assert_eq!((privileged.seccomp, privileged.masked_paths.len()), (Seccomp::Unconfined, 0));
    let system = settings_of(json!({"Image": "x", "HostConfig": {"MaskedPaths": [], "ReadonlyPaths": []}}));
    assert_eq!((system.masked_paths.len(), system.readonly_paths.len()), (0, 0));
}

#[test]
fn apparmor_s_profile_is_docker_s_unless_another_is_asked_for() {
    let profile = |apparmor: bool, host: Value| {
        let image = serde_json::from_value(json!({"Cmd": ["sh"]})).unwrap();
        let body = json!({"Image": "x", "HostConfig": host});
        let settings = parse(body, ID, &image, &Available { apparmor, ..available() }).unwrap().settings;
        (settings.apparmor_asked, settings.apparmor)
    };
    let asked = json!({"SecurityOpt": ["apparmor=mine"]});
    for (host, comes_to) in [
        (json!({}), ("", "docker-default")),
        (asked.clone(), ("mine", "mine")),
        (json!({"SecurityOpt": ["apparmor=unconfined"]}), ("unconfined", "unconfined")),
        (json!({"Privileged": true, "SecurityOpt": ["apparmor=mine"]}), ("mine", "unconfined")),
    ] {
        assert_eq!(profile(true, host), (comes_to.0.into(), Some(comes_to.1.into())));
    }
    assert_eq!(profile(false, asked), ("mine".into(), None), "where there is none, nothing confines");
}

#[test]
fn what_is_wrong_is_refused_in_docker_s_words() {
    let host = |field: &str, value: Value| json!({"Image": "x", "HostConfig": {field: value}});
    for (body, status, message) in [
        (
            json!({"Image": "x", "WorkingDir": "foo"}),
            400,
            "the working directory 'foo' is invalid, it needs to be an absolute path",
        ),
        (json!({"Image": "x", "StopSignal": "FOO"}), 400, "Invalid signal: FOO"),
        (host("Tmpfs", json!({"foo": ""})), 400, "invalid mount path: 'foo' mount path must be absolute"),
        (host("CapAdd", json!(["FOO"])), 400, "invalid CapAdd: unknown capability: \"CAP_FOO\""),
        (host("RestartPolicy", json!({"Name": "foo"})), 400, "invalid restart policy 'foo'"),
        (host("SecurityOpt", json!(["foo"])), 400, "invalid --security-opt 1: \"foo\""),
        (
            host("Sysctls", json!({"kernel.hostname": "x"})),
            400,
            "sysctl \"kernel.hostname\" is not in a separate kernel namespace",
        ),
        (host("PidMode", json!("container:")), 400, "invalid PID mode"),
        (host("Binds", json!(["/a:/b:c"])), 400, "invalid mode: c"),
        (
            host("Mounts", json!([{"Type": "x", "Target": "/y"}])),
            400,
            "invalid mount config for type \"x\": mount type unknown",
        ),
    ] {
        assert_eq!(refusal(body.clone()), (status, message.to_owned()), "{body}");
    }
}

#[test]
fn rubbish_is_refused_and_never_panics() {
    for body in [
        json!({"Image": "x", "Cmd": 5}),
        json!({"Image": "x", "HostConfig": []}),
        json!({"Image": "x", "HostConfig": {"CapAdd": {"a": 1}}}),
        json!({"Image": "x", "Hostname": "a\nb"}),
        json!({"Image": "x", "Cmd": ["a\0b"]}),
        json!({"Image": "x", "Labels": {"a": "x".repeat(40_000)}}),
        json!([1]),
    ] {
        assert_eq!(
            parse_with(json!({"Cmd": ["sh"]}), body.clone()).unwrap_err().status.as_u16(),
            400,
            "{body}"
        );
    }
    assert!(image_of(&json!({})).is_err() && image_of(&json!(null)).is_err());
}
