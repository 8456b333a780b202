//! What the server tells the lesson page, beside labs, observations and verdicts: progress, answers, hints.
//!
//! These are the JSON bodies of the server's `/api` routes and the data of its server-sent events. HTML in
//! them (`…_html`) was made by the server from a lesson's own text and is safe to insert; every other string
//! is text.

use crate::lab::Lab;
use crate::verdict::Evidence;
use serde::{Deserialize, Serialize};

/// A learner's lab for one lesson: the answer to `POST /api/lessons/{slug}/lab` and the data of a `lab` event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct LabView {
    /// The lab; absent while the agent is being started or cannot be reached.
    pub lab: Option<Lab>,
    /// What the learner should know now, in a sentence: why there is no lab, or that it was lost and is rebuilt.
    pub notice: Option<String>,
    /// Whether the server is still trying by itself; `false` where the learner has to do something first
    /// (the notice says what).
    pub trying: bool,
}

/// How far a learner is in one lesson: the data of a `progress` event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct ProgressView {
    /// The checks that have passed at least once, in the lesson's order. A check stays here when the state changes later.
    pub passed: Vec<PassView>,
    /// How many checks the lesson has.
    pub checks_total: u32,
    /// The answers given to `predict` and `quiz` blocks.
    pub answers: Vec<AnswerView>,
    /// The hint blocks, with what is open of each. A lesson's solutions are here too.
    pub hints: Vec<HintsView>,
}

/// A check's first pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct PassView {
    /// The check's name.
    pub check: String,
    /// When, in milliseconds since 1970.
    pub passed_at_ms: u64,
    /// What the verdict said then.
    pub message: String,
    /// What it rested on.
    pub evidence: Vec<Evidence>,
}

/// The answer given to a `predict` or `quiz` block, judged by the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct AnswerView {
    /// The block's id, unique within its lesson.
    pub block: String,
    /// The choice taken, counted from 0.
    pub choice: u32,
    /// Whether it is right.
    pub correct: bool,
    /// Why, as safe HTML.
    pub explanation_html: String,
    /// How many answers have been given to the block. A `predict` block takes one.
    pub tries: u32,
}

/// A block of hints, or a solution, as far as it is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct HintsView {
    /// The block's id, unique within its lesson.
    pub block: String,
    /// The hints that are open, as safe HTML.
    pub opened_html: Vec<String>,
    /// How many are still closed.
    pub left: u32,
    /// What the learner should know now, in a sentence: for example that asking once more opens the solution.
    pub notice: Option<String>,
}

/// The body of `POST /api/lessons/{slug}/answers/{block}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct AnswerRequest {
    /// The choice taken, counted from 0.
    pub choice: u32,
}

/// The body of `POST /api/lessons/{slug}/reset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct ResetRequest {
    /// How much is made anew.
    pub scope: ResetScope,
}

/// How much of a lab a reset makes anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub enum ResetScope {
    /// The learner's containers go and the lesson's setup runs again; terminals and files of the lab host stay.
    Exercise,
    /// The whole lab is made anew.
    Lab,
}
