//! `RUN`: an ordinary container, whose changes become a layer.

use super::dockerfile::CommandLine;
use super::image::container_config;
use super::job::{Job, State};
use super::output::Failure;
use super::steps::blocking;
use crate::container::Container;
use crate::engine::Engine;
use crate::names;
use crate::stdcopy::Source;
use serde_json::{Value, json};
use std::sync::Arc;

/// A step's container. Dropped while it is still here, it is killed and removed: the client has left.
#[derive(Debug)]
struct Intermediate {
    engine: Arc<Engine>,
    container: Option<Arc<Container>>,
}

impl Intermediate {
    /// It is left where it is.
    fn keep(mut self) {
        self.container = None;
    }

    /// It is removed, with the volumes that it alone had.
    async fn remove(mut self) -> Result<(), Failure> {
        match self.container.take() {
            Some(container) => Ok(self.engine.remove(&container, true, true).await?),
            None => Ok(()),
        }
    }
}

impl Drop for Intermediate {
    fn drop(&mut self) {
        let Some(container) = self.container.take() else { return };
        let engine = Arc::clone(&self.engine);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // It fails only where somebody has removed it already.
            runtime.spawn(async move { engine.remove(&container, true, true).await });
        }
    }
}

impl Job {
    /// `RUN`.
    pub(super) async fn run_command(&self, state: &mut State, line: &CommandLine) -> Result<(), Failure> {
        let (words, marked) = self.command(state, line);
        let config = container_config(&state.configuration, marked, true);
        if self.cached(state, &config).await {
            return Ok(());
        }
        let Some(image) = &state.image else {
            self.output.say(format!(" ---> Running in {}\n", &names::new_id()[..12])).await;
            return Err(nothing_there(&words).into());
        };
        let body = self.body(state, &image.id, &words);
        let (container, warnings) = self.engine.create(body, "")?;
        let intermediate =
            Intermediate { engine: Arc::clone(&self.engine), container: Some(Arc::clone(&container)) };
        for warning in warnings {
            self.output.say(format!(" ---> [Warning] {warning}\n")).await;
        }
        let id = container.id.clone();
        self.output.say(format!(" ---> Running in {}\n", &id[..12])).await;
        let done = match self.to_its_end(&container, &words).await {
            Ok(()) => {
                let (engine, container) = (Arc::clone(&self.engine), Arc::clone(&container));
                let pack =
                    move || Ok(engine.images.layer_of_directory(&container.layer.diff(), engine.ids())?);
                let packed = blocking(pack).await;
                packed.and_then(|layer| self.leave(state, (&id, config), Some(&layer)))
            }
            Err(failure) => Err(failure),
        };
        if self.options.force_remove || (self.options.remove && done.is_ok()) {
            intermediate.remove().await?;
            self.output.say(format!("Removing intermediate container {}\n", &id[..12])).await;
        } else {
            intermediate.keep();
        }
        done
    }

    /// The create request of a step's container.
    fn body(&self, state: &State, image: &str, words: &[String]) -> Value {
        let mut body = json!(state.configuration.config);
        let environment = state.configuration.environment();
        let beside = state.arguments.beside(environment);
        body["Env"] = environment.iter().chain(&beside).map(String::as_str).collect();
        body["Image"] = json!(image);
        body["Cmd"] = json!(words);
        // No entrypoint, not even the image's; nor is a step's health checked.
        body["Entrypoint"] = json!([""]);
        body["Healthcheck"] = json!({ "Test": ["NONE"] });
        body["HostConfig"] = Value::Object(self.options.host.clone());
        if let Some(fields) = body.as_object_mut() {
            fields.remove("OnBuild");
        }
        body
    }

    /// Runs a container, tells what it writes, and waits for its end.
    async fn to_its_end(&self, container: &Arc<Container>, words: &[String]) -> Result<(), Failure> {
        let mut pieces = container.streams.subscribe()?;
        let mut ends = container.ends();
        self.engine.start(container)?;
        while let Some(piece) = pieces.recv().await {
            let text = String::from_utf8_lossy(&piece.bytes);
            match piece.source {
                Source::Stdout => self.output.say(text).await,
                Source::Stderr => self.output.complain(&text).await,
            }
        }
        let code = match ends.wait_for(|ends| ends.count > 0 || ends.removed).await {
            Ok(ends) if ends.count > 0 => ends.code,
            _ => return Err(format!("container {} was removed while it ran", container.id).into()),
        };
        match code {
            0 => Ok(()),
            code => Err(Failure {
                message: format!("The command '{}' returned a non-zero code: {code}", words.join(" ")),
                code: Some(code),
            }),
        }
    }
}

/// What Docker says of a command where there are no files at all.
fn nothing_there(words: &[String]) -> String {
    let name = words.first().map_or("", String::as_str);
    let why = match name.contains('/') {
        true => format!("stat {name}: no such file or directory"),
        false => "executable file not found in $PATH".into(),
    };
    format!(
        "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: \
         exec: {name:?}: {why}: unknown"
    )
}
