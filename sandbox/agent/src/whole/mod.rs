//! The lab host that is a whole machine, as the agent inside a lab VM has it: what its processes get, and its engine.

pub mod engine;
pub mod spec;
