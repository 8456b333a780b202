//! One terminal as a state machine: who is attached, who has seen what, and what each is to be sent next.
//!
//! Pure: no pty, no socket, no clock. `pump.rs` feeds it the shell's output, `client.rs` asks it for frames.

use super::ring::{RING_BYTES_MAX, Ring};
use super::screen::{Screen, Size};
use isolab_protocol::terminal::{
    FRAME_BYTES_MAX, ServerFrame, UNACKNOWLEDGED_BYTES_HIGH, UNACKNOWLEDGED_BYTES_LOW,
};
use std::collections::{BTreeMap, VecDeque};

/// The most input that waits for a program which does not read, in bytes: four of the largest frames, a long paste.
pub const INPUT_BYTES_MAX: usize = 4 * FRAME_BYTES_MAX;

/// The most clients of one terminal: a learner's few tabs, an instructor and a board.
pub const CLIENTS_MAX: usize = 16;

/// The most short messages that wait for one client; a client that does not read loses the oldest.
const NOTES_MAX: usize = 16;

/// The most output in one frame, in bytes: half a frame, so that a client paints and acknowledges in good time.
const OUTPUT_BYTES_MAX: usize = FRAME_BYTES_MAX / 2;

/// A client of a terminal, numbered in the order of attaching.
pub type ClientId = u64;

/// The shell at the other end of the pty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    /// None, or it has ended: the next HELLO opens one.
    Absent,
    /// On its way.
    Starting,
    /// There.
    Running,
}

#[derive(Debug)]
struct Client {
    /// Whether it has said HELLO; nothing is sent to it before.
    greeted: bool,
    /// The next byte to send it.
    next: u64,
    /// All bytes before this one have been shown.
    acknowledged: u64,
    /// It gets a picture of the screen before any more output.
    picture_due: bool,
    /// It gets this status after all output.
    exit_due: Option<i32>,
    notes: VecDeque<ServerFrame>,
}

/// The state of one terminal.
#[derive(Debug)]
pub struct Session {
    ring: Ring,
    screen: Screen,
    wanted: Size,
    shell: Shell,
    /// The last picture, and of what: many clients want the same one.
    picture: Option<(u64, Size, Vec<u8>)>,
    input: VecDeque<u8>,
    input_lost: bool,
    held: bool,
    clients: BTreeMap<ClientId, Client>,
    clients_ever: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            ring: Ring::new(RING_BYTES_MAX),
            screen: Screen::new(Size::default()),
            wanted: Size::default(),
            shell: Shell::Absent,
            picture: None,
            input: VecDeque::new(),
            input_lost: false,
            held: false,
            clients: BTreeMap::new(),
            clients_ever: 0,
        }
    }
}

impl Session {
    /// A new client; `None` where there are too many.
    pub fn attach(&mut self) -> Option<ClientId> {
        if self.clients.len() >= CLIENTS_MAX {
            return None;
        }
        self.clients_ever += 1;
        let client = Client {
            greeted: false,
            next: 0,
            acknowledged: 0,
            picture_due: false,
            exit_due: None,
            notes: VecDeque::new(),
        };
        self.clients.insert(self.clients_ever, client);
        Some(self.clients_ever)
    }

