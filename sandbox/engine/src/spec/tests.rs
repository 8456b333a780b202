//! What of a request arrives in the Spec.

use super::*;
use crate::settings::{self, Available, capabilities};
use crate::user::{self, User};
use oci_spec::runtime::{Capability, LinuxNamespaceType};

fn settings_of(body: Value) -> Settings {
    let available = Available {
        capabilities: capabilities::from_mask(!0),
        hostname: "labhost".into(),
        remapped: false,
        groups: None,
        defaults: Default::default(),
        apparmor: false,
        processors: 1,
    };
    let image = serde_json::from_value(json!({"Cmd": ["sh"]})).unwrap();
    settings::parse(body, &"ab".repeat(32), &image, &available).unwrap().settings
}

fn spec_of(body: Value, user: &str) -> Spec {
    let settings = settings_of(body);
    let user = user::resolve(user, &[], "root:x:0:0::/root:\napp:x:1000:1000::/home/app:", "").unwrap();
    of_container(&settings, &placement(&settings, &user)).unwrap()
}

/// A place where nothing is shared with other containers.
fn placement<'a>(settings: &'a Settings, user: &'a User) -> Placement<'a> {
    const ALONE: &Joined = &Joined { network: None, ipc: None, pid: None };
    Placement {
        root: Path::new("/merged"),
        files: Path::new("/files"),
        hostname: &settings.hostname,
        domainname: &settings.domainname,
        shm: (settings.namespaces.ipc == Ipc::Host).then_some(Path::new("/dev/shm")),
        mounts: &[],
        joined: ALONE,
        remap: None,
        user,
        gid_max: 61439,
        ipv6: true,
        devices: &[],
        given: &[],
        init: None,
        rootless: false,
    }
}

fn has(spec: &Spec, kind: LinuxNamespaceType) -> bool {
    let namespaces = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
    namespaces.iter().any(|namespace| namespace.typ() == kind)
}

fn options(spec: &Spec, destination: &str) -> Vec<String> {
    let mounts = spec.mounts().as_ref().unwrap();
    let found = mounts.iter().find(|mount| mount.destination() == Path::new(destination));
    found.unwrap_or_else(|| panic!("{destination}")).options().clone().unwrap()
}

#[test]
fn a_plain_container_has_docker_s_walls() {
    let spec = spec_of(json!({"Image": "x"}), "");
    for kind in [
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Network,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Cgroup,
    ] {
        assert!(has(&spec, kind), "{kind:?}");
    }
    assert!(!has(&spec, LinuxNamespaceType::User));
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.seccomp().is_some());
    assert_eq!(linux.masked_paths().as_ref().unwrap().len(), 10);
    let sysctl = linux.sysctl().clone().unwrap();
    assert_eq!(sysctl["net.ipv4.ping_group_range"], "0 61439");
    assert_eq!(sysctl["net.ipv4.ip_unprivileged_port_start"], "0");
    assert_eq!(sysctl["net.ipv6.conf.all.disable_ipv6"], "1");
    let process = spec.process().clone().unwrap();
    let sets = process.capabilities().clone().unwrap();
    assert_eq!(sets.bounding().as_ref().unwrap().len(), 14);
    assert_eq!(sets.effective(), sets.bounding());
    assert_eq!((sets.inheritable(), sets.ambient()), (&None, &None));
    assert!(process.env().as_ref().unwrap().contains(&"HOME=/root".to_owned()));
    assert_eq!(spec.hostname().as_deref(), Some("abababababab"));
    assert_eq!(options(&spec, "/sys")[3], "ro");
    assert_eq!(options(&spec, "/dev/shm")[4], "size=67108864");
    let order: Vec<_> =
        spec.mounts().iter().flatten().map(|m| m.destination().display().to_string()).collect();
    assert_eq!(
        order,
        [
            "/proc",
            "/dev",
            "/dev/pts",
            "/sys",
            "/sys/fs/cgroup",
            "/dev/mqueue",
            "/dev/shm",
            "/etc/resolv.conf",
            "/etc/hostname",
            "/etc/hosts",
        ]
    );
}

