//! `GET …/events`: server-sent events that keep a lesson page up to date.

use super::{App, HttpError};
use crate::live::{LiveLab, Subscription};
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// A comment goes out when there has been no news for this long, so that a browser that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `lab`, `observation`, `verdicts` and `progress`: the latest of each at once, then each as it changes.
pub async fn events(
    State(app): State<App>,
    Path((part, name)): Path<(String, String)>,
) -> Result<impl IntoResponse, HttpError> {
    let lab = app.lab(app.lesson(&part, &name)?).await?;
    let news = news(lab).take_until(app.stop.cancelled_owned());
    Ok(Sse::new(news).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn news(lab: Arc<LiveLab>) -> impl Stream<Item = Result<Event, Infallible>> {
    let mut news = lab.subscribe();
    news.view.mark_changed();
    news.observation.mark_changed();
    news.verdicts.mark_changed();
    news.progress.mark_changed();
    // The lab is held for as long as the tab listens.
    stream::unfold((lab, news), async |(lab, mut news)| {
        let event = next(&mut news).await?;
        Some((Ok(event), (lab, news)))
    })
}

/// The next news, in the order of their urgency; `None` when there will be none.
async fn next(news: &mut Subscription) -> Option<Event> {
    loop {
        let event = tokio::select! {
            biased;
            changed = news.view.changed() => {
                changed.ok()?;
                event("lab", &*news.view.borrow_and_update())
            }
            changed = news.progress.changed() => {
                changed.ok()?;
                event("progress", &*news.progress.borrow_and_update())
            }
            changed = news.verdicts.changed() => {
                changed.ok()?;
                event("verdicts", &**news.verdicts.borrow_and_update())
            }
            changed = news.observation.changed() => {
                changed.ok()?;
                news.observation.borrow_and_update().as_deref().and_then(|seen| event("observation", seen))
            }
        };
        if event.is_some() {
            return event;
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    match Event::default().event(name).json_data(data) {
        Ok(event) => Some(event),
        Err(error) => {
            tracing::error!("the event {name}: {error}");
            None
        }
    }
}
