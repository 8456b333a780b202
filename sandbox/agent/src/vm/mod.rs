//! Labs in virtual machines, as the host's agent has them: QEMU in a container of our own runtime, templates that machines
//! are restored from, and the conversation with the agent inside. What a guest says is the learner's word.

pub mod guest;
pub mod launch;
pub mod machine;
pub mod programs;
pub mod relay;
pub mod templates;
pub mod warming;
