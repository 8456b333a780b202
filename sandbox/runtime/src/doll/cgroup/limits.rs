//! `linux.resources` in the words of the kernel's files. Pure: nothing here is written.

use super::device_rules;
use crate::Error;
use oci_spec::runtime::{
    LinuxBlockIo, LinuxCpu, LinuxMemory, LinuxPids, LinuxResources, LinuxThrottleDevice,
};

/// One file of a group, and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Whose it is, by the name of version 1's hierarchy.
    pub controller: &'static str,
    pub file: String,
    pub value: String,
}

fn set(controller: &'static str, file: impl Into<String>, value: impl ToString) -> Setting {
    Setting { controller, file: file.into(), value: value.to_string() }
}

/// The settings of version 1, in the order in which the kernel takes them.
pub(super) fn version_1(resources: &LinuxResources) -> Result<Vec<Setting>, Error> {
    check(resources)?;
    if resources.unified().as_ref().is_some_and(|unified| !unified.is_empty()) {
        return Err(Error::field("linux.resources.unified", "needs control groups of version 2"));
    }
    let mut all = vec![];
    for rule in device_rules::read(resources.devices().as_deref().unwrap_or_default())? {
        let file = if rule.allow { "devices.allow" } else { "devices.deny" };
        all.push(set("devices", file, rule.words()));
    }
    resources.memory().iter().for_each(|memory| memory_1(memory, &mut all));
    resources.cpu().iter().for_each(|cpu| cpu_1(cpu, &mut all));
    resources.pids().iter().for_each(|limit| all.extend(pids(limit)));
    resources.block_io().iter().for_each(|io| block_io_1(io, &mut all));
    for huge in resources.hugepage_limits().iter().flatten() {
        let file = format!("hugetlb.{}.limit_in_bytes", page_size(huge.page_size())?);
        all.push(set("hugetlb", file, huge.limit()));
    }
    if let Some(network) = resources.network() {
        all.extend(network.class_id().map(|id| set("net_cls", "net_cls.classid", id)));
        for priority in network.priorities().iter().flatten() {
            let value = format!("{} {}", priority.name(), priority.priority());
            all.push(set("net_prio", "net_prio.ifpriomap", value));
        }
    }
    Ok(all)
}

/// The settings of version 2. What is said of devices is not among them: it is no file there.
pub(super) fn unified(resources: &LinuxResources) -> Result<Vec<Setting>, Error> {
    check(resources)?;
    let mut all = vec![];
    resources.memory().iter().for_each(|memory| memory_2(memory, &mut all));
    resources.cpu().iter().for_each(|cpu| cpu_2(cpu, &mut all));
    resources.pids().iter().for_each(|limit| all.extend(pids(limit)));
    resources.block_io().iter().for_each(|io| block_io_2(io, &mut all));
    for huge in resources.hugepage_limits().iter().flatten() {
        all.push(set("hugetlb", format!("hugetlb.{}.max", page_size(huge.page_size())?), huge.limit()));
    }
    for (file, value) in resources.unified().iter().flatten() {
        let plain =
            file.contains('.') && file.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b));
        if !plain || file.starts_with('.') || file.starts_with("cgroup.") {
            let why = "is no file of a controller";
            return Err(Error::field(format!("linux.resources.unified[{file:?}]"), why));
        }
        all.push(set("unified", file.clone(), value));
    }
    Ok(all)
}

/// An error for what neither version can be asked here.
fn check(resources: &LinuxResources) -> Result<(), Error> {
    let absent = |name: &str, present: bool| match present {
        true => Err(Error::field(format!("linux.resources.{name}"), "is not supported")),
        false => Ok(()),
    };
    absent("rdma", resources.rdma().as_ref().is_some_and(|limits| !limits.is_empty()))?;
    let of_devices = |io: &LinuxBlockIo| {
        io.weight_device().as_ref().is_some_and(|list| !list.is_empty())
            || io.leaf_weight().is_some_and(|w| w > 0)
    };
    absent("blockIO.weightDevice", resources.block_io().as_ref().is_some_and(of_devices))
}

/// A limit that limits: engines write 0 for none.
fn positive(value: Option<i64>) -> Option<i64> {
    value.filter(|&value| value != 0)
}

