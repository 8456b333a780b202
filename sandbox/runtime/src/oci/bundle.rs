//! A bundle: a directory with a config.json, and what is made of it.

use super::Failure;
use super::hooks;
use super::options::SpecFile;
use crate::doll::seccomp::docker_default;
use crate::{Plan, PlanOptions, Rootfs, own_binary};
use oci_spec::runtime::{LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, LinuxResources, Spec};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A config.json has a few KiB, most of it a seccomp profile. Docker's largest has 40 KiB.
const CONFIG_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A bundle, read.
#[derive(Debug)]
pub struct Bundle {
    /// Its directory, absolute.
    pub dir: PathBuf,
    /// Its config.json, unchanged.
    pub spec: Spec,
}

impl Bundle {
    /// Reads a bundle, and puts our own program out of its container's reach: call it before anything that has an
    /// effect, because the program may start again from its beginning.
    pub fn open(dir: &Path) -> Result<Self, Failure> {
        let bundle = Self::load(dir)?;
        own_binary::seal_against(bundle.own_uids())?;
        Ok(bundle)
    }

    /// The uids that the container's own user namespace maps; `None` where it has none of its own.
    fn own_uids(&self) -> Option<&[LinuxIdMapping]> {
        let linux = self.spec.linux().as_ref()?;
        let own = |namespace: &LinuxNamespace| {
            namespace.typ() == LinuxNamespaceType::User && namespace.path().is_none()
        };
        linux.namespaces().iter().flatten().find(|namespace| own(namespace))?;
        Some(linux.uid_mappings().as_deref().unwrap_or_default())
    }

    /// Reads a bundle. Errors say which file, and where in it.
    fn load(dir: &Path) -> Result<Self, Failure> {
        let dir =
            fs::canonicalize(dir).map_err(|error| Failure::new(format!("the bundle {dir:?}"), error))?;
        let path = dir.join("config.json");
        let failed = |error| Failure::new(format!("reading {path:?}"), error);
        let length = fs::metadata(&path).map_err(failed)?.len();
        if length > CONFIG_BYTES_MAX {
            return Err(Failure::plain(format!(
                "{path:?} has {length} bytes; at most {CONFIG_BYTES_MAX} are read"
            )));
        }
        let bytes = fs::read(&path).map_err(failed)?;
        let spec =
            serde_json::from_slice(&bytes).map_err(|error| Failure::plain(format!("{path:?}: {error}")))?;
        Ok(Self { dir, spec })
    }

    /// The plan of its container. Errors name the field of the Spec that cannot be.
    pub fn plan(&self, inherited_fds: u32) -> Result<Plan, Failure> {
        let root =
            self.spec.root().as_ref().ok_or_else(|| Failure::plain("config.json: root is missing".into()))?;
        hooks::check(&self.spec)?;
        let mut spec = self.spec.clone();
        // Hooks are run by this program, around what the plan does.
        spec.set_hooks(None);
        if let Some(linux) = spec.linux_mut() {
            // So is the control group looked after.
            linux.set_resources(None);
        }
        let rootfs = Rootfs::Directory(self.dir.join(root.path()));
        Ok(Plan::new(&spec, rootfs, PlanOptions { inherited_fds, ..PlanOptions::default() })?)
    }

    /// Whether its program wants a terminal, and of which size.
    pub fn terminal(&self) -> Option<(u16, u16)> {
        let process = self.spec.process().as_ref()?;
        process.terminal().unwrap_or(false).then(|| terminal_size(process))
    }

    /// The name of its program, for messages.
    pub fn program(&self) -> String {
        self.spec.process().as_ref().map(program_of).unwrap_or_default()
    }
}

/// The name of a process's program, for messages.
pub fn program_of(process: &oci_spec::runtime::Process) -> String {
    process.args().iter().flatten().next().cloned().unwrap_or_default()
}

