//! One build, from its first stage to the image's names. What a step does is in [`super::steps`].

use super::arguments::Arguments;
use super::configuration::Configuration;
use super::context::Context;
use super::dockerfile::{Dockerfile, Instruction, Stage, Step, parse_instruction};
use super::expand::{self, Variables};
use super::image::Cache;
use super::options::{self, Options};
use super::output::{Failure, Output};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::image::{Image, Reference};
use crate::progress::Lines;
use crate::transfer::{Platform, Pull, is_out_of_reach, outlet, why_not};
use axum::http::StatusCode;
use futures_util::StreamExt;
use std::sync::Arc;

/// The base that is no image.
const SCRATCH: &str = "scratch";

/// A build that is ready to run. Dropped at any moment, it leaves nothing behind but images of steps that were done.
#[derive(Debug)]
pub struct Job {
    pub(super) engine: Arc<Engine>,
    pub(super) options: Options,
    pub(super) context: Arc<Context>,
    pub(super) output: Output,
    dockerfile: Dockerfile,
    /// The stages that are done: their names (often empty) and what they came to.
    pub(super) done: Vec<(String, Option<Arc<Image>>)>,
}

/// A stage while it is built.
#[derive(Debug)]
pub(super) struct State {
    /// What its image is to be.
    pub configuration: Configuration,
    /// What it has come to so far; none at the beginning of `FROM scratch`.
    pub image: Option<Arc<Image>>,
    /// Its variables.
    pub arguments: Arguments,
    /// What was built before.
    pub cache: Cache,
}

impl Job {
    /// A build of a parsed Dockerfile. Errors are those that Docker finds before it begins.
    pub fn new(
        engine: Arc<Engine>,
        options: Options,
        context: Context,
        mut dockerfile: Dockerfile,
        output: Output,
    ) -> Result<Self, ApiError> {
        if !options.target.is_empty() {
            let target = options.target.to_lowercase();
            let place = dockerfile.stages.iter().position(|stage| stage.from.name == target);
            let last = place.ok_or_else(|| {
                ApiError::bad_request(format!(
                    "failed to reach build target {} in Dockerfile",
                    options.target
                ))
            })?;
            dockerfile.stages.truncate(last + 1);
        }
        if let Some(stage) = dockerfile.stages.last_mut() {
            let label = |(name, value): (&String, &String)| Step {
                text: format!("LABEL {name}={value}"),
                // These are no words of a Dockerfile: what looks like a variable is none.
                instruction: Instruction::Label(vec![(literal(name), literal(value))]),
            };
            stage.steps.extend(options.labels.iter().map(label));
        }
        Ok(Self { engine, options, context: Arc::new(context), output, dockerfile, done: vec![] })
    }

    /// Builds, and tells of it. A client that leaves ends the build.
    pub async fn run(self) {
        let output = self.output.clone();
        let built = tokio::select! {
            built = self.build() => built,
            () = output.closed() => return,
        };
        if let Err(failure) = built {
            output.fail(&failure).await;
        }
    }

    async fn build(mut self) -> Result<(), Failure> {
        for line in &self.dockerfile.empty_continuations {
            self.output
                .complain(&format!("[WARNING]: Empty continuation line found in:\n    {line}\n"))
                .await;
        }
        if !self.dockerfile.empty_continuations.is_empty() {
            let warning = "[WARNING]: Empty continuation lines will become errors in a future release.\n";
            self.output.complain(warning).await;
        }
        let stages = std::mem::take(&mut self.dockerfile.stages);
        let globals = std::mem::take(&mut self.dockerfile.arguments);
        let steps: usize = stages.iter().map(|stage| 1 + stage.steps.len()).sum();
        let mut counter = Counter { next: 1, count: globals.len() + steps };
        let mut arguments = Arguments::new(self.options.arguments.clone());
        for (text, declared) in globals {
            counter.say(&self.output, &text).await;
            for (name, value) in declared {
                let known = arguments.beside(&[]);
                let variables = Variables::new(&known);
                let expand = |text: &String| expand::word(text, self.dockerfile.escape, &variables);
                let (name, value) = (expand(&name)?, value.as_ref().map(expand).transpose()?);
                arguments.declare_global(&name, value);
            }
        }
        for stage in stages {
            arguments = self.stage(stage, arguments, &mut counter).await?;
        }
        let unused = arguments.unused();
        if !unused.is_empty() {
            let warning =
                format!("[Warning] One or more build-args [{}] were not consumed\n", unused.join(" "));
            self.output.say(warning).await;
        }
        match self.done.pop() {
            Some((_, Some(image))) => self.name(&image).await,
            _ => Err("No image was generated. Is your Dockerfile empty?".into()),
        }
    }

