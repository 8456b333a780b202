//! Which wall said no: what the kernel refuses to containers' processes, told by the kernel itself while it does so.
//!
//! Through tracefs alone ([`tracefs`]), and so only where this agent has a kernel to itself: in a lab VM. What the kernel prints
//! becomes events ([`event`]), events become refusals ([`judge`]), and those are kept, bounded, for whoever looks at the lab
//! ([`ledger`]). A learner who is root of the machine can switch all of it off: it is there to teach, and is not a guard.

pub mod event;
pub mod judge;
pub mod ledger;
pub mod tracefs;
pub mod watch;

pub use ledger::Ledger;