/// Columns and rows; what a caller has not told is 80 by 24.
pub fn terminal_size(process: &oci_spec::runtime::Process) -> (u16, u16) {
    let given = process.console_size();
    let size = |value: Option<u64>, default: u16| match value.map(u16::try_from) {
        Some(Ok(size)) if size > 0 => size,
        _ => default,
    };
    (size(given.map(|size| size.width()), 80), size(given.map(|size| size.height()), 24))
}

/// Engines write limits that limit nothing (`"memory":{}`, `"pids":{"limit":0}`): these are left out.
pub fn without_empty_limits(resources: LinuxResources) -> Result<LinuxResources, Failure> {
    let failed = |error| Failure::plain(format!("config.json: linux.resources: {error}"));
    let mut json = serde_json::to_value(resources).map_err(failed)?;
    if let Some(limits) = json.as_object_mut() {
        limits.retain(|name, limit| name == "devices" || limits_something(limit));
    }
    serde_json::from_value(json).map_err(failed)
}

fn limits_something(limit: &serde_json::Value) -> bool {
    match limit {
        serde_json::Value::Object(fields) => fields.values().any(limits_something),
        serde_json::Value::Array(items) => items.iter().any(limits_something),
        serde_json::Value::Null | serde_json::Value::Bool(false) => false,
        serde_json::Value::Number(number) => number.as_i64().is_none_or(|number| number > 0),
        serde_json::Value::String(text) => !text.is_empty(),
        serde_json::Value::Bool(true) => true,
    }
}

/// `spec`: writes a config.json to start from, under Docker's seccomp profile. It is never written over another one.
pub fn write_spec(options: &SpecFile) -> Result<(), Failure> {
    let mut spec = match options.rootless {
        true => Spec::rootless(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        false => Spec::default(),
    };
    spec.set_hostname(Some("container".into()));
    let sets = spec.process().as_ref().and_then(|process| process.capabilities().clone());
    let bounding = sets.and_then(|sets| sets.bounding().clone()).unwrap_or_default();
    if let Some(linux) = spec.linux_mut() {
        linux.set_seccomp(Some(docker_default(bounding)));
    }
    let path = options.bundle.join("config.json");
    let json = serde_json::to_string_pretty(&spec)
        .map_err(|error| Failure::plain(format!("encoding config.json: {error}")))?;
    fs::File::create_new(&path)
        .and_then(|mut file| file.write_all(json.as_bytes()))
        .map_err(|error| Failure::new(format!("writing {path:?}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_limit_nothing_are_left_out() {
        let clean = |json: &str| {
            let resources = serde_json::from_str(json).unwrap();
            serde_json::to_value(without_empty_limits(resources).unwrap()).unwrap()
        };
        let docker = r#"{"devices":[{"allow":false,"access":"rwm"}],"memory":{},"cpu":{"shares":0},
            "pids":{"limit":0},"blockIO":{"weight":0}}"#;
        assert_eq!(clean(docker).as_object().unwrap().keys().collect::<Vec<_>>(), ["devices"]);
        let limited = clean(r#"{"memory":{"limit":5},"pids":{"limit":-1}}"#);
        assert_eq!(limited["memory"]["limit"], 5);
        assert_eq!(limited.get("pids"), None);
    }

    #[test]
    fn a_written_spec_can_be_planned() {
        for rootless in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let options = SpecFile { bundle: dir.path().into(), rootless };
            write_spec(&options).unwrap();
            assert!(write_spec(&options).is_err(), "it is not written over");
            let bundle = Bundle::load(dir.path()).unwrap();
            bundle.plan(0).unwrap();
            assert_eq!((bundle.program(), bundle.terminal()), ("sh".into(), None));
        }
    }

    #[test]
    fn what_is_no_bundle_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Bundle::load(dir.path()).unwrap_err().to_string().contains("config.json"));
        std::fs::write(dir.path().join("config.json"), "{\"root\":7}").unwrap();
        assert!(Bundle::load(dir.path()).unwrap_err().to_string().contains("line 1"));
    }
}
