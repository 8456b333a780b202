//! The agent inside a lab VM: the machine's first process, and the same API over the machine's one channel.
//!
//! The lab host here is the machine itself, with its real root: a container in name only, whose namespaces are the
//! machine's own but for mounts and processes. So a learner does not end the agent by mistake. One who wants to can:
//! the VM is the wall, and the host's agent believes a guest nothing but what it shows of itself.

pub mod first;
pub mod identity;
pub mod port;
pub mod service;
pub mod spec;
