//! Server-sent events, read as they arrive. Only `event` and `data` matter here; ids, retries and comments
//! are passed over.

/// One event: its name (`message` where it has none) and its data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub name: String,
    pub data: String,
}

/// An event was longer than allowed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {0} bytes")]
pub(super) struct TooLong(usize);

/// Bytes in, events out; keeps at most one unfinished event.
#[derive(Debug)]
pub(super) struct EventReader {
    bytes_max: usize,
    buffer: Vec<u8>,
    /// How much of `buffer` is known to hold no line end.
    searched: usize,
    name: String,
    data: Option<String>,
}

impl EventReader {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, buffer: Vec::new(), searched: 0, name: String::new(), data: None }
    }

    /// Takes in the next bytes.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), TooLong> {
        let held = self.buffer.len() + self.data.as_ref().map_or(0, String::len);
        if held + bytes.len() > self.bytes_max {
            return Err(TooLong(self.bytes_max));
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next event that is complete.
    pub fn next(&mut self) -> Option<Event> {
        while let Some(line) = self.line() {
            if let Some(event) = self.take(&line) {
                return Some(event);
            }
        }
        None
    }

    fn line(&mut self) -> Option<String> {
        let Some(found) = self.buffer[self.searched..].iter().position(|&b| b == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let rest = self.buffer.split_off(self.searched + found + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        self.searched = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// An empty line ends the event; any other adds to it.
    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let name = if name.is_empty() { "message".to_owned() } else { name };
            return self.data.take().map(|data| Event { name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    #[test]
    fn events_arrive_in_any_pieces() {
        let wire = b"event: lab\ndata: {\"a\":1}\n\n: keep-alive\n\ndata: one\r\ndata:two\r\n\r\nid: 4\nevent: x\n\n";
        for piece in [1, 2, 7, wire.len()] {
            let mut reader = EventReader::new(64);
            let mut seen = Vec::new();
            for bytes in wire.chunks(piece) {
                // A reader may hold less than the whole stream: events leave it as they complete.
                if reader.push(bytes).is_err() {
                    assert_eq!(piece, wire.len());
                    reader = EventReader::new(1024);
                    reader.push(bytes).unwrap();
                }
                seen.extend(std::iter::from_fn(|| reader.next()));
            }
            assert_eq!(seen, [event("lab", "{\"a\":1}"), event("message", "one\ntwo")], "pieces of {piece}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut reader = EventReader::new(16);
        assert_eq!(reader.push(b"data: 0123456789"), Ok(()));
        assert_eq!(reader.next(), None);
        assert_eq!(reader.push(b"x"), Err(TooLong(16)));
    }
}
