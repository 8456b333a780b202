//! The agent as a program, with real labs: what its API promises, and what a hostile learner cannot do.
//!
//! The tests need lab images (`make images`) and the engine beside the agent (`cargo build`), and run as root and as an
//! ordinary user with a range of subordinate ids. They say so, and fail, where that is missing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod client;
mod containment;
mod harness;
mod labs;
mod observations;
mod terminals;
mod traces;
