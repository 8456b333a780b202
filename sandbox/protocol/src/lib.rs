//! The words that Isolab's parts share: lab specs, machine capabilities, observations,
//! terminal frames, verdicts.
//!
//! Every type here crosses a seam (agent ↔ server ↔ browser) as JSON or as a terminal frame.
//! There is no behaviour beyond parsing and encoding: nothing here opens a file, waits or decides.
//! TypeScript declarations are generated from these types (`make types`), never written by hand.
#![forbid(unsafe_code)]

pub mod capabilities;
pub mod error;
pub mod lab;
pub mod machine;
pub mod observation;
pub mod page;
pub mod refusal;
pub mod terminal;
pub mod verdict;

pub use capabilities::CAPABILITIES;
pub use error::ApiError;
pub use lab::{ExecRequest, ExecResult, Lab, LabId, LabPhase, LabSpec, StartStep, Tier};
pub use machine::{Capability, MachineCapabilities, TierOffer};
pub use observation::Observation;
pub use refusal::{Refusal, Wall};
pub use verdict::{Evidence, Verdict, VerdictState};
