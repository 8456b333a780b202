//! All labs of this agent, by name.

use crate::lab::Lab;
use crate::metrics::Gauges;
use crate::refusal::{Kind, Refusal};
use crate::world::World;
use isolab_protocol::{LabId, LabSpec};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most labs that are open at once: at 12 MiB of memory and 512 processes each, a small machine carries them. Of
/// virtual machines, memory says how many.
pub const LABS_MAX: usize = 128;

/// The most labs that are told of although they are over: a page may still want to know why.
const ENDED_MAX: usize = 64;

/// The labs.
#[derive(Debug)]
pub struct Labs {
    world: Arc<World>,
    labs: Mutex<BTreeMap<LabId, Arc<Lab>>>,
}

impl Labs {
    /// None yet.
    pub fn new(world: Arc<World>) -> Self {
        Self { world, labs: Mutex::default() }
    }

    /// What the labs share.
    pub fn world(&self) -> &Arc<World> {
        &self.world
    }

    fn labs(&self) -> MutexGuard<'_, BTreeMap<LabId, Arc<Lab>>> {
        self.labs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to open a lab. One that is over makes room for another of its name.
    pub fn open(&self, spec: LabSpec) -> Result<Arc<Lab>, Refusal> {
        let mut labs = self.labs();
        let id = match &spec.id {
            Some(id) => id.clone(),
            None => made_up(&labs)?,
        };
        if labs.get(&id).is_some_and(|lab| !lab.has_ended()) {
            return Err(Refusal::new(Kind::Conflict, format!("There is a lab called {id} already."))
                .mend(format!("Use it, or end it first: DELETE /v1/labs/{id}.")));
        }
        if labs.values().filter(|lab| !lab.has_ended()).count() >= LABS_MAX {
            return Err(Refusal::new(
                Kind::Limit,
                format!("{LABS_MAX} labs are open, which is all this machine gives."),
            )
            .mend("End one that is not needed, or wait until an idle one is ended."));
        }
        let ended: Vec<LabId> =
            labs.values().filter(|lab| lab.has_ended()).map(|lab| lab.id().clone()).collect();
        for surplus in ended.iter().take(ended.len().saturating_sub(ENDED_MAX)) {
            labs.remove(surplus);
        }
        let lab = Lab::open(&self.world, id.clone(), spec)?;
        labs.insert(id, Arc::clone(&lab));
        Ok(lab)
    }

    /// The lab of this name.
    pub fn get(&self, id: &str) -> Result<Arc<Lab>, Refusal> {
        let absent = || {
            Refusal::new(Kind::Absent, "There is no such lab.")
                .mend("GET /v1/labs lists those that there are.")
        };
        let id: LabId = id.parse().map_err(|_| absent())?;
        self.labs().get(&id).cloned().ok_or_else(absent)
    }

    /// All labs, by name.
    pub fn all(&self) -> Vec<Arc<Lab>> {
        self.labs().values().cloned().collect()
    }

    /// Ends a lab and forgets it.
    pub async fn end(&self, id: &str) -> Result<(), Refusal> {
        let lab = self.get(id)?;
        lab.end().await;
        let mut labs = self.labs();
        // Meanwhile another of that name may have been opened.
        if labs.get(lab.id()).is_some_and(|now| Arc::ptr_eq(now, &lab)) {
            labs.remove(lab.id());
        }
        Ok(())
    }

    /// What there is at the moment.
    pub fn gauges(&self) -> Gauges {
        let mut gauges = Gauges::default();
        for lab in self.all().iter().filter(|lab| !lab.has_ended()) {
            gauges.labs += 1;
            let (terminals, clients) = lab.running().map_or((0, 0), |generation| generation.counts());
            gauges.terminals += terminals;
            gauges.terminal_clients += clients;
        }
        gauges
    }
}

/// A name that no lab has.
fn made_up(labs: &BTreeMap<LabId, Arc<Lab>>) -> Result<LabId, Refusal> {
    // Among 2^32 names and a hundred labs the first try fails once in a hundred million times.
    for _ in 0..8 {
        let random = RandomState::new().build_hasher().finish() as u32;
        if let Ok(id) = format!("lab-{random:08x}").parse::<LabId>()
            && !labs.contains_key(&id)
        {
            return Ok(id);
        }
    }
    Err(Refusal::new(Kind::Failed, "No free name was found for the lab."))
}
