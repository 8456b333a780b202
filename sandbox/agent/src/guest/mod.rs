//! The agent inside a lab VM: the machine's first process, and the same API over the machine's one channel.
//!
//! The lab host here is the machine itself, with its real root: a learner can end the agent, and the machine with it. The VM is
//! the wall; the host's agent takes what a guest says for the learner's word.

pub mod first;
pub mod identity;
pub mod port;
pub mod service;