#[test]
fn a_user_other_than_root_keeps_only_the_bounding_set() {
    let sets =
        spec_of(json!({"Image": "x"}), "app").process().clone().unwrap().capabilities().clone().unwrap();
    assert_eq!(sets.bounding().as_ref().unwrap().len(), 14);
    assert_eq!((sets.effective(), sets.permitted()), (&None, &None));
}

#[test]
fn each_shared_namespace_is_left_out() {
    let host = |field: &str| spec_of(json!({"Image": "x", "HostConfig": {field: "host"}}), "");
    let net = host("NetworkMode");
    assert!(!has(&net, LinuxNamespaceType::Network) && has(&net, LinuxNamespaceType::Uts));
    assert!(net.linux().as_ref().unwrap().sysctl().as_ref().is_none_or(|all| all.is_empty()));
    assert!(!has(&host("PidMode"), LinuxNamespaceType::Pid));
    let uts = host("UTSMode");
    assert!(!has(&uts, LinuxNamespaceType::Uts) && uts.hostname().is_none());
    let ipc = host("IpcMode");
    assert!(!has(&ipc, LinuxNamespaceType::Ipc) && options(&ipc, "/dev/shm") == ["rbind", "rprivate"]);
    assert!(!has(&host("CgroupnsMode"), LinuxNamespaceType::Cgroup));
}

#[test]
fn what_other_containers_share_is_joined_by_its_path() {
    let settings = settings_of(json!({"Image": "x", "HostConfig": {
        "NetworkMode": "container:a", "PidMode": "container:b", "IpcMode": "container:c"}}));
    let user = user::resolve("", &[], "", "").unwrap();
    let path = |name: &str| Some(Path::new("/proc/1/fd").join(name));
    let joined = Joined { network: path("3"), ipc: path("4"), pid: path("5") };
    let place = Placement {
        hostname: "theirs",
        shm: Some(Path::new("/shm")),
        mounts: &[],
        joined: &joined,
        ..placement(&settings, &user)
    };
    let spec = of_container(&settings, &place).unwrap();
    let namespaces = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
    let path = |kind| namespaces.iter().find(|one| one.typ() == kind).unwrap().path().clone();
    assert_eq!(path(LinuxNamespaceType::Network), joined.network);
    assert_eq!(path(LinuxNamespaceType::Ipc), joined.ipc);
    assert_eq!(path(LinuxNamespaceType::Pid), joined.pid);
    assert_eq!(path(LinuxNamespaceType::Uts), None);
    assert_eq!(spec.hostname().as_deref(), Some("theirs"));
    assert!(spec.process().as_ref().unwrap().env().as_ref().unwrap().contains(&"HOSTNAME=theirs".to_owned()));
    let shm = spec.mounts().iter().flatten().find(|one| one.destination() == Path::new("/dev/shm"));
    assert_eq!(shm.unwrap().source().as_deref(), Some(Path::new("/shm")));
}

#[test]
fn devices_keep_their_place_or_are_bound_to_another() {
    let settings = settings_of(json!({"Image": "x"}));
    let user = user::resolve("", &[], "", "").unwrap();
    let given = |source: &str, path: &str| {
        let device = json!({"path": path, "type": "c", "major": 10, "minor": 229});
        Given { source: source.into(), device: serde_json::from_value(device).unwrap(), access: "rwm".into() }
    };
    let given = [given("/dev/fuse", "/dev/fuse"), given("/dev/fuse", "/dev/x")];
    let place = Placement { given: &given, ..placement(&settings, &user) };
    let spec = of_container(&settings, &place).unwrap();
    let devices = spec.linux().as_ref().unwrap().devices().clone().unwrap();
    assert_eq!(devices.iter().map(LinuxDevice::path).collect::<Vec<_>>(), [Path::new("/dev/fuse")]);
    assert_eq!(options(&spec, "/dev/x"), ["bind", "nosuid", "noexec"]);
    let privileged = Settings { privileged: true, ..settings.clone() };
    let spec = of_container(&privileged, &place).unwrap();
    assert!(spec.mounts().iter().flatten().all(|mount| mount.destination() != Path::new("/dev/x")));
}