    /// A client has gone. Where it was the learner's, the newest of the others is now.
    pub fn detach(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.decide_hold();
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Whether a learner's client is attached: without one the shell's output is drained at the agent's own pace.
    pub fn has_learner(&self) -> bool {
        self.learner().is_some()
    }

    fn learner(&self) -> Option<ClientId> {
        self.clients.iter().rev().find(|(_, c)| c.greeted).map(|(&id, _)| id)
    }

    /// A client says where it wants to go on. Returns whether a shell has to be opened for it.
    #[must_use = "where this is true the caller opens a shell"]
    pub fn hello(&mut self, id: ClientId, last_seq: u64, size: Size) -> bool {
        let learner_before = self.learner();
        let (start, end) = (self.ring.start(), self.ring.end());
        let Some(client) = self.clients.get_mut(&id) else { return false };
        client.greeted = true;
        // Exit frames tell of a shell that this HELLO replaces.
        client.exit_due = None;
        client.picture_due = last_seq < start || last_seq > end;
        client.next = if client.picture_due { end } else { last_seq };
        client.acknowledged = client.next;
        if let Some(before) = learner_before.filter(|&before| before < id) {
            self.note(before, "This terminal is now used from another page. Here you can watch.");
        }
        if self.learner() == Some(id) {
            self.wanted = size;
        }
        self.decide_hold();
        let open = self.shell == Shell::Absent;
        if open {
            self.shell = Shell::Starting;
            self.input.clear();
        }
        open
    }

    /// Keys from a client: only the learner's count, and only while there is, or will be, a shell to read them.
    pub fn input(&mut self, id: ClientId, bytes: &[u8]) {
        if self.learner() != Some(id) || self.shell == Shell::Absent {
            return;
        }
        let room = INPUT_BYTES_MAX.saturating_sub(self.input.len());
        self.input.extend(&bytes[..bytes.len().min(room)]);
        let lost = room < bytes.len();
        if lost && !self.input_lost {
            self.note(
                id,
                "The program in this terminal reads no input, so some of what you typed was dropped.",
            );
        }
        self.input_lost = lost;
    }

    /// The learner's client has another size; observers follow.
    pub fn resize(&mut self, id: ClientId, size: Size) {
        if self.learner() == Some(id) {
            self.wanted = size;
        }
    }

    /// A client has shown all output before `seq`.
    pub fn acknowledge(&mut self, id: ClientId, seq: u64) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.acknowledged = client.acknowledged.max(seq.min(client.next));
        }
        self.decide_hold();
    }

    /// A short message for one client.
    pub fn push(&mut self, id: ClientId, frame: ServerFrame) {
        if let Some(client) = self.clients.get_mut(&id) {
            if client.notes.len() >= NOTES_MAX {
                client.notes.pop_front();
            }
            client.notes.push_back(frame);
        }
    }

    fn note(&mut self, id: ClientId, message: &str) {
        self.push(id, ServerFrame::State { message: message.to_owned() });
    }

    /// A sentence for everybody who is attached.
    pub fn announce(&mut self, message: &str) {
        for id in self.clients.keys().copied().collect::<Vec<_>>() {
            self.note(id, message);
        }
    }

    /// The next frame for a client, or `None` until something happens.
    pub fn next_frame(&mut self, id: ClientId) -> Option<ServerFrame> {
        let client = self.clients.get_mut(&id).filter(|c| c.greeted)?;
        if let Some(note) = client.notes.pop_front() {
            return Some(note);
        }
        let seq = self.ring.end();
        if client.next < self.ring.start() {
            client.picture_due = true;
        }
        if client.picture_due {
            client.picture_due = false;
            client.next = seq;
            client.acknowledged = seq;
            return Some(self.snapshot());
        }
        if client.next < seq {
            if client.next - client.acknowledged >= UNACKNOWLEDGED_BYTES_HIGH {
                return None;
            }
            let bytes = self.ring.read(client.next, OUTPUT_BYTES_MAX)?;
            let first = client.next;
            client.next += bytes.len() as u64;
            return Some(ServerFrame::Output { seq: first, bytes });
        }
        client.exit_due.take().map(|status| ServerFrame::Exit { status })
    }

    fn snapshot(&mut self) -> ServerFrame {
        let (seq, size) = (self.ring.end(), self.screen.size());
        let screen = match &self.picture {
            Some((of, sized, picture)) if (*of, *sized) == (seq, size) => picture.clone(),
            _ => self.screen.picture(),
        };
        self.picture = Some((seq, size, screen.clone()));
        ServerFrame::Snapshot { seq, cols: size.cols, rows: size.rows, screen }
    }

    /// How much output to take in at once.
    pub fn slice_bytes(&self) -> usize {
        self.screen.slice_bytes()
    }

    /// The shell printed something.
    pub fn output(&mut self, bytes: &[u8]) {
        self.ring.push(bytes);
        self.screen.show(bytes);
        self.decide_hold();
    }

    /// Whether the shell's output has to wait for the learner's client.
    pub fn held(&self) -> bool {
        self.held
    }

    /// The learner's client has not acknowledged anything for too long: it is given a picture once it comes back.
    pub fn give_up_on_learner(&mut self) {
        let end = self.ring.end();
        if let Some(client) = self.learner().and_then(|id| self.clients.get_mut(&id)) {
            client.acknowledged = end;
            client.next = end;
            client.picture_due = true;
        }
        self.decide_hold();
    }

    fn decide_hold(&mut self) {
        let unacknowledged = self
            .learner()
            .and_then(|id| self.clients.get(&id))
            .map_or(0, |client| self.ring.end().saturating_sub(client.acknowledged));
        if unacknowledged > UNACKNOWLEDGED_BYTES_HIGH {
            self.held = true;
        } else if unacknowledged <= UNACKNOWLEDGED_BYTES_LOW {
            self.held = false;
        }
    }

    /// Input that waits to be written to the shell.
    pub fn input_waiting(&mut self) -> &[u8] {
        self.input.make_contiguous()
    }

    /// That much of it has been written.
    pub fn input_written(&mut self, bytes: usize) {
        self.input.drain(..bytes.min(self.input.len()));
    }

    /// Whether the pty has to take on another size.
    pub fn resize_waits(&self) -> bool {
        self.wanted != self.screen.size()
    }

    /// The size that the pty has to take on, where it differs. However many resizes came, there is one to apply.
    pub fn take_resize(&mut self) -> Option<Size> {
        if !self.resize_waits() {
            return None;
        }
        self.screen.resize(self.wanted);
        let learner = self.learner();
        for (_, client) in self.clients.iter_mut().filter(|(id, _)| Some(**id) != learner) {
            client.picture_due = true;
        }
        Some(self.wanted)
    }

    /// The size that a new shell begins with.
    pub fn size(&self) -> Size {
        self.wanted
    }

    /// The shell runs, in a pty of this size.
    pub fn started(&mut self, size: Size) {
        self.shell = Shell::Running;
        self.screen.resize(size);
    }

    /// The shell ended, or could not be opened (`why`).
    pub fn ended(&mut self, status: i32, why: Option<&str>) {
        self.shell = Shell::Absent;
        self.input.clear();
        if let Some(why) = why {
            self.announce(why);
        }
        for client in self.clients.values_mut() {
            client.exit_due = Some(status);
        }
    }
}
