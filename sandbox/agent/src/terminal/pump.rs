//! Moves bytes between a shell's pty and its terminal's session until the shell ends.
//!
//! No polling: it sleeps until the pty, a client, or the shell's end wakes it. The one clock in it spaces out
//! resizes and paces output that nobody watches.

use super::desk::Desk;
use super::screen::Size;

use crate::child::Child;
use crate::readiness;
use rustix::io::Errno;
use rustix::process::Signal;
use rustix::termios::{Winsize, tcsetwinsize};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep_until, timeout};

/// The most that is read from a pty at once, in bytes: what the kernel's pty buffers hold.
const READ_BYTES_MAX: usize = 16 * 1024;

/// The shortest time between two resizes of a pty: one frame of a display. A storm becomes 60 a second.
const RESIZE_EVERY: Duration = Duration::from_millis(16);

/// Output that nobody watches is read in portions of this many bytes …
const UNWATCHED_BYTES: usize = 256 * 1024;

/// … one in each of these spans, which is 8 MiB/s: programs go on, and a flood costs a few percent of a processor.
const UNWATCHED_EVERY: Duration = Duration::from_millis(31);

/// How long a learner's client may leave output unacknowledged before the shell goes on without it: longer than a
/// busy page or a change of networks, shorter than a build that would stand still because of a sleeping laptop.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// After output that took long to show, rest for so many times as long: a learner who clears the largest screen with
/// every few bytes then takes a fifth of one processor, and slows down only that terminal.
const REST: u32 = 4;

/// What counts as long. Ordinary output of one read is shown in a twentieth of it.
const SHOWN_WITHIN: Duration = Duration::from_millis(1);

/// The longest that the last words of a shell are shown for.
const AFTERWORD_MAX: Duration = Duration::from_millis(100);

/// How long a shell may live on after it has closed its terminal.
const HANGUP_GRACE: Duration = Duration::from_secs(2);

/// The most output that is still read once the shell has ended, in bytes: all that a pty can hold, and no more,
/// because a process that it left behind may print for ever.
const AFTERWORD_BYTES_MAX: usize = 128 * 1024;

/// Runs one shell's pty. Returns the shell's status.
pub async fn run(desk: &Desk, master: OwnedFd, shell: &Child) -> io::Result<i32> {
    rustix::fs::fcntl_setfl(&master, rustix::fs::OFlags::NONBLOCK)?;
    let mut pump = Pump {
        desk,
        pty: readiness::register(master, Interest::READABLE | Interest::WRITABLE)?,
        resize_at: Instant::now(),
        read_at: Instant::now(),
        unwatched_bytes: 0,
        held_since: None,
    };
    let status = tokio::select! {
        status = shell.exited() => status,
        closed = pump.work() => {
            if let Err(error) = closed {
                tracing::debug!(%error, "a terminal was closed");
            }
            let ended = timeout(HANGUP_GRACE, shell.exited()).await;
            if ended.is_err() {
                shell.signal(Signal::KILL);
            }
            shell.exited().await
        }
    };
    pump.afterword();
    Ok(status)
}

struct Pump<'a> {
    desk: &'a Desk,
    pty: AsyncFd<OwnedFd>,
    resize_at: Instant,
    read_at: Instant,
    unwatched_bytes: usize,
    held_since: Option<Instant>,
}

/// What the pump is to wait for.
struct Wants {
    /// At most so many bytes at once.
    read: Option<usize>,
    write: bool,
    until: Option<Instant>,
}

