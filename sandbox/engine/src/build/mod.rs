//! `docker build`, as Docker's classic builder does it: a Dockerfile, a context and a cache become images.
//!
//! From the pure to the rest: [`dockerfile`] parses; [`expand`], [`arguments`] and [`configuration`] know what the words mean;
//! [`source`], [`sums`] and [`copy`] move files; [`image`] is a step's result and the cache; [`job`] goes through stages and steps.
//! The containers of `RUN` are the engine's own. BuildKit is not here: clients fall back, or are told.

mod arguments;
mod configuration;
mod context;
mod copy;
pub mod dockerfile;
mod expand;
mod glob;
mod image;
mod job;
mod options;
mod output;
mod overlay;
mod ports;
mod run;
mod source;
mod steps;
mod sums;

pub use context::Context;
pub use job::Job;
pub use options::Options;
pub use output::Output;
