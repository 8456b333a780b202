//! Tar archives of directory trees: the one module by which files enter and leave containers, images and builds.
//!
//! * [`pack`] writes what lies beneath a directory's descriptor: `docker export`, `docker cp` out of a container, the
//!   layers of `docker save` and `docker commit` (there with overlayfs's whiteouts as an image has them: `.wh.name`).
//!   [`pack_entry`] writes one file or tree under another name.
//! * [`unpack`] puts a hostile archive beneath a directory's descriptor: `docker cp` into a container, `docker import`,
//!   `docker load`, pulled layers (there with whiteouts as overlayfs has them), what a build copies.
//!
//! Both go by descriptors and never by a name that was looked at before, so that a container that runs meanwhile, and
//! renames and replaces what it likes, changes only what it itself has. An archive is read in one pass; [`Limits`]
//! bound what it can cost. Both block: run them in `spawn_blocking`, with [`crate::body`] between them and a client.
//!
//! There is no HTTP in here, and no compression: wrap the reader.

mod entry;
mod ids;
mod meter;
mod pack;
mod remove;
mod size;
mod unpack;

pub use ids::Ids;
pub use pack::{Packing, pack, pack_entry};
pub use remove::remove_all;
pub use size::{size_below, size_of};
pub use unpack::{Seen, Unpacking, unpack, unpack_seeing};

/// What an archive may cost at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files together, holes included.
    pub bytes_max: u64,
    /// Files, directories and links.
    pub entries_max: u64,
}

impl Default for Limits {
    /// The largest images have some tens of GiB and under a million files; a disk that is smaller says so itself.
    fn default() -> Self {
        Self { bytes_max: 64 << 30, entries_max: 2_000_000 }
    }
}

/// How deep directories may lie within each other. A descriptor is held for each level while a tree is packed or
/// removed, of which a program has 1024.
pub const DEPTH_MAX: usize = 256;

/// How long a name with all its directories may be: the kernel's own bound on a path.
pub const PATH_BYTES_MAX: usize = 4096;

/// Whiteouts: how a layer says that something below it is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whiteouts {
    /// There are none: a file called `.wh.x` is a file, and so is a character device 0:0.
    #[default]
    None,
    /// `.wh.x` in the archive is a character device 0:0 in the directory, and `.wh..wh..opq` the attribute
    /// [`OPAQUE`] of the directory that holds it.
    Overlay,
}

/// The attribute by which overlayfs (mounted with `userxattr`) knows a directory that hides those below it.
pub const OPAQUE: &str = "user.overlay.opaque";

/// What the names of whiteouts begin with.
const WHITEOUT: &str = ".wh.";

/// The whiteout for all that a directory has in lower layers.
const OPAQUE_WHITEOUT: &str = ".wh..wh..opq";

/// What to do with device nodes of an archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Devices {
    /// Make them; where the kernel does not let us (in a user namespace) they are left out, as with Docker.
    #[default]
    Make,
    /// An archive with a device is refused.
    Refuse,
}

#[cfg(test)]
mod tests;
