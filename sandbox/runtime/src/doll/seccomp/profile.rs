//! Docker's seccomp profile format: an OCI seccomp section whose rules depend on capabilities, architecture and kernel.
//!
//! This reads the JSON and settles the conditions; what the rules then mean is [`super::rules`].

use super::syscalls::Architecture;
use crate::Error;
use oci_spec::runtime::{
    Arch, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompBuilder,
    LinuxSeccompFilterFlag, LinuxSyscall, LinuxSyscallBuilder,
};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The largest profile that is read, in bytes. Docker's own has 14 KiB; the Docker API has no bound of its own.
pub const PROFILE_BYTES_MAX: usize = 1024 * 1024;

/// What a profile's conditions are held against, the capabilities aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The architecture that the kernel runs on.
    pub architecture: Architecture,
    /// Its version and patch level: `(6, 18)`.
    pub kernel: (u32, u32),
}

/// A profile as `docker run --security-opt seccomp=FILE` takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    #[serde(default)]
    arch_map: Vec<ArchMapping>,
    #[serde(default)]
    architectures: Vec<Arch>,
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    listener_path: Option<PathBuf>,
    listener_metadata: Option<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    syscalls: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArchMapping {
    architecture: Arch,
    #[serde(default, deserialize_with = "null_is_empty")]
    sub_architectures: Vec<Arch>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    /// The format before Docker 1.13 had one name per rule.
    #[serde(default)]
    name: String,
    #[serde(default, deserialize_with = "null_is_empty")]
    names: Vec<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    #[serde(default, deserialize_with = "null_is_empty")]
    args: Vec<LinuxSeccompArg>,
    #[serde(default, deserialize_with = "null_is_empty")]
    includes: Condition,
    #[serde(default, deserialize_with = "null_is_empty")]
    excludes: Condition,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Condition {
    #[serde(default, deserialize_with = "null_is_empty")]
    caps: Vec<String>,
    #[serde(default, deserialize_with = "null_is_empty")]
    arches: Vec<String>,
    min_kernel: Option<KernelVersion>,
}

/// `"4.8"` in the JSON.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(try_from = "String")]
struct KernelVersion(u32, u32);

impl Machine {
    /// The machine that this program runs on.
    pub fn this() -> Self {
        let release = rustix::system::uname();
        let kernel = kernel_version(&release.release().to_string_lossy()).unwrap_or((0, 0));
        Self { architecture: Architecture::NATIVE, kernel }
    }
}

impl Profile {
    /// Reads a profile. Errors say what in the JSON cannot be.
    pub fn parse(json: &str) -> Result<Self, Error> {
        if json.len() > PROFILE_BYTES_MAX {
            return Err(super::invalid(format!("a seccomp profile of {} bytes", json.len())));
        }
        let profile: Self = serde_json::from_str(json)
            .map_err(|error| super::invalid(format!("decoding the seccomp profile: {error}")))?;
        if !profile.architectures.is_empty() && !profile.arch_map.is_empty() {
            return Err(super::invalid("'architectures' and 'archMap' in one seccomp profile: use either"));
        }
        if profile.syscalls.iter().any(|rule| !rule.name.is_empty() && !rule.names.is_empty()) {
            return Err(super::invalid("'name' and 'names' in one rule of a seccomp profile: use either"));
        }
        Ok(profile)
    }

    /// The rules that hold for a container with this bounding set on this machine.
    pub fn resolve(&self, machine: &Machine, bounding: impl IntoIterator<Item = Capability>) -> LinuxSeccomp {
        let held: BTreeSet<String> = bounding.into_iter().map(|cap| format!("CAP_{cap}")).collect();
        self.resolve_for(machine, |capability| held.contains(capability))
    }

    pub(super) fn resolve_with_all_capabilities(&self, machine: &Machine) -> LinuxSeccomp {
        self.resolve_for(machine, |_| true)
    }

    /// Takes calls out of every rule that allows them.
    pub(super) fn take_away(&mut self, calls: &[&str]) {
        for rule in self.syscalls.iter_mut().filter(|r| r.action == LinuxSeccompAction::ScmpActAllow) {
            rule.names.retain(|name| !calls.contains(&name.as_str()));
        }
        self.syscalls.retain(|rule| !rule.names.is_empty());
    }

    /// Allows calls, whatever their arguments.
    pub(super) fn give(&mut self, calls: &[&str]) {
        self.syscalls.push(Rule {
            name: String::new(),
            names: calls.iter().map(|&call| call.to_owned()).collect(),
            action: LinuxSeccompAction::ScmpActAllow,
            errno_ret: None,
            args: vec![],
            includes: Condition::default(),
            excludes: Condition::default(),
        });
    }

    fn resolve_for(&self, machine: &Machine, holds: impl Fn(&str) -> bool) -> LinuxSeccomp {
        let applies = |rule: &&Rule| rule.applies(machine, &holds);
        let mut seccomp = LinuxSeccompBuilder::default()
            .default_action(self.default_action)
            .syscalls(self.syscalls.iter().filter(applies).map(Rule::to_oci).collect::<Vec<_>>())
            .build()
            .expect("every field of the builder has a default");
        seccomp.set_default_errno_ret(self.default_errno_ret);
        seccomp.set_architectures(self.architectures_on(machine));
        seccomp.set_flags(self.flags.clone());
        seccomp.set_listener_path(self.listener_path.clone());
        seccomp.set_listener_metadata(self.listener_metadata.clone());
        seccomp
    }

    fn architectures_on(&self, machine: &Machine) -> Option<Vec<Arch>> {
        if !self.architectures.is_empty() {
            return Some(self.architectures.clone());
        }
        let native = machine.architecture.to_oci();
        let mapping = self.arch_map.iter().find(|mapping| mapping.architecture == native)?;
        Some(std::iter::once(native).chain(mapping.sub_architectures.iter().copied()).collect())
    }
}

impl Rule {
    fn applies(&self, machine: &Machine, holds: &impl Fn(&str) -> bool) -> bool {
        let native = machine.architecture.docker_name();
        let on = |condition: &Condition| condition.arches.iter().any(|arch| arch == native);
        let since =
            |version: Option<KernelVersion>| version.map(|KernelVersion(a, b)| machine.kernel >= (a, b));
        let excluded = on(&self.excludes)
            || self.excludes.caps.iter().any(|cap| holds(cap))
            || since(self.excludes.min_kernel) == Some(true);
        let included = (self.includes.arches.is_empty() || on(&self.includes))
            && self.includes.caps.iter().all(|cap| holds(cap))
            && since(self.includes.min_kernel) != Some(false);
        included && !excluded
    }

    fn to_oci(&self) -> LinuxSyscall {
        let names = if self.name.is_empty() { self.names.clone() } else { vec![self.name.clone()] };
        let mut call = LinuxSyscallBuilder::default()
            .names(names)
            .action(self.action)
            .build()
            .expect("every field of the builder has a default");
        call.set_errno_ret(self.errno_ret);
        if !self.args.is_empty() {
            call.set_args(Some(self.args.clone()));
        }
        call
    }
}

impl TryFrom<String> for KernelVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bad = || format!("{text:?} is not a kernel version: \"4.8\" would be one");
        kernel_version(&text).map(|(version, patch)| Self(version, patch)).ok_or_else(bad)
    }
}

/// The first two numbers of a kernel release: `6.18.44-generic` is `(6, 18)`.
fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Go writes an empty list, or an absent struct, as `null`.
fn null_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
