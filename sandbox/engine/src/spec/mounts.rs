//! The mounts of a container, in Docker's order.

use super::{Placement, UserMount};
use crate::error::ApiError;
use crate::settings::{Ipc, Settings, Sharing};
use serde_json::{Value, json};
use std::path::Path;

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

/// All mounts over the root: the kernel's file systems, then what the container asks for, the container's own three files
/// and the learner's tmpfs. A mount that is asked for takes the place of a usual one, and for `/dev` of all below it too.
pub fn of(settings: &Settings, place: &Placement<'_>) -> Result<Vec<Value>, ApiError> {
    let asked = |path: &str| {
        place.mounts.iter().any(|mount| mount.destination == path) || settings.tmpfs.contains_key(path)
    };
    let own_dev = !asked("/dev");
    let mut mounts = kernel_file_systems(settings, place.shm, place.rootless);
    mounts.retain(|mount| {
        let path = mount["destination"].as_str().unwrap_or_default();
        !asked(path) && (own_dev || !path.starts_with("/dev/"))
    });
    let mut others: Vec<Value> = place.mounts.iter().map(of_user).collect();
    let bind = |source: &Path, to: &Path, options: &[&str]| json!({ "destination": to, "type": "bind", "source": source, "options": options });
    if !settings.privileged {
        let renamed = place.given.iter().filter(|given| given.source != *given.device.path());
        others.extend(
            renamed.map(|given| bind(&given.source, given.device.path(), &["bind", "nosuid", "noexec"])),
        );
    }
    if let Some(init) = place.init {
        others.push(bind(init, Path::new(crate::init::PATH), &["bind", "ro"]));
    }
    for name in ["resolv.conf", "hostname", "hosts"] {
        let (source, destination) = (place.files.join(name), format!("/etc/{name}"));
        if !asked(&destination) {
            // In a read-only container these are no way round that either.
            let options: &[&str] =
                if settings.read_only { &["rbind", "rprivate", "ro"] } else { &["rbind", "rprivate"] };
            others.push(mount(&destination, "bind", &source.to_string_lossy(), options));
        }
    }
    for (path, options) in &settings.tmpfs {
        others.push(mount_of_tmpfs(path, &tmpfs_options(options)?));
    }
    // What lies above is mounted first, whatever the order in which it was asked for.
    others.sort_by_key(|mount| mount["destination"].as_str().unwrap_or_default().matches('/').count());
    mounts.extend(others);
    Ok(mounts)
}

/// `linux.rootfsPropagation`: mounts can only be shared with the lab host out of a tree that is.
pub fn propagation(mounts: &[UserMount]) -> &'static str {
    let shared = |word: &String| word == "shared" || word == "rshared";
    if mounts.iter().any(|mount| mount.options.iter().any(shared)) { "shared" } else { "private" }
}

fn of_user(mount: &UserMount) -> Value {
    if mount.kind == "tmpfs" {
        return mount_of_tmpfs(&mount.destination, &merge(usual_and(mount.options.clone())));
    }
    let UserMount { destination, kind, source, options } = mount;
    json!({ "destination": destination, "type": kind, "source": source, "options": options })
}

fn mount_of_tmpfs(destination: &str, options: &[String]) -> Value {
    json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options })
}

fn usual_and(given: impl IntoIterator<Item = String>) -> Vec<String> {
    ["noexec", "nosuid", "nodev"].map(str::to_owned).into_iter().chain(given).collect()
}

/// What `--tmpfs` may say besides settings of the file system.
const TMPFS_FLAGS: &[&str] = &[
    "",
    "defaults",
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "sync",
    "async",
    "dirsync",
    "remount",
    "mand",
    "nomand",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "bind",
    "rbind",
    "unbindable",
    "runbindable",
    "private",
    "rprivate",
    "shared",
    "rshared",
    "slave",
    "rslave",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

/// The settings of a tmpfs.
const TMPFS_SETTINGS: &[&str] = &["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

/// The options of a tmpfs, from the words of `--tmpfs`, which are looked at when the container is started.
pub fn tmpfs_options(given: &str) -> Result<Vec<String>, ApiError> {
    let is_known = |word: &str| match word.split_once('=') {
        None => TMPFS_FLAGS.contains(&word),
        Some((setting, _)) => TMPFS_SETTINGS.contains(&setting),
    };
    if let Some(unknown) = given.split(',').rfind(|word| !is_known(word)) {
        let parts: Vec<_> = unknown.splitn(2, '=').map(|part| format!("{part:?}")).collect();
        return Err(ApiError::internal(format!("invalid tmpfs option [{}]", parts.join(" "))));
    }
    let says_something = |word: &&str| !matches!(*word, "" | "defaults");
    Ok(merge(usual_and(given.split(',').filter(says_something).map(str::to_owned))))
}

/// Later words win over earlier ones: `exec` over `noexec`, a second `size=` over the first.
fn merge(words: Vec<String>) -> Vec<String> {
    let key = |word: &str| match word {
        "exec" | "noexec" => "exec".to_owned(),
        "suid" | "nosuid" => "suid".into(),
        "dev" | "nodev" => "dev".into(),
        "ro" | "rw" => "ro".into(),
        other => other.split('=').next().unwrap_or_default().into(),
    };
    let mut merged: Vec<String> = vec![];
    for word in words {
        merged.retain(|other| key(other) != key(&word));
        merged.push(word);
    }
    merged
}

/// The kernel's own file systems. Those of a namespace that is the lab host's only that namespace's root can mount anew; a
/// rootless engine is not that, and binds the lab host's own mounts, which show the same.
fn kernel_file_systems(settings: &Settings, shm: Option<&Path>, rootless: bool) -> Vec<Value> {
    // A privileged container may write to sysfs and cgroupfs.
    let access = if settings.privileged { "rw" } else { "ro" };
    let closed = ["nosuid", "noexec", "nodev"];
    let with = |word: &'static str| [closed[0], closed[1], closed[2], word];
    let namespaces = &settings.namespaces;
    let of_namespace =
        |path: &str, kind: &str, options: &[&str], is_the_hosts: bool| match rootless && is_the_hosts {
            false => mount(path, kind, kind, options),
            true => mount(path, "bind", path, &[&["rbind"], options].concat()),
        };
    let mut mounts = vec![
        of_namespace("/proc", "proc", &closed, namespaces.pid == Sharing::Host),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &with(access)),
        of_namespace("/sys/fs/cgroup", "cgroup", &with(access), namespaces.cgroup == Sharing::Host),
        of_namespace("/dev/mqueue", "mqueue", &closed, namespaces.ipc == Ipc::Host),
    ];
    match (&namespaces.ipc, shm) {
        (Ipc::None, _) => {}
        (_, Some(shared)) => mounts.push(json!({
            "destination": "/dev/shm", "type": "bind", "source": shared, "options": ["rbind", "rprivate"],
        })),
        (_, None) => {
            let size = format!("size={}", settings.shm_bytes);
            mounts.push(mount(
                "/dev/shm",
                "tmpfs",
                "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &size],
            ));
        }
    }
    mounts
}
