//! Carrying out health checks: an exec in the container, again and again for as long as it runs.

use super::Engine;
use super::stop::wait_for_end;
use crate::clock;
use crate::container::health::{Checked, NOT_ENDED, OUTPUT_BYTES_MAX};
use crate::container::{Container, Phase};
use crate::error::ApiError;
use crate::exec::{Exec, State};
use crate::settings::HealthCheck;
use crate::streams::Output;
use bollard_stubs::models::ExecConfig;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::sync::Arc;
use std::time::SystemTime;

impl Engine {
    /// Checks a container that was just started, where it is to be checked, until it ends.
    pub(super) fn watch_health(self: &Arc<Self>, container: &Arc<Container>) {
        let Some(check) = container.request.settings.health.clone() else { return };
        container.health().get_or_insert_default().begin();
        let ended = wait_for_end(container);
        let (engine, container) = (Arc::clone(self), Arc::clone(container));
        tokio::spawn(async move {
            tokio::select! {
                () = ended => {}
                () = engine.check_again_and_again(&container, &check) => {}
            }
        });
    }

    async fn check_again_and_again(self: &Arc<Self>, container: &Arc<Container>, check: &HealthCheck) {
        loop {
            tokio::time::sleep(check.interval).await;
            let running_since = match &*container.phase() {
                Phase::Running(running) if running.frozen.is_none() => running.started,
                _ => continue,
            };
            let start = SystemTime::now();
            let (code, output) =
                self.check(container, check).await.unwrap_or_else(|error| (NOT_ENDED, error.message));
            let checked = Checked { start, end: SystemTime::now(), code, output };
            let news = container.health().get_or_insert_default().take(checked, check, running_since);
            if let Some(wellness) = news {
                self.tell(container, &format!("health_status: {}", wellness.word()), &[]);
            }
        }
    }

    /// One check: its exit code, and what it wrote.
    async fn check(
        self: &Arc<Self>,
        container: &Arc<Container>,
        check: &HealthCheck,
    ) -> Result<(i32, String), ApiError> {
        let config = ExecConfig {
            cmd: Some(check.argv.clone()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..ExecConfig::default()
        };
        let exec = Arc::new(Exec::new(Arc::clone(container), config)?);
        let output = exec.streams.subscribe()?;
        self.tell(container, &format!("exec_create: {}", exec.command()), &[("execID", exec.id.clone())]);
        let finished = self.run_exec(&exec, true)?;
        // Before anybody else has a turn: the process cannot have been reaped, so that the number is its own.
        let handle = match exec.state() {
            State::Running(pid) => Pid::from_raw(pid.cast_signed()),
            _ => None,
        };
        let handle = handle.map(|pid| pidfd_open(pid, PidfdFlags::empty())).transpose()?;
        let kill = Kill(handle);
        let both = async { tokio::join!(finished, read(output)) };
        match tokio::time::timeout(check.timeout, both).await {
            Ok(ended) => Ok(ended),
            Err(_late) => {
                drop(kill);
                let why = format!("Health check exceeded timeout ({})", clock::go_duration(check.timeout));
                Ok((NOT_ENDED, why))
            }
        }
    }
}

/// A check that nobody waits for any more is killed; one that has ended does not mind.
struct Kill(Option<std::os::fd::OwnedFd>);

impl Drop for Kill {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            let _ = pidfd_send_signal(handle, Signal::KILL);
        }
    }
}

async fn read(mut output: Output) -> String {
    let mut bytes = vec![];
    let mut truncated = false;
    while let Some(piece) = output.recv().await {
        // What is too much is read all the same, so that the check can end.
        let room = (OUTPUT_BYTES_MAX - bytes.len()).min(piece.bytes.len());
        truncated |= room < piece.bytes.len();
        bytes.extend_from_slice(&piece.bytes[..room]);
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if truncated { text + "..." } else { text }
}
