//! A run, from its start to its end.

use super::Engine;
use crate::container::donors::Donors;
use crate::container::group::OwnGroup;
use crate::container::launch::{self, Outputs, Tools};
use crate::container::program::{self, NotExecuted};
use crate::container::{Again, Container, Phase, pids_in, words};
use crate::error::ApiError;
use crate::exec::drain;
use crate::reaper::Exit;
use crate::settings::Sharing;
use crate::stdcopy::Source;
use rustix::process::{Pid, Signal, kill_process};
use std::sync::Arc;
use tokio::task::JoinSet;

impl Engine {
    /// Starts a container by hand; 304 where it runs already.
    pub fn start(self: &Arc<Self>, container: &Arc<Container>) -> Result<(), ApiError> {
        match &*container.phase() {
            Phase::Running(running) if running.frozen.is_some() => {
                return Err(ApiError::conflict("cannot start a paused container, try unpause instead"));
            }
            Phase::Running(_) | Phase::Restarting(_) => return Err(ApiError::not_modified()),
            Phase::Removing => {
                return Err(ApiError::conflict("container is marked for removal and cannot be started"));
            }
            Phase::Created(_) | Phase::Exited(_) => {}
        }
        container.restarts().started_by_hand();
        self.run(container)
    }

    /// Starts a container.
    fn run(self: &Arc<Self>, container: &Arc<Container>) -> Result<(), ApiError> {
        // Before its own phase is held: two containers may each want to look at the other.
        let namespaces = &container.request.settings.namespaces;
        let donors = Donors::find(&container.id, namespaces, |other| self.find(other));
        let mut phase = container.phase();
        let tools = self.tools();
        match donors.map_err(NotExecuted::from).and_then(|donors| launch::launch(container, donors, tools)) {
            Ok((mut running, launched)) => {
                running.finished_before = phase.finished();
                let exit = self.reaper.expect(running.pid);
                *phase = Phase::Running(running);
                drop(phase);
                container.save();
                container.log.set_quiet(false);
                container.streams.set_draining(false);
                if let Some(input) = launched.input {
                    container.streams.open_input(input);
                }
                self.tell_of_mounts(container);
                self.tell(container, "start", &[]);
                self.watch_health(container);
                tokio::spawn(Arc::clone(self).supervise(Arc::clone(container), exit, launched.outputs));
                Ok(())
            }
            Err(NotExecuted::Died(words)) => {
                drop(phase);
                self.tell(container, "start", &[]);
                tokio::spawn(Arc::clone(self).bury(Arc::clone(container), words));
                Ok(())
            }
            Err(NotExecuted::Refused(error)) => {
                let code = words::exit_code_of(&error.message);
                match &mut *phase {
                    Phase::Created(created) => created.failure = Some((code, error.message.clone())),
                    Phase::Exited(exited) => (exited.code, exited.error) = (code, error.message.clone()),
                    Phase::Running(_) | Phase::Restarting(_) | Phase::Removing => {}
                }
                drop(phase);
                container.save();
                container.streams.close();
                if container.request.settings.auto_remove {
                    // The failure to start is what the client has to hear of.
                    let _ = self.forget(container, true);
                }
                Err(error)
            }
        }
    }

    fn tools(&self) -> Tools<'_> {
        Tools {
            zygote: &self.zygote,
            networks: &self.networks,
            machine: &self.machine,
            volumes: &self.volumes,
            data_root: &self.data_root,
            remap: self.remap.as_ref(),
        }
    }

    /// Sees a run to its end.
    async fn supervise(self: Arc<Self>, container: Arc<Container>, exit: Exit, outputs: Outputs) {
        let mut pumps = JoinSet::new();
        for (source, stream) in outputs {
            let container = Arc::clone(&container);
            pumps.spawn(async move { container.streams.pump(source, stream, container.kept_log()).await });
        }
        let code = exit.await.unwrap_or(137);
        container.streams.set_draining(true);
        self.end_stragglers(&container);
        drain(&mut pumps).await;
        self.end(&container, code);
    }

    /// A program that the kernel would not execute: its last words go where its errors would have gone.
    async fn bury(self: Arc<Self>, container: Arc<Container>, words: String) {
        let end_of_line = if container.request.settings.tty { "\r\n" } else { "\n" };
        let words = format!("{words}{end_of_line}");
        let source = if container.request.settings.tty { Source::Stdout } else { Source::Stderr };
        if let Some(log) = container.kept_log() {
            log.append(source, words.as_bytes());
        }
        container.streams.set_draining(true);
        container.streams.publish(source, words.into()).await;
        self.end(&container, program::DIED);
    }

    /// A run is over.
    fn end(self: &Arc<Self>, container: &Arc<Container>, code: i32) {
        let (ran, out_of_memory) = match &*container.phase() {
            Phase::Running(running) => {
                (true, running.group.as_ref().is_some_and(OwnGroup::was_out_of_memory))
            }
            _ => (false, false),
        };
        if out_of_memory {
            self.tell(container, "oom", &[]);
        }
        let again = container.ended(code);
        if ran {
            self.tell_of_unmounts(container);
        }
        self.tell(container, "die", &[("exitCode", code.to_string())]);
        if let Some(again) = again {
            tokio::spawn(Arc::clone(self).restart_later(Arc::clone(container), again));
        } else if container.request.settings.auto_remove && !container.restarts().stays {
            // It may have been removed by force meanwhile.
            let _ = self.forget(container, true);
        }
    }

    /// Starts a container again after a pause, unless somebody stops or removes it meanwhile.
    async fn restart_later(self: Arc<Self>, container: Arc<Container>, again: Again) {
        tokio::select! {
            () = tokio::time::sleep(again.pause) => {}
            _ = again.given_up => return,
        }
        if let Err(error) = self.run(&container) {
            // It stays ended, as with Docker: what cannot be started now will not be by trying again.
            container.give_up_restarting();
            eprintln!("isolab-engine: container {} is not started again: {error}", container.id);
        }
    }

    /// In a pid namespace that it shares, a container's other processes do not end with its first.
    fn end_stragglers(&self, container: &Container) {
        let namespace = match &*container.phase() {
            Phase::Running(running) if container.request.settings.namespaces.pid != Sharing::Private => {
                running.mount_namespace()
            }
            _ => return,
        };
        for pid in pids_in(namespace) {
            if let Some(pid) = Pid::from_raw(pid as i32) {
                // One that has ended meanwhile needs no killing.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
