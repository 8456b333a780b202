//! What each instruction does to the configuration of the image that is being built, and what the history says of it.
//!
//! Pure: files are not touched here.

use super::arguments::Arguments;
use super::dockerfile::{CommandLine, Copying, Instruction, in_words, quote};
use super::expand::{self, Variables};
use super::ports;
use crate::error::ApiError;
use crate::settings::signal;
use bollard_stubs::models::{HealthConfig, ImageConfig};

/// The PATH of a stage whose base has none.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What runs commands that are no list, until `SHELL` says otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// A configuration larger than this is refused: every step of a build keeps one, and every container gets it.
const CONFIGURATION_BYTES_MAX: usize = 256 * 1024;

/// What a stage has come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    /// What the image's containers inherit.
    pub config: ImageConfig,
    /// `MAINTAINER`.
    pub author: String,
    /// Whether this Dockerfile has set the command: an entrypoint clears one that is inherited.
    cmd_set: bool,
}

/// What an instruction has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The words of the history, without the shell before them.
    pub said: Vec<String>,
    /// What the builder remarks.
    pub note: Option<String>,
}

/// A remark of the history in place of a command.
pub fn remark(comment: &str) -> Vec<String> {
    vec!["#(nop) ".into(), comment.into()]
}

/// The same for instructions that also change files; these have one word.
pub fn remark_of_files(comment: &str) -> Vec<String> {
    vec![format!("#(nop) {comment}")]
}

impl Configuration {
    /// A stage begins, with what its base has.
    pub fn begin(base: ImageConfig) -> Self {
        let mut config = base;
        let env = config.env.get_or_insert_default();
        if !env.iter().any(|entry| entry.starts_with("PATH=")) {
            env.push(PATH.into());
        }
        Self { config, ..Self::default() }
    }

    /// The environment.
    pub fn environment(&self) -> &[String] {
        self.config.env.as_deref().unwrap_or_default()
    }

    /// What runs commands that are no list.
    pub fn shell(&self) -> Vec<String> {
        match self.config.shell.as_deref() {
            None | Some([]) => SHELL.map(str::to_owned).to_vec(),
            Some(shell) => shell.to_vec(),
        }
    }

    /// A command line with the shell before it, where one is to run it.
    pub fn resolve(&self, line: &CommandLine) -> Vec<String> {
        let shell = if line.shell { self.shell() } else { vec![] };
        shell.into_iter().chain(line.words.iter().cloned()).collect()
    }

    /// An instruction with its variables expanded.
    pub fn expand(
        &self,
        instruction: &Instruction,
        escape: char,
        arguments: &Arguments,
    ) -> Result<Instruction, ApiError> {
        let beside = arguments.beside(self.environment());
        let variables = Variables::new(self.environment().iter().chain(&beside));
        expanded(instruction, escape, &variables).map_err(ApiError::bad_request)
    }

    /// Does what an expanded instruction says. Those that change files as well are the builder's; of `WORKDIR`, this is the
    /// configuration's half.
    pub fn apply(
        &mut self,
        instruction: &Instruction,
        arguments: &mut Arguments,
    ) -> Result<Changed, ApiError> {
        let mut note = None;
        let config = &mut self.config;
        let comment = match instruction {
            Instruction::Add(_) | Instruction::Copy(_) | Instruction::Run(..) => {
                return Err(ApiError::bad_request("the instruction changes files"));
            }
            Instruction::Arg(declared) => {
                let mut said = String::from("ARG");
                for (name, value) in declared {
                    said.push_str(&format!(" {name}"));
                    said.extend(value.iter().flat_map(|value| ["=", value]));
                    arguments.declare(name, value.clone());
                }
                said
            }
            Instruction::Cmd(line) => {
                let words = self.resolve(line);
                self.cmd_set |= !line.words.is_empty();
                let said = format!("CMD {}", quote::list(&words));
                self.config.cmd = Some(words);
                said
            }
            Instruction::Entrypoint(line) => {
                let words = (!line.words.is_empty()).then(|| self.resolve(line));
                if !self.cmd_set {
                    self.config.cmd = None;
                }
                let said = format!("ENTRYPOINT {}", quote::list(words.as_deref().unwrap_or_default()));
                self.config.entrypoint = words;
                said
            }
            Instruction::Env(pairs) => {
                let env = config.env.get_or_insert_default();
                for (name, value) in pairs {
                    set(env, name, value);
                }
                said_of("ENV", pairs)
            }
            Instruction::Expose(words) => {
                let exposed = config.exposed_ports.get_or_insert_default();
                for word in words {
                    exposed.extend(ports::parse(word).map_err(ApiError::bad_request)?);
                }
                exposed.sort();
                exposed.dedup();
                format!("EXPOSE {}", words.join(" "))
            }
            Instruction::Healthcheck(check) => {
                let before = config.healthcheck.as_ref().and_then(|check| check.test.as_deref());
                note = before
                    .filter(|test| test.first().is_some_and(|kind| kind != "NONE"))
                    .map(|test| format!("Note: overriding previous HEALTHCHECK: [{}]\n", test.join(" ")));
                let said = said_of_check(check);
                config.healthcheck = Some(over(check.clone(), config.healthcheck.take()));
                said
            }
            Instruction::Label(pairs) => {
                config.labels.get_or_insert_default().extend(pairs.iter().cloned());
                said_of("LABEL", pairs)
            }
            Instruction::Maintainer(author) => {
                self.author.clone_from(author);
                format!("MAINTAINER {author}")
            }
            Instruction::OnBuild(trigger) => {
                config.on_build.get_or_insert_default().push(trigger.clone());
                format!("ONBUILD {trigger}")
            }
            Instruction::Shell(words) => {
                config.shell = Some(words.clone());
                format!("SHELL [{}]", words.join(" "))
            }
            Instruction::StopSignal(name) => {
                signal::parse(name)?;
                config.stop_signal = Some(name.clone());
                format!("STOPSIGNAL {name}")
            }
            Instruction::User(user) => {
                // A variable that is not set changes nobody.
                if !user.is_empty() {
                    config.user = Some(user.clone());
                }
                format!("USER {user}")
            }
            Instruction::Volume(paths) => {
                if paths.iter().any(String::is_empty) {
                    return Err(ApiError::bad_request("VOLUME specified can not be an empty string"));
                }
                let volumes = config.volumes.get_or_insert_default();
                volumes.extend(paths.iter().cloned());
                volumes.sort();
                volumes.dedup();
                format!("VOLUME [{}]", paths.join(" "))
            }
            Instruction::Workdir(path) => {
                let path = workdir(config.working_dir.as_deref().unwrap_or_default(), path)?;
                let said = remark_of_files(&format!("WORKDIR {path}"));
                config.working_dir = Some(path);
                return self.bounded(Changed { said, note: None });
            }
        };
        self.bounded(Changed { said: remark(&comment), note })
    }

