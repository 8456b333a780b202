//! The browser-facing side: routes, and what every answer has in common.
//!
//! A handler reads the request, asks the store, the course or the live lab, and shapes the answer; it decides
//! nothing else.

mod api;
mod assets;
mod error;
mod events;
mod guard;
mod pages;
mod terminal;

pub use error::HttpError;
pub use guard::Origins;

use crate::live::{LiveLab, LiveLabs};
use crate::store::{Learner, Store};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use isolab_lessons::{Course, Lesson};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The largest body that a page sends is an answer of a few bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// What the handlers share.
#[derive(Clone)]
pub struct App {
    /// Learners and progress.
    pub store: Store,
    /// The lessons.
    pub course: Arc<Course>,
    /// The labs that are looked at.
    pub live: Arc<LiveLabs>,
    /// Runs what outlives a request: terminals.
    pub tasks: TaskTracker,
    /// Cancelled when the server ends.
    pub stop: CancellationToken,
}

impl App {
    /// The learner of a request: on a loopback address there is one.
    fn learner(&self) -> Learner {
        Learner::LOCAL
    }

    fn lesson(&self, part: &str, name: &str) -> Result<&Lesson, HttpError> {
        let found = self.course.lesson(&format!("{part}/{name}"));
        found.ok_or_else(|| HttpError::not_found("There is no such lesson."))
    }

    async fn lab(&self, lesson: &Lesson) -> Result<Arc<LiveLab>, HttpError> {
        Ok(self.live.get(self.learner(), lesson).await?)
    }
}

/// All routes, with the guard and the error pages round them.
pub fn router(app: App, origins: Origins) -> Router {
    // A lesson's slug has two parts.
    let lesson = Router::new()
        .route("/lab", post(api::open))
        .route("/reset", post(api::reset))
        .route("/check", post(api::check))
        .route("/answers/{block}", post(api::answer))
        .route("/hints/{block}", post(api::hint))
        .route("/events", get(events::events))
        .route("/terminals/{name}", get(terminal::terminal));
    Router::new()
        .route("/", get(pages::home))
        .route("/lessons/{part}/{name}", get(pages::lesson))
        .route("/assets/{digest}/{*path}", get(assets::get))
        .nest("/api/lessons/{part}/{name}", lesson)
        .with_state(app)
        .fallback(async || HttpError::not_found("There is no such page."))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // The last one is the outermost.
        .layer(from_fn_with_state(origins, guard::guard))
        .layer(from_fn(error::dress))
        .layer(from_fn(guard::protect))
}
