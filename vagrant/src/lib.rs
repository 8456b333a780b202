//! The lab VM: what QEMU is told (pure), a machine's life as one type per phase, and the channel to the agent inside.
//!
//! No process is started here, and nothing is known of containers, lessons or labs: who launches QEMU hands over the
//! sockets that it was given. The recipe of what a VM is made of is `vagrant/image`.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on has failed"))]

pub mod channel;
pub mod console;
pub mod error;
pub mod greeting;
pub mod hardware;
pub mod image;
pub mod machine;
pub mod qmp;

pub use channel::{Callers, Dialer, Stream};
pub use console::Console;
pub use error::Error;
pub use greeting::{Greeting, Welcome};
pub use hardware::{Accelerator, Hardware, Start};
pub use image::Image;
pub use machine::{Launched, Running};
