//! The stage: what all labs share, mounted read-only in the agent's own mount namespace.
//!
//! A lab's mount namespace is copied from the agent's under another user namespace, and the kernel then locks the
//! read-only flag of what was read-only: the lab's root cannot undo it, although the files belong to its own ids.

use crate::images::Images;
use crate::refusal::{Kind, Refusal};
use rustix::fs::StatVfsMountFlags;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Where the stage is. Every Linux system has this directory, and what the machine keeps there is only hidden from the
/// agent itself.
const STAGE: &str = "/mnt";

/// The engine is copied here, so that the stage has to hold it: a few MB, or a hundred of an unoptimised build.
const STAGE_OPTIONS: &CStr = c"size=256m,mode=755";

/// The engine's name beside the agent's program and in the lab.
pub const ENGINE: &str = "isolab-engine";

/// What a lab's Spec refers to: all of it read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// The root of the lab host.
    pub lab_host: PathBuf,
    /// The list of container images.
    pub index: PathBuf,
    /// Each layer's digest and directory.
    pub layers: Vec<(String, PathBuf)>,
    /// The directory of the layers' archives: an engine in a user namespace of its own unpacks them for its own ids.
    pub archives: PathBuf,
    /// The engine's program.
    pub engine: PathBuf,
}

/// Makes an empty stage. To be called once, in the agent's own mount namespace, before the zygote is started.
pub fn set_up() -> io::Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("tmpfs", STAGE, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(STAGE_OPTIONS))?;
    Ok(())
}

/// An empty directory on the stage, for a trial.
pub fn empty_directory() -> io::Result<PathBuf> {
    let empty = PathBuf::from(STAGE).join("empty");
    std::fs::create_dir_all(&empty)?;
    Ok(empty)
}

/// Puts images and the engine on the stage. `number` tells images of different recipes apart.
pub fn show(images: &Images, engine: &File, number: usize) -> Result<Staged, Refusal> {
    let place = PathBuf::from(STAGE).join(number.to_string());
    show_in(images, engine, &place).map_err(|error| {
        take_down(&place);
        let message = format!("The lab images could not be mounted read-only for labs: {error}.");
        Refusal::new(Kind::Unavailable, message).mend("isolab doctor")
    })
}

fn show_in(images: &Images, engine: &File, place: &Path) -> io::Result<Staged> {
    std::fs::create_dir_all(place.join("layers"))?;
    let directory = |from: &Path, name: &str| {
        let to = place.join(name);
        std::fs::create_dir(&to)?;
        read_only(from, &to)?;
        Ok::<_, io::Error>(to)
    };
    let file = |from: &Path, name: &str| {
        let to = place.join(name);
        File::create(&to)?;
        read_only(from, &to)?;
        Ok::<_, io::Error>(to)
    };
    let mut layers = Vec::new();
    for (digest, from) in &images.layers {
        layers.push((digest.clone(), directory(from, &format!("layers/{digest}"))?));
    }
    let program = place.join(ENGINE);
    copy(engine, &program)?;
    read_only(&program, &program)?;
    Ok(Staged {
        lab_host: directory(&images.lab_host, "lab-host")?,
        index: file(&images.index, "index.json")?,
        layers,
        archives: directory(&images.archives, "archives")?,
        engine: program,
    })
}

/// The engine is copied rather than bound: no way leads from a lab to the file that the next agent will run, and the
/// file may lie where the agent's own ids cannot go.
fn copy(engine: &File, to: &Path) -> io::Result<()> {
    let mut copy = File::create(to)?;
    // By position, because the same descriptor is copied from again for the next set of images.
    io::copy(&mut ReadAt { file: engine, at: 0 }, &mut copy)?;
    copy.set_permissions(std::fs::Permissions::from_mode(0o755))
}

struct ReadAt<'a> {
    file: &'a File,
    at: u64,
}

impl io::Read for ReadAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

fn read_only(from: &Path, to: &Path) -> io::Result<()> {
    let about = |error: rustix::io::Errno| {
        io::Error::new(io::Error::from(error).kind(), format!("{}: {error}", from.display()))
    };
    mount_bind(from, to).map_err(about)?;
    // A remount that drops a flag which the machine has set there would be refused.
    let kept = rustix::fs::statvfs(to).map_err(about)?.f_flag;
    mount_remount(to, MountFlags::BIND | MountFlags::RDONLY | same(kept), c"").map_err(about)
}

fn same(kept: StatVfsMountFlags) -> MountFlags {
    let pairs = [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
        (StatVfsMountFlags::NODIRATIME, MountFlags::NODIRATIME),
        (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
    ];
    pairs
        .into_iter()
        .filter(|(have, _)| kept.contains(*have))
        .fold(MountFlags::empty(), |all, (_, f)| all | f)
}

/// Undoes what [`show`] did before it failed, so that the next try finds the place free.
fn take_down(place: &Path) {
    let layers = std::fs::read_dir(place.join("layers")).into_iter().flatten().flatten().map(|e| e.path());
    let others = std::fs::read_dir(place).into_iter().flatten().flatten().map(|e| e.path());
    for path in layers.chain(others) {
        // Not everything is a mount point; what is left is a few empty directories.
        let _ = unmount(&path, UnmountFlags::DETACH);
    }
    let _ = std::fs::remove_dir_all(place);
}
