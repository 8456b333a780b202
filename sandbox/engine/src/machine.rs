//! What the engine knows of the lab host it runs on: read once, when it starts.

use crate::apparmor;
use crate::settings::{Available, Defaults, capabilities};
use isolab_runtime::cgroup::Support;
use oci_spec::runtime::{Capabilities, LinuxDevice, LinuxDeviceBuilder, LinuxDeviceType};
use rustix::fs::{FileType, major, minor};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The lab host.
#[derive(Clone, Debug)]
pub struct Machine {
    /// `uname -r`.
    pub kernel: String,
    /// `uname -m`.
    pub architecture: String,
    /// `PRETTY_NAME` of /etc/os-release, and whether that is a container's.
    pub system: String,
    /// `VERSION_ID` of /etc/os-release.
    pub system_version: String,
    /// Processors.
    pub processors: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The highest group id that is mapped without a gap from 0.
    pub gid_max: u32,
    /// Whether the kernel has IPv6.
    pub ipv6: bool,
    /// Whether root here is the machine's own, and not that of a user namespace.
    pub is_machines_root: bool,
    /// Whether the engine is an ordinary user's own.
    pub rootless: bool,
    /// The engine's own bounding set.
    pub capabilities: Capabilities,
    /// Whether there is AppArmor for us to confine containers with.
    pub apparmor: bool,
    /// What control groups can do; `None` where the engine may not make any.
    pub groups: Option<Support>,
    /// Below which group those of containers are, where nobody asks for another.
    pub cgroup_parent: String,
    /// Nodes of `/dev`, for privileged containers.
    pub devices: Vec<LinuxDevice>,
}

/// How many device nodes a privileged container gets at most: a real machine has some two hundred.
const DEVICES_MAX: usize = 512;

impl Machine {
    /// Reads what there is to read; what cannot be read is left at its least.
    pub fn read(cgroup_parent: &str) -> Self {
        let uname = rustix::system::uname();
        let words = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let gid_map = std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
        let info = rustix::system::sysinfo();
        let is_machines_root = gid_map.split_whitespace().eq(["0", "0", "4294967295"]);
        Self {
            kernel: words(uname.release()),
            architecture: words(uname.machine()),
            system: {
                let name = os_release(&release, "PRETTY_NAME").unwrap_or_else(|| "Linux".into());
                let first = std::fs::read_to_string("/proc/1/cgroup").unwrap_or_default();
                if is_containerized(&first) { format!("{name} (containerized)") } else { name }
            },
            system_version: os_release(&release, "VERSION_ID").unwrap_or_default(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: info.totalram * u64::from(info.mem_unit),
            gid_max: gid_max(&gid_map),
            is_machines_root,
            apparmor: is_machines_root && apparmor::is_on(),
            rootless: false,
            ipv6: Path::new("/proc/sys/net/ipv6").exists(),
            capabilities: bounding(&status),
            groups: Support::of_machine(),
            cgroup_parent: cgroup_parent.to_owned(),
            devices: devices(Path::new("/dev")),
        }
    }

    /// The lab host's name at this moment.
    pub fn hostname(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    /// What a request is checked against.
    pub fn available(&self, remapped: bool, defaults: &Defaults) -> Available {
        Available {
            capabilities: self.capabilities.clone(),
            hostname: self.hostname(),
            remapped,
            groups: self.groups.clone(),
            apparmor: self.apparmor,
            processors: self.processors,
            defaults: defaults.clone(),
        }
    }

    /// Whether programs of a platform (`linux`, `linux/amd64`; empty: any) run here as they are.
    pub fn runs(&self, platform: &str) -> bool {
        let mut words = platform.split('/');
        let system = words.next().unwrap_or_default();
        let alias = match words.next().unwrap_or_default() {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        match (system, alias) {
            ("" | "linux", "") => true,
            ("linux", architecture) => architecture == self.go_architecture(),
            // An architecture may stand alone.
            (architecture, "") => architecture == self.go_architecture(),
            _ => false,
        }
    }

    /// Go's word for the architecture, which Docker uses.
    pub fn go_architecture(&self) -> &str {
        match self.architecture.as_str() {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }
    }
}

fn os_release(text: &str, key: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
    Some(value.trim_matches('"').to_owned())
}

/// Whether the first process is in a control group of somebody's: Docker's own test.
fn is_containerized(groups: &str) -> bool {
    groups.lines().any(|line| !(line.is_empty() || line.ends_with(":/") || line.ends_with(":/init.scope")))
}

fn bounding(status: &str) -> Capabilities {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    capabilities::from_mask(mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0))
}

/// The last id that is mapped without a gap from 0 on, in rising order outside too (the kernel compares outer ids). The
/// initial namespace maps all of 32 bits; Docker ends at 2³¹ − 1.
fn gid_max(map: &str) -> u32 {
    let fields =
        |line: &str| line.split_whitespace().map(|field| field.parse().ok()).collect::<Option<Vec<u64>>>();
    let mut ranges: Vec<_> = map.lines().filter_map(fields).filter(|range| range.len() == 3).collect();
    ranges.sort_unstable();
    let (mut next_inside, mut next_outside) = (0, 0);
    for range in ranges {
        if range[0] != next_inside || range[1] < next_outside {
            break;
        }
        (next_inside, next_outside) = (range[0] + range[2], range[1] + range[2]);
    }
    next_inside.saturating_sub(1).min(i32::MAX as u64) as u32
}

/// The device nodes directly in a directory. Terminals and the like that live deeper are the container's own.
fn devices(directory: &Path) -> Vec<LinuxDevice> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let device = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().ok()?;
        let kind = match metadata.file_type() {
            kind if kind.is_char_device() => LinuxDeviceType::C,
            kind if kind.is_block_device() => LinuxDeviceType::B,
            _ => return None,
        };
        let number = metadata.rdev();
        LinuxDeviceBuilder::default()
            .path(entry.path())
            .typ(kind)
            .major(i64::from(major(number)))
            .minor(i64::from(minor(number)))
            .file_mode(metadata.mode() & !FileType::from_raw_mode(metadata.mode()).as_raw_mode())
            .uid(metadata.uid())
            .gid(metadata.gid())
            .build()
            .ok()
    };
    entries.filter_map(device).take(DEVICES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ping_range_ends_where_the_mapping_does() {
        assert_eq!(gid_max("         0          0 4294967295\n"), i32::MAX as u32);
        assert_eq!(gid_max("0 100001 61440\n65534 200000 1\n"), 61439);
        assert_eq!(gid_max("0 1001 1\n1 100000 65535\n"), 65535);
        assert_eq!(gid_max("0 100000 10\n10 5 10\n"), 9);
        assert_eq!(gid_max("5 1 1\n"), 0);
    }

    #[test]
    fn release_and_status_files_are_read() {
        assert_eq!(
            os_release("NAME=x\nPRETTY_NAME=\"Debian 12\"\n", "PRETTY_NAME").as_deref(),
            Some("Debian 12")
        );
        assert!(is_containerized("1:cpu:/\n4:memory:/a/b\n"));
        assert!(!is_containerized("1:name=systemd:/init.scope\n0::/\n"));
        assert_eq!(bounding("Name: x\nCapBnd:\t0000000000000401\n").len(), 2);
    }

    #[test]
    fn device_nodes_are_found() {
        let found = devices(Path::new("/dev"));
        let null = found.iter().find(|device| device.path() == Path::new("/dev/null")).unwrap();
        assert_eq!((null.major(), null.minor(), null.typ()), (1, 3, LinuxDeviceType::C));
    }
}
