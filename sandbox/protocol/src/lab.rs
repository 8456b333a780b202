//! What a lab is asked to be, and what it is at the moment.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a lab host runs. See ARCHITECTURE.md for what each tier can and cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum Tier {
    /// The lab host is a user-namespace container on this machine.
    Sandbox,
    /// The lab host is a whole QEMU virtual machine.
    Vm,
}

/// The name of a lab: 1 to 40 characters of `a-z`, `0-9` and `-`, beginning with a letter or digit.
/// It is safe in a path, a URL and a log line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export, type = "string"))]
pub struct LabId(String);

/// Why a string is not a [`LabId`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a lab's name has 1 to 40 characters of a-z, 0-9 and -, and begins with a letter or digit")]
pub struct BadLabId;

impl LabId {
    /// The longest name, in bytes: it has to fit beside other words in a hostname label of 63.
    pub const BYTES_MAX: usize = 40;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LabId {
    type Err = BadLabId;

    fn from_str(text: &str) -> Result<Self, BadLabId> {
        let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let bytes = text.as_bytes();
        let fits = !bytes.is_empty() && bytes.len() <= Self::BYTES_MAX && bytes[0] != b'-';
        if fits && bytes.iter().all(|&c| allowed(c)) { Ok(Self(text.to_owned())) } else { Err(BadLabId) }
    }
}

impl TryFrom<String> for LabId {
    type Error = BadLabId;

    fn try_from(text: String) -> Result<Self, BadLabId> {
        text.parse()
    }
}

impl From<LabId> for String {
    fn from(id: LabId) -> Self {
        id.0
    }
}

impl fmt::Display for LabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The body of `POST /v1/labs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct LabSpec {
    /// A name for the lab; the agent makes one up where this is absent.
    pub id: Option<LabId>,
    /// The tier wanted; absent means the cheapest that the agent has.
    pub tier: Option<Tier>,
    /// A `bash` script run as the lab host's root before the lab is ready (a lesson's `setup.sh`).
    /// At most 64 KiB.
    pub setup: Option<String>,
    /// The lab is ended when nobody has been attached for this many seconds; absent means the agent's own
    /// default, and the agent may cap it.
    pub idle_seconds_max: Option<u32>,
}

/// One step of opening a lab, in words that a beginner understands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct StartStep {
    /// For example "Starting the lab host".
    pub what: String,
    /// How long it took, in milliseconds; absent while it is under way.
    pub took_ms: Option<u32>,
}

/// Where a lab is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "phase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum LabPhase {
    /// Being opened; `Lab::steps` says how far it is.
    Opening,
    /// Terminals and exec work.
    Ready,
    /// Over; it is listed for a while so that a page can say why.
    Ended {
        /// Why, in a sentence.
        why: String,
    },
}

/// A lab as the agent tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Lab {
    /// Its name.
    pub id: LabId,
    /// The tier it runs in.
    pub tier: Tier,
    /// Why that tier, in a sentence.
    pub tier_why: String,
    /// Why there is a new lab host although nobody asked for one, in a sentence for the learner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
    /// Where it is in its life.
    #[serde(flatten)]
    pub state: LabPhase,
    /// How many times it was reset; a change tells a page that its terminals are new.
    pub generation: u32,
    /// The steps of opening it, in order.
    pub steps: Vec<StartStep>,
    /// Seconds until the lab is ended if nobody returns to it; absent while somebody is attached.
    pub ends_in_seconds: Option<u32>,
    /// The memory that its processes add, proportional set size in KiB, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_kib: Option<u64>,
}

/// The body of `POST /v1/labs/{id}/exec`: run a command as root of the lab host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct ExecRequest {
    /// The program and its arguments; the program is looked up on the lab host's PATH.
    pub argv: Vec<String>,
    /// What it reads on standard input; absent means nothing.
    #[serde(default)]
    pub stdin: Option<String>,
    /// It is killed after this many seconds. The agent allows at most 600.
    #[serde(default = "default_exec_seconds")]
    pub seconds_max: u32,
}

fn default_exec_seconds() -> u32 {
    60
}

/// What came of an [`ExecRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct ExecResult {
    /// The exit status as a shell counts it: 128 + N where signal N ended it, 124 where time ran out.
    pub status: i32,
    /// Standard output, lossily decoded; the agent keeps the first MiB.
    pub stdout: String,
    /// Standard error, the same.
    pub stderr: String,
    /// Whether output was cut.
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_id_is_safe_in_a_path() {
        for good in ["a", "7", "lesson-2-x", &"a".repeat(40)] {
            assert!(good.parse::<LabId>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a/b", "..", "A", "a b", "ä", &"a".repeat(41)] {
            assert!(bad.parse::<LabId>().is_err(), "{bad}");
            assert!(serde_json::from_value::<LabId>(bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_phase_is_flat_in_json() {
        let lab = Lab {
            id: "x".parse().unwrap(),
            tier: Tier::Sandbox,
            tier_why: String::new(),
            notice: None,
            state: LabPhase::Ended { why: "over".into() },
            generation: 1,
            steps: vec![],
            ends_in_seconds: None,
            memory_kib: None,
        };
        let json = serde_json::to_value(&lab).unwrap();
        assert_eq!(json["phase"], "ended");
        assert_eq!(json["why"], "over");
        assert_eq!(serde_json::from_value::<Lab>(json).unwrap(), lab);
    }
}
