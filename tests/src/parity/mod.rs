//! What the comparison with Docker (`tests/parity`) is made of that needs no daemon: the list of cases, what is taken out
//! of outputs before they are compared, how they differ, and which differences are meant.

pub mod case;
pub mod difference;
pub mod meant;
pub mod normalise;
