//! What the image has where a new volume goes is copied into the volume, with its owners, while it is empty.

use super::layer::Mounted;
use crate::archive::{Packing, Unpacking, pack, unpack};
use crate::beneath;
use crate::error::ApiError;
use crate::settings::mounts::Volume;
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid, fchmod, fchown};
use rustix::io::Errno;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Copies what is at `destination` in the root into the volume at `data`.
pub fn copy_up(root: &Mounted, destination: &str, volume: &Volume, data: &Path) -> Result<(), ApiError> {
    let told = |error: io::Error| {
        ApiError::internal(format!("failed to copy the image's {destination} into {}: {error}", volume.name))
    };
    let top = root.root().map_err(told)?;
    let source = match beneath::locate(top.as_fd(), Path::new(destination)) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        found => found.map_err(|error| told(error.into()))?,
    };
    let stat = beneath::stat(source.as_fd())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        let shown = format!("{}{destination}", root.path().display());
        return Err(ApiError::internal(match volume.of_image {
            true => format!("cannot mount volume over existing file, file exists {shown}"),
            false => format!("source {shown} is not directory"),
        }));
    }
    if !volume.copy || std::fs::read_dir(data).map_err(told)?.next().is_some() {
        return Ok(());
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let target = rustix::fs::open(data, flags, Mode::empty())?;
    copy(source.as_fd(), &target).map_err(told)?;
    fchown(&target, Some(Uid::from_raw(stat.st_uid)), Some(Gid::from_raw(stat.st_gid)))?;
    Ok(fchmod(&target, Mode::from_raw_mode(stat.st_mode & 0o7777))?)
}

/// Through an archive: the one way in which files are copied, with all that belongs to them.
fn copy(source: BorrowedFd<'_>, target: &OwnedFd) -> io::Result<()> {
    let (reader, writer) = io::pipe()?;
    std::thread::scope(|scope| {
        let packing = scope.spawn(move || pack(source, &Packing::default(), writer)?.flush());
        let unpacked = unpack(reader, target.as_fd(), Path::new(""), &Unpacking::default());
        let packed = packing.join().unwrap_or_else(|_| Err(io::Error::other("the copy broke off")));
        // Where unpacking has failed, packing tells only of the broken pipe.
        unpacked.map(drop).and(packed)
    })
}
