//! The pages as data: each struct here is rendered by the template of the same name in `web/templates`.
//!
//! A page shows what was decided elsewhere: nothing here judges, stores or talks to an agent. Strings are
//! escaped by the template engine; only fields that end in `_html` hold HTML, made from a lesson's own text.

mod error;
mod home;
mod lesson;

pub use error::ErrorPage;
pub use home::{HomePage, LessonLink, PathView, Standing};
pub use lesson::{Block, CheckView, ChoiceBlock, LessonPage, Neighbour, TerminalView};

/// What every page has round its content.
#[derive(Clone, Debug)]
pub struct Chrome {
    /// Where the assets are: `{{ chrome.assets }}/app.js`. The path changes with the assets' content, so that
    /// a browser may keep them for ever.
    pub assets: String,
    /// The version of Isolab.
    pub version: &'static str,
}
