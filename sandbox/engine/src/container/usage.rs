//! What a container uses, for `docker stats`: what its control group has counted, and where no controller counts for it (in a
//! lab, say) what procfs tells of its processes.
//!
//! Of procfs: processor time is whole: a process that has ended is counted by the parent that has waited for it. Memory is the
//! containers' share (PSS) of the pages that its processes have mapped; unlike a cgroup's count it has no page cache and
//! no kernel memory. What was read from and written to disks is known of the processes that live, only.

use super::processes::Processes;
use isolab_runtime::cgroup::Group;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;

/// The kernel tells times to user space in hundredths of a second, on every architecture that we run on.
const NANOS_PER_TICK: u64 = 10_000_000;

/// What was counted at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Nanoseconds in user mode and in the kernel.
    pub cpu: [u64; 2],
    /// Bytes.
    pub memory: u64,
    /// Threads, which is what Docker calls pids.
    pub threads: u64,
    /// Bytes read from and written to disks.
    pub disk: [u64; 2],
    /// Links of its own network namespace.
    pub links: BTreeMap<String, Link>,
    /// What its group says of memory beyond that, as the kernel names it.
    pub memory_details: BTreeMap<String, u64>,
    /// The most bytes that it has used.
    pub memory_peak: Option<u64>,
    /// The bytes at which it is held; beyond what the machine has where it is not.
    pub memory_limit: Option<u64>,
    /// The processes at which it is held.
    pub threads_limit: Option<u64>,
    /// Periods of its quota, those in which it was held, and the nanoseconds for which it was.
    pub throttled: [u64; 3],
}

/// What went over a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Link {
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_dropped: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_dropped: u64,
}

/// Counts. `own_network` tells whether its links are its own.
pub fn count(processes: &Processes, own_network: bool) -> io::Result<Usage> {
    let mut usage = Usage::default();
    for handle in processes.list()? {
        let Some(stat) = handle.stat() else { continue };
        for (sum, ticks) in usage.cpu.iter_mut().zip(stat.ticks) {
            *sum += ticks * NANOS_PER_TICK;
        }
        usage.threads += stat.threads;
        let kib = field(&handle.read("smaps_rollup"), "Pss:");
        usage.memory += kib.or_else(|| field(&handle.read("status"), "VmRSS:")).unwrap_or(0) * 1024;
        let io = handle.read("io");
        for (sum, name) in usage.disk.iter_mut().zip(["read_bytes:", "write_bytes:"]) {
            *sum += field(&io, name).unwrap_or(0);
        }
        if own_network && usage.links.is_empty() {
            usage.links = links(&handle.read("net/dev"));
        }
    }
    Ok(usage)
}

/// Puts what its group has counted in the place of what was counted from its processes.
pub fn count_group(group: &Group, usage: &mut Usage) {
    let number = |controller, file| group.read(controller, file)?.trim().parse::<u64>().ok();
    let table = |controller, file: &str| -> BTreeMap<String, u64> {
        let text = group.read(controller, file).unwrap_or_default();
        let pair =
            |line: &str| line.split_once(' ').and_then(|(key, n)| Some((key.into(), n.trim().parse().ok()?)));
        text.lines().filter_map(pair).collect()
    };
    let of = |table: &BTreeMap<String, u64>, key: &str| table.get(key).copied();
    let unified = group.is_unified();
    let (now, peak, limit) = match unified {
        true => ("memory.current", "memory.peak", "memory.max"),
        false => ("memory.usage_in_bytes", "memory.max_usage_in_bytes", "memory.limit_in_bytes"),
    };
    if let Some(bytes) = number("memory", now) {
        usage.memory = bytes;
        usage.memory_details = table("memory", "memory.stat");
        (usage.memory_peak, usage.memory_limit) = (number("memory", peak), number("memory", limit));
    }
    if let Some(count) = number("pids", "pids.current") {
        (usage.threads, usage.threads_limit) = (count, number("pids", "pids.max"));
    }
    let time = table("cpu", "cpu.stat");
    let [periods, held, held_for] = match unified {
        true => ["nr_periods", "nr_throttled", "throttled_usec"],
        false => ["nr_periods", "nr_throttled", "throttled_time"],
    }
    .map(|key| of(&time, key).unwrap_or(0));
    usage.throttled = [periods, held, if unified { held_for * 1000 } else { held_for }];
    if let Some((user, kernel)) = of(&time, "user_usec").zip(of(&time, "system_usec")) {
        usage.cpu = [user * 1000, kernel * 1000];
    } else if let Some(whole) = number("cpuacct", "cpuacct.usage") {
        // Which half it was is only known in hundredths of a second; the whole to the nanosecond.
        let parts = table("cpuacct", "cpuacct.stat");
        let kernel = of(&parts, "system").unwrap_or(0) * NANOS_PER_TICK;
        usage.cpu = [whole - kernel.min(whole), kernel.min(whole)];
    }
}

/// All processor time that the machine has spent, idle time too, in nanoseconds.
pub fn machine_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    // As Docker adds them: user, nice, system, idle, iowait, irq, softirq.
    let ticks = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(7);
    ticks.filter_map(|number| number.parse::<u64>().ok()).sum::<u64>() * NANOS_PER_TICK
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn links(text: &str) -> BTreeMap<String, Link> {
    let link = |line: &str| {
        let (name, numbers) = line.split_once(':')?;
        let n: Vec<u64> = numbers.split_whitespace().map(|n| n.parse().unwrap_or(0)).collect();
        let name = name.trim();
        (name != "lo" && n.len() >= 12).then(|| {
            let [rx_bytes, rx_packets, rx_errors, rx_dropped] = [n[0], n[1], n[2], n[3]];
            let [tx_bytes, tx_packets, tx_errors, tx_dropped] = [n[8], n[9], n[10], n[11]];
            let link = Link {
                rx_bytes,
                rx_packets,
                rx_errors,
                rx_dropped,
                tx_bytes,
                tx_packets,
                tx_errors,
                tx_dropped,
            };
            (name.to_owned(), link)
        })
    };
    text.lines().skip(2).filter_map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_procfs_are_read() {
        assert_eq!(field("a: 1\nPss:    77 kB\nPss_Anon: 3 kB\n", "Pss:"), Some(77));
        assert_eq!(field("", "Pss:"), None);
        let dev = "Inter-| x\n face |y\n    lo: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n  eth0: 10 2 0 1 0 0 0 0 20 3 4 5 0 0 0 0\n";
        let links = links(dev);
        assert_eq!(links.len(), 1);
        assert_eq!((links["eth0"].rx_bytes, links["eth0"].tx_dropped), (10, 5));
    }

    #[test]
    fn our_own_use_is_counted() {
        use std::os::unix::fs::MetadataExt;
        let inode = std::fs::metadata("/proc/self/ns/mnt").unwrap().ino();
        let usage = count(&Processes::in_mount_namespace(inode).unwrap(), false).unwrap();
        assert!(usage.memory > 0 && usage.threads > 0, "{usage:?}");
        let before = machine_cpu();
        assert!(before > 0 && machine_cpu() >= before);
    }
}
