//! What a lesson page asks for: its lab, resets, checks, answers, hints.
//!
//! Answers and hints are forms too, so that a page without scripts can use them: such a form is answered with the
//! page, at the block it was about.

use super::error::wants_page;
use super::{App, HttpError};
use crate::agent_client::AgentClient;
use crate::live::LiveLab;
use crate::progress;
use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use isolab_lessons::{Block, Lesson};
use isolab_protocol::page::{AnswerRequest, LabView, ProgressView, ResetRequest, ResetScope};
use isolab_protocol::{Lab, LabPhase};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// How long `POST …/lab` waits for the agent's first word on the lab; after that the page hears it by event.
const OPEN_WAIT_MAX: Duration = Duration::from_secs(2);

/// How long the lesson's setup may take when an exercise is reset.
const SETUP_SECONDS_MAX: u32 = 120;

type Slug = Path<(String, String)>;
type SlugAndBlock = Path<(String, String, String)>;

/// `POST …/lab`: opens the learner's lab, or returns to it.
pub async fn open(State(app): State<App>, Path((part, name)): Slug) -> Result<Json<LabView>, HttpError> {
    let lab = app.lab(app.lesson(&part, &name)?).await?;
    Ok(Json(lab.open(OPEN_WAIT_MAX).await))
}

/// `POST …/reset`
pub async fn reset(
    State(app): State<App>,
    Path((part, name)): Slug,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<LabView>, HttpError> {
    let request: ResetRequest = json(&headers, &body)?;
    let lesson = app.lesson(&part, &name)?;
    let lab = app.lab(lesson).await?;
    let Ok(_turn) = lab.begin_reset() else {
        return Err(HttpError::new(StatusCode::CONFLICT, "A reset is under way already."));
    };
    match (request.scope, ready(&lab).await) {
        (ResetScope::Exercise, Ok(agent)) => reset_exercise(&lab, &agent, lesson).await?,
        (ResetScope::Lab, Ok(agent)) => {
            let new = agent.reset(&lab.id, lesson.setup.as_deref()).await?;
            return Ok(Json(LabView { lab: Some(new), notice: None, trying: true }));
        }
        // A lab that is not there is made anew by being asked for.
        (ResetScope::Lab, Err(_)) => return Ok(Json(lab.open(OPEN_WAIT_MAX).await)),
        (ResetScope::Exercise, Err(error)) => return Err(error),
    }
    Ok(Json(lab.view()))
}

async fn reset_exercise(lab: &LiveLab, agent: &AgentClient, lesson: &Lesson) -> Result<(), HttpError> {
    let result = agent.script(&lab.id, &lesson.reset_script(), SETUP_SECONDS_MAX).await?;
    if result.status == 0 {
        return Ok(());
    }
    tracing::warn!(lab = %lab.id, status = result.status, "the exercise was not reset: {}", result.stderr.escape_debug());
    Err(HttpError::new(
        StatusCode::CONFLICT,
        "The exercise could not be set up again: its commands failed in your lab.",
    )
    .mend("Reset the whole lab: that does not depend on what is in it."))
}

/// `POST …/check`: a verdict on the state of this very moment.
pub async fn check(State(app): State<App>, Path((part, name)): Slug) -> Result<Response, HttpError> {
    let lab = app.lab(app.lesson(&part, &name)?).await?;
    let agent = ready(&lab).await?;
    let observation = agent.observation(&lab.id).await?;
    let verdicts = lab.judge(observation, &app.course, &app.store).await?;
    Ok(Json(&*verdicts).into_response())
}

async fn ready(lab: &Arc<LiveLab>) -> Result<AgentClient, HttpError> {
    let view = lab.open(OPEN_WAIT_MAX).await;
    match (view.lab, lab.agent()) {
        (Some(Lab { state: LabPhase::Ready, .. }), Some(agent)) => Ok(agent),
        _ => Err(HttpError::new(StatusCode::CONFLICT, "Your lab is not ready.")
            .mend(view.notice.unwrap_or_else(|| "It is being opened; try again in a moment.".to_owned()))),
    }
}

/// `POST …/answers/{block}`
pub async fn answer(
    State(app): State<App>,
    Path((part, name, block)): SlugAndBlock,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, HttpError> {
    let lesson = app.lesson(&part, &name)?;
    let question = lesson.blocks.iter().find_map(|candidate| match candidate {
        Block::Question(question) if question.id == block => Some(question),
        _ => None,
    });
    let question = question.ok_or_else(|| HttpError::not_found("There is no such question."))?;
    let choice = choice(&headers, &body)?;
    if question.answer(choice as usize).is_none() {
        return Err(HttpError::bad("The question has no such choice."));
    }
    let given = app.store.answers(app.learner(), &lesson.slug).await?.get(&block).copied();
    let once = progress::is_settled(question, given);
    app.store.answer(app.learner(), &lesson.slug, &block, choice, once).await?;
    let progress = refreshed(&app, lesson).await?;
    if wants_page(&headers) {
        return Ok(back(lesson, &block));
    }
    Ok(Json(progress.answers.into_iter().find(|answer| answer.block == block)).into_response())
}

/// `POST …/hints/{block}`: opens the next hint, or asks for a solution.
pub async fn hint(
    State(app): State<App>,
    Path((part, name, block)): SlugAndBlock,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let lesson = app.lesson(&part, &name)?;
    let times_max = lesson.blocks.iter().filter_map(progress::asks_max).find(|(id, _)| *id == block);
    let (_, times_max) = times_max.ok_or_else(|| HttpError::not_found("There are no such hints."))?;
    app.store.ask(app.learner(), &lesson.slug, &block, times_max).await?;
    let progress = refreshed(&app, lesson).await?;
    if wants_page(&headers) {
        return Ok(back(lesson, &block));
    }
    Ok(Json(progress.hints.into_iter().find(|hints| hints.block == block)).into_response())
}

/// The progress after something was stored; every tab is told. No lab is opened for it: who reads may not want one.
async fn refreshed(app: &App, lesson: &Lesson) -> Result<ProgressView, HttpError> {
    Ok(match app.live.seen(app.learner(), lesson).await {
        Some(lab) => lab.refresh(&app.store, lesson).await?,
        None => progress::read(&app.store, app.learner(), lesson).await?,
    })
}

/// To the page, at the block. Both names were found in the lesson, so that they are safe in a URL.
fn back(lesson: &Lesson, block: &str) -> Response {
    Redirect::to(&format!("/lessons/{}#{block}", lesson.slug)).into_response()
}

fn choice(headers: &HeaderMap, body: &[u8]) -> Result<u32, HttpError> {
    if !is_form(headers) {
        return json::<AnswerRequest>(headers, body).map(|request| request.choice);
    }
    if body.is_empty() {
        return Err(HttpError::bad("No choice was taken.").mend("Go back, take one, and answer again."));
    }
    let choice = std::str::from_utf8(body).ok().and_then(|text| text.strip_prefix("choice=")?.parse().ok());
    choice.ok_or_else(|| HttpError::bad("The answer is not one that the form sends."))
}

fn is_form(headers: &HeaderMap) -> bool {
    content_type(headers) == "application/x-www-form-urlencoded"
}

/// Reads a JSON body. The content type is insisted on: a page of another site cannot send it unasked.
fn json<T: DeserializeOwned>(headers: &HeaderMap, body: &[u8]) -> Result<T, HttpError> {
    if content_type(headers) != "application/json" {
        return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This address takes JSON."));
    }
    serde_json::from_slice(body)
        .map_err(|error| HttpError::bad(format!("The request cannot be read: {error}.")))
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}
