//! What a terminal shows at the moment, so that a client that missed output can be given the picture instead.
//!
//! The bytes are a learner's: the emulator must survive anything, at a bounded cost.

use isolab_protocol::terminal::{FRAME_BYTES_MAX, SIZE_MAX};
use std::num::NonZeroU16;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The size of a terminal, each side 1 to [`SIZE_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { cols: 80, rows: 24 }
    }
}

/// The most bytes of a picture: a frame, less its opcode and its fields.
pub const PICTURE_BYTES_MAX: usize = FRAME_BYTES_MAX - 16;

/// An emulated screen. No scrollback: the ring is for that.
pub struct Screen {
    emulator: vt100::Parser,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("size", &self.size()).finish_non_exhaustive()
    }
}

impl Screen {
    /// A blank screen.
    pub fn new(size: Size) -> Self {
        let (rows, cols) = sides(size);
        Self { emulator: vt100::Parser::new(rows, cols, 0) }
    }

    /// Its size.
    pub fn size(&self) -> Size {
        let (rows, cols) = self.emulator.screen().size();
        Size { cols: cols.get(), rows: rows.get() }
    }

    /// How much output to show at once so that it cannot take long: the fewest bytes that change every cell of the screen
    /// are four, and a million cells are changed in a few milliseconds.
    pub fn slice_bytes(&self) -> usize {
        const CELLS_AT_ONCE: usize = 2_000_000;
        let Size { cols, rows } = self.size();
        (4 * CELLS_AT_ONCE / (usize::from(cols) * usize::from(rows)).max(1)).max(4)
    }

    /// Shows more output.
    pub fn show(&mut self, output: &[u8]) {
        self.guarded(|emulator| emulator.process(output));
    }

    /// Changes the size.
    pub fn resize(&mut self, size: Size) {
        let (rows, cols) = sides(size);
        self.guarded(|emulator| emulator.set_size(rows, cols));
    }

    /// The screen as escape sequences for a fresh terminal of the same size, at most [`PICTURE_BYTES_MAX`] bytes:
    /// with colours where that fits, else without, else only the lower rows.
    pub fn picture(&self) -> Vec<u8> {
        let screen = self.emulator.screen();
        // A program such as an editor leaves the alternate screen when it ends: the client has to be on it then.
        let enter = if screen.alternate_screen() { "\x1b[?1049h" } else { "" };
        let full = format!("{enter}{}", screen.state_formatted());
        if full.len() <= PICTURE_BYTES_MAX {
            return full.into_bytes();
        }
        let modes = format!("{enter}{}", screen.input_mode_formatted());
        let cursor = screen.cursor_state_formatted();
        let budget = PICTURE_BYTES_MAX - modes.len().min(1024) - cursor.len().min(1024);
        let size = self.size();
        let mut rows: Vec<String> = Vec::new();
        let mut bytes = 0;
        for (at, row) in screen.rows(0, size.cols).enumerate().collect::<Vec<_>>().into_iter().rev() {
            let line = format!("\x1b[{};1H{}", at + 1, row.trim_end());
            bytes += line.len();
            if bytes > budget {
                break;
            }
            rows.push(line);
        }
        rows.reverse();
        format!("\x1b[H\x1b[2J{modes}{}{cursor}", rows.concat()).into_bytes()
    }

    /// A fault in the emulator, reached by a learner's bytes, costs that learner the picture and nobody anything else.
    fn guarded(&mut self, act: impl FnOnce(&mut vt100::Parser)) {
        let size = self.size();
        if catch_unwind(AssertUnwindSafe(|| act(&mut self.emulator))).is_err() {
            tracing::warn!("the screen emulator failed on a terminal's output; its screen was cleared");
            *self = Self::new(size);
        }
    }
}

fn sides(size: Size) -> (NonZeroU16, NonZeroU16) {
    let side = |n: u16| NonZeroU16::new(n.clamp(1, SIZE_MAX)).unwrap_or(NonZeroU16::MIN);
    (side(size.rows), side(size.cols))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(screen: &Screen) -> String {
        screen.emulator.screen().contents()
    }

    /// A fresh terminal that is given the picture shows what the first one shows.
    fn check(size: Size, output: &[u8]) {
        let mut first = Screen::new(size);
        first.show(output);
        let mut second = Screen::new(size);
        second.show(&first.picture());
        assert_eq!(shown(&second), shown(&first));
        let (a, b) = (first.emulator.screen(), second.emulator.screen());
        assert_eq!(a.cursor_position(), b.cursor_position());
        assert_eq!(a.alternate_screen(), b.alternate_screen());
        assert_eq!(a.bracketed_paste(), b.bracketed_paste());
    }

    #[test]
    fn a_picture_shows_what_the_screen_shows() {
        let size = Size { cols: 20, rows: 5 };
        check(size, b"root@labhost:~# ls\r\nbin etc\r\n");
        check(size, b"\x1b[?2004h\x1b[31mred\x1b[0m plain \x1b[1;7mloud\x1b[3;4H");
        check(size, b"before\x1b[?1049h\x1b[2J\x1b[Hin an editor");
        check(size, "größer 漢字 ok".as_bytes());
    }

    #[test]
    fn the_largest_screen_full_of_colour_still_fits_a_frame() {
        let mut screen = Screen::new(Size { cols: SIZE_MAX, rows: SIZE_MAX });
        let line: String = (0..SIZE_MAX).map(|n| format!("\x1b[38;5;{}m#", n % 256)).collect();
        for _ in 0..SIZE_MAX {
            screen.show(line.as_bytes());
        }
        let picture = screen.picture();
        assert!(picture.len() <= PICTURE_BYTES_MAX, "{}", picture.len());
        assert!(picture.iter().filter(|&&b| b == b'#').count() > 50_000);
    }

    #[test]
    fn no_slice_of_output_keeps_the_emulator_long() {
        for (cols, rows) in [(1, 1), (80, 24), (200, 50), (SIZE_MAX, SIZE_MAX)] {
            let mut screen = Screen::new(Size { cols, rows });
            let slice = screen.slice_bytes().min(16 * 1024);
            let clears = b"\x1b[2J".repeat(slice.div_ceil(4));
            let began = std::time::Instant::now();
            screen.show(&clears[..slice]);
            // Milliseconds, with room for a busy machine.
            assert!(
                began.elapsed() < std::time::Duration::from_millis(500),
                "{cols}x{rows}: {:?}",
                began.elapsed()
            );
        }
    }

    #[test]
    fn any_bytes_at_any_size_are_survived() {
        // A small generator of noise that is rich in escape sequences; the same on every run.
        let mut state = 7_u32;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        for _ in 0..200 {
            let (cols, rows) = ((next() % 12 + 1) as u16, (next() % 12 + 1) as u16);
            let mut screen = Screen::new(Size { cols, rows });
            for _ in 0..40 {
                let mut noise = Vec::new();
                for _ in 0..64 {
                    match next() % 5 {
                        0 => noise.extend_from_slice(b"\x1b["),
                        1 => {
                            noise.extend_from_slice(format!("{};{}", next() % 70000, next() % 20).as_bytes())
                        }
                        2 => noise.push(b"ABCDHJKLMPXSTfhlmrsu@"[next() as usize % 21]),
                        3 => noise.extend_from_slice("漢é\u{301}".as_bytes()),
                        _ => noise.push(next() as u8),
                    }
                }
                screen.show(&noise);
                screen.resize(Size { cols: (next() % 30 + 1) as u16, rows: (next() % 9 + 1) as u16 });
                assert!(screen.picture().len() <= PICTURE_BYTES_MAX);
            }
        }
    }
}
