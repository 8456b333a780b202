//! What the instructions do: each looks in the cache first, and leaves an image.

use super::configuration::{join, remark_of_files};
use super::copy::{self, Destination};
use super::dockerfile::{CommandLine, Copying, Instruction};
use super::image::{self, container_config};
use super::job::{Job, State};
use super::output::Failure;
use super::overlay::Overlay;
use super::source::{self, Missing, Source};
use crate::archive::Ids;
use crate::beneath;
use crate::engine::Engine;
use crate::image::Held;
use crate::names;
use rustix::io::Errno;
use serde_json::Value;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

/// How a step's files are changed, in a thread that may block; then they are a layer.
type Change = Box<dyn FnOnce(&Overlay) -> Result<(), Failure> + Send>;

/// Runs what blocks elsewhere.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("a step of the build has failed".into()))
}

fn needs_buildkit(flag: &str) -> Failure {
    format!(
        "the --{flag} option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build \
         images with BuildKit enabled"
    )
    .into()
}

impl Job {
    /// Does one instruction.
    pub(super) async fn step(&mut self, state: &mut State, instruction: &Instruction) -> Result<(), Failure> {
        let instruction = state.configuration.expand(instruction, self.escape(), &state.arguments)?;
        match &instruction {
            Instruction::Run(_, Some(flag)) => Err(needs_buildkit(flag)),
            Instruction::Run(line, None) => self.run_command(state, line).await,
            Instruction::Add(copying) => self.copy(state, copying, "ADD").await,
            Instruction::Copy(copying) => self.copy(state, copying, "COPY").await,
            Instruction::Workdir(_) => {
                let changed = state.configuration.apply(&instruction, &mut state.arguments)?;
                self.workdir(state, changed.said).await
            }
            _ => {
                let changed = state.configuration.apply(&instruction, &mut state.arguments)?;
                if let Some(note) = changed.note {
                    self.output.say(note).await;
                }
                self.remark(state, changed.said).await
            }
        }
    }

    /// Whether the cache has this step; then its image is the stage's.
    pub(super) async fn cached(&self, state: &mut State, container_config: &Value) -> bool {
        let Some(image) = state.cache.find(&self.engine, state.image.as_deref(), container_config) else {
            return false;
        };
        self.output.say(" ---> Using cache\n").await;
        state.image = Some(image);
        true
    }

    /// A step that changes the configuration alone. Docker makes a container for it that never runs, and tells its id.
    async fn remark(&self, state: &mut State, said: Vec<String>) -> Result<(), Failure> {
        let config =
            container_config(&state.configuration, [state.configuration.shell(), said].concat(), false);
        if self.cached(state, &config).await {
            return Ok(());
        }
        self.without_container(state, config, None).await
    }

    async fn without_container(
        &self,
        state: &mut State,
        config: Value,
        layer: Option<Held>,
    ) -> Result<(), Failure> {
        let id = names::new_id();
        self.output.say(format!(" ---> Running in {}\n", &id[..12])).await;
        self.leave(state, (&id, config), layer.as_ref())?;
        if self.options.remove {
            self.output.say(format!("Removing intermediate container {}\n", &id[..12])).await;
        }
        Ok(())
    }

    /// The step's image becomes the stage's.
    pub(super) fn leave(
        &self,
        state: &mut State,
        container: (&str, Value),
        layer: Option<&Held>,
    ) -> Result<(), Failure> {
        let parent = state.image.take();
        state.image =
            Some(image::make(&self.engine, parent.as_deref(), &state.configuration, container, layer)?);
        Ok(())
    }

    /// `WORKDIR` makes its directory.
    async fn workdir(&self, state: &mut State, said: Vec<String>) -> Result<(), Failure> {
        let config =
            container_config(&state.configuration, [state.configuration.shell(), said].concat(), false);
        if self.cached(state, &config).await {
            return Ok(());
        }
        let path = state.configuration.config.working_dir.clone().unwrap_or_default();
        let change: Change = Box::new(move |overlay| {
            let root = overlay.root()?;
            match beneath::directory(root.as_fd(), Path::new(&path), &mut |_made| Ok(())) {
                Err(error) if error.raw_os_error() == Some(Errno::NOTDIR.raw_os_error()) => {
                    Err(format!("Cannot mkdir: {path} is not a directory").into())
                }
                done => Ok(done.map(drop)?),
            }
        });
        let layer = self.change(state, change).await?;
        self.without_container(state, config, Some(layer)).await
    }

    /// Changes files of the stage's image, which become a layer.
    async fn change(&self, state: &State, change: Change) -> Result<Held, Failure> {
        let (engine, image): (Arc<Engine>, _) = (Arc::clone(&self.engine), state.image.clone());
        blocking(move || {
            let overlay = Overlay::over(&engine, image.as_deref())?;
            change(&overlay)?;
            // Images' own layers lie beneath, and not the copies that containers with other ids get.
            Ok(engine.images.layer_of_directory(&overlay.written(), Ids::Same)?)
        })
        .await
    }

