//! The compiler held against a direct reading of the profile, call by call, on a simulated kernel.

use super::simulate::{Call, run};
use super::syscalls::{Architecture, X32_BIT, names};
use super::*;
use oci_spec::runtime::{LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};
use std::collections::HashSet;

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x0005_0001;
const ENOSYS: u32 = 0x0005_0026;

fn docker_default_capabilities() -> HashSet<Capability> {
    [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
    .map(|name| name.parse().unwrap())
    .into()
}

fn all_capabilities() -> HashSet<Capability> {
    let status = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    assert!(status.trim().parse::<u32>().unwrap() >= 40);
    caps::all().into_iter().map(|cap| cap.to_string()["CAP_".len()..].parse().unwrap()).collect()
}

/// What the profile says, read as a person would: the rules in order, no ranges, no search, no BPF.
fn direct(seccomp: &LinuxSeccomp, arch: Architecture, name: &str, arguments: &[u64; 6]) -> u32 {
    let rules: Vec<&LinuxSyscall> = seccomp.syscalls().iter().flatten().collect();
    let value = |rule: &LinuxSyscall| rule.action().as_u32(rule.errno_ret());
    let of_name = |rule: &&&LinuxSyscall| rule.names().iter().any(|n| arch.number(n) == arch.number(name));
    let default = seccomp.default_action().as_u32(seccomp.default_errno_ret());
    let speaking: Vec<&&LinuxSyscall> =
        rules.iter().filter(of_name).filter(|rule| value(rule) != default).collect();
    if let Some(rule) = speaking.iter().find(|rule| rule.args().is_none()) {
        return value(rule);
    }
    if let Some(rule) = speaking.iter().find(|rule| holds(rule.args().as_ref().unwrap(), arch, arguments)) {
        return value(rule);
    }
    let newest = rules.iter().flat_map(|rule| rule.names()).filter_map(|n| arch.number(n)).max();
    if arch.number(name) > newest { ENOSYS } else { default }
}

fn holds(wanted: &[LinuxSeccompArg], arch: Architecture, arguments: &[u64; 6]) -> bool {
    let width = |value: u64| if arch.is_32_bit() { value as u32 as u64 } else { value };
    let one = |arg: &LinuxSeccompArg| {
        let (saw, value) = (width(arguments[arg.index()]), width(arg.value()));
        let masked = width(arg.value_two().unwrap_or(0));
        match arg.op() {
            LinuxSeccompOperator::ScmpCmpNe => saw != value,
            LinuxSeccompOperator::ScmpCmpLt => saw < value,
            LinuxSeccompOperator::ScmpCmpLe => saw <= value,
            LinuxSeccompOperator::ScmpCmpEq => saw == value,
            LinuxSeccompOperator::ScmpCmpGe => saw >= value,
            LinuxSeccompOperator::ScmpCmpGt => saw > value,
            LinuxSeccompOperator::ScmpCmpMaskedEq => saw & value == masked & value,
        }
    };
    let indices: HashSet<usize> = wanted.iter().map(|arg| arg.index()).collect();
    if indices.len() == wanted.len() { wanted.iter().all(one) } else { wanted.iter().any(one) }
}

/// First arguments that the profile's own comparisons tell apart, and their neighbours.
const TELLING: &[u64] = &[
    0,
    1,
    7,
    8,
    9,
    39,
    40,
    41,
    0x20000,
    0x20008,
    0x7e02_0000,
    0x0200_0000,
    0x1000_0000,
    0xffff_fffe,
    0xffff_ffff,
    0x1_0000_0000,
    0x1_0000_0028,
    u64::MAX,
];

#[test]
fn every_call_of_the_profile_is_decided_as_the_profile_says() {
    let sets = [docker_default_capabilities(), HashSet::new(), all_capabilities()];
    for (set, seccomp) in sets.iter().map(|set| (set.len(), docker_default(set.iter().copied()))) {
        let filter = compile(&seccomp).unwrap();
        for arch in [Architecture::X86_64, Architecture::I386, Architecture::X32] {
            let mut seen = 0;
            for name in names() {
                let Some(number) = arch.number(name) else { continue };
                for &first in TELLING {
                    let arguments = [first, 0, first, 0, 0, 0];
                    let wanted = direct(&seccomp, arch, name, &arguments);
                    let call = Call { number, audit: arch.audit(), arguments };
                    let saw = run(&filter.program, &call);
                    assert_eq!(saw, wanted, "{name}({first:#x}) on {arch:?} with {set} capabilities");
                }
                seen += 1;
            }
            assert!(seen > 300, "only {seen} calls on {arch:?}");
        }
    }
}

#[test]
fn the_default_profile_is_dockers() {
    let seccomp = docker_default(docker_default_capabilities());
    let filter = compile(&seccomp).unwrap();
    let decide = |arch: Architecture, name: &str, first: u64| {
        let number = arch.number(name).unwrap();
        run(&filter.program, &Call { number, audit: arch.audit(), arguments: [first, 0, 0, 0, 0, 0] })
    };
    for arch in [Architecture::X86_64, Architecture::I386, Architecture::X32] {
        assert_eq!(decide(arch, "openat", 0), ALLOW);
        assert_eq!(decide(arch, "mount", 0), EPERM);
        assert_eq!(decide(arch, "unshare", 0), EPERM);
        assert_eq!(decide(arch, "clone3", 0), ENOSYS);
        assert_eq!(decide(arch, "clone", 0x11), ALLOW);
        assert_eq!(decide(arch, "clone", 0x1000_0011), EPERM);
        assert_eq!(decide(arch, "personality", 0xffff_ffff), ALLOW);
        assert_eq!(decide(arch, "personality", 0x0040_0000), EPERM);
        assert_eq!(decide(arch, "socket", 40), EPERM);
        assert_eq!(decide(arch, "ptrace", 0), ALLOW);
    }
    let unknown = Call { number: 0, audit: 0xc000_00b7, arguments: [0; 6] };
    assert_eq!(run(&filter.program, &unknown), 0, "an architecture that is not listed is killed");
}

#[test]
fn an_architecture_that_is_not_listed_is_killed_and_the_native_one_never() {
    let mut seccomp = docker_default(docker_default_capabilities());
    seccomp.set_architectures(None);
    let filter = compile(&seccomp).unwrap();
    let read = |arch: Architecture| {
        let number = arch.number("read").unwrap();
        run(&filter.program, &Call { number, audit: arch.audit(), arguments: [0; 6] })
    };
    assert_eq!([Architecture::X86_64, Architecture::I386, Architecture::X32].map(read), [ALLOW, 0, 0]);
}

#[test]
fn comparisons_are_of_64_bits_where_arguments_are() {
    const VALUES: &[u64] = &[
        0,
        1,
        0xffff_ffff,
        0x1_0000_0000,
        0x1_0000_0001,
        0x7_ffff_ffff,
        0x8_0000_0000,
        u64::MAX - 1,
        u64::MAX,
    ];
    use LinuxSeccompOperator::*;
    for op in [ScmpCmpNe, ScmpCmpLt, ScmpCmpLe, ScmpCmpEq, ScmpCmpGe, ScmpCmpGt, ScmpCmpMaskedEq] {
        for &value in VALUES {
            let second = format!("{op:?}{value}").len() as u64;
            let json = serde_json::json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "architectures": ["SCMP_ARCH_X86"],
                "syscalls": [{"names": ["close_range"], "action": "SCMP_ACT_KILL_PROCESS", "args": [
                    {"index": 0, "value": value, "valueTwo": value ^ 1, "op": op},
                    {"index": 5, "value": second, "op": "SCMP_CMP_GE"}]}]
            });
            let seccomp: LinuxSeccomp = serde_json::from_value(json).unwrap();
            let filter = compile(&seccomp).unwrap();
            for arch in [Architecture::X86_64, Architecture::I386] {
                for &first in VALUES {
                    let first = if arch.is_32_bit() { first as u32 as u64 } else { first };
                    for last in [second - 1, second, second + 1] {
                        let arguments = [first, 9, 9, 9, 9, last];
                        let number = arch.number("close_range").unwrap();
                        let saw = run(&filter.program, &Call { number, audit: arch.audit(), arguments });
                        let wanted = direct(&seccomp, arch, "close_range", &arguments);
                        assert_eq!(saw, wanted, "{op:?} {value:#x} of {first:#x}, {last} on {arch:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn denying_a_socket_call_denies_its_old_i386_form() {
    let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
        "syscalls":[{"names":["connect","shmget"],"action":"SCMP_ACT_ERRNO"}]}"#;
    let filter = compile(&serde_json::from_str(json).unwrap()).unwrap();
    let arch = Architecture::I386;
    let decide = |name: &str, code: u64| {
        let number = arch.number(name).unwrap();
        run(&filter.program, &Call { number, audit: arch.audit(), arguments: [code, 0, 0, 0, 0, 0] })
    };
    assert_eq!(decide("connect", 0), EPERM);
    assert_eq!([1, 2, 3, 4].map(|code| decide("socketcall", code)), [ALLOW, ALLOW, EPERM, ALLOW]);
    assert_eq!([22, 23].map(|code| decide("ipc", code)), [ALLOW, EPERM]);
}

#[test]
fn what_cannot_be_compiled_says_why() {
    let refuse = |rule: &str| {
        let json = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rule}]}}"#);
        compile(&serde_json::from_str(&json).unwrap()).unwrap_err().to_string()
    };
    let notify = refuse(r#"{"names":["read"],"action":"SCMP_ACT_NOTIFY"}"#);
    assert!(notify.contains("SCMP_ACT_NOTIFY"), "{notify}");
    let index = refuse(
        r#"{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}"#,
    );
    assert!(index.contains("index 6"), "{index}");
    let many: Vec<String> = (0..1000)
        .map(|value| {
            format!(
                r#"{{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{{"index":0,"value":{value},"op":"SCMP_CMP_EQ"}}]}}"#
            )
        })
        .collect();
    assert!(refuse(&many.join(",")).contains("the kernel takes 4096"));
    assert!(
        Profile::parse(
            r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],
        "archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}"#
        )
        .is_err()
    );
    assert!(Profile::parse("[").is_err());
}