    async fn stage(
        &mut self,
        stage: Stage,
        mut arguments: Arguments,
        counter: &mut Counter,
    ) -> Result<Arguments, Failure> {
        let name = &stage.from.name;
        if !name.is_empty() && self.done.iter().any(|(other, _)| other == name) {
            return Err(format!("{name} stage name already used").into());
        }
        counter.say(&self.output, &stage.text).await;
        options::platform(&stage.from.platform, self.engine.machine.go_architecture()).map_err(|error| {
            match error.status.as_u16() {
                400 => format!("failed to parse platform {}: {}", stage.from.platform, error.message).into(),
                _ => Failure::from(error),
            }
        })?;
        arguments.begin_stage();
        let base = self.base(&stage, &arguments).await?;
        let config = base.as_ref().map(|image| image.config.clone()).unwrap_or_default();
        let mut state = State {
            configuration: Configuration::begin(config),
            image: base,
            arguments,
            cache: Cache::new(&self.engine, self.options.no_cache, &self.options.cache_from),
        };
        let triggers = state.configuration.config.on_build.take().unwrap_or_default();
        if !triggers.is_empty() {
            let plural = if triggers.len() > 1 { "s" } else { "" };
            self.output.say(format!("# Executing {} build trigger{plural}\n", triggers.len())).await;
        }
        for trigger in triggers {
            let instruction = parse_instruction(&trigger)?;
            self.step(&mut state, &instruction).await?;
        }
        self.say_image(&state).await;
        for step in &stage.steps {
            counter.say(&self.output, &step.text).await;
            self.step(&mut state, &step.instruction).await?;
            self.say_image(&state).await;
        }
        if let Some(image) = &state.image {
            self.output.image(&image.id).await;
        }
        // A stage that is nothing but `FROM scratch` has no image, and can be built upon all the same.
        self.done.push((stage.from.name, state.image));
        Ok(state.arguments)
    }

    async fn say_image(&self, state: &State) {
        let id = state.image.as_ref().map_or("", |image| image.short_id());
        self.output.say(format!(" ---> {id}\n")).await;
    }

    /// What a stage begins with; none for `FROM scratch`.
    async fn base(&self, stage: &Stage, arguments: &Arguments) -> Result<Option<Arc<Image>>, Failure> {
        let globals = arguments.global();
        let name = expand::word(&stage.from.base, self.dockerfile.escape, &Variables::new(&globals))?;
        if name.is_empty() {
            return Err(format!("base name ({}) should not be blank", stage.from.base).into());
        }
        if let Some((_, image)) = self.done.iter().find(|(other, _)| *other == name.to_lowercase()) {
            return Ok(image.clone());
        }
        if name == SCRATCH {
            return Ok(None);
        }
        self.find(&name).await.map(Some)
    }

    /// An image that a Dockerfile names. What is not here comes from its registry.
    pub(super) async fn find(&self, name: &str) -> Result<Arc<Image>, Failure> {
        match self.engine.images.find(name) {
            Ok(image) if !self.options.pull => Ok(image),
            Err(error) if error.status != StatusCode::NOT_FOUND => Err(error.into()),
            here => self.pull(name, here.ok()).await,
        }
    }

    async fn pull(&self, name: &str, here: Option<Arc<Image>>) -> Result<Arc<Image>, Failure> {
        let images = &self.engine.images;
        let reference = Reference::parse(name)?.or_latest();
        let credentials = self.options.credentials_for(&reference);
        let pull = match Pull::begin(&reference, Platform::own(), &credentials).await {
            Ok(pull) => pull,
            Err(error) => {
                let as_new_as_it_gets = here.filter(|_| is_out_of_reach(images, &reference, &error));
                return as_new_as_it_gets.ok_or_else(|| why_not(images, &reference, error).into());
            }
        };
        let (out, told) = outlet();
        let mut lines = Lines::new(out);
        let fetching = async move { pull.run(images, &self.engine.data_root, &mut lines).await };
        let telling = async {
            let mut told = told.into_data_stream();
            while let Some(Ok(lines)) = told.next().await {
                self.output.pass_on(lines).await;
            }
        };
        let (pulled, ()) = tokio::join!(fetching, telling);
        pulled?;
        self.engine.tell_of_name("pull", &reference);
        Ok(images.find(&reference.familiar())?)
    }

    /// What an instruction is read with.
    pub(super) fn escape(&self) -> char {
        self.dockerfile.escape
    }

    async fn name(&self, image: &Image) -> Result<(), Failure> {
        if self.options.quiet {
            self.output.say_aloud(format!("{}\n", image.id)).await;
        }
        self.output.say(format!("Successfully built {}\n", image.short_id())).await;
        for tag in &self.options.tags {
            self.engine.images.tag(&image.id, tag)?;
            self.engine.tell_of_image("tag", image, &tag.familiar());
            self.output.say(format!("Successfully tagged {}\n", tag.familiar())).await;
        }
        Ok(())
    }
}

/// A text such that expansion gives it back.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// Numbers the steps.
#[derive(Debug)]
struct Counter {
    next: usize,
    count: usize,
}

impl Counter {
    async fn say(&mut self, output: &Output, text: &str) {
        output.say(format!("Step {}/{} : {text}", self.next, self.count)).await;
        output.say("\n").await;
        self.next += 1;
    }
}