fn memory_1(memory: &LinuxMemory, all: &mut Vec<Setting>) {
    let mut set = |file: &str, value: Option<i64>| {
        all.extend(positive(value).map(|value| set("memory", format!("memory.{file}"), value)));
    };
    // Together they may never be less than memory alone: of no limit at all, the smaller is set first.
    set("limit_in_bytes", memory.limit());
    set("memsw.limit_in_bytes", memory.swap());
    set("soft_limit_in_bytes", memory.reservation());
    set("kmem.tcp.limit_in_bytes", memory.kernel_tcp());
    set("swappiness", memory.swappiness().filter(|&value| value <= 100).map(|value| value as i64));
    set("oom_control", memory.disable_oom_killer().filter(|disable| *disable).map(|_| 1));
}

fn memory_2(memory: &LinuxMemory, all: &mut Vec<Setting>) {
    let bytes = |value: i64| if value < 0 { "max".to_owned() } else { value.to_string() };
    let mut set = |file: &str, value: Option<i64>| {
        all.extend(positive(value).map(|value| set("memory", file, bytes(value))));
    };
    set("memory.max", memory.limit());
    // Version 1 counts memory and swap together, version 2 swap alone.
    let swap = match (positive(memory.swap()), positive(memory.limit())) {
        (Some(both), Some(limit)) if both > 0 && limit > 0 => Some(both - limit),
        (both, _) => both.filter(|&both| both < 0),
    };
    if swap == Some(0) {
        all.push(self::set("memory", "memory.swap.max", 0));
    } else {
        set("memory.swap.max", swap);
    }
    let mut set = |file: &str, value: Option<i64>| {
        all.extend(positive(value).map(|value| self::set("memory", file, bytes(value))));
    };
    set("memory.low", memory.reservation());
}

fn cpu_1(cpu: &LinuxCpu, all: &mut Vec<Setting>) {
    let (period, quota) = (cpu.period().filter(|&period| period > 0), positive(cpu.quota()));
    all.extend(cpu.shares().filter(|&shares| shares > 0).map(|shares| set("cpu", "cpu.shares", shares)));
    all.extend(period.map(|period| set("cpu", "cpu.cfs_period_us", period)));
    all.extend(quota.map(|quota| set("cpu", "cpu.cfs_quota_us", quota)));
    all.extend(cpu.burst().map(|burst| set("cpu", "cpu.cfs_burst_us", burst)));
    let realtime = cpu.realtime_period().filter(|&period| period > 0);
    all.extend(realtime.map(|period| set("cpu", "cpu.rt_period_us", period)));
    all.extend(positive(cpu.realtime_runtime()).map(|time| set("cpu", "cpu.rt_runtime_us", time)));
    processors(cpu, all);
}

fn cpu_2(cpu: &LinuxCpu, all: &mut Vec<Setting>) {
    // Shares are 2 to 262144, weights 1 to 10000: the mapping that the kernel's documents and runc use.
    let weight = |shares: u64| 1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142;
    let shares = cpu.shares().filter(|&shares| shares > 0);
    all.extend(shares.map(|shares| set("cpu", "cpu.weight", weight(shares))));
    let (period, quota) = (cpu.period().filter(|&period| period > 0), positive(cpu.quota()));
    if period.is_some() || quota.is_some() {
        let quota = quota.filter(|&quota| quota > 0).map_or("max".to_owned(), |quota| quota.to_string());
        all.push(set("cpu", "cpu.max", format!("{quota} {}", period.unwrap_or(100_000))));
    }
    all.extend(cpu.burst().map(|burst| set("cpu", "cpu.max.burst", burst)));
    all.extend(cpu.idle().map(|idle| set("cpu", "cpu.idle", idle)));
    processors(cpu, all);
}

fn processors(cpu: &LinuxCpu, all: &mut Vec<Setting>) {
    for (file, list) in [("cpuset.cpus", cpu.cpus()), ("cpuset.mems", cpu.mems())] {
        all.extend(list.as_ref().filter(|list| !list.is_empty()).map(|list| set("cpuset", file, list)));
    }
}

fn pids(pids: &LinuxPids) -> Option<Setting> {
    match pids.limit() {
        0 => None,
        limit if limit < 0 => Some(set("pids", "pids.max", "max")),
        limit => Some(set("pids", "pids.max", limit)),
    }
}

