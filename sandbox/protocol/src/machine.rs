//! What a machine can do for labs, and, where it cannot, why and how to mend it.

use crate::lab::Tier;
use serde::{Deserialize, Serialize};

/// One thing that labs need or profit from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Capability {
    /// A stable name: `user-namespaces`, `id-range`, `cgroup-v2`, `apparmor`, …
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
    /// What labs of each tier have to offer, the cheapest tier first.
    pub tiers: Vec<TierOffer>,
}

/// What labs of one tier have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct TierOffer {
    /// The tier.
    pub tier: Tier,
    /// What labs in it have, by the names that lessons' `needs` use.
    pub gives: Vec<String>,
    /// Why no lab can be opened in it, in a sentence; absent where labs can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// What mends that, where something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl MachineCapabilities {
    /// The capabilities without which no lab can be opened and that are missing.
    pub fn missing(&self) -> impl Iterator<Item = &Capability> {
        self.capabilities.iter().filter(|c| c.required && !c.available)
    }
}
