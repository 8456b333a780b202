//! The end of a run: stop, kill, and the end of the lab.

use super::Engine;
use crate::container::{Container, Ends, check_signal};
use crate::error::ApiError;
use axum::http::StatusCode;
use rustix::process::Signal;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a killed container is waited for. The kernel needs milliseconds, except when it is out of breath.
const KILL_TIME_MAX: Duration = Duration::from_secs(10);

/// How long containers get when the lab itself is ended: nobody waits for a lab to close.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(2);

impl Engine {
    /// Stops a container: its stop signal, then, after `patience` (`None`: never), SIGKILL. 304 where it does not run.
    pub async fn stop(&self, container: &Container, patience: Option<Duration>) -> Result<(), ApiError> {
        if !container.is_up() {
            return Err(ApiError::not_modified());
        }
        self.end_is_wanted(container);
        self.see_off(container, patience).await
    }

    /// Restarts a container, or starts one that does not run.
    pub async fn restart(
        self: &Arc<Self>,
        container: &Arc<Container>,
        patience: Option<Duration>,
    ) -> Result<(), ApiError> {
        if container.is_up() {
            container.restarts().stays = true;
            self.end_is_wanted(container);
            let seen_off = self.see_off(container, patience).await;
            container.restarts().stays = false;
            seen_off?;
        }
        self.start(container)?;
        self.tell(container, "restart", &[]);
        Ok(())
    }

    /// Ends a container, whose end was said to be wanted.
    async fn see_off(&self, container: &Container, patience: Option<Duration>) -> Result<(), ApiError> {
        if container.give_up_restarting() {
            self.tell(container, "stop", &[]);
            return Ok(());
        }
        let ended = wait_for_end(container);
        let signal = container.request.settings.stop_signal;
        container.signal(signal).or_else(not_running_is_fine)?;
        self.tell(container, "kill", &[("signal", signal.to_string())]);
        // It would not see the signal otherwise.
        self.unpause_if_paused(container);
        let patience = patience.unwrap_or(Duration::MAX);
        if tokio::time::timeout(patience, ended).await.is_err() {
            let ended = wait_for_end(container);
            match container.kill() {
                Ok(()) => self.tell(container, "kill", &[("signal", Signal::KILL.as_raw().to_string())]),
                Err(error) => not_running_is_fine(error)?,
            }
            let late =
                |_| ApiError::internal(format!("container {} did not end when it was killed", container.id));
            tokio::time::timeout(KILL_TIME_MAX, ended).await.map_err(late)?;
        }
        self.tell(container, "stop", &[]);
        Ok(())
    }

    /// Whatever its policy, the container is not to be started again by itself.
    fn end_is_wanted(&self, container: &Container) {
        container.restarts().stop_by_hand();
        container.save();
    }

    fn unpause_if_paused(&self, container: &Container) {
        if container.is_paused() {
            // It may have ended meanwhile.
            let _ = self.unpause(container);
        }
    }

    /// Sends a signal; after SIGKILL the end is waited for, as Docker does.
    pub async fn kill(&self, container: &Container, signal: i32) -> Result<(), ApiError> {
        check_signal(signal)?;
        let ended = wait_for_end(container);
        if !container.is_up() {
            return Err(ApiError::not_running(&container.id));
        }
        let is_end = signal == Signal::KILL.as_raw() || container.ends_by(signal);
        if is_end {
            self.end_is_wanted(container);
        }
        if container.give_up_restarting() {
            return Ok(());
        }
        container.signal(signal)?;
        self.tell(container, "kill", &[("signal", signal.to_string())]);
        if is_end {
            self.unpause_if_paused(container);
        }
        if signal == Signal::KILL.as_raw() {
            let late =
                |_| ApiError::internal(format!("container {} did not end when it was killed", container.id));
            tokio::time::timeout(KILL_TIME_MAX, ended).await.map_err(late)?;
        }
        Ok(())
    }

    /// Ends all containers, for the end of the lab.
    pub async fn shut_down(self: &Arc<Self>) {
        let mut stops = JoinSet::new();
        for container in self.all() {
            let engine = Arc::clone(self);
            if container.is_up() {
                container.restarts().stop_with_engine();
                stops.spawn(async move { engine.see_off(&container, Some(SHUTDOWN_TIME_MAX)).await });
            }
        }
        while stops.join_next().await.is_some() {}
    }
}

/// Ends with the container's next end.
pub(super) fn wait_for_end(container: &Container) -> impl Future<Output = ()> + use<> {
    let mut ends = container.ends();
    let count = ends.borrow_and_update().count;
    async move {
        // The sender lives as long as the container, which the caller holds.
        let _ = ends.wait_for(|Ends { count: now, removed, .. }| *now > count || *removed).await;
    }
}

/// A container that has ended by itself meanwhile is as good as one that was stopped.
pub(super) fn not_running_is_fine(error: ApiError) -> Result<(), ApiError> {
    if error.status == StatusCode::CONFLICT { Ok(()) } else { Err(error) }
}
