//! Layers from archives and directories, and back: what a layer's diff id is the digest of.

use super::compression::{Compression, decompress};
use super::digest::Digest;
use super::layers::{Archive, Held, NewLayer, Record};
use super::store::Images;
use crate::archive::{Ids, Limits, Packing, Unpacking, Whiteouts, pack, size_of, unpack};
use flate2::write::GzEncoder;
use rustix::fs::{Mode, OFlags};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Whether the archive that a layer comes as has to be kept: only what was packed here can be packed again to the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Packed by [`pack`].
    Here,
    /// From anywhere else.
    Elsewhere,
}

/// A layer that was made of an archive.
#[derive(Debug)]
pub struct Made {
    /// The layer.
    pub held: Held,
    /// The digest of the archive as it came, compressed or not.
    pub archive: Digest,
}

impl Images {
    /// Makes a layer of an archive, which is hostile: compressed or not, with whiteouts as images have them.
    pub fn layer_of_archive(&self, archive: impl Read, origin: Origin) -> io::Result<Made> {
        let new = self.new_layer()?;
        let unpacked = unpack_layer(archive, &new, origin, Limits::default())?;
        let held = self.finish_layer(new, unpacked.diff_id, unpacked.record)?;
        Ok(Made { held, archive: unpacked.archive })
    }

    /// Makes a layer of a directory that is in overlayfs' own form: what a container has written, with these ids.
    pub fn layer_of_directory(&self, directory: &Path, ids: Ids) -> io::Result<Held> {
        let directory = open(directory)?;
        let (reader, writer) = io::pipe()?;
        std::thread::scope(|scope| {
            let packing = scope.spawn(move || pack(directory.as_fd(), &layer_packing(ids), writer).map(drop));
            let made = self.layer_of_archive(reader, Origin::Here);
            let packed = packing.join().map_err(|_| io::Error::other("packing a layer has failed"))?;
            // Where unpacking fails, packing finds its pipe closed: the first failure is the one to tell of.
            let made = made?;
            packed?;
            Ok(made.held)
        })
    }

    /// Writes a layer's archive, not compressed. Returns the digest of what was written: it is the diff id, except of a shared
    /// layer, which was packed by somebody else.
    pub fn write_layer(&self, layer: &Digest, out: impl Write) -> io::Result<(Digest, u64)> {
        let mut out = Hashing::new(out);
        match self.record(layer) {
            Some((Record { archive: Some(_), .. }, path)) => {
                let (_, mut content) = decompress(File::open(path)?)?;
                io::copy(&mut content, &mut out)?;
            }
            _ => {
                let directory = self.directory(layer).map_err(io::Error::other)?;
                pack(open(&directory)?.as_fd(), &layer_packing(Ids::Same), &mut out)?;
            }
        }
        let (digest, bytes) = out.finish();
        if digest != *layer && !self.is_shared(layer) {
            return Err(io::Error::other(format!(
                "the layer {layer} was changed on disk: it is {digest} now"
            )));
        }
        Ok((digest, bytes))
    }
}

/// Makes a layer of these bytes in a store below a directory: the door by which fuzzing comes in.
pub fn layer_of_bytes(bytes: &[u8], data_root: &Path) -> io::Result<()> {
    let images = Images::open(None, data_root).map_err(io::Error::other)?;
    images.layer_of_archive(bytes, Origin::Elsewhere).map(drop)
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let told = |error| io::Error::other(format!("{}: {error}", directory.display()));
    rustix::fs::open(directory, flags, Mode::empty()).map_err(told)
}

fn layer_packing(ids: Ids) -> Packing {
    Packing { whiteouts: Whiteouts::Overlay, ids }
}

/// What an archive has come to.
#[derive(Debug)]
struct Unpacked {
    diff_id: Digest,
    archive: Digest,
    record: Record,
}

fn unpack_layer(archive: impl Read, new: &NewLayer, origin: Origin, limits: Limits) -> io::Result<Unpacked> {
    let mut kept = match origin {
        Origin::Here => None,
        Origin::Elsewhere => Some(File::create(new.archive())?),
    };
    let mut raw = Tee { inner: archive, hasher: Sha256::new(), bytes: 0, copy: None::<&mut File> };
    // What comes compressed is kept as it comes; what does not is compressed.
    let mut packed = None;
    let (compression, diff_id, tar_bytes, size_bytes) = {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        raw.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
        let compression = Compression::of(&head);
        if let Some(file) = kept.as_mut() {
            match compression {
                // Registries know neither, and Docker packs anew what it pushes.
                Compression::None | Compression::Xz | Compression::Bzip2 => {
                    packed = Some(GzEncoder::new(Hashing::new(file), flate2::Compression::fast()));
                }
                _ => {
                    file.write_all(&head)?;
                    raw.copy = Some(file);
                }
            }
        }
        let (compression, content) = decompress(io::Cursor::new(head).chain(&mut raw))?;
        let mut content = Tee { inner: content, hasher: Sha256::new(), bytes: 0, copy: packed.as_mut() };
        let how = Unpacking { limits, whiteouts: Whiteouts::Overlay, ..Unpacking::default() };
        let root = open(&new.diff())?;
        unpack(&mut content, root.as_fd(), Path::new(""), &how)?;
        let size_bytes = size_of(root.as_fd())?;
        // What follows the end of the archive belongs to its digest.
        let rest = io::copy(&mut content.by_ref().take(REST_BYTES_MAX + 1), &mut io::sink())?;
        if rest > REST_BYTES_MAX {
            return Err(io::Error::other(format!(
                "more than {REST_BYTES_MAX} bytes follow the archive's end"
            )));
        }
        (compression, Digest::finish(content.hasher), content.bytes, size_bytes)
    };
    let (archive, archive_bytes) = (Digest::finish(raw.hasher), raw.bytes);
    let archive_of = |compression, digest: &Digest, size_bytes| Archive {
        compression,
        digest: digest.to_string(),
        size_bytes,
    };
    let record = match (packed, origin) {
        (_, Origin::Here) => None,
        (Some(packed), _) => {
            let (digest, bytes) = packed.finish()?.finish();
            Some(archive_of(Compression::Gzip, &digest, bytes))
        }
        (None, _) => Some(archive_of(compression, &archive, archive_bytes)),
    };
    Ok(Unpacked { diff_id, archive, record: Record { size_bytes, tar_bytes, archive: record } })
}

/// As many bytes tell how an archive is compressed.
const HEAD_BYTES: usize = 6;

/// Archives end with zeros, up to the block size of whoever wrote them: 10 KiB usually.
const REST_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Counts, digests and copies what is read.
struct Tee<R, W> {
    inner: R,
    hasher: Sha256,
    bytes: u64,
    copy: Option<W>,
}

impl<R: Read, W: Write> Read for Tee<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..length]);
        self.bytes += length as u64;
        if let Some(copy) = &mut self.copy {
            copy.write_all(&buffer[..length])?;
        }
        Ok(length)
    }
}

/// Counts and digests what is written.
#[derive(Debug)]
pub struct Hashing<W> {
    inner: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W> Hashing<W> {
    /// Over a writer.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Sha256::new(), bytes: 0 }
    }

    /// The digest and the number of bytes.
    pub fn finish(self) -> (Digest, u64) {
        (Digest::finish(self.hasher), self.bytes)
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..length]);
        self.bytes += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
