//! Every doll, read back from the kernel: what a lab's processes are, out of a procfs that the lab cannot reach.
//!
//! [`Reader`] reads one lab through the descriptor of a procfs of the lab's pid namespace; a [`Reading`] is made into
//! the protocol's `Observation` by a pure function, together with what else the agent knows: the engine's labels, and
//! the hostnames and links surveyed in the namespaces. No path here is the lab's to choose: every file is opened
//! beneath a `/proc/PID` directory that is held open, so that all of a process is read from the same process.

mod assemble;
mod executable;
mod ids;
mod limits;
mod process;
mod procfs;
mod reader;
mod text;

pub use assemble::{Label, Moment, Surroundings};
pub use executable::{Digests, Trusted};
pub use ids::{IdTranslation, Maps};
pub use limits::Groups;
pub use procfs::{NamespaceKind, Procfs};
pub use reader::{Inhabited, Reader, Reading};
pub(crate) use text::stat;

use isolab_protocol::observation::Kernel;

/// The kernel that this program and all its labs share.
pub fn kernel() -> std::io::Result<Kernel> {
    let uname = rustix::system::uname();
    Ok(Kernel {
        release: uname.release().to_string_lossy().into_owned(),
        version: uname.version().to_string_lossy().into_owned(),
        boot_id: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
    })
}
