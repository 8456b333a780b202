//! Images as they travel: to and from archives, to and from registries.
//!
//! It works on the store alone and tells its progress in lines; who asked, and what is told to `docker events`, is the API's
//! affair. What has to do with archives blocks; what has to do with registries does not.

mod fetch;
mod load;
mod manifest;
mod oci;
mod outlet;
mod platform;
mod pull;
mod push;
mod refusal;
mod registry;
mod save;
mod scratch;
mod slots;

pub use load::load;
pub use outlet::{Outlet, outlet};
pub use platform::Platform;
pub use pull::{Pull, is_out_of_reach, why_not};
pub use push::push;
pub use registry::{Credentials, Registry};
pub use save::Saving;
pub use scratch::Scratch;
