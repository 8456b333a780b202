//! `lab.term.v1`: the frames of a terminal's WebSocket.
//!
//! Every frame is one binary WebSocket message: an opcode byte, then a fixed layout in network byte order.
//! `seq` counts the bytes of output since the terminal was opened; a frame's `seq` is that of its first byte.
//! The client sends `HELLO` first, and nothing is sent to it before. Frames carry no
//! behaviour here: the ring, the water marks and the screen belong to the agent.

use thiserror::Error;

/// The WebSocket subprotocol's name.
pub const SUBPROTOCOL: &str = "lab.term.v1";

/// The largest frame either side accepts, in bytes. A paste is split by the client.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Terminal sizes outside 1..=`SIZE_MAX` are refused: the screen that a snapshot needs is kept in memory.
pub const SIZE_MAX: u16 = 500;

/// The client must not have more output unacknowledged than this before the agent stops reading the pty.
pub const UNACKNOWLEDGED_BYTES_HIGH: u64 = 256 * 1024;

/// The agent reads the pty again when no more than this is unacknowledged.
pub const UNACKNOWLEDGED_BYTES_LOW: u64 = 64 * 1024;

/// What the agent sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the layout above each names its fields")]
pub enum ServerFrame {
    /// `0x01 seq:u64 bytes…`: output.
    Output { seq: u64, bytes: Vec<u8> },
    /// `0x02 seq:u64 cols:u16 rows:u16 bytes…`: the screen as escape sequences for a fresh terminal; output goes on at `seq`.
    Snapshot { seq: u64, cols: u16, rows: u16, screen: Vec<u8> },
    /// `0x03 status:i32`: the shell has ended, with its status as a shell counts it.
    Exit { status: i32 },
    /// `0x04 utf-8…`: a sentence about the terminal's state, for people ("The lab was reset").
    State { message: String },
    /// `0x05 stamp:u64`: the answer to a `PING`, with its stamp.
    Pong { stamp: u64 },
}

/// What the client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the layout above each names its fields")]
pub enum ClientFrame {
    /// `0x81 last_seq:u64 cols:u16 rows:u16`: the first frame. `last_seq` is the first byte the client has
    /// *not* seen; 0 for a fresh client.
    Hello { last_seq: u64, cols: u16, rows: u16 },
    /// `0x82 bytes…`: input.
    Input { bytes: Vec<u8> },
    /// `0x83 cols:u16 rows:u16`
    Resize { cols: u16, rows: u16 },
    /// `0x84 seq:u64`: all output before `seq` has been shown.
    Ack { seq: u64 },
    /// `0x85 stamp:u64`: answered by a `PONG` with the same stamp.
    Ping { stamp: u64 },
}

/// Why bytes are not a frame.
#[derive(Debug, Error, PartialEq, Eq)]
#[allow(missing_docs, reason = "each says what it is")]
pub enum FrameError {
    #[error("an empty terminal frame")]
    Empty,
    #[error("no terminal frame has the opcode 0x{0:02x}")]
    Opcode(u8),
    #[error("a terminal frame with the opcode 0x{opcode:02x} has {saw} bytes, which cannot be")]
    Length { opcode: u8, saw: usize },
    #[error("a terminal frame has {0} bytes; at most {FRAME_BYTES_MAX} are allowed")]
    TooLong(usize),
    #[error("a terminal of {cols} columns and {rows} rows; each must be 1 to {SIZE_MAX}")]
    Size { cols: u16, rows: u16 },
}

impl ServerFrame {
    /// The frame as bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Output { seq, bytes } => frame(0x01, &[&seq.to_be_bytes(), bytes]),
            Self::Snapshot { seq, cols, rows, screen } => {
                frame(0x02, &[&seq.to_be_bytes(), &cols.to_be_bytes(), &rows.to_be_bytes(), screen])
            }
            Self::Exit { status } => frame(0x03, &[&status.to_be_bytes()]),
            Self::State { message } => frame(0x04, &[message.as_bytes()]),
            Self::Pong { stamp } => frame(0x05, &[&stamp.to_be_bytes()]),
        }
    }

    /// Reads a frame. Errors: [`FrameError`]; never panics, whatever the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut fields = Fields::open(bytes)?;
        let decoded = match fields.opcode {
            0x01 => Self::Output { seq: fields.u64()?, bytes: fields.rest() },
            0x02 => Self::Snapshot {
                seq: fields.u64()?,
                cols: fields.u16()?,
                rows: fields.u16()?,
                screen: fields.rest(),
            },
            0x03 => Self::Exit { status: i32::from_be_bytes(fields.take()?) },
            0x04 => Self::State { message: String::from_utf8_lossy(&fields.rest()).into_owned() },
            0x05 => Self::Pong { stamp: fields.u64()? },
            other => return Err(FrameError::Opcode(other)),
        };
        fields.end()?;
        Ok(decoded)
    }
}