    fn bounded(&self, changed: Changed) -> Result<Changed, ApiError> {
        let bytes = serde_json::to_vec(&self.config).map_or(0, |text| text.len());
        if bytes > CONFIGURATION_BYTES_MAX {
            return Err(ApiError::bad_request(format!(
                "the image's configuration has {bytes} bytes; at most {CONFIGURATION_BYTES_MAX} fit"
            )));
        }
        Ok(changed)
    }
}

/// What a check leaves open it takes over from the one before, also where that is another's.
fn over(check: HealthConfig, before: Option<HealthConfig>) -> HealthConfig {
    let before = before.unwrap_or_default();
    HealthConfig {
        interval: check.interval.or(before.interval),
        timeout: check.timeout.or(before.timeout),
        start_period: check.start_period.or(before.start_period),
        retries: check.retries.or(before.retries),
        ..check
    }
}

fn set(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match env.iter_mut().find(|entry| entry.split('=').next() == Some(name)) {
        Some(place) => *place = entry,
        None => env.push(entry),
    }
}

fn said_of(name: &str, pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!(" {key}={value}")).collect();
    format!("{name}{}", pairs.concat())
}

/// Docker prints Go's structure here.
fn said_of_check(check: &HealthConfig) -> String {
    let time = |nanos: Option<i64>| quote::text(&in_words(nanos.unwrap_or_default()));
    format!(
        "HEALTHCHECK &{{{} {} {} {} {}}}",
        quote::list(check.test.as_deref().unwrap_or_default()),
        time(check.interval),
        time(check.timeout),
        time(check.start_period),
        quote::number(check.retries.unwrap_or_default())
    )
}

/// Where `WORKDIR path` leads from a directory.
fn workdir(current: &str, path: &str) -> Result<String, ApiError> {
    if path.is_empty() {
        return Err(ApiError::bad_request("cannot normalize nothing"));
    }
    Ok(if path.starts_with('/') { path.into() } else { join(current, path) })
}

/// A path below another, cleaned of `.`, `..` and doubled slashes; always absolute.
pub fn join(directory: &str, path: &str) -> String {
    let mut parts = vec![];
    for part in directory.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn expanded(
    instruction: &Instruction,
    escape: char,
    variables: &Variables<'_>,
) -> Result<Instruction, String> {
    let word = |text: &String| expand::word(text, escape, variables);
    let list = |words: &[String]| words.iter().map(word).collect::<Result<Vec<_>, _>>();
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().map(|(key, value)| Ok((word(key)?, word(value)?))).collect::<Result<Vec<_>, String>>()
    };
    let copying = |copying: &Copying| {
        Ok::<_, String>(Copying {
            chown: word(&copying.chown)?,
            sources: list(&copying.sources)?,
            destination: word(&copying.destination)?,
            ..copying.clone()
        })
    };
    Ok(match instruction {
        Instruction::Add(it) => Instruction::Add(copying(it)?),
        Instruction::Copy(it) => Instruction::Copy(copying(it)?),
        Instruction::Arg(arguments) => {
            let argument = |(name, value): &(String, Option<String>)| {
                Ok((word(name)?, value.as_ref().map(word).transpose()?))
            };
            Instruction::Arg(arguments.iter().map(argument).collect::<Result<_, String>>()?)
        }
        Instruction::Env(it) => Instruction::Env(pairs(it)?),
        Instruction::Label(it) => Instruction::Label(pairs(it)?),
        // The one instruction of which a variable can become several words.
        Instruction::Expose(it) => {
            let words = it.iter().map(|text| expand::words(text, escape, variables));
            Instruction::Expose(words.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Instruction::StopSignal(it) => Instruction::StopSignal(word(it)?),
        Instruction::User(it) => Instruction::User(word(it)?),
        Instruction::Volume(it) => Instruction::Volume(list(it)?),
        Instruction::Workdir(it) => Instruction::Workdir(word(it)?),
        Instruction::Cmd(_)
        | Instruction::Entrypoint(_)
        | Instruction::Healthcheck(_)
        | Instruction::Maintainer(_)
        | Instruction::OnBuild(_)
        | Instruction::Run(..)
        | Instruction::Shell(_) => instruction.clone(),
    })
}

#[cfg(test)]
mod tests;