#[test]
fn conditions_on_the_kernel_hold_from_that_version_on() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
        {"names":["ptrace"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"4.8"}},
        {"names":["read"],"action":"SCMP_ACT_ALLOW","args":null,"excludes":{"minKernel":"5.0"}}]}"#;
    let rules_on = |kernel| {
        let machine = Machine { architecture: Architecture::X86_64, kernel };
        let seccomp = Profile::parse(json).unwrap().resolve(&machine, []);
        seccomp.syscalls().iter().flatten().flat_map(|rule| rule.names().clone()).collect::<Vec<_>>()
    };
    assert_eq!(rules_on((4, 7)), ["read"]);
    assert_eq!(rules_on((4, 8)), ["ptrace", "read"]);
    assert_eq!(rules_on((4, 18)), ["ptrace", "read"]);
    assert_eq!(rules_on((5, 0)), ["ptrace"]);
}

#[test]
fn the_lab_host_makes_containers_but_does_not_reach_the_machines_kernel() {
    let seccomp = lab_host();
    let filter = compile(&seccomp).unwrap();
    for arch in [Architecture::X86_64, Architecture::I386, Architecture::X32] {
        let decide = |name: &str, first: u64| {
            let number = arch.number(name)?;
            Some(run(
                &filter.program,
                &Call { number, audit: arch.audit(), arguments: [first, 0, 0, 0, 0, 0] },
            ))
        };
        for name in KEPT_FROM_LAB_HOST {
            assert_ne!(decide(name, 0).unwrap_or(EPERM), ALLOW, "{name} on {arch:?}");
        }
        for name in
            ["mount", "unshare", "setns", "clone3", "pivot_root", "personality", "sethostname", "reboot"]
        {
            assert_eq!(decide(name, 0x1000_0000), Some(ALLOW), "{name} on {arch:?}");
        }
        assert_eq!(decide("socket", 40), Some(EPERM), "no way to the hypervisor");
    }
}

