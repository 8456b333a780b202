//! The wire of DNS (RFC 1035), as far as the engine's own answers need it: one question read, answers written. Pure.
//!
//! What comes in was sent by a container and is hostile. Whatever is not a plain question is not read at all.

use std::net::Ipv4Addr;

/// The header of every message.
const HEADER_BYTES: usize = 12;
/// The longest name (RFC 1035, 2.3.4).
const NAME_BYTES_MAX: usize = 255;
/// How long an answer may be kept: what Docker says.
const TIME_TO_LIVE: u32 = 600;
/// The longest answer over UDP that every resolver takes.
pub const DATAGRAM_BYTES_MAX: usize = 512;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 address.
    A,
    /// The name of an address.
    Ptr,
    /// Something else.
    Other,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// There is one.
    NoError = 0,
    /// The question cannot be read.
    FormatError = 1,
    /// Nobody who could answer is reached.
    ServerFailure = 2,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    id: [u8; 2],
    recursion_desired: bool,
    /// The name with dots, without the last one.
    pub name: String,
    /// What is asked for.
    pub kind: Kind,
    /// The question as it came.
    raw: Vec<u8>,
}

/// Reads a question. `Err(None)` is what gets no answer; `Err(Some(answer))` what gets one that says that it is not
/// understood.
pub fn read(message: &[u8]) -> Result<Question, Option<Vec<u8>>> {
    let header = message.get(..HEADER_BYTES).ok_or(None)?;
    let (id, flags) = ([header[0], header[1]], header[2]);
    if flags & 0x80 != 0 {
        // An answer; answering it could go on for ever.
        return Err(None);
    }
    let refused = || Some(head(id, flags & 1 != 0, Code::FormatError, 0, 0).to_vec());
    // A query (opcode 0) with one question.
    if flags & 0x78 != 0 || header[4..6] != [0, 1] {
        return Err(refused());
    }
    let (mut name, mut at) = (String::new(), HEADER_BYTES);
    loop {
        let length = usize::from(*message.get(at).ok_or_else(refused)?);
        at += 1;
        match length {
            0 => break,
            1..=63 => {
                let label = message.get(at..at + length).ok_or_else(refused)?;
                if !name.is_empty() {
                    name.push('.');
                }
                // Names of containers are ASCII: whatever else there is cannot be one of them.
                name.extend(
                    label.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { '\u{fffd}' }),
                );
                at += length;
            }
            // Pointers lead to what was said before, and nothing was.
            _ => return Err(refused()),
        }
        if at - HEADER_BYTES > NAME_BYTES_MAX {
            return Err(refused());
        }
    }
    let kind = match message.get(at..at + 4).ok_or_else(refused)? {
        [0, 1, 0, 1] => Kind::A,
        [0, 12, 0, 1] => Kind::Ptr,
        _ => Kind::Other,
    };
    let raw = message[HEADER_BYTES..at + 4].to_vec();
    Ok(Question { id, recursion_desired: flags & 1 != 0, name, kind, raw })
}

fn head(id: [u8; 2], recursion_desired: bool, code: Code, questions: u8, answers: u8) -> [u8; HEADER_BYTES] {
    let flags = [0x80 | u8::from(recursion_desired), 0x80 | code as u8];
    [id[0], id[1], flags[0], flags[1], 0, questions, 0, answers, 0, 0, 0, 0]
}

impl Question {
    /// An answer with addresses; none: the name is there, and has nothing of what was asked for.
    pub fn with_addresses(&self, addresses: &[Ipv4Addr]) -> Vec<u8> {
        self.answer(1, addresses.iter().map(|address| address.octets().to_vec()))
    }

    /// An answer with a name. Names that cannot be written are left out.
    pub fn with_name(&self, name: &str) -> Vec<u8> {
        self.answer(12, write_name(name).into_iter())
    }

    /// An answer that there is none.
    pub fn failed(&self, code: Code) -> Vec<u8> {
        [&head(self.id, self.recursion_desired, code, 1, 0)[..], &self.raw].concat()
    }

