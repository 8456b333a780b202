//! The one shape in which the agent and the server report a failure over HTTP.

use serde::{Deserialize, Serialize};

/// The body of every response with a 4xx or 5xx status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS), ts(export))]
pub struct ApiError {
    /// What happened, in a sentence for the person who asked.
    pub message: String,
    /// What that person can do about it, where there is something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}
