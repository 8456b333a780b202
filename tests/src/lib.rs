//! What whole-system tests share: the harness with its three outcomes, the programs under test, and the
//! traces that a test might leave on the machine; and the rules of the house that are checked by reading it.
//!
//! Nothing here is part of the product, and no part of the product imports it.
#![forbid(unsafe_code)]

pub mod harness;
pub mod parity;
pub mod programs;
pub mod tidy;
pub mod traces;
