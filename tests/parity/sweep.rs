//! The cases that are made, not written: each capability added and dropped, and each way to filter system calls, with what
//! the kernel then answers to some eighty calls. One container tries them all.

use isolab_tests::parity::case::Case;

/// All capabilities that Linux has.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "SYSLOG",
    "WAKE_ALARM",
];

/// The ways to filter system calls, with the flags for them.
const FILTERS: [(&str, &str); 9] = [
    ("default", ""),
    ("unconfined", "--security-opt seccomp=unconfined"),
    ("privileged", "--privileged"),
    ("custom", "--security-opt seccomp=$HERE/profile.json"),
    ("custom-privileged", "--privileged --security-opt seccomp=$HERE/profile.json"),
    ("ordinary-user", "--user 1000:1000"),
    ("no-new-privileges", "--security-opt no-new-privileges"),
    ("all-capabilities", "--cap-add ALL"),
    ("no-capabilities", "--cap-drop ALL"),
];

/// With what dockerd only works where root has all capabilities.
const PRIVILEGED: [&str; 3] = ["--privileged", "--cap-add ALL", "--cap-add SYS_RESOURCE"];

/// What a dockerd as old as the oldest that is held against does not know: there, only the refusal is compared.
const RECENT: [&str; 3] = ["BPF", "CHECKPOINT_RESTORE", "PERFMON"];

/// The prober comes over standard input, so that nothing has to be shared with the container.
fn case(name: &str, flags: &str) -> Case {
    let inside = "cat >/tmp/probe; chmod +x /tmp/probe; grep -E \"^(Cap|NoNewPrivs|Seccomp)\" /proc/self/status; /tmp/probe";
    Case {
        name: format!("sweep/{name}"),
        script: format!(
            "docker run --rm -i --network none {flags} busybox sh -c '{inside}' <$PROGRAMS/isolab-probe\n"
        ),
        alone: false,
        names: false,
        // A sweep that is refused before it begins would be the same on both sides.
        docker_says: Some("mount E".into()),
        needs: match PRIVILEGED.iter().any(|word| flags.contains(word)) {
            true => vec!["all-capabilities".into()],
            false => vec![],
        },
    }
}

/// All of them. With each capability both sides get the file that our engine has compiled in, so that what a capability opens
/// is compared, and not which year's profile of Docker's each of them has.
pub fn cases() -> Vec<Case> {
    let filters = FILTERS.iter().map(|(name, flags)| case(&format!("calls-{name}"), flags));
    let capabilities = CAPABILITIES.iter().flat_map(|capability| {
        ["add", "drop"].map(|way| {
            let name = format!("cap-{way}-{}", capability.to_lowercase().replace('_', "-"));
            match RECENT.contains(capability) {
                true => Case {
                    script: format!(
                        "docker run --rm --cap-{way} {capability} busybox grep ^Cap /proc/self/status\n"
                    ),
                    docker_says: Some("Cap".into()),
                    ..case(&name, "")
                },
                false => case(&name, &format!("--cap-{way} {capability} --security-opt seccomp=$PROFILE")),
            }
        })
    });
    filters.chain(capabilities).collect()
}
