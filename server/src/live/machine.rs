//! What the agent said of its machine, kept while it is enough.

use crate::agent_client::{AgentClient, AgentError};
use crate::routing::{self, Route};
use isolab_lessons::Lesson;
use isolab_protocol::MachineCapabilities;
use tokio::sync::Mutex;

/// What the agent said of its machine. It takes the agent a tenth of a second to find out, so it is asked once; but a
/// lack is looked at again, since somebody may have mended it.
#[derive(Debug, Default)]
pub(super) struct Machine {
    known: Mutex<Option<MachineCapabilities>>,
}

impl Machine {
    /// Where this lesson's lab is to run; the inner error says why it cannot, in sentences for the page.
    pub async fn route(
        &self,
        agent: &AgentClient,
        lesson: &Lesson,
    ) -> Result<Result<Route, String>, AgentError> {
        let mut known = self.known.lock().await;
        if let Some(Ok(route)) = known.as_ref().map(|known| routing::route(&lesson.needs, known)) {
            return Ok(Ok(route));
        }
        let machine = agent.capabilities().await?;
        let route = routing::route(&lesson.needs, &machine);
        *known = Some(machine);
        Ok(route)
    }
}
