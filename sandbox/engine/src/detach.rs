//! Detach keys: the key sequence (Docker's default is ctrl-p ctrl-q) with which a client leaves a container running.

/// Finds the sequence in a stream of input that comes in pieces of any size.
#[derive(Clone, Debug)]
pub struct DetachKeys {
    sequence: Vec<u8>,
    matched: usize,
}

/// What to do with a piece of input.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    /// The bytes for the program. A partial match is held back until it is decided.
    pub bytes: Vec<u8>,
    /// Whether the sequence was completed: what followed it is dropped, and the client is to be let go.
    pub detached: bool,
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self { sequence: vec![0x10, 0x11], matched: 0 }
    }
}

impl DetachKeys {
    /// Parses `ctrl-p,ctrl-q`, `a,b`, `ctrl-@`. Empty means the default. The error is Docker's.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let sequence = text.split(',').map(Self::key).collect::<Result<_, _>>()?;
        Ok(Self { sequence, matched: 0 })
    }

    fn key(name: &str) -> Result<u8, String> {
        match name.as_bytes() {
            [byte] => Ok(*byte),
            [b'c', b't', b'r', b'l', b'-', key] => match key {
                b'a'..=b'z' => Ok(key - b'a' + 1),
                b'@' => Ok(0),
                b'[' | b'\\' | b']' | b'^' | b'_' => Ok(key - b'[' + 27),
                _ => Err(format!("Unknown character: '{name}'")),
            },
            _ => Err(format!("Unknown character: '{name}'")),
        }
    }

    /// Takes a piece of input.
    pub fn pass(&mut self, input: &[u8]) -> Passed {
        let mut bytes = Vec::with_capacity(input.len() + self.matched);
        for &byte in input {
            if byte != self.sequence[self.matched] {
                bytes.extend_from_slice(&self.sequence[..self.matched]);
                self.matched = 0;
            }
            if byte != self.sequence[self.matched] {
                bytes.push(byte);
                continue;
            }
            self.matched += 1;
            if self.matched == self.sequence.len() {
                self.matched = 0;
                return Passed { bytes, detached: true };
            }
        }
        Passed { bytes, detached: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(keys: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut keys = DetachKeys::parse(keys).unwrap();
        let mut all = vec![];
        for piece in pieces {
            let passed = keys.pass(piece);
            all.extend(passed.bytes);
            if passed.detached {
                return (all, true);
            }
        }
        (all, false)
    }

    #[test]
    fn the_sequence_detaches_however_it_is_cut() {
        assert_eq!(feed("", &[b"ls\n\x10\x11rest"]), (b"ls\n".to_vec(), true));
        assert_eq!(feed("", &[b"ls\n\x10", b"\x11"]), (b"ls\n".to_vec(), true));
        assert_eq!(feed("a", &[b"bba"]), (b"bb".to_vec(), true));
    }

    #[test]
    fn what_is_not_the_sequence_gets_through_whole() {
        assert_eq!(feed("", &[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(feed("", &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(feed("a,b", &[b"aXab"]), (b"aX".to_vec(), true));
    }

    #[test]
    fn keys_are_parsed_as_docker_parses_them() {
        assert_eq!(DetachKeys::parse("ctrl-a,ctrl-@,ctrl-_,z").unwrap().sequence, [1, 0, 31, b'z']);
        for bad in ["ctrl-A", "xx", "a,,b", "ctrl-", ","] {
            assert!(DetachKeys::parse(bad).is_err(), "{bad}");
        }
    }
}
