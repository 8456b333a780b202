//! The images of a lab: a store in two parts.
//!
//! The **lower part** ([`shared`]) is what the lab came with: `index.json` and one directory per layer, read-only, one copy
//! on disk for all labs of the machine (an engine without privilege unpacks the directories itself). The **upper part** is the lab's own, below its data root, and holds what was
//! built, committed, imported, loaded or pulled:
//!
//! ```text
//! image/overlay2/imagedb/content/sha256/<id>   an image: its configuration to the byte; the digest of it is its id
//! image/overlay2/layerdb/<diff id>.json        a layer: its size, and the archive that it came as
//! image/overlay2/layerdb/<diff id>.tar         that archive, compressed as it came: it is pushed and saved as it is
//! image/overlay2/repositories.json             names, parents, and what was removed ([`tags`])
//! overlay2/<diff id>/diff                      the layer's files, as overlayfs wants them
//! ```
//!
//! A layer is named by its diff id, the digest of its uncompressed archive, and is there once however many images have it.
//! A layer that was packed here has no archive: packing it again gives the same bytes.
//!
//! Everything appears by a rename, so that it is there as a whole or not at all; what a crash has left half made is swept
//! away when the store is opened. An image whose layers are not all here is not listed. Removing a shared image hides it in
//! this lab. An image that is removed while containers of it are there stays, hidden, until they are gone.
//!
//! The order in which things are written is the order in which they need each other: layers, image, name.
//!
//! Nothing here talks to a client or a registry; that is on top of it.

mod compression;
mod digest;
mod document;
mod layers;
mod portable;
mod reference;
mod register;
mod remove;
mod seen;
mod sent;
mod shared;
mod store;
mod tags;

pub use compression::{Compression, decompress};
pub use digest::Digest;
pub use document::{DOCUMENT_BYTES_MAX, Image};
pub use layers::{Held, NewLayer};
pub use portable::PortableLayer;
pub use reference::{DOCKER_HUB, Reference};
pub use register::{Hashing, Origin, layer_of_bytes};
pub use remove::{Removed, User};
pub use shared::Form;
pub use store::Images;