impl ClientFrame {
    /// The frame as bytes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello { last_seq, cols, rows } => {
                frame(0x81, &[&last_seq.to_be_bytes(), &cols.to_be_bytes(), &rows.to_be_bytes()])
            }
            Self::Input { bytes } => frame(0x82, &[bytes]),
            Self::Resize { cols, rows } => frame(0x83, &[&cols.to_be_bytes(), &rows.to_be_bytes()]),
            Self::Ack { seq } => frame(0x84, &[&seq.to_be_bytes()]),
            Self::Ping { stamp } => frame(0x85, &[&stamp.to_be_bytes()]),
        }
    }

    /// Reads a frame, with its size checked. Errors: [`FrameError`]; never panics, whatever the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut fields = Fields::open(bytes)?;
        let decoded = match fields.opcode {
            0x81 => {
                let last_seq = fields.u64()?;
                let (cols, rows) = fields.size()?;
                Self::Hello { last_seq, cols, rows }
            }
            0x82 => Self::Input { bytes: fields.rest() },
            0x83 => {
                let (cols, rows) = fields.size()?;
                Self::Resize { cols, rows }
            }
            0x84 => Self::Ack { seq: fields.u64()? },
            0x85 => Self::Ping { stamp: fields.u64()? },
            other => return Err(FrameError::Opcode(other)),
        };
        fields.end()?;
        Ok(decoded)
    }
}

fn frame(opcode: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + parts.iter().map(|p| p.len()).sum::<usize>());
    bytes.push(opcode);
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// The fields of a frame, read from the front.
struct Fields<'a> {
    opcode: u8,
    length: usize,
    left: &'a [u8],
}

impl<'a> Fields<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, FrameError> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(FrameError::TooLong(bytes.len()));
        }
        let (&opcode, left) = bytes.split_first().ok_or(FrameError::Empty)?;
        Ok(Self { opcode, length: bytes.len(), left })
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (field, left) = self.left.split_first_chunk::<N>().ok_or_else(|| self.bad_length())?;
        self.left = left;
        Ok(*field)
    }

    fn u16(&mut self) -> Result<u16, FrameError> {
        self.take().map(u16::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, FrameError> {
        self.take().map(u64::from_be_bytes)
    }

    fn size(&mut self) -> Result<(u16, u16), FrameError> {
        let (cols, rows) = (self.u16()?, self.u16()?);
        let sane = 1..=SIZE_MAX;
        if sane.contains(&cols) && sane.contains(&rows) {
            Ok((cols, rows))
        } else {
            Err(FrameError::Size { cols, rows })
        }
    }

    fn rest(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.left).to_vec()
    }

    fn end(&self) -> Result<(), FrameError> {
        if self.left.is_empty() { Ok(()) } else { Err(self.bad_length()) }
    }

    fn bad_length(&self) -> FrameError {
        FrameError::Length { opcode: self.opcode, saw: self.length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_frames_survive_the_wire() {
        for sent in [
            ServerFrame::Output { seq: u64::MAX, bytes: vec![0, 255, 10] },
            ServerFrame::Snapshot { seq: 7, cols: 80, rows: 24, screen: b"\x1b[2J".to_vec() },
            ServerFrame::Exit { status: -1 },
            ServerFrame::State { message: "Setzt zurück".into() },
            ServerFrame::Pong { stamp: 3 },
        ] {
            assert_eq!(ServerFrame::decode(&sent.encode()), Ok(sent));
        }
    }

    #[test]
    fn client_frames_survive_the_wire() {
        for sent in [
            ClientFrame::Hello { last_seq: 9, cols: 1, rows: SIZE_MAX },
            ClientFrame::Input { bytes: b"ls\r".to_vec() },
            ClientFrame::Resize { cols: 80, rows: 24 },
            ClientFrame::Ack { seq: 1 << 40 },
            ClientFrame::Ping { stamp: 0 },
        ] {
            assert_eq!(ClientFrame::decode(&sent.encode()), Ok(sent));
        }
    }

    #[test]
    fn what_is_not_a_frame_is_refused() {
        assert_eq!(ClientFrame::decode(&[]), Err(FrameError::Empty));
        assert_eq!(ClientFrame::decode(&[0x01]), Err(FrameError::Opcode(0x01)));
        assert_eq!(ClientFrame::decode(&[0x84, 0]), Err(FrameError::Length { opcode: 0x84, saw: 2 }));
        assert_eq!(ClientFrame::decode(&[0x83, 0, 0, 0, 1]), Err(FrameError::Size { cols: 0, rows: 1 }));
        let trailing = [ClientFrame::Ack { seq: 1 }.encode(), vec![0]].concat();
        assert_eq!(ClientFrame::decode(&trailing), Err(FrameError::Length { opcode: 0x84, saw: 10 }));
        let long = vec![0x82; FRAME_BYTES_MAX + 1];
        assert_eq!(ClientFrame::decode(&long), Err(FrameError::TooLong(FRAME_BYTES_MAX + 1)));
    }
}