#[test]
fn an_init_stands_before_the_program() {
    let settings = settings_of(json!({"Image": "x", "HostConfig": {"Init": true, "OomScoreAdj": 500}}));
    assert!(settings.init);
    let user = user::resolve("", &[], "", "").unwrap();
    let place = Placement { init: Some(Path::new("/engine")), ..placement(&settings, &user) };
    let spec = of_container(&settings, &place).unwrap();
    let process = spec.process().clone().unwrap();
    assert_eq!(process.args().as_ref().unwrap(), &["/sbin/docker-init", "--", "sh"]);
    assert_eq!(process.oom_score_adj(), Some(500));
    assert_eq!(options(&spec, "/sbin/docker-init"), ["bind", "ro"]);
    let shared = settings_of(json!({"Image": "x", "HostConfig": {"Init": true, "PidMode": "host"}}));
    assert!(!shared.init);
}

#[test]
fn settings_of_the_host_s_namespaces_are_refused_at_the_start() {
    let user = user::resolve("", &[], "", "").unwrap();
    for (field, name, why) in [
        ("NetworkMode", "net.ipv4.ip_forward", "not allowed in host network namespace"),
        ("IpcMode", "kernel.shmmax", "is not allowed in the hosts ipc namespace"),
    ] {
        let settings =
            settings_of(json!({"Image": "x", "HostConfig": {field: "host", "Sysctls": {name: "1"}}}));
        let error = of_container(&settings, &placement(&settings, &user)).unwrap_err();
        assert!(error.message.contains(&format!("sysctl {name:?} {why}")), "{error}");
    }
}

#[test]
fn privileged_takes_the_walls_down() {
    let spec = spec_of(json!({"Image": "x", "HostConfig": {"Privileged": true}}), "");
    let linux = spec.linux().as_ref().unwrap();
    assert!(linux.seccomp().is_none());
    assert!(linux.masked_paths().as_ref().is_none_or(Vec::is_empty));
    assert_eq!(options(&spec, "/sys")[3], "rw");
    let sets = spec.process().clone().unwrap().capabilities().clone().unwrap();
    assert_eq!(sets.effective().as_ref().unwrap().len(), 41);
}

#[test]
fn hardening_flags_arrive() {
    let spec = spec_of(
        json!({"Image": "x", "HostConfig": {
            "ReadonlyRootfs": true, "CapDrop": ["ALL"], "CapAdd": ["NET_BIND_SERVICE"],
            "SecurityOpt": ["no-new-privileges"], "Tmpfs": {"/run": "size=1m,exec"},
            "Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": -1}]}}),
        "",
    );
    assert_eq!(spec.root().as_ref().unwrap().readonly(), Some(true));
    let process = spec.process().clone().unwrap();
    assert_eq!(process.no_new_privileges(), Some(true));
    let bounding = process.capabilities().clone().unwrap().bounding().clone().unwrap();
    assert_eq!(bounding.into_iter().collect::<Vec<_>>(), [Capability::NetBindService]);
    assert_eq!(options(&spec, "/run"), ["nosuid", "nodev", "size=1m", "exec"]);
    let limit = &process.rlimits().clone().unwrap()[0];
    assert_eq!((limit.soft(), limit.hard()), (10, u64::MAX));
}

