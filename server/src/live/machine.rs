//! What a lesson needs and the machine lacks.

use crate::agent_client::{AgentClient, AgentError};
use isolab_lessons::Lesson;
use isolab_protocol::{Capability, MachineCapabilities};
use tokio::sync::Mutex;

/// What the agent said of its machine. It takes the agent a tenth of a second to find out, so it is asked once; but a
/// lack is looked at again, since somebody may have mended it.
#[derive(Debug, Default)]
pub(super) struct Machine {
    known: Mutex<Option<MachineCapabilities>>,
}

impl Machine {
    /// The first thing that `lesson` cannot do without and the machine does not have.
    pub async fn lacks(
        &self,
        agent: &AgentClient,
        lesson: &Lesson,
    ) -> Result<Option<Capability>, AgentError> {
        if lesson.needs.is_empty() {
            return Ok(None);
        }
        let mut known = self.known.lock().await;
        if known.as_ref().is_some_and(|known| lacking(known, lesson).is_none()) {
            return Ok(None);
        }
        let machine = agent.capabilities().await?;
        let lack = lacking(&machine, lesson);
        *known = Some(machine);
        Ok(lack)
    }
}

/// A need that the agent does not know of is one that it cannot meet.
fn lacking(machine: &MachineCapabilities, lesson: &Lesson) -> Option<Capability> {
    lesson.needs.iter().find_map(|need| match machine.capabilities.iter().find(|known| known.name == *need) {
        Some(known) if known.available => None,
        Some(known) => Some(known.clone()),
        None => Some(Capability {
            name: need.clone(),
            available: false,
            required: false,
            found: "This version of the agent knows nothing of it.".to_owned(),
            why: String::new(),
            mend: None,
        }),
    })
}
