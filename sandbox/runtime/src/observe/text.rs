//! The kernel's texts about a process, parsed. Pure; never panics, whatever the bytes: names in them are the lab's.

use isolab_protocol::observation::{CapabilitySets, IdMapping, Ids, Mount, Seccomp};

/// What `/proc/PID/status` says, ids still as the reader sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub pids: Vec<u32>,
    pub uid: Ids,
    pub gid: Ids,
    pub groups: Vec<u32>,
    pub capabilities: CapabilitySets,
    pub no_new_privs: bool,
    pub seccomp: Seccomp,
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    pub comm: String,
    pub state: String,
    pub ppid: u32,
    /// One of the kernel's own threads, which is nobody's process. A program that the kernel starts for somebody, such as the one that
    /// core_pattern(5) names, has the same parent and is none.
    pub is_kernel_thread: bool,
    pub started_at_ms: u64,
}

/// How many supplementary groups are kept. Root has a dozen; a process may have 65536, to make us slow.
const GROUPS_MAX: usize = 64;

/// `USER_HZ`: the unit of times in procfs is 10 ms on every architecture of ours, whatever the kernel's own tick.
const MS_PER_TICK: u64 = 10;

/// `PF_KTHREAD` of the kernel's linux/sched.h, in the flags of `/proc/PID/stat`.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// Parses `/proc/PID/status`. `None` where a line is missing, which no kernel since 5.9 does.
pub fn status(bytes: &[u8]) -> Option<Status> {
    let text = String::from_utf8_lossy(bytes);
    let mut fields = std::collections::HashMap::with_capacity(64);
    for (name, value) in text.lines().filter_map(|line| line.split_once(':')) {
        // `Name:` comes first and a newline in it is escaped, so no later field can be forged; the first one counts.
        fields.entry(name).or_insert(value.trim());
    }
    let numbers = |name: &str| fields.get(name).map(|value| value.split_ascii_whitespace().map_while(parse));
    let ids = |name: &str| {
        let mut values = numbers(name)?;
        let mut next = || values.next();
        Some(Ids { real: next()?, effective: next()?, saved: next()?, filesystem: next()? })
    };
    let set = |name: &str| fields.get(name).map(|value| (*value).to_owned());
    Some(Status {
        pids: numbers("NSpid")?.collect(),
        uid: ids("Uid")?,
        gid: ids("Gid")?,
        groups: numbers("Groups")?.take(GROUPS_MAX).collect(),
        capabilities: CapabilitySets {
            inheritable: set("CapInh")?,
            permitted: set("CapPrm")?,
            effective: set("CapEff")?,
            bounding: set("CapBnd")?,
            ambient: set("CapAmb")?,
        },
        no_new_privs: fields.get("NoNewPrivs") == Some(&"1"),
        seccomp: Seccomp { mode: numbers("Seccomp")?.next()?, filters: numbers("Seccomp_filters")?.next()? },
    })
}

/// Parses `/proc/PID/stat`. The name may hold spaces and parentheses, so the fields begin after the last `)`.
pub fn stat(bytes: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(bytes);
    let (front, back) = text.rsplit_once(')')?;
    let (_, comm) = front.split_once('(')?;
    let mut fields = back.split_ascii_whitespace();
    let state = fields.next()?.to_owned();
    let ppid = fields.next().and_then(parse)?;
    // proc_pid_stat(5) numbers from 1: the state is 3, the flags are 9, the start time is 22.
    let flags = fields.nth(9 - 5).and_then(parse)?;
    let ticks: u64 = fields.nth(22 - 10).and_then(|field| field.parse().ok())?;
    Some(Stat {
        comm: comm.to_owned(),
        state,
        ppid,
        is_kernel_thread: flags & KERNEL_THREAD != 0,
        started_at_ms: ticks.saturating_mul(MS_PER_TICK),
    })
}

/// Parses `/proc/PID/cmdline`: arguments, each ended by a NUL.
pub fn arguments(bytes: &[u8]) -> Vec<String> {
    let ended = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if ended.is_empty() {
        return vec![];
    }
    ended.split(|byte| *byte == 0).map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

/// Parses `/proc/PID/uid_map` or `gid_map`.
pub fn id_map(bytes: &[u8]) -> Vec<IdMapping> {
    let text = String::from_utf8_lossy(bytes);
    let line = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map_while(parse);
        Some(IdMapping { inside: numbers.next()?, outside: numbers.next()?, count: numbers.next()? })
    };
    text.lines().filter_map(line).collect()
}

/// The unified hierarchy's line of `/proc/PID/cgroup`; empty where there is none, or only a part of it: the beginning of a name is the
/// name of another group.
pub fn cgroup(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let name = |line: &str| Some(line.strip_prefix("0::")?.strip_suffix('\n')?.to_owned());
    text.split_inclusive('\n').find_map(name).unwrap_or_default()
}

/// The label of `/proc/PID/attr/current`.
pub fn label(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let label = text.trim_end_matches(['\0', '\n']);
    (!label.is_empty()).then(|| label.to_owned())
}

/// Parses at most `max` lines of `/proc/PID/mountinfo`.
pub fn mounts(bytes: &[u8], max: usize) -> Vec<Mount> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().filter_map(mount).take(max).collect()
}

fn mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut fields = front.split(' ').skip(2);
    let mut next = || fields.next();
    let (device, root, target, options) = (next()?, next()?, next()?, next()?);
    Some(Mount {
        target: unescape(target),
        fstype: unescape(back.split(' ').next()?),
        device: device.to_owned(),
        root: unescape(root),
        options: options.split(',').map(str::to_owned).collect(),
    })
}

