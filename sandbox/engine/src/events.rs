//! What has happened to containers and images, for `docker events`: the last of it kept, the rest as it comes.

use crate::clock;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::broadcast;

/// As many as Docker keeps for `docker events --since`.
const KEPT_MAX: usize = 256;

/// One event, in Docker's words. `status`, `id` and `from` are what older clients read.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    pub status: String,
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    #[serde(rename = "Type")]
    pub kind: &'static str,
    #[serde(rename = "Action")]
    pub action: String,
    #[serde(rename = "Actor")]
    pub actor: Actor,
    pub scope: &'static str,
    pub time: i64,
    #[serde(rename = "timeNano")]
    pub time_nano: i64,
}

/// Whom it happened to.
#[derive(Clone, Debug, Serialize)]
pub struct Actor {
    #[serde(rename = "ID")]
    pub id: String,
    #[serde(rename = "Attributes")]
    pub attributes: BTreeMap<String, String>,
}

/// All events.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<VecDeque<Arc<Event>>>,
    live: broadcast::Sender<Arc<Event>>,
}

/// What comes from now on.
pub type Live = broadcast::Receiver<Arc<Event>>;

impl Default for Events {
    fn default() -> Self {
        Self { kept: Mutex::default(), live: broadcast::Sender::new(KEPT_MAX) }
    }
}

impl Events {
    /// Tells of a container. `attributes` holds `image`, `name` and what belongs to the action.
    pub fn tell(&self, action: String, id: &str, attributes: BTreeMap<String, String>) {
        self.tell_of("container", action, id, attributes);
    }

    /// Tells of something of this kind: `container` or `image`.
    pub fn tell_of(
        &self,
        kind: &'static str,
        action: String,
        id: &str,
        attributes: BTreeMap<String, String>,
    ) {
        let now = SystemTime::now();
        let event = Arc::new(Event {
            status: action.clone(),
            id: id.into(),
            from: attributes.get("image").cloned().unwrap_or_default(),
            kind,
            action,
            actor: Actor { id: id.into(), attributes },
            scope: "local",
            time: clock::unix_seconds(now),
            time_nano: clock::unix_nanos(now),
        });
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Arc::clone(&event));
        // Nobody listening is no failure.
        let _ = self.live.send(event);
    }

    /// What was kept, and what comes: nothing is missed or doubled between the two.
    pub fn listen(&self) -> (Vec<Arc<Event>>, Live) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.iter().cloned().collect(), self.live.subscribe())
    }
}
