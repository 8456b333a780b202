//! What a container may use. Where the machine cannot enforce a limit, Docker's own answer is to discard it and to say so in a
//! warning that the client prints; CPU quotas it refuses. So do we, in the same words.

use super::Available;
use crate::error::ApiError;
use bollard_stubs::models::HostConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Docker allows no less than this, whether or not it can enforce it.
const MEMORY_BYTES_MIN: i64 = 6 * 1024 * 1024;

/// What a quota of processors is counted in, where nobody asks for another: the kernel's own.
const CPU_PERIOD_USEC: i64 = 100_000;

/// Limits that can be enforced. Zero and empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    memory: i64,
    memory_swap: i64,
    memory_reservation: i64,
    memory_swappiness: Option<i64>,
    oom_kill_disable: Option<bool>,
    pids: Option<i64>,
    nano_cpus: i64,
    cpu_shares: i64,
    cpu_period: i64,
    cpu_quota: i64,
    cpuset_cpus: String,
    cpuset_mems: String,
    block_io_weight: u16,
}

/// Docker gives as much swap as memory where only memory is limited.
pub fn fill_swap(host: &mut HostConfig) {
    let memory = host.memory.unwrap_or(0);
    if memory > 0 && host.memory_swap.unwrap_or(0) == 0 {
        host.memory_swap = Some(memory.saturating_mul(2));
    }
}

