//! `GET /` and `GET /lessons/{slug}`.

use super::{App, HttpError, assets};
use crate::pages::{HomePage, LessonPage, Standing};
use crate::progress;
use askama::Template;
use axum::extract::{Path, State};
use axum::response::Html;

/// `GET /`
pub async fn home(State(app): State<App>) -> Result<Html<String>, HttpError> {
    let learner = app.learner();
    let standing = Standing {
        visited: app.store.visits(learner).await?,
        passed: app.store.passes_by_lesson(learner).await?,
    };
    Ok(Html(HomePage::of(assets::chrome(), &app.course, &standing).render()?))
}

/// `GET /lessons/{part}/{name}`
pub async fn lesson(
    State(app): State<App>,
    Path((part, name)): Path<(String, String)>,
) -> Result<Html<String>, HttpError> {
    let lesson = app.lesson(&part, &name)?;
    let learner = app.learner();
    app.store.visit(learner, &lesson.slug).await?;
    let progress = progress::read(&app.store, learner, lesson).await?;
    let page = LessonPage::of(assets::chrome(), &app.course, lesson, &progress);
    let page = page.ok_or_else(|| HttpError::not_found("There is no such lesson."))?;
    Ok(Html(page.render()?))
}
