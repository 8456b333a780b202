//! The page for what went wrong.

use super::Chrome;
use askama::Template;

/// Any page with a 4xx or 5xx status.
#[derive(Clone, Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    /// What every page has.
    pub chrome: Chrome,
    /// The HTTP status, for the footnote.
    pub status: u16,
    /// What happened, in a sentence for the person who asked.
    pub message: String,
    /// What that person can do about it, where there is something.
    pub mend: Option<String>,
}