/// Refuses what nobody could enforce, takes out of `host` what this machine cannot, and returns the warnings.
pub fn check(host: &mut HostConfig, available: &Available, update: bool) -> Result<Vec<String>, ApiError> {
    let none = Default::default();
    let can = available.groups.as_ref().unwrap_or(&none);
    let mut warnings = vec![];
    let mut warn = |what: &str| warnings.push(what.to_owned());
    let refuse = |why: &str| Err(ApiError::bad_request(why));
    // -1 is what the client sends for "as usual".
    host.memory_swappiness = host.memory_swappiness.filter(|&value| value != -1);
    let memory = host.memory.unwrap_or(0);
    if memory != 0 && memory < MEMORY_BYTES_MIN {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && !can.memory {
        warn(
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
        );
        (host.memory, host.memory_swap) = (Some(0), Some(-1));
    }
    let (memory, swap) = (host.memory.unwrap_or(0), host.memory_swap.unwrap_or(0));
    if memory > 0 && swap != -1 && !can.swap {
        warn(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without \
             swap.",
        );
        host.memory_swap = Some(-1);
    }
    let swap = host.memory_swap.unwrap_or(0);
    if memory > 0 && swap > 0 && swap < memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && swap > 0 && !update {
        return refuse("You should always set the Memory limit when using Memoryswap limit, see usage");
    }
    if host.memory_swappiness.is_some() && !can.swappiness {
        warn(
            "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness \
             discarded.",
        );
        host.memory_swappiness = None;
    }
    if let Some(value) = host.memory_swappiness.filter(|value| !(0..=100).contains(value)) {
        return refuse(&format!("Invalid value: {value}, valid memory swappiness range is 0-100"));
    }
    if host.memory_reservation.unwrap_or(0) > 0 && !can.reservation {
        warn(
            "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation \
             discarded.",
        );
        host.memory_reservation = Some(0);
    }
    let reservation = host.memory_reservation.unwrap_or(0);
    if reservation > 0 && reservation < MEMORY_BYTES_MIN {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if memory > 0 && reservation > 0 && memory < reservation {
        return refuse("Minimum memory limit can not be less than memory reservation limit, see usage");
    }
    if host.oom_kill_disable.is_some() && !can.oom_kill_disable {
        if host.oom_kill_disable == Some(true) {
            warn("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
        }
        host.oom_kill_disable = None;
    }
    if host.oom_kill_disable == Some(true) && memory == 0 {
        warn(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running \
             out of resources.",
        );
    }
    if !update {
        // So clients ask for no limit.
        host.pids_limit = host.pids_limit.filter(|&limit| limit > 0);
    }
    if host.pids_limit.is_some() && !can.pids {
        if host.pids_limit.unwrap_or(0) > 0 {
            warn(
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            );
        }
        host.pids_limit = None;
    }
    check_processors(host, available, can, &mut warn)?;
    let weight = host.blkio_weight.unwrap_or(0);
    if weight > 0 && !can.block_io_weight {
        warn("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.");
        host.blkio_weight = Some(0);
    } else if weight > 0 && !(10..=1000).contains(&weight) {
        return refuse("Range of blkio weight is from 10 to 1000");
    }
    Ok(warnings)
}

fn check_processors(
    host: &mut HostConfig,
    available: &Available,
    can: &isolab_runtime::cgroup::Support,
    warn: &mut impl FnMut(&str),
) -> Result<(), ApiError> {
    let refuse = |why: String| Err(ApiError::bad_request(why));
    let (nano, period, quota) =
        (host.nano_cpus.unwrap_or(0), host.cpu_period.unwrap_or(0), host.cpu_quota.unwrap_or(0));
    if nano > 0 && period > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set".into());
    }
    if nano > 0 && quota > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set".into());
    }
    if nano > 0 && !can.cpu_quota {
        return refuse(
            "NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted"
                .into(),
        );
    }
    let there = available.processors;
    if nano < 0 || nano > (there as i64).saturating_mul(1_000_000_000) {
        return refuse(format!(
            "Range of CPUs is from 0.01 to {there}.00, as there are only {there} CPUs available"
        ));
    }
    if host.cpu_shares.unwrap_or(0) > 0 && !can.cpu_shares {
        warn("Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.");
        host.cpu_shares = Some(0);
    }
    if (period != 0 || quota != 0) && !can.cpu_quota {
        warn("Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.");
        (host.cpu_period, host.cpu_quota) = (Some(0), Some(0));
    } else if period != 0 && !(1_000..=1_000_000).contains(&period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)".into(),
        );
    } else if quota > 0 && quota < 1_000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)".into());
    }
    let text = |list: &Option<String>| list.clone().unwrap_or_default();
    let (cpus, mems) = (text(&host.cpuset_cpus), text(&host.cpuset_mems));
    let Some((all_cpus, all_mems)) = &can.cpuset else {
        if !(cpus.is_empty() && mems.is_empty()) {
            warn("Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.");
            (host.cpuset_cpus, host.cpuset_mems) = (None, None);
        }
        return Ok(());
    };
    for (asked, there, name, what) in
        [(&cpus, all_cpus, "cpus", "CPUs"), (&mems, all_mems, "mems", "memory nodes")]
    {
        let Some(wanted) = numbers(asked) else {
            return refuse(format!("Invalid value {asked} for cpuset {name}: invalid format: {asked}"));
        };
        let known = numbers(there).unwrap_or_default();
        if !wanted.iter().all(|(first, last)| known.iter().any(|(from, to)| from <= first && last <= to)) {
            return refuse(format!(
                "Requested {what} are not available - requested {asked}, available: {there}"
            ));
        }
    }
    Ok(())
}

/// A list as the kernel has it (`0-2,4`), in ranges; `None` where it is none.
fn numbers(list: &str) -> Option<Vec<(u32, u32)>> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first <= last).then_some((first, last))
    };
    list.split(',').filter(|part| !part.is_empty()).map(range).collect()
}

impl Limits {
    /// Those of a request that was checked.
    pub fn of(host: &HostConfig) -> Self {
        let number = |value: Option<i64>| value.unwrap_or(0);
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        Self {
            memory: number(host.memory),
            memory_swap: number(host.memory_swap),
            memory_reservation: number(host.memory_reservation),
            memory_swappiness: host.memory_swappiness,
            oom_kill_disable: host.oom_kill_disable,
            pids: host.pids_limit,
            nano_cpus: number(host.nano_cpus),
            cpu_shares: number(host.cpu_shares),
            cpu_period: number(host.cpu_period),
            cpu_quota: number(host.cpu_quota),
            cpuset_cpus: text(&host.cpuset_cpus),
            cpuset_mems: text(&host.cpuset_mems),
            block_io_weight: host.blkio_weight.unwrap_or(0),
        }
    }

