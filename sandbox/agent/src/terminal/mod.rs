//! A lab's terminals: `lab.term.v1` between a shell's pty and any number of clients.

pub mod client;
mod desk;
mod pump;
pub mod ring;
pub mod screen;
pub mod session;
#[cfg(test)]
mod session_tests;
#[allow(clippy::module_inception, reason = "the terminal is what the module is named for")]
pub mod terminal;

pub use screen::Size;
pub use terminal::{OpenShell, Shell, Terminal};