    /// `COPY` and `ADD`.
    async fn copy(&self, state: &mut State, copying: &Copying, name: &'static str) -> Result<(), Failure> {
        let add = name == "ADD";
        if !copying.chmod.is_empty() {
            return Err(needs_buildkit("chmod"));
        }
        if let Some(url) = copying.sources.iter().find(|word| is_url(word)) {
            return Err(match add {
                false => "COPY failed: source can't be a URL for COPY".into(),
                true => format!(
                    "ADD failed: Isolab's engine does not fetch {url}: fetch it in a RUN, or into the build context"
                )
                .into(),
            });
        }
        let from = self.source_image(&copying.from).await?;
        let is_context = copying.from.is_empty();
        let (engine, context) = (Arc::clone(&self.engine), Arc::clone(&self.context));
        let words = copying.sources.clone();
        let told = move |missing| match missing {
            Missing::Absent(why) if is_context => {
                format!("{name} failed: file not found in build context or excluded by .dockerignore: {why}")
            }
            Missing::Absent(why) | Missing::Other(why) => format!("{name} failed: {why}"),
        };
        // The view of the other image is kept until its files are copied.
        let (sources, view) = blocking(move || {
            let view = match is_context {
                true => None,
                false => Some(Overlay::over(&engine, from.as_deref())?),
            };
            let (root, sums) = match &view {
                Some(view) => (view.root()?, None),
                None => (context.root().try_clone()?, Some(context.sums())),
            };
            Ok((source::find(root.as_fd(), &words, sums).map_err(told)?, view))
        })
        .await?;
        if sources.len() > 1 && !copying.destination.ends_with('/') {
            return Err(format!(
                "When using {name} with more than one source file, the destination must be a directory and end with a /"
            )
            .into());
        }
        let chown = match copying.chown.as_str() {
            "" => String::new(),
            chown => format!("--chown={chown}"),
        };
        let said = remark_of_files(&format!(
            "{name} {chown}{} in {} ",
            source::digest_of_all(&sources),
            copying.destination
        ));
        let config =
            container_config(&state.configuration, [state.configuration.shell(), said].concat(), false);
        if self.cached(state, &config).await {
            return Ok(());
        }
        let workdir = state.configuration.config.working_dir.as_deref().unwrap_or_default();
        let destination = destination(workdir, &copying.destination);
        let chown = copying.chown.clone();
        let context = Arc::clone(&self.context);
        let change: Change = Box::new(move |overlay| {
            let _kept = (context, view);
            let owner = match chown.as_str() {
                // What another image has keeps its owners; what the client has sent is root's.
                "" => is_context.then_some((0, 0)),
                chown => Some(copy::owner(chown, overlay).map_err(|why| {
                    format!("unable to convert uid/gid chown string to host mapping: {why}")
                })?),
            };
            copy_all(overlay, &sources, &destination, owner, add)
        });
        let layer = self.change(state, change).await?;
        self.leave(state, ("", config), Some(&layer))
    }

    /// What `--from` names: a stage by name or number, or an image.
    async fn source_image(&self, from: &str) -> Result<Option<Arc<crate::image::Image>>, Failure> {
        let told = |why: &str| Failure::from(format!("invalid from flag value {from}: {why}"));
        if from.is_empty() {
            return Ok(None);
        }
        if let Some((_, image)) = self.done.iter().find(|(name, _)| *name == from.to_lowercase()) {
            return Ok(image.clone());
        }
        match from.parse::<i64>() {
            Ok(index) => match usize::try_from(index).ok().map(|index| (index, self.done.get(index))) {
                Some((_, Some((_, image)))) => Ok(image.clone()),
                Some((index, None)) if index == self.done.len() => Err(told("refers to current build stage")),
                _ => Err(told("index out of bounds")),
            },
            Err(_) => self.find(from).await.map(Some).map_err(|failure| told(&failure.message)),
        }
    }

    /// A command line of `RUN`: what is run, and what the history has of it.
    pub(super) fn command(&self, state: &State, line: &CommandLine) -> (Vec<String>, Vec<String>) {
        let words = state.configuration.resolve(line);
        let marked = state.arguments.mark(state.configuration.environment(), &words);
        (words, marked)
    }
}

fn is_url(word: &str) -> bool {
    word.starts_with("http://") || word.starts_with("https://")
}

/// Where a destination leads from a working directory.
fn destination(workdir: &str, word: &str) -> Destination {
    let directory = if word.starts_with('/') { "" } else { workdir };
    Destination { path: join(directory, word).into(), is_directory: word.ends_with('/') }
}

fn copy_all(
    overlay: &Overlay,
    sources: &[Source],
    to: &Destination,
    owner: Option<(u32, u32)>,
    add: bool,
) -> Result<(), Failure> {
    let root = overlay.root()?;
    for source in sources {
        copy::copy(root.as_fd(), source, to, owner, add)
            .map_err(|why| format!("failed to copy files: {why}"))?;
    }
    Ok(())
}