    /// Shows them as a request would ask for them.
    pub fn show(&self, host: &mut HostConfig) {
        let now = self.clone();
        host.memory = Some(now.memory);
        host.memory_swap = Some(now.memory_swap);
        host.memory_reservation = Some(now.memory_reservation);
        host.pids_limit = now.pids;
        host.nano_cpus = Some(now.nano_cpus);
        host.cpu_shares = Some(now.cpu_shares);
        host.cpu_period = Some(now.cpu_period);
        host.cpu_quota = Some(now.cpu_quota);
        host.cpuset_cpus = Some(now.cpuset_cpus);
        host.cpuset_mems = Some(now.cpuset_mems);
        host.blkio_weight = Some(now.block_io_weight);
    }

    /// With what an update asks for, in Docker's words where it may not be.
    pub fn updated(&self, by: &Self) -> Result<Self, ApiError> {
        let refuse = |why: &str| Err(ApiError::conflict(why));
        let already = |what: &str, other: &str| {
            let why =
                format!("Conflicting options: {what} cannot be updated as {other} has already been set");
            Err(ApiError::conflict(why))
        };
        match () {
            () if by.nano_cpus > 0 && self.cpu_period > 0 => return already("Nano CPUs", "CPU Period"),
            () if by.nano_cpus > 0 && self.cpu_quota > 0 => return already("Nano CPUs", "CPU Quota"),
            () if by.cpu_period > 0 && self.nano_cpus > 0 => return already("CPU Period", "NanoCPUs"),
            () if by.cpu_quota > 0 && self.nano_cpus > 0 => return already("CPU Quota", "NanoCPUs"),
            () if by.memory != 0
                && by.memory > self.memory_swap
                && by.memory_swap == 0
                && self.memory_swap != -1 =>
            {
                return refuse(
                    "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the \
                     same time",
                );
            }
            () => {}
        }
        let number = |new: i64, old: i64| if new == 0 { old } else { new };
        let text = |new: &String, old: &String| if new.is_empty() { old.clone() } else { new.clone() };
        Ok(Self {
            memory: number(by.memory, self.memory),
            memory_swap: number(by.memory_swap, self.memory_swap),
            memory_reservation: number(by.memory_reservation, self.memory_reservation),
            memory_swappiness: self.memory_swappiness,
            oom_kill_disable: self.oom_kill_disable,
            pids: by.pids.or(self.pids),
            nano_cpus: number(by.nano_cpus, self.nano_cpus),
            cpu_shares: number(by.cpu_shares, self.cpu_shares),
            cpu_period: number(by.cpu_period, self.cpu_period),
            cpu_quota: number(by.cpu_quota, self.cpu_quota),
            cpuset_cpus: text(&by.cpuset_cpus, &self.cpuset_cpus),
            cpuset_mems: text(&by.cpuset_mems, &self.cpuset_mems),
            block_io_weight: if by.block_io_weight == 0 { self.block_io_weight } else { by.block_io_weight },
        })
    }

