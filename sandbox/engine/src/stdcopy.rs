//! Docker's framing of two output streams over one connection (`application/vnd.docker.multiplexed-stream`).

use bytes::{BufMut, Bytes, BytesMut};

/// Which of a program's streams some bytes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Descriptor 1; also all of a terminal's output.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

impl Source {
    /// The word in a log line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// How output is written to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A terminal's bytes as they are.
    Raw,
    /// Each piece after an 8-byte header: stream, three zero bytes, length in network byte order.
    Multiplexed,
}

impl Framing {
    /// The framing of a program with or without a terminal.
    pub fn of(tty: bool) -> Self {
        if tty { Self::Raw } else { Self::Multiplexed }
    }

    /// One piece of output, ready to be sent.
    pub fn frame(self, source: Source, bytes: &Bytes) -> Bytes {
        match self {
            Self::Raw => bytes.clone(),
            Self::Multiplexed => {
                let mut framed = BytesMut::with_capacity(8 + bytes.len());
                framed.put_u32(match source {
                    Source::Stdout => 0x0100_0000,
                    Source::Stderr => 0x0200_0000,
                });
                framed.put_u32(bytes.len() as u32);
                framed.extend_from_slice(bytes);
                framed.freeze()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_stream_and_length() {
        let hello = Bytes::from_static(b"hello");
        assert_eq!(Framing::of(true).frame(Source::Stdout, &hello), hello);
        assert_eq!(&Framing::of(false).frame(Source::Stdout, &hello)[..], b"\x01\0\0\0\0\0\0\x05hello");
        assert_eq!(&Framing::of(false).frame(Source::Stderr, &hello)[..], b"\x02\0\0\0\0\0\0\x05hello");
    }
}
