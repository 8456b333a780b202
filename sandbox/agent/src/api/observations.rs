//! What the kernel says of a lab: once, or again whenever it changes.

use super::Api;
use super::answer::Refused;
use crate::generation::Generation;
use crate::lab::{Changes, Lab};
use crate::presence::Attached;
use axum::Json;
use axum::extract::{Path, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use isolab_protocol::{ApiError, Lab as View, LabPhase, Observation};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often a silent stream shows that it lives, so that what lies between does not cut it.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// One observation, taken now.
#[utoipa::path(get, path = "/labs/{id}/observation", responses(
    (status = OK, body = Observation),
    (status = NOT_FOUND, body = ApiError),
    (status = CONFLICT, description = "The lab is over", body = ApiError),
))]
pub async fn observation(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<Observation>, Refused> {
    let lab = api.labs.get(&id)?;
    let _here = lab.attach();
    let generation = lab.ready().await?;
    let observation = generation.look().await?;
    Ok(Json((*observation).clone()))
}

/// Server-sent events: `lab` with a Lab, and `observation` with an Observation, both at once and again on each change.
/// The stream ends with the lab.
#[utoipa::path(get, path = "/labs/{id}/observations", responses(
    (status = OK, content_type = "text/event-stream", body = String),
    (status = NOT_FOUND, body = ApiError),
))]
pub async fn observations(
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let lab = api.labs.get(&id)?;
    let ending = Arc::clone(api.labs.world());
    let follower = Follower::new(lab);
    let events = stream::unfold(follower, move |mut follower| {
        let ending = Arc::clone(&ending);
        async move {
            tokio::select! {
                event = follower.next() => Some((Ok(event?), follower)),
                () = ending.ending() => None,
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE_EVERY)))
}

/// Follows one lab through its resets.
struct Follower {
    lab: Arc<Lab>,
    changes: Changes,
    followed: Option<Followed>,
    /// A look is due, because what was seen last may be old or is not there at all.
    look_due: bool,
    told: Option<View>,
    waiting: VecDeque<Event>,
    over: bool,
    _here: Attached,
}

struct Followed {
    generation: Arc<Generation>,
    observations: watch::Receiver<Option<Arc<Observation>>>,
}

impl Follower {
    fn new(lab: Arc<Lab>) -> Self {
        let (changes, here) = (lab.changes(), lab.attach());
        let waiting = VecDeque::new();
        let mut new = Self {
            lab,
            changes,
            followed: None,
            look_due: false,
            told: None,
            waiting,
            over: false,
            _here: here,
        };
        new.look_at_lab();
        new
    }

    /// The next event; `None` where there will be none.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if std::mem::take(&mut self.look_due) {
                self.look().await;
                continue;
            }
            let observed = async {
                match &mut self.followed {
                    Some(followed) => followed.observations.changed().await.is_ok(),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                more = self.changes.next() => {
                    self.over |= !more;
                    self.look_at_lab();
                }
                more = observed => match more {
                    true => self.look_at_observation(),
                    false => self.followed = None,
                },
            }
        }
    }

    fn look_at_lab(&mut self) {
        let view = self.lab.view();
        self.over |= matches!(view.state, LabPhase::Ended { .. });
        let running = self.lab.running();
        let same = match (&self.followed, &running) {
            (Some(followed), Some(running)) => Arc::ptr_eq(&followed.generation, running),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.followed = running.map(|generation| {
                let observations = generation.follow();
                Followed { generation, observations }
            });
        }
        if self.told.as_ref() != Some(&view) {
            self.waiting.extend(event("lab", &view));
            self.told = Some(view);
        }
        self.look_due |= !same;
    }

    async fn look(&mut self) {
        if let Some(followed) = &mut self.followed {
            // A look that fails is repeated by the observer, which tells of it as of any change.
            let seen = followed.generation.look().await.ok();
            followed.observations.borrow_and_update();
            self.waiting.extend(seen.and_then(|seen| event("observation", &*seen)));
        }
    }

    fn look_at_observation(&mut self) {
        if let Some(followed) = &mut self.followed {
            let seen = followed.observations.borrow_and_update().clone();
            self.waiting.extend(seen.as_deref().and_then(|seen| event("observation", seen)));
        }
    }
}

fn event(name: &str, data: &impl serde::Serialize) -> Option<Event> {
    // The protocol's types always become JSON, and JSON has no line breaks that would end an event.
    Event::default().event(name).json_data(data).ok()
}
