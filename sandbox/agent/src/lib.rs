//! Labs on one machine, outside every learner: opening and ending them, their terminals, observations and limits.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on has failed"))]

pub mod api;
pub mod child;
pub mod confinement;
pub mod doctor;
pub mod engine;
pub mod exec;
pub mod generation;
pub mod guest;
pub mod host;
pub mod ids;
pub mod images;
pub mod lab;
pub mod labs;
pub mod metrics;
pub mod observation;
pub mod owners;
pub mod presence;
pub mod pristine;
pub mod readiness;
pub mod refusal;
pub mod serve;
pub mod socket;
pub mod spec;
pub mod stage;
pub mod store;
pub mod terminal;
pub mod vm;
pub mod walls;
pub mod whole;
pub mod world;
