//! What Docker asks for, and the plan that it becomes.

use super::*;
use serde_json::{Value, json};

/// What an engine writes for `docker run --name box debian sh`, shortened.
fn docker() -> Value {
    let capabilities = json!(["CAP_CHOWN", "CAP_NET_RAW"]);
    json!({
        "ociVersion": "1.2.0",
        "hostname": "box",
        "root": {"path": "rootfs"},
        "process": {
            "user": {"uid": 0, "gid": 0}, "args": ["sh"], "env": ["PATH=/bin"], "cwd": "/srv",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/data", "type": "bind", "source": "/srv/data", "options": ["rbind", "rprivate", "ro"]},
        ],
        "linux": {
            "namespaces": [{"type": "mount"}, {"type": "network"}, {"type": "uts"}, {"type": "pid"}, {"type": "ipc"}],
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
            "sysctl": {"net.ipv4.ping_group_range": "0 2147483647"},
        },
    })
}

fn plan_with(options: PlanOptions, change: impl FnOnce(&mut Value)) -> Result<Plan, Error> {
    let mut spec = docker();
    change(&mut spec);
    Plan::new(&serde_json::from_value(spec).unwrap(), Rootfs::Directory("/image".into()), options)
}

fn plan(change: impl FnOnce(&mut Value)) -> Result<Plan, Error> {
    plan_with(PlanOptions::default(), change)
}

/// The field that an error names.
fn refused(change: impl FnOnce(&mut Value)) -> String {
    plan(change).unwrap_err().call
}

#[test]
fn docker_run_becomes_these_steps_in_this_order() {
    assert_eq!(
        plan(|_| {}).unwrap().describe(),
        [
            "setting the hostname box",
            "bringing up the loopback",
            "making /image the root",
            "mounting proc at /proc",
            "mounting tmpfs at /dev",
            "binding /srv/data at /data",
            "making the device /dev/null",
            "making the device /dev/zero",
            "making the device /dev/full",
            "making the device /dev/tty",
            "making the device /dev/random",
            "making the device /dev/urandom",
            "making the links in /dev",
            "making /dev/console",
            "making the working directory /srv",
            "setting net.ipv4.ping_group_range = 0 2147483647",
            "making 1 paths read-only",
            "masking 1 paths",
            "changing the root",
        ]
    );
}

#[test]
fn read_only_and_privileged_change_what_they_say_and_nothing_else() {
    let read_only = plan(|spec| spec["root"]["readonly"] = true.into()).unwrap().describe();
    assert_eq!(read_only[read_only.len() - 2..], ["making the root read-only", "changing the root"]);
    let privileged = plan(|spec| {
        spec["linux"]["maskedPaths"] = json!([]);
        spec["linux"]["readonlyPaths"] = json!([]);
    });
    assert!(!privileged.unwrap().describe().iter().any(|step| step.contains("paths")));
}