    /// `linux.resources` of the Spec, but for devices. What is not limited is not in it.
    pub fn resources(&self) -> Value {
        let number = |value: i64| (value != 0).then_some(value);
        let text = |list: &String| (!list.is_empty()).then(|| list.clone());
        let (mut period, mut quota) = (number(self.cpu_period), number(self.cpu_quota));
        if self.nano_cpus > 0 {
            period = Some(CPU_PERIOD_USEC);
            quota = Some(self.nano_cpus.saturating_mul(CPU_PERIOD_USEC) / 1_000_000_000);
        }
        let mut all = json!({
            "memory": {
                "limit": number(self.memory),
                "swap": number(self.memory_swap),
                "reservation": number(self.memory_reservation),
                "swappiness": self.memory_swappiness,
                "disableOOMKiller": self.oom_kill_disable,
            },
            "cpu": {
                "shares": number(self.cpu_shares.max(0)),
                "period": period,
                "quota": quota,
                "cpus": text(&self.cpuset_cpus),
                "mems": text(&self.cpuset_mems),
            },
        });
        if let Some(pids) = self.pids {
            all["pids"] = json!({ "limit": if pids > 0 { pids } else { -1 } });
        }
        if self.block_io_weight > 0 {
            all["blockIO"] = json!({ "weight": self.block_io_weight });
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isolab_runtime::cgroup::Support;

    fn machine(groups: Option<Support>) -> Available {
        let capabilities = super::super::capabilities::from_mask(!0);
        Available {
            capabilities,
            hostname: "a".into(),
            remapped: false,
            groups,
            apparmor: false,
            processors: 2,
            defaults: Default::default(),
        }
    }

    fn able() -> Available {
        machine(Some(Support {
            memory: true,
            swap: true,
            reservation: true,
            cpu_quota: true,
            cpu_shares: true,
            cpuset: Some(("0-1".into(), "0".into())),
            pids: true,
            ..Support::default()
        }))
    }

    #[test]
    fn a_limit_that_cannot_be_is_discarded_with_a_warning() {
        let mut host = HostConfig {
            memory: Some(64 << 20),
            pids_limit: Some(100),
            memory_swappiness: Some(-1),
            ..Default::default()
        };
        let warnings = check(&mut host, &machine(None), false).unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert_eq!((host.memory, host.pids_limit), (Some(0), None));
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let refused = |mut host: HostConfig| check(&mut host, &able(), false).unwrap_err().message;
        let base = HostConfig::default;
        assert!(
            check(&mut HostConfig { nano_cpus: Some(1), ..base() }, &machine(None), false)
                .unwrap_err()
                .message
                .starts_with("NanoCPUs can not be set")
        );
        for (host, words) in [
            (HostConfig { memory: Some(1), ..base() }, "Minimum memory limit allowed is 6MB"),
            (HostConfig { memory_swap: Some(1 << 30), ..base() }, "You should always set the Memory limit"),
            (
                HostConfig { memory: Some(64 << 20), memory_swap: Some(32 << 20), ..base() },
                "Minimum memoryswap limit should be larger",
            ),
            (HostConfig { nano_cpus: Some(3_000_000_000), ..base() }, "Range of CPUs is from 0.01 to 2.00"),
            (HostConfig { cpuset_cpus: Some("1-2".into()), ..base() }, "Requested CPUs are not available"),
            (HostConfig { cpuset_mems: Some("x".into()), ..base() }, "Invalid value x for cpuset mems"),
            (HostConfig { cpu_quota: Some(1), ..base() }, "CPU cfs quota can not be less than 1ms"),
        ] {
            assert!(refused(host).starts_with(words), "{words}");
        }
        assert_eq!(check(&mut base(), &machine(None), false).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_update_changes_what_it_names() {
        let mut host = HostConfig { memory: Some(64 << 20), pids_limit: Some(9), ..Default::default() };
        fill_swap(&mut host);
        let before = Limits::of(&host);
        let after = before.updated(&Limits { cpu_shares: 512, ..Limits::default() }).unwrap();
        assert_eq!((after.memory, after.memory_swap, after.cpu_shares), (64 << 20, 128 << 20, 512));
        let more = Limits { memory: 1 << 30, ..Limits::default() };
        assert!(before.updated(&more).unwrap_err().message.starts_with("Memory limit should be smaller"));
        let cpus = Limits { nano_cpus: 500_000_000, ..Limits::default() }.resources();
        assert_eq!((&cpus["cpu"]["quota"], &cpus["cpu"]["period"]), (&json!(50_000), &json!(100_000)));
        assert_eq!(after.resources()["pids"]["limit"], json!(9));
    }
}