/// Undoes mountinfo's escapes: space, tab, newline, backslash and `#` are written as three octal digits.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn parse(field: &str) -> Option<u32> {
    field.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tsleep\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t31\nPid:\t31\nPPid:\t1\nUid:\t1\t2\t3\t4\n\
        Gid:\t5\t6\t7\t8\nGroups:\t9 10 \nNStgid:\t31\t1\nNSpid:\t31\t1\nCapInh:\t0000000000000000\n\
        CapPrm:\t00000000a80425fb\nCapEff:\t00000000a80425fa\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000001\n\
        NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";

    #[test]
    fn a_status_is_read() {
        let status = status(STATUS.as_bytes()).unwrap();
        assert_eq!(status.pids, [31, 1]);
        assert_eq!((status.uid.real, status.uid.filesystem, status.gid.effective), (1, 4, 6));
        assert_eq!(status.groups, [9, 10]);
        assert_eq!(status.capabilities.effective, "00000000a80425fa");
        assert_eq!(status.capabilities.ambient, "0000000000000001");
        assert!(status.no_new_privs);
        assert_eq!(status.seccomp, Seccomp { mode: 2, filters: 3 });
    }

    #[test]
    fn a_status_of_this_very_process_is_read() {
        let bytes = std::fs::read("/proc/self/status").unwrap();
        assert_eq!(status(&bytes).unwrap().pids[0], std::process::id());
        let bytes = std::fs::read("/proc/self/stat").unwrap();
        let stat = stat(&bytes).unwrap();
        assert_eq!(stat.comm, std::fs::read_to_string("/proc/self/comm").unwrap().trim_end());
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime_ms = uptime.split(' ').next().unwrap().parse::<f64>().unwrap() * 1000.0;
        let age_ms = uptime_ms - stat.started_at_ms as f64;
        assert!((-20.0..600_000.0).contains(&age_ms), "started {age_ms} ms ago");
    }

    #[test]
    fn a_name_forges_no_field() {
        let named = |name: &str| {
            let line = format!("7 ({name}) S 3 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 250 1 1 1\n");
            stat(line.as_bytes()).unwrap()
        };
        for name in ["a) R 9 (b", "))) Z 1", "(", "a b", "\n"] {
            let stat = named(name);
            assert_eq!((stat.comm.as_str(), stat.state.as_str(), stat.ppid), (name, "S", 3), "{name:?}");
            assert_eq!(stat.started_at_ms, 2500);
        }
        let forged = STATUS.replace("sleep", "x\\nCapEff:\\t000001ffffffffff");
        assert_eq!(status(forged.as_bytes()).unwrap().capabilities.effective, "00000000a80425fa");
    }

    #[test]
    fn a_kernel_thread_is_told_from_what_the_kernel_starts() {
        let with = |flags: u32| {
            stat(format!("7 (x) S 2 0 0 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 250 1 1 1\n").as_bytes())
                .unwrap()
        };
        assert!(with(0x0020_8040).is_kernel_thread);
        assert!(!with(0x0040_0100).is_kernel_thread);
        assert_eq!(with(0).started_at_ms, 2500);
    }

    #[test]
    fn mounts_are_unescaped_and_bounded() {
        let text = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
            37 36 0:5 / /proc ro - proc proc rw\n";
        let read = mounts(text.as_bytes(), 8);
        assert_eq!(read[0].target, "/mnt 2");
        assert_eq!((read[0].root.as_str(), read[0].fstype.as_str()), ("/mnt1", "ext3"));
        assert_eq!(read[0].device, "98:0");
        assert_eq!(read[0].options, ["rw", "noatime"]);
        assert_eq!(mounts(text.as_bytes(), 1).len(), 1);
        for (escaped, plain) in
            [("a\\134b", "a\\b"), ("\\", "\\"), ("\\9", "\\9"), ("\\777", "\\777"), ("ä\\011", "ä\t")]
        {
            assert_eq!(unescape(escaped), plain);
        }
    }

    #[test]
    fn arguments_are_split() {
        assert_eq!(arguments(b"sleep\x003600\0"), ["sleep", "3600"]);
        assert_eq!(arguments(b"a\0\0b\0"), ["a", "", "b"]);
        assert_eq!(arguments(b"cut"), ["cut"]);
        assert!(arguments(b"").is_empty());
        assert!(arguments(b"\0").is_empty());
    }

    #[test]
    fn small_texts() {
        assert_eq!(cgroup(b"12:cpu:/x\n0::/lab/a\n"), "/lab/a");
        assert_eq!(cgroup(b"12:cpu:/x\n"), "");
        assert_eq!(cgroup(b"0::/lab/a"), "", "it was cut");
        assert_eq!(label(b"docker-default (enforce)\n"), Some("docker-default (enforce)".into()));
        assert_eq!(label(b""), None);
        assert_eq!(id_map(b"  0 100000 65536\n 65536 1 1\n").len(), 2);
        assert_eq!(id_map(b"0 x 1\n"), []);
    }

    #[test]
    fn garbage_is_no_process() {
        for garbage in [&b""[..], b"\xff\xff", b"Uid:\n", b"1 (x", b"1 x) S", b") S 1"] {
            assert_eq!(status(garbage), None);
            assert_eq!(stat(garbage), None);
        }
    }
}
