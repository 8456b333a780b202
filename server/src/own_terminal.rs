//! The terminal that this program was started in, put into raw mode for a shell that runs elsewhere.

use isolab_protocol::terminal::SIZE_MAX;
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, IsTerminal};

/// The size that a shell is given where there is no terminal: the usual one.
const SIZE_WITHOUT_TERMINAL: (u16, u16) = (80, 24);

/// This program's terminal; as it was again when this is dropped.
pub(crate) struct OwnTerminal {
    /// How it was; absent where standard input is no terminal.
    before: Option<Termios>,
}

impl OwnTerminal {
    /// Raw mode: each key goes to the other shell, Ctrl-C too. Nothing is changed where standard input is no terminal.
    pub fn raw() -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self { before: Some(before) })
    }

    /// Whether keys come one by one.
    pub fn is_raw(&self) -> bool {
        self.before.is_some()
    }

    /// Columns and rows, as far as a terminal of the protocol may have them.
    pub fn size(&self) -> (u16, u16) {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                (size.ws_col.min(SIZE_MAX), size.ws_row.min(SIZE_MAX))
            }
            _ => SIZE_WITHOUT_TERMINAL,
        }
    }
}

impl Drop for OwnTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // There is nobody left to tell.
            let _ = tcsetattr(stdin(), OptionalActions::Drain, before);
        }
    }
}
