//! One container from one OCI Spec: `Spec → Plan` (pure), `Plan → process`, and every doll read back from the kernel.
//!
//! There is no async, HTTP, Docker or lesson in here. `unsafe` and raw system calls live in `sys.rs` alone.
#![deny(unsafe_code)]

pub mod created;
pub mod doll;
pub mod error;
pub mod fuzz;
mod launch;
pub mod observe;
pub mod oci;
pub mod own_binary;
pub mod own_namespace;
pub mod plan;
pub mod probe;
pub mod process;
pub mod stdio;
pub mod subid;
mod sys;
mod wire;
pub mod zygote;

pub use doll::cgroup;
pub use doll::console::resize as resize_terminal;
pub use doll::fence::{fence, unfence};
pub use doll::network::{addresses, ensure_bridge, link_exists, remove_link};
pub use doll::rewire::Rewiring;
pub use doll::user_map::{IdMaps, IdRange};
pub use error::Error;
pub use plan::{EnterPlan, Plan, PlanOptions, Rootfs, Upper, Veth};
pub use zygote::{Created, Io, Running, Stdio, Survey, Zygote};