impl Pump<'_> {
    /// Works until the pty is closed at the other end, which is an error of the read.
    async fn work(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES_MAX];
        loop {
            let wants = self.wants();
            let slice = wants.read.unwrap_or(0);
            let until = wants.until.unwrap_or_else(Instant::now);
            tokio::select! {
                ready = self.pty.readable(), if wants.read.is_some() => {
                    let mut ready = ready?;
                    match ready.try_io(|pty| Ok(rustix::io::read(pty.get_ref(), &mut buffer[..slice])?)) {
                        Ok(Ok(0)) => return Ok(()),
                        Ok(Ok(count)) => {
                            self.output(&buffer[..count]);
                        }
                        Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                        Ok(Err(error)) => return Err(error),
                        Err(_would_block) => {}
                    }
                    // A flood on one terminal must not keep the others of this thread waiting.
                    tokio::task::yield_now().await;
                }
                ready = self.pty.writable(), if wants.write => {
                    let mut ready = ready?;
                    let desk = self.desk;
                    match ready.try_io(|pty| {
                        let mut session = desk.session();
                        Ok(rustix::io::write(pty.get_ref(), session.input_waiting())?)
                    }) {
                        Ok(Ok(count)) => self.typed(count),
                        Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                        Ok(Err(error)) => return Err(error),
                        Err(_would_block) => {}
                    }
                }
                () = self.desk.pump_woken() => {}
                () = sleep_until(until), if wants.until.is_some() => {}
            }
        }
    }

    fn wants(&mut self) -> Wants {
        let now = Instant::now();
        let mut session = self.desk.session();
        let mut until = None;
        let mut wait_for = |at: Instant| until = Some(until.map_or(at, |sooner: Instant| sooner.min(at)));
        if session.resize_waits() {
            if now < self.resize_at {
                wait_for(self.resize_at);
            } else if let Some(size) = session.take_resize() {
                self.resize_at = now + RESIZE_EVERY.max(now.elapsed() * REST);
                set_size(&self.pty, size);
                // Observers are owed a picture in the new size.
                self.desk.changed();
            }
        }
        if session.held() {
            let since = *self.held_since.get_or_insert(now);
            if now >= since + UNACKNOWLEDGED_MAX {
                session.give_up_on_learner();
                self.desk.changed();
            } else {
                wait_for(since + UNACKNOWLEDGED_MAX);
            }
        }
        if !session.held() {
            self.held_since = None;
        }
        let paced = now < self.read_at;
        if paced && !session.held() {
            wait_for(self.read_at);
        }
        let read = (!session.held() && !paced).then(|| session.slice_bytes().min(READ_BYTES_MAX));
        Wants { read, write: !session.input_waiting().is_empty(), until }
    }

    /// Takes in output. Returns how long it took to show it.
    fn output(&mut self, bytes: &[u8]) -> Duration {
        let began = Instant::now();
        self.desk.metrics().terminal_output_bytes.fetch_add(bytes.len() as u64, Relaxed);
        let watched = {
            let mut session = self.desk.session();
            session.output(bytes);
            session.has_learner()
        };
        self.desk.changed();
        self.unwatched_bytes = if watched { 0 } else { self.unwatched_bytes + bytes.len() };
        if self.unwatched_bytes >= UNWATCHED_BYTES {
            self.unwatched_bytes = 0;
            self.read_at = Instant::now() + UNWATCHED_EVERY;
        }
        let took = began.elapsed();
        if took > SHOWN_WITHIN {
            self.read_at = self.read_at.max(Instant::now() + took * REST);
        }
        took
    }

    fn typed(&mut self, count: usize) {
        self.desk.session().input_written(count);
        self.desk.metrics().terminal_input_bytes.fetch_add(count as u64, Relaxed);
    }

    /// What the shell printed last, once it has ended.
    fn afterword(&mut self) {
        let mut buffer = [0; 4096];
        let (mut bytes, mut took) = (0, Duration::ZERO);
        while bytes < AFTERWORD_BYTES_MAX && took < AFTERWORD_MAX {
            let slice = self.desk.session().slice_bytes().min(buffer.len());
            match rustix::io::read(self.pty.get_ref(), &mut buffer[..slice]) {
                Ok(0) => return,
                Ok(count) => {
                    bytes += count;
                    took += self.output(&buffer[..count]);
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

fn set_size(pty: &AsyncFd<OwnedFd>, size: Size) {
    let size = Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 };
    if let Err(error) = tcsetwinsize(pty.get_ref(), size) {
        tracing::debug!(%error, "a terminal did not take its size");
    }
}
