//! How an archive is compressed: told by its first bytes, as Docker tells it, never by what somebody says of it.

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read};

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];
const BZIP2: &[u8] = b"BZh";

/// Likewise an xz block: `xz -9` needs 64 MiB.
const XZ_KIB_MAX: u32 = 128 * 1024;

/// A zstd frame may ask for this much memory; what compressors use by themselves needs 8 MiB, `--ultra -22` 128 MiB.
const ZSTD_WINDOW_BYTES_MAX: u64 = 128 * 1024 * 1024;

impl Compression {
    /// The compression of what begins so.
    pub fn of(head: &[u8]) -> Self {
        let all = [(GZIP, Self::Gzip), (ZSTD, Self::Zstd), (XZ, Self::Xz), (BZIP2, Self::Bzip2)];
        let found = all.into_iter().find(|(magic, _)| head.starts_with(magic));
        found.map_or(Self::None, |(_, compression)| compression)
    }
}

/// Reads an archive, whatever it is compressed with.
pub fn decompress<'r>(reader: impl Read + 'r) -> io::Result<(Compression, Box<dyn Read + 'r>)> {
    let mut reader = BufReader::new(reader);
    let mut head = vec![];
    // The first read may give less than the longest magic number has.
    reader.by_ref().take(6).read_to_end(&mut head)?;
    let compression = Compression::of(&head);
    let whole = io::Cursor::new(head).chain(reader);
    let opened: Box<dyn Read + 'r> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => Box::new(MultiGzDecoder::new(whole)),
        Compression::Zstd => Box::new(Frames::new(BufReader::new(whole))),
        Compression::Xz => Box::new(XzReader::new_mem_limit(BufReader::new(whole), true, XZ_KIB_MAX)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(whole)),
    };
    Ok((compression, opened))
}

/// All frames of a zstd stream, one after the other.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW_BYTES_MAX);
        Self { source, decoder, in_frame: false }
    }

    /// Begins the next frame; `false` at the end of the stream.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.source) {
                Ok(()) => return Ok(true),
                // Frames with metadata of some tool's own.
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                self.in_frame = self.begin()?;
                if !self.in_frame {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.source, one).map_err(io::Error::other)?;
            }
            let length = self.decoder.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            self.in_frame = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn text_of(bytes: &[u8]) -> io::Result<(Compression, Vec<u8>)> {
        let (compression, mut reader) = decompress(bytes)?;
        let mut text = vec![];
        reader.read_to_end(&mut text)?;
        Ok((compression, text))
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(text: &[u8]) -> Vec<u8> {
        let options = lzma_rust2::XzOptions::with_preset(0);
        let mut encoder = lzma_rust2::XzWriter::new(vec![], options).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// The same, whose block says that its dictionary has 1 GiB.
    fn greedy_xz(text: &[u8]) -> Vec<u8> {
        let mut bytes = xz(text);
        // Behind the stream's header of 12 bytes: the length of the block's, its flags, and its one filter (LZMA2).
        assert_eq!(bytes[13..16], [0, 0x21, 1]);
        bytes[16] = 36;
        let end = 12 + usize::from(bytes[12]) * 4;
        let mut sum = flate2::Crc::new();
        sum.update(&bytes[12..end]);
        bytes[end..end + 4].copy_from_slice(&sum.sum().to_le_bytes());
        bytes
    }

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(vec![], bzip2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(text, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn each_compression_is_known_by_its_first_bytes() {
        let text = b"a layer ".repeat(10_000);
        for (bytes, compression) in [
            (text.clone(), Compression::None),
            (gzip(&text), Compression::Gzip),
            (zstd(&text), Compression::Zstd),
            (xz(&text), Compression::Xz),
            (bzip2(&text), Compression::Bzip2),
        ] {
            assert_eq!(text_of(&bytes).unwrap(), (compression, text.clone()));
        }
        assert_eq!(text_of(b"").unwrap(), (Compression::None, vec![]));
    }

    #[test]
    fn several_frames_are_one_archive() {
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        for bytes in [
            [gzip(b"a"), gzip(b"b")].concat(),
            [zstd(b"a"), skipped, zstd(b"b")].concat(),
            [xz(b"a"), xz(b"b")].concat(),
            [bzip2(b"a"), bzip2(b"b")].concat(),
        ] {
            assert_eq!(text_of(&bytes).unwrap().1, b"ab");
        }
    }

    #[test]
    fn what_is_cut_or_broken_is_an_error() {
        let text = b"a layer ".repeat(10_000);
        for mut bytes in [gzip(&text), zstd(&text), xz(&text), bzip2(&text)] {
            bytes.truncate(bytes.len() / 2);
            assert!(text_of(&bytes).is_err());
        }
        // A frame with a window of 1 GiB.
        let greedy = [ZSTD, &[0x00, 20 << 3, 0, 0, 0]].concat();
        assert!(text_of(&greedy).is_err());
        assert!(text_of(&greedy_xz(b"a")).unwrap_err().to_string().contains("memory"));
    }
}
