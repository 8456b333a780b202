//! What a machine can do for labs, and, where it cannot, why and how to mend it.

use serde::{Deserialize, Serialize};

/// One thing that labs need or profit from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Capability {
    /// A stable name that lessons' `needs` refer to: `user-namespaces`, `id-range`, `cgroup-v2`, `apparmor`, …
    pub name: String,
    /// Whether the machine has it.
    pub available: bool,
    /// Whether no lab can be opened without it.
    pub required: bool,
    /// What was found, in a sentence.
    pub found: String,
    /// Why it matters, in a sentence.
    pub why: String,
    /// The exact command that mends it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

/// The body of `GET /v1/capabilities`, and what `isolab doctor --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct MachineCapabilities {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// Every capability looked for, required ones first.
    pub capabilities: Vec<Capability>,
}

impl MachineCapabilities {
    /// The capabilities without which no lab can be opened and that are missing.
    pub fn missing(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter().filter(|c| c.required && !c.available)
    }
}