fn block_io_1(io: &LinuxBlockIo, all: &mut Vec<Setting>) {
    all.extend(io.weight().filter(|&weight| weight > 0).map(|weight| set("blkio", "blkio.weight", weight)));
    for (file, list) in [
        ("blkio.throttle.read_bps_device", io.throttle_read_bps_device()),
        ("blkio.throttle.write_bps_device", io.throttle_write_bps_device()),
        ("blkio.throttle.read_iops_device", io.throttle_read_iops_device()),
        ("blkio.throttle.write_iops_device", io.throttle_write_iops_device()),
    ] {
        let value =
            |device: &LinuxThrottleDevice| format!("{}:{} {}", device.major(), device.minor(), device.rate());
        all.extend(list.iter().flatten().map(|device| set("blkio", file, value(device))));
    }
}

fn block_io_2(io: &LinuxBlockIo, all: &mut Vec<Setting>) {
    // Weights of 10 to 1000 become 1 to 10000.
    let weight = |weight: u16| 1 + (u32::from(weight.clamp(10, 1_000)) - 10) * 9_999 / 990;
    let given = io.weight().filter(|&weight| weight > 0);
    all.extend(given.map(|given| set("blkio", "io.weight", weight(given))));
    for (word, list) in [
        ("rbps", io.throttle_read_bps_device()),
        ("wbps", io.throttle_write_bps_device()),
        ("riops", io.throttle_read_iops_device()),
        ("wiops", io.throttle_write_iops_device()),
    ] {
        let value = |d: &LinuxThrottleDevice| format!("{}:{} {word}={}", d.major(), d.minor(), d.rate());
        all.extend(list.iter().flatten().map(|device| set("blkio", "io.max", value(device))));
    }
}

/// `2MB`, `1GB`: part of a file's name.
fn page_size(size: &str) -> Result<&str, Error> {
    match !size.is_empty() && size.bytes().all(|b| b.is_ascii_alphanumeric()) {
        true => Ok(size),
        false => {
            Err(Error::field("linux.resources.hugepageLimits", format!("{size:?} is no size of a page")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(settings: Result<Vec<Setting>, Error>) -> Vec<String> {
        settings.unwrap().iter().map(|s| format!("{}={}", s.file, s.value)).collect()
    }

    fn docker() -> LinuxResources {
        serde_json::from_value(serde_json::json!({
            "devices": [
                {"allow": false, "access": "rwm"},
                {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
                {"allow": true, "type": "c", "access": "m"},
            ],
            "memory": {"limit": 67_108_864, "swap": 134_217_728, "reservation": 0},
            "cpu": {"shares": 1024, "quota": 50_000, "period": 100_000, "cpus": "0-1"},
            "pids": {"limit": 50},
            "blockIO": {"weight": 0},
        }))
        .unwrap()
    }

    #[test]
    fn dockers_limits_in_version_1() {
        let expected = [
            "devices.deny=a *:* rwm",
            "devices.allow=c 1:5 rwm",
            "devices.allow=c *:* m",
            "memory.limit_in_bytes=67108864",
            "memory.memsw.limit_in_bytes=134217728",
            "cpu.shares=1024",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "cpuset.cpus=0-1",
            "pids.max=50",
        ];
        assert_eq!(lines(version_1(&docker())), expected);
    }

    #[test]
    fn dockers_limits_in_version_2() {
        let expected = [
            "memory.max=67108864",
            "memory.swap.max=67108864",
            "cpu.weight=39",
            "cpu.max=50000 100000",
            "cpuset.cpus=0-1",
            "pids.max=50",
        ];
        assert_eq!(lines(unified(&docker())), expected);
    }

    #[test]
    fn what_would_name_another_file_is_refused() {
        let resources = |json| serde_json::from_value::<LinuxResources>(json).unwrap();
        for name in ["../memory.max", "cgroup.procs", "memory", ".x", "a/b.c"] {
            let bad = resources(serde_json::json!({"unified": {name: "1"}}));
            assert!(unified(&bad).unwrap_err().call.contains("unified"), "{name}");
        }
        let bad = resources(serde_json::json!({"hugepageLimits": [{"pageSize": "../x", "limit": 1}]}));
        assert!(version_1(&bad).is_err() && unified(&bad).is_err());
        let none = resources(serde_json::json!({"pids": {"limit": -1}, "memory": {"limit": -1}}));
        assert_eq!(lines(unified(&none)), ["memory.max=max", "pids.max=max"]);
    }
}
