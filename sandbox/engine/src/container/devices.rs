//! The devices of the lab host that `--device` gives to a container, looked up when it is started.

use crate::error::ApiError;
use crate::settings::DeviceMapping;
use crate::spec::Given;
use oci_spec::runtime::{LinuxDeviceBuilder, LinuxDeviceType};
use rustix::fs::{FileType, major, minor};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// How many nodes a directory gives at most, and how deep they may lie: as many as a machine has.
const NODES_MAX: usize = 512;
const DEPTH_MAX: usize = 8;

/// Finds all of them, in Docker's words where one is none.
pub fn find(mappings: &[DeviceMapping]) -> Result<Vec<Given>, ApiError> {
    let mut found = vec![];
    for mapping in mappings {
        let told = |why: String| {
            let asked = &mapping.source;
            let message =
                format!("error gathering device information while adding custom device {asked:?}: {why}");
            ApiError::internal(message)
        };
        let missing = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => told("no such file or directory".into()),
            _ => told(error.to_string()),
        };
        // A device is often a link to one, and then the one it leads to is meant.
        let source = std::fs::canonicalize(&mapping.source).map_err(missing)?;
        let metadata = std::fs::metadata(&source).map_err(missing)?;
        let before = found.len();
        match node(&source, Path::new(&mapping.path), &mapping.access, &metadata) {
            Some(given) => found.push(given),
            None if metadata.is_dir() => walk(&source, Path::new(&mapping.path), mapping, 0, &mut found),
            None => {}
        }
        if found.len() == before {
            return Err(told("not a device node".into()));
        }
    }
    Ok(found)
}

/// All devices below a directory; what is no device, or cannot be looked at, is left out.
fn walk(source: &Path, path: &Path, mapping: &DeviceMapping, depth: usize, found: &mut Vec<Given>) {
    let mut entries: Vec<_> = std::fs::read_dir(source).into_iter().flatten().flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (source, path) = (entry.path(), path.join(entry.file_name()));
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && depth < DEPTH_MAX {
            walk(&source, &path, mapping, depth + 1, found);
        } else if found.len() < NODES_MAX {
            found.extend(node(&source, &path, &mapping.access, &metadata));
        }
    }
}

fn node(source: &Path, path: &Path, access: &str, metadata: &Metadata) -> Option<Given> {
    let kind = match metadata.file_type() {
        kind if kind.is_char_device() => LinuxDeviceType::C,
        kind if kind.is_block_device() => LinuxDeviceType::B,
        _ => return None,
    };
    let number = metadata.rdev();
    let device = LinuxDeviceBuilder::default()
        .path(PathBuf::from(path))
        .typ(kind)
        .major(i64::from(major(number)))
        .minor(i64::from(minor(number)))
        .file_mode(metadata.mode() & !FileType::from_raw_mode(metadata.mode()).as_raw_mode())
        .uid(metadata.uid())
        .gid(metadata.gid())
        .build();
    Some(Given { source: source.to_owned(), device: device.ok()?, access: access.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(source: &str, path: &str) -> DeviceMapping {
        DeviceMapping { source: source.into(), path: path.into(), access: "rwm".into() }
    }

    #[test]
    fn a_node_is_found_under_its_new_name() {
        let found = find(&[mapping("/dev/null", "/dev/void")]).unwrap();
        assert_eq!(found[0].device.path(), Path::new("/dev/void"));
        assert_eq!((found[0].device.major(), found[0].device.minor()), (1, 3));
        assert_eq!(found[0].source, Path::new("/dev/null"));
    }

    #[test]
    fn what_is_no_device_is_told_as_docker_tells_it() {
        let told = |path: &str| find(&[mapping(path, path)]).unwrap_err().message;
        let begin = "error gathering device information while adding custom device";
        assert_eq!(told("/dev/nope"), format!("{begin} \"/dev/nope\": no such file or directory"));
        assert_eq!(told("/etc/passwd"), format!("{begin} \"/etc/passwd\": not a device node"));
        let empty = tempfile::tempdir().unwrap();
        assert!(told(empty.path().to_str().unwrap()).ends_with("not a device node"));
    }
}
