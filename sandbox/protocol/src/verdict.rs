//! What a check found, with the evidence for it.

use serde::{Deserialize, Serialize};

/// What a check says of the state it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum VerdictState {
    /// The state is what the exercise asks for.
    Passed,
    /// Not yet.
    Open,
    /// The check itself failed to run; that is Isolab's fault, never the learner's.
    Broken,
}

/// One fact that a verdict rests on: "wanted …, saw …, in /proc/3816/status".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Evidence {
    /// What was wanted.
    pub wanted: String,
    /// What was seen.
    pub saw: String,
    /// Where the kernel says so, for example `/proc/3816/status`.
    pub place: String,
}

/// The verdict of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct Verdict {
    /// The check's name, unique within its lesson.
    pub check: String,
    /// What it says.
    pub state: VerdictState,
    /// One sentence for the learner: what holds, or what was seen instead.
    pub message: String,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
}
