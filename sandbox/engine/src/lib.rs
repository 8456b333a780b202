//! PID 1 of a lab host: reaps, and serves the Docker Engine API. On a machine it does the same as a daemon of root, or of
//! an ordinary user.
//!
//! One process, one thread (and the zygote, its single-threaded helper): an idle lab must cost almost nothing.
//! There is nothing here of lessons or of the web, and nothing that a learner who is root in the lab could not do
//! himself: the engine belongs to the learner, and nobody outside trusts it.
//!
//! It is a library so that what reads hostile input can be fuzzed without a running engine. Its face is small on
//! purpose: nobody else builds upon it.
#![forbid(unsafe_code)]

mod api;
mod apparmor;
mod archive;
mod aside;
mod atomic;
mod beneath;
mod body;
mod build;
mod clock;
mod config;
mod container;
mod containers;
mod daemon;
mod detach;
mod engine;
mod error;
mod events;
mod exec;
mod fd;
mod front;
pub mod fuzz;
mod image;
mod init;
mod json;
mod leftovers;
mod linger;
mod log;
mod machine;
mod names;
mod network;
mod options;
mod programs;
mod progress;
mod reaper;
mod remap;
mod rootless;
mod serve;
mod settings;
mod spec;
mod stdcopy;
mod streams;
mod transfer;
mod user;
mod volume;
mod world;

pub use daemon::main;
pub use image::layer_of_bytes;