#[test]
fn network_host_leaves_the_network_alone() {
    let host = plan(|spec| {
        spec["linux"]["namespaces"] = json!([{"type": "mount"}]);
        spec["linux"].as_object_mut().unwrap().remove("sysctl");
        spec.as_object_mut().unwrap().remove("hostname");
    });
    assert!(!host.unwrap().describe().iter().any(|step| step.contains("loopback")));
    let error = refused(|spec| spec["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "uts"}]));
    assert!(error.contains("linux.sysctl.net.ipv4.ping_group_range"), "{error}");
}

#[test]
fn container_network_joins_anothers() {
    let path = "/proc/7/ns/net";
    let joined = plan(|spec| {
        spec["linux"]["namespaces"][1]["path"] = path.into();
        spec["linux"].as_object_mut().unwrap().remove("sysctl");
    });
    let joined = joined.unwrap();
    assert_eq!(joined.namespaces.joined, [(Kind::Network, path.into())]);
    assert!(!joined.namespaces.is_new(Kind::Network));
    assert!(!joined.joins_pid_namespace());
}

#[test]
fn mount_options_become_attributes_and_the_rest_goes_to_the_file_system() {
    let plan = plan(|_| {}).unwrap();
    let mounts: Vec<_> =
        plan.steps.iter().filter_map(|s| if let Step::Mount(m) = s { Some(m) } else { None }).collect();
    assert_eq!(mounts[0].attributes.set, 0x2 | 0x4 | 0x8);
    assert_eq!(mounts[1].attributes.set, 0x2 | 0x20);
    let Source::New { options, .. } = &mounts[1].source else { panic!("{:?}", mounts[1]) };
    assert_eq!(options[..], [("mode".into(), Some("755".into())), ("size".into(), Some("65536k".into()))]);
    assert_eq!(mounts[2].source, Source::Bind { path: "/srv/data".into(), recursive: true });
    assert_eq!(mounts[2].attributes.set, 0x1);
    assert!(mounts[2].propagation.is_some_and(|propagation| propagation.recursive));
}

#[test]
fn a_device_of_the_spec_replaces_the_standard_one() {
    let devices = json!([
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
    ]);
    let steps = plan(|spec| spec["linux"]["devices"] = devices).unwrap().describe();
    assert_eq!(steps.iter().filter(|step| step.ends_with("/dev/null")).count(), 1);
    assert!(steps.contains(&"making the device /dev/fuse".into()));
}

#[test]
fn a_plan_survives_its_way_to_the_zygote() {
    let options = PlanOptions {
        cables: vec![Veth {
            bridge: "docker0".into(),
            host_name: "veth1".into(),
            inside: "eth0".into(),
            address: [172, 17, 0, 2].into(),
            prefix: 16,
            gateway: Some([172, 17, 0, 1].into()),
            mac: [2, 0x42, 172, 17, 0, 2],
            mtu: None,
        }],
        ..PlanOptions::default()
    };
    let seccomp = serde_json::to_value(crate::doll::seccomp::docker_default([])).unwrap();
    let plan = plan_with(options, |spec| spec["linux"]["seccomp"] = seccomp).unwrap();
    assert!(plan.program.filter.is_some());
    let bytes = postcard::to_stdvec(&plan).unwrap();
    assert_eq!(postcard::from_bytes::<Plan>(&bytes).unwrap(), plan);
    assert_eq!(serde_json::from_value::<Plan>(serde_json::to_value(&plan).unwrap()).unwrap(), plan);
}

#[test]
fn what_cannot_be_is_refused_by_the_name_of_its_field() {
    type Change = fn(&mut Value);
    let cases: &[(&str, Change)] = &[
        ("process.args", |s| s["process"]["args"] = json!([])),
        ("process.args", |s| s["process"]["args"] = json!(["a\0b"])),
        ("process.cwd", |s| s["process"]["cwd"] = "srv".into()),
        ("process.apparmorProfile", |s| s["process"]["apparmorProfile"] = "a\nb".into()),
        ("process.oomScoreAdj", |s| s["process"]["oomScoreAdj"] = 1001.into()),
        ("process.user.umask", |s| s["process"]["user"]["umask"] = 0o1000.into()),
        ("process.rlimits[0]", |s| {
            s["process"]["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]);
        }),
        ("process.capabilities.effective", |s| s["process"]["capabilities"]["permitted"] = json!([])),
        ("mounts[0].destination", |s| s["mounts"][0]["destination"] = "proc".into()),
        ("mounts[0].options", |s| s["mounts"][0]["options"] = json!(["x".repeat(300)])),
        ("mounts[2].source", |s| s["mounts"][2]["source"] = "data".into()),
        ("linux.namespaces[1].type", |s| s["linux"]["namespaces"][1]["type"] = "mount".into()),
        ("linux.namespaces[0].path", |s| s["linux"]["namespaces"][0]["path"] = "/proc/1/ns/mnt".into()),
        ("linux.namespaces", |s| s["linux"]["namespaces"] = json!([{"type": "uts"}])),
        ("linux.uidMappings", |s| {
            s["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}))
        }),
        ("linux.uidMappings", |s| {
            s["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1}])
        }),
        ("linux.sysctl.kernel.core_pattern", |s| {
            s["linux"]["sysctl"] = json!({"kernel.core_pattern": "|/x"})
        }),
        ("linux.resources", |s| s["linux"]["resources"] = json!({"pids": {"limit": 5}})),
        ("linux.rootfsPropagation", |s| s["linux"]["rootfsPropagation"] = "wide".into()),
        ("linux.devices[0].path", |s| {
            s["linux"]["devices"] = json!([{"path": "null", "type": "c", "major": 1, "minor": 3}]);
        }),
        ("hostname", |s| s["linux"]["namespaces"] = json!([{"type": "mount"}, {"type": "network"}])),
    ];
    for (field, change) in cases {
        let call = refused(change);
        assert!(call.starts_with(&format!("{field}: ")), "{field}: {call}");
    }
}

#[test]
fn ids_that_are_not_mapped_are_refused_before_the_kernel_does() {
    let with_maps = |change: fn(&mut Value)| {
        refused(|spec| {
            spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
            let maps = json!([{"containerID": 0, "hostID": 100_000, "size": 1000}]);
            spec["linux"]["uidMappings"] = maps.clone();
            spec["linux"]["gidMappings"] = maps;
            change(spec);
        })
    };
    assert!(with_maps(|s| s["process"]["user"]["uid"] = 1000.into()).starts_with("process.user.uid"));
    assert!(
        with_maps(|s| s["process"]["user"]["additionalGids"] = json!([5000]))
            .starts_with("process.user.additionalGids")
    );
    let devpts =
        json!({"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["gid=5000"]});
    let call = refused(|spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        spec["linux"]["gidMappings"] = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
        spec["mounts"].as_array_mut().unwrap().push(devpts);
    });
    assert!(call.starts_with("mounts[3].options: gid 5000"), "{call}");
}

#[test]
fn options_that_need_a_namespace_are_refused_without_it() {
    let owner = PlanOptions { user_namespace_owner: Some((1, 1)), ..PlanOptions::default() };
    assert!(plan_with(owner, |_| {}).unwrap_err().call.starts_with("user_namespace_owner"));
    let bound = PlanOptions { processes_max: Some(1), ..PlanOptions::default() };
    assert!(plan_with(bound, |_| {}).unwrap_err().call.starts_with("processes_max"));
    let many = PlanOptions { inherited_fds: INHERITED_FDS_MAX + 1, ..PlanOptions::default() };
    assert!(plan_with(many, |_| {}).unwrap_err().call.starts_with("inherited_fds"));
}

#[test]
fn an_overlay_names_what_its_layers_cannot_be() {
    let spec = serde_json::from_value(docker()).unwrap();
    let upper = || Upper::Ephemeral { bytes_max: 1, inodes_max: 1 };
    for lower in [
        vec![],
        vec!["relative".into()],
        vec!["/with:colon".into()],
        vec![format!("/{}", "x".repeat(256)).into()],
    ] {
        let rootfs = Rootfs::Overlay { lower, upper: upper() };
        let error = Plan::new(&spec, rootfs, PlanOptions::default()).unwrap_err();
        assert!(error.call.starts_with("rootfs.lower"), "{error}");
    }
}
