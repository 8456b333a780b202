//! The driver `local`: what `docker volume create -o type=… -o device=… -o o=…` mounts over a volume's directory.
//!
//! The words are those of mount(8). Whoever talks to the engine is root of the lab host already, so nothing is refused
//! here that the kernel takes.

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, mount_remount};
use std::collections::BTreeMap;
use std::ffi::CString;
use std::path::Path;

/// The kernel takes options of at most a page.
const DATA_BYTES_MAX: usize = 4095;

/// Options that ask for a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    kind: String,
    device: String,
    words: String,
}

impl Options {
    /// Reads the options of a create request. `None` where they ask for nothing.
    pub fn parse(given: Option<&BTreeMap<String, String>>) -> Result<Option<Self>, String> {
        let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(None) };
        if let Some(unknown) =
            given.keys().find(|key| !["type", "device", "o", "size"].contains(&key.as_str()))
        {
            return Err(format!("invalid option: {unknown:?}"));
        }
        if given.contains_key("size") {
            // Docker does it with the project quotas of xfs and ext4, and says this without them.
            return Err("quota size requested but no quota support".into());
        }
        let word = |key: &str| given.get(key).cloned().unwrap_or_default();
        let options = Self { kind: word("type"), device: word("device"), words: word("o") };
        if options.device.is_empty() {
            return Err("missing required option: \"device\"".into());
        }
        if options.words.len() > DATA_BYTES_MAX || given.values().any(|value| value.contains('\0')) {
            return Err(format!("options of more than {DATA_BYTES_MAX} bytes, or with a zero byte"));
        }
        Ok(Some(options))
    }

    /// Mounts what they ask for.
    pub fn mount(&self, target: &Path) -> Result<(), String> {
        let (flags, binds, data) = sort(&self.words);
        let told = |error: rustix::io::Errno| {
            let text = std::io::Error::from(error).to_string().to_lowercase();
            let text = text.split(" (os error").next().unwrap_or_default().to_owned();
            let data = if data.is_empty() { String::new() } else { format!(", data: {data}") };
            let shown = flags.bits() | if binds.is_some() { 0x1000 } else { 0 };
            let (device, target) = (&self.device, target.display());
            format!("failed to mount local volume: mount {device}:{target}, flags: 0x{shown:x}{data}: {text}")
        };
        match binds {
            Some(recursive) => {
                let bind = if recursive { mount_bind_recursive } else { mount_bind };
                bind(self.device.as_str(), target).map_err(told)?;
                // The kernel looks at the other flags of a bind mount only when it is changed.
                if !flags.is_empty() {
                    mount_remount(target, flags | MountFlags::BIND, "").map_err(|error| {
                        let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
                        told(error)
                    })?;
                }
                Ok(())
            }
            None => {
                let data = CString::new(data.as_str()).unwrap_or_default();
                mount(self.device.as_str(), target, self.kind.as_str(), flags, data.as_c_str()).map_err(told)
            }
        }
    }
}

/// Takes away what options have mounted. It fails only where nothing is mounted any more.
pub fn unmount(target: &Path, options: Option<&BTreeMap<String, String>>) {
    if options.is_some_and(|options| !options.is_empty()) {
        let _ = rustix::mount::unmount(target, UnmountFlags::DETACH);
    }
}

/// Words of mount(8), sorted into flags of the kernel, whether to bind (recursively), and what is the file system's.
fn sort(words: &str) -> (MountFlags, Option<bool>, String) {
    let (mut flags, mut bind, mut data) = (MountFlags::empty(), None, vec![]);
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let (flag, on) = match word {
            "bind" => {
                bind = Some(false);
                continue;
            }
            "rbind" => {
                bind = Some(true);
                continue;
            }
            "defaults" | "async" | "nomand" | "loud" => continue,
            "ro" => (MountFlags::RDONLY, true),
            "rw" => (MountFlags::RDONLY, false),
            "nosuid" => (MountFlags::NOSUID, true),
            "suid" => (MountFlags::NOSUID, false),
            "nodev" => (MountFlags::NODEV, true),
            "dev" => (MountFlags::NODEV, false),
            "noexec" => (MountFlags::NOEXEC, true),
            "exec" => (MountFlags::NOEXEC, false),
            "noatime" => (MountFlags::NOATIME, true),
            "atime" => (MountFlags::NOATIME, false),
            "nodiratime" => (MountFlags::NODIRATIME, true),
            "diratime" => (MountFlags::NODIRATIME, false),
            "relatime" => (MountFlags::RELATIME, true),
            "norelatime" => (MountFlags::RELATIME, false),
            "strictatime" => (MountFlags::STRICTATIME, true),
            "nostrictatime" => (MountFlags::STRICTATIME, false),
            "sync" => (MountFlags::SYNCHRONOUS, true),
            "dirsync" => (MountFlags::DIRSYNC, true),
            other => {
                data.push(other);
                continue;
            }
        };
        flags.set(flag, on);
    }
    (flags, bind, data.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_sorted() {
        let (flags, bind, data) = sort("size=10m,ro,uid=1000,rw,nosuid,bind");
        assert_eq!((flags, bind, &*data), (MountFlags::NOSUID, Some(false), "size=10m,uid=1000"));
        assert_eq!(sort(""), (MountFlags::empty(), None, String::new()));
    }
}