    fn answer(&self, kind: u8, values: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
        let (mut records, mut count) = (vec![], 0);
        for value in values {
            // The name is that of the question, which begins after the header.
            let mut record = vec![0xc0, HEADER_BYTES as u8, 0, kind, 0, 1];
            record.extend(TIME_TO_LIVE.to_be_bytes());
            record.extend((value.len() as u16).to_be_bytes());
            record.extend(value);
            if HEADER_BYTES + self.raw.len() + records.len() + record.len() > DATAGRAM_BYTES_MAX
                || count == u8::MAX
            {
                break;
            }
            records.extend(record);
            count += 1;
        }
        let head = head(self.id, self.recursion_desired, Code::NoError, 1, count);
        [&head[..], &self.raw, &records].concat()
    }

    /// The address whose name is asked for: `2.0.18.172.in-addr.arpa`.
    pub fn reversed(&self) -> Option<Ipv4Addr> {
        let numbers = strip_suffix(&self.name, ".in-addr.arpa")?;
        let mut octets: Vec<u8> =
            numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        octets.reverse();
        <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
    }
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let split = text.len().checked_sub(suffix.len())?;
    text.get(split..).filter(|end| end.eq_ignore_ascii_case(suffix))?;
    text.get(..split)
}

fn write_name(name: &str) -> Option<Vec<u8>> {
    let mut bytes = vec![];
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        bytes.push(length);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= NAME_BYTES_MAX).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u8) -> Vec<u8> {
        [&[0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &write_name(name).unwrap(), &[0, kind, 0, 1]]
            .concat()
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let question = read(&query("web.nt1", 1)).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("web.nt1", Kind::A));
        let answer = question.with_addresses(&[[172, 18, 0, 2].into()]);
        assert_eq!(answer[..12], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[answer.len() - 16..], [0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 88, 0, 4, 172, 18, 0, 2]);
        assert_eq!(read(&query("web", 28)).unwrap().kind, Kind::Other);
        assert_eq!(question.failed(Code::ServerFailure)[2..4], [0x81, 0x82]);
    }

    #[test]
    fn an_answer_fits_into_a_datagram() {
        let question = read(&query("web", 1)).unwrap();
        let answer = question.with_addresses(&[Ipv4Addr::LOCALHOST; 500]);
        assert!(answer.len() <= DATAGRAM_BYTES_MAX);
        assert_eq!(usize::from(answer[7]), (answer.len() - HEADER_BYTES - question.raw.len()) / 16);
    }

    #[test]
    fn addresses_have_names() {
        let question = read(&query("2.0.18.172.IN-addr.arpa", 12)).unwrap();
        assert_eq!((question.kind, question.reversed()), (Kind::Ptr, Some([172, 18, 0, 2].into())));
        assert!(question.with_name("web.nt1").ends_with(b"\x03web\x03nt1\x00"));
        // A network may have a name that DNS cannot write.
        assert_eq!(question.with_name("web.a..b")[7], 0);
        for bad in
            ["18.172.in-addr.arpa", "1.2.0.18.172.in-addr.arpa", "x.0.18.172.in-addr.arpa", "in-addr.arpa"]
        {
            assert_eq!(read(&query(bad, 12)).unwrap().reversed(), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_question_is_not_read() {
        let whole = query("web", 1);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
        let mut answer = whole.clone();
        answer[2] |= 0x80;
        assert_eq!(read(&answer), Err(None), "answers are not answered");
        let mut pointer = whole.clone();
        pointer[12] = 0xc0;
        let mut two = whole.clone();
        two[5] = 2;
        let mut update = whole;
        update[2] = 5 << 3;
        let endless =
            [&[0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &[1, b'a'].repeat(200), &[0, 0, 1, 0, 1]].concat();
        for bad in [pointer, two, update, endless] {
            let refused = read(&bad).unwrap_err().unwrap();
            assert_eq!(refused[3] & 0xf, Code::FormatError as u8);
        }
    }
}
