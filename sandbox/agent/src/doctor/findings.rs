//! What a machine has, as plain facts. Gathered by `gather`, judged by `judge`, made up by tests.

/// The facts. Each is what was found, never what follows from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// `uname -r`.
    pub kernel: String,
    /// The uid that the agent is started by.
    pub uid: u32,
    /// Its name; empty where /etc/passwd has none.
    pub user: String,
    /// `user.max_user_namespaces`.
    pub user_namespaces_max: Option<u64>,
    /// `kernel.unprivileged_userns_clone`, where the kernel has it (Debian, Arch).
    pub unprivileged_userns_clone: Option<u64>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, where the kernel has it (Ubuntu 23.10 and later).
    pub apparmor_restricts_userns: Option<u64>,
    /// Whether AppArmor is on.
    pub apparmor: bool,
    /// The two programs that map ids for an ordinary user.
    pub newuidmap: Helper,
    /// The same for groups.
    pub newgidmap: Helper,
    /// The longest range of subordinate uids.
    pub subuids: u32,
    /// The longest range of subordinate gids.
    pub subgids: u32,
    /// The first id from which on nobody has subordinate ids.
    pub free_from: u32,
    /// What is mounted over parts of /proc.
    pub proc_covered: Vec<String>,
    /// Whether the agent could enter its own namespaces: an error is the runtime's sentence. `None` where not tried.
    pub entered: Option<Result<(), String>>,
    /// Whether a lab host could be set up, as for a real lab. `None` where the agent could not even enter.
    pub trial: Option<Result<(), String>>,
    /// Whether the kernel has seccomp filters.
    pub seccomp: bool,
    /// Which cgroups there are.
    pub cgroup: Cgroup,
    /// `MemAvailable`, in MiB.
    pub memory_mib: u64,
    /// Free space of the file system of the store, in MiB; `None` where the store cannot be looked at.
    pub disk_mib: Option<u64>,
    /// Whether /dev/kvm can be opened.
    pub kvm: Kvm,
    /// QEMU's path and version.
    pub qemu: Option<(String, (u32, u32))>,
    /// Other programs that virtual machines take and that are not there.
    pub vm_tools_missing: Vec<String>,
    /// The image of virtual machines, or why there is none.
    pub vm_image: Result<String, String>,
    /// The recipe of the lab images, or why there are none.
    pub images: Result<String, String>,
}

/// A set-user-ID program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Helper {
    /// Not on PATH.
    Absent,
    /// There, without the privilege it needs.
    Powerless(String),
    /// There.
    Ready,
}

/// The machine's cgroups, as far as the agent sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cgroup {
    /// None mounted.
    Absent,
    /// Version 1, or both with the controllers in version 1.
    V1,
    /// Version 2, with the controllers that the agent's own cgroup may hand on; none where it cannot write there.
    V2 {
        /// For example `memory`, `pids`.
        delegated: Vec<String>,
    },
}

/// The kernel's virtual machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kvm {
    /// No /dev/kvm.
    Absent,
    /// This user may not open it.
    Forbidden,
    /// It opens, which does not yet mean that a guest boots.
    Opens,
}