#[test]
fn an_exec_has_the_container_s_walls_unless_privileged() {
    let settings = settings_of(json!({"Image": "x", "Env": ["A=1"], "WorkingDir": "/srv",
        "HostConfig": {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"]}}));
    let settings = Settings { apparmor: Some("docker-default".into()), ..settings };
    let user = user::resolve("", &[], "", "").unwrap();
    let joining =
        Joining { argv: vec!["id".into()], env: vec!["A=2".into()], tty: true, ..Joining::default() };
    let all = capabilities::from_mask(!0);
    let process = of_exec(&settings, &joining, "h", &user, &all).unwrap();
    assert_eq!(process.cwd(), Path::new("/srv"));
    assert_eq!(process.no_new_privileges(), Some(true));
    assert_eq!(process.apparmor_profile().as_deref(), Some("docker-default"));
    let env = process.env().clone().unwrap();
    assert!(
        env.contains(&"A=2".into()) && env.contains(&"TERM=xterm".into()) && !env.contains(&"A=1".into())
    );
    assert_eq!(process.capabilities().as_ref().unwrap().bounding().as_ref().unwrap().len(), 0);
    let privileged = of_exec(&settings, &Joining { privileged: true, ..joining }, "h", &user, &all).unwrap();
    assert_eq!(privileged.capabilities().as_ref().unwrap().effective().as_ref().unwrap().len(), 41);
    assert_eq!(privileged.apparmor_profile(), process.apparmor_profile());
    let container = of_container(&settings, &placement(&settings, &user)).unwrap();
    assert_eq!(container.process().clone().unwrap().apparmor_profile(), process.apparmor_profile());
}

/// Numbers that look random and are the same each time (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn value(&mut self, depth: usize) -> Value {
        const WORDS: [&str; 16] = [
            "",
            "host",
            "none",
            "/",
            "/x",
            "..",
            "container:x",
            "ALL",
            "CAP_\u{0}",
            "a=b",
            "0",
            "-1",
            "4294967296",
            "\u{1F433}",
            "seccomp=unconfined",
            "/proc/sys",
        ];
        match self.roll(if depth == 0 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => json!(self.roll(2) == 0),
            2 => json!([0, 1, -1, i64::MAX, i64::MIN][self.roll(5)]),
            3 => json!(1e300),
            4 => json!(WORDS[self.roll(WORDS.len())]),
            5 => (0..self.roll(4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let pair =
                    |dice: &mut Self| (WORDS[dice.roll(WORDS.len())].to_owned(), dice.value(depth - 1));
                Value::Object((0..self.roll(4)).map(|_| pair(self)).collect())
            }
        }
    }
}

#[test]
fn whatever_a_client_sends_becomes_a_plan_or_a_refusal() {
    const FIELDS: [&str; 16] = [
        "Cmd",
        "Entrypoint",
        "Env",
        "Hostname",
        "Domainname",
        "User",
        "WorkingDir",
        "Tty",
        "StopSignal",
        "StopTimeout",
        "Labels",
        "ExposedPorts",
        "Image",
        "Shell",
        "NetworkingConfig",
        "Healthcheck",
    ];
    const HOST_FIELDS: [&str; 30] = [
        "NetworkMode",
        "CapAdd",
        "CapDrop",
        "CgroupnsMode",
        "Dns",
        "DnsSearch",
        "ExtraHosts",
        "GroupAdd",
        "IpcMode",
        "PidMode",
        "Privileged",
        "ReadonlyRootfs",
        "SecurityOpt",
        "Tmpfs",
        "UTSMode",
        "ShmSize",
        "Sysctls",
        "Ulimits",
        "MaskedPaths",
        "ReadonlyPaths",
        "ConsoleSize",
        "Memory",
        "PidsLimit",
        "RestartPolicy",
        "LogConfig",
        "Binds",
        "Mounts",
        "Devices",
        "UsernsMode",
        "NanoCpus",
    ];
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let (mut planned, mut refused) = (0, 0);
    let available = Available {
        capabilities: capabilities::from_mask(!0),
        hostname: "labhost".into(),
        remapped: false,
        groups: None,
        defaults: Default::default(),
        apparmor: false,
        processors: 1,
    };
    let image = serde_json::from_value(json!({"Cmd": ["sh"]})).unwrap();
    let user = user::resolve("", &[], "", "").unwrap();
    for _ in 0..4_000 {
        let mut body = json!({"Image": "x", "HostConfig": {}});
        for _ in 0..dice.roll(4) {
            body[FIELDS[dice.roll(FIELDS.len())]] = dice.value(2);
        }
        for _ in 0..dice.roll(4) {
            body["HostConfig"][HOST_FIELDS[dice.roll(HOST_FIELDS.len())]] = dice.value(2);
        }
        let request = settings::parse(body, &"ab".repeat(32), &image, &available);
        let plan = request.ok().and_then(|request| {
            let spec = of_container(&request.settings, &placement(&request.settings, &user)).ok()?;
            let rootfs = isolab_runtime::Rootfs::Directory("/merged".into());
            isolab_runtime::Plan::new(&spec, rootfs, isolab_runtime::PlanOptions::default()).ok()
        });
        *(if plan.is_some() { &mut planned } else { &mut refused }) += 1;
    }
    assert!(planned > 400 && refused > 400, "{planned} planned, {refused} refused");
}
