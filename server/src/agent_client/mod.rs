//! The agent's API as typed calls, and the starting of an agent.
//!
//! [`AgentClient`] speaks HTTP over the agent's unix socket; [`AgentProcess`] starts an agent that several
//! commands share or one that ends with this program. What a lab is, is the agent's business.

mod client;
mod error;
mod frames;
mod http;
mod process;
mod sse;
mod terminal;

pub use client::{AgentClient, LabEvent, Watch};
pub use error::AgentError;
pub use frames::Terminal;
pub use process::AgentProcess;
pub use terminal::{TERMINAL_NAME_BYTES_MAX, TerminalSocket, is_terminal_name};