#[test]
fn the_cache_compiles_each_profile_once_and_is_bounded() {
    let cache = FilterCache::default();
    let docker = docker_default(docker_default_capabilities());
    let first = cache.compile(&docker).unwrap();
    assert!(std::sync::Arc::ptr_eq(&first, &cache.compile(&docker).unwrap()));
    assert_eq!(*first, compile(&docker).unwrap());
    assert_ne!(*first, *cache.compile(&lab_host()).unwrap());
    let mut other = docker.clone();
    for errno in 0..200 {
        other.set_default_errno_ret(Some(errno));
        cache.compile(&other).unwrap();
    }
    assert_eq!(*first, *cache.compile(&docker).unwrap());
}

#[test]
fn x32_calls_have_their_bit() {
    assert_eq!(Architecture::X32.number("read"), Some(X32_BIT));
    assert_eq!(Architecture::X32.number("execve"), Some(X32_BIT | 520));
    assert_eq!(Architecture::Arm.number("breakpoint"), Some(0x000f_0001));
    assert_eq!(Architecture::Aarch64.number("openat"), Some(56));
    assert_eq!(Architecture::X86_64.number("no_such_call"), None);
}

#[test]
fn actions_that_the_default_already_takes_say_nothing() {
    let rule = r#"{"names":["read"],"action":"SCMP_ACT_ALLOW"},{"names":["read"],"action":"SCMP_ACT_ERRNO"}"#;
    let json = format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{rule}]}}"#);
    let seccomp: LinuxSeccomp = serde_json::from_str(&json).unwrap();
    assert_eq!(seccomp.default_action(), LinuxSeccompAction::ScmpActAllow);
    let call = Call { number: 0, audit: Architecture::X86_64.audit(), arguments: [0; 6] };
    assert_eq!(run(&compile(&seccomp).unwrap().program, &call), EPERM);
}
