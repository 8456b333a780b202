//! Isolab's server and command line: pages, learners and progress, and the commands that open labs.
//!
//! What runs a lab is the agent, reached through its API alone: there is no namespace, no container and no
//! grading rule in this crate.
#![forbid(unsafe_code)]

pub mod agent_client;
pub mod bench;
pub mod commands;
pub mod home;
pub mod http;
pub mod lesson_test;
pub mod live;
mod own_terminal;
pub mod pages;
pub mod presence;
mod programs;
pub mod progress;
pub mod routing;
pub mod serving;
pub mod store;
