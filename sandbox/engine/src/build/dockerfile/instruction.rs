//! What an instruction says, checked as far as that can be done without an image.

use super::flags::Flags;
use super::node::Node;
use super::{duration, quote};
use bollard_stubs::models::HealthConfig;

/// A command line, in either form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Its words: one in the shell form, none where nothing was given.
    pub words: Vec<String>,
    /// Whether a shell is to run it.
    pub shell: bool,
}

/// `ADD` and `COPY`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copying {
    /// At least one.
    pub sources: Vec<String>,
    /// Where to.
    pub destination: String,
    /// `--from`: a stage or an image.
    pub from: String,
    /// `--chown`.
    pub chown: String,
    /// `--chmod`, which only BuildKit does.
    pub chmod: String,
}

/// A variable of `ARG`, with its default where it has one.
pub type Argument = (String, Option<String>);

/// One instruction within a stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Instruction {
    /// `ADD`.
    Add(Copying),
    /// `ARG`.
    Arg(Vec<Argument>),
    /// `CMD`.
    Cmd(CommandLine),
    /// `COPY`.
    Copy(Copying),
    /// `ENTRYPOINT`.
    Entrypoint(CommandLine),
    /// `ENV`.
    Env(Vec<(String, String)>),
    /// `EXPOSE`, sorted.
    Expose(Vec<String>),
    /// `HEALTHCHECK`.
    Healthcheck(HealthConfig),
    /// `LABEL`.
    Label(Vec<(String, String)>),
    /// `MAINTAINER`.
    Maintainer(String),
    /// `ONBUILD`: the instruction as it was written.
    OnBuild(String),
    /// `RUN`, and the flags that only BuildKit does.
    Run(CommandLine, Option<&'static str>),
    /// `SHELL`.
    Shell(Vec<String>),
    /// `STOPSIGNAL`.
    StopSignal(String),
    /// `USER`.
    User(String),
    /// `VOLUME`.
    Volume(Vec<String>),
    /// `WORKDIR`.
    Workdir(String),
}

/// `FROM`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct From {
    /// What the stage begins with, before expansion.
    pub base: String,
    /// Its own name in lower case; empty where it has none.
    pub name: String,
    /// `--platform`.
    pub platform: String,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// A new stage.
    From(From),
    /// An instruction.
    Instruction(Instruction),
}

/// Reads a line; the error is in Docker's words.
pub fn parse(node: &Node) -> Result<Statement, String> {
    let name = node.name.to_uppercase();
    let none = || Flags::parse(&node.flags, &[]).map(|_| ());
    let at_least_one = || format!("{name} requires at least one argument");
    let instruction = match node.name.as_str() {
        "from" => return from(node).map(Statement::From),
        "add" => Instruction::Add(copying(node, &["chown", "chmod"])?),
        "copy" => Instruction::Copy(copying(node, &["chown", "chmod", "from"])?),
        "arg" => Instruction::Arg(arguments(node)?),
        "cmd" => {
            none()?;
            Instruction::Cmd(command_line(&node.words, node.json))
        }
        "entrypoint" => {
            none()?;
            Instruction::Entrypoint(command_line(&node.words, node.json))
        }
        "env" | "label" => {
            none()?;
            let pairs = pairs(node, &name)?;
            if node.name == "env" { Instruction::Env(pairs) } else { Instruction::Label(pairs) }
        }
        "expose" => {
            let mut ports = node.words.clone();
            ports.sort();
            if ports.is_empty() {
                return Err(at_least_one());
            }
            none()?;
            Instruction::Expose(ports)
        }
        "healthcheck" => Instruction::Healthcheck(healthcheck(node)?),
        "maintainer" => Instruction::Maintainer(only_word(node, &name)?),
        "onbuild" => {
            let trigger = node.words.first().ok_or_else(at_least_one)?.trim().to_uppercase();
            none()?;
            match trigger.as_str() {
                "ONBUILD" => return Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into()),
                "MAINTAINER" | "FROM" => {
                    return Err(format!("{trigger} isn't allowed as an ONBUILD trigger"));
                }
                _ => Instruction::OnBuild(without_onbuild(&node.text).into()),
            }
        }
        "run" => {
            let flags = Flags::parse(&node.flags, &["mount"])?;
            let mount = flags.text("mount");
            if let Some(bad) = mount.split(',').find(|field| !field.contains('=') && !mount.is_empty()) {
                return Err(format!("invalid field '{bad}' must be a key=value pair"));
            }
            let only_buildkit = (!mount.is_empty()).then_some("mount");
            Instruction::Run(command_line(&node.words, node.json), only_buildkit)
        }
        "shell" => {
            none()?;
            match (node.words.is_empty(), node.json) {
                (true, _) => return Err(at_least_one()),
                (false, true) => Instruction::Shell(node.words.clone()),
                (false, false) => return Err("SHELL requires the arguments to be in JSON form".into()),
            }
        }
        "stopsignal" => match &node.words[..] {
            [signal] => Instruction::StopSignal(signal.clone()),
            _ => return Err("STOPSIGNAL requires exactly one argument".into()),
        },
        "user" => Instruction::User(only_word(node, &name)?),
        "volume" => Instruction::Volume(volumes(node)?),
        "workdir" => Instruction::Workdir(only_word(node, &name)?),
        _ => return Err(format!("unknown instruction: {name}")),
    };
    Ok(Statement::Instruction(instruction))
}

/// The trigger without its `ONBUILD`, otherwise as it was written.
fn without_onbuild(text: &str) -> &str {
    let text = text.trim_start();
    text.get("ONBUILD".len()..).unwrap_or_default().trim_start()
}

fn only_word(node: &Node, name: &str) -> Result<String, String> {
    let [word] = &node.words[..] else { return Err(format!("{name} requires exactly one argument")) };
    Flags::parse(&node.flags, &[])?;
    Ok(word.clone())
}

fn command_line(words: &[String], json: bool) -> CommandLine {
    CommandLine { words: words.to_vec(), shell: !json }
}

fn from(node: &Node) -> Result<From, String> {
    let (base, name) = match &node.words[..] {
        [base] => (base, String::new()),
        [base, word, name] if word.eq_ignore_ascii_case("as") => (base, stage_name(name)?),
        _ => return Err("FROM requires either one or three arguments".into()),
    };
    let flags = Flags::parse(&node.flags, &["platform"])?;
    Ok(From { base: base.clone(), name, platform: flags.text("platform").into() })
}

fn stage_name(name: &str) -> Result<String, String> {
    let lower = name.to_lowercase();
    let mut bytes = lower.bytes();
    let first = bytes.next().is_some_and(|c| c.is_ascii_lowercase());
    if first && bytes.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-_.".contains(&c)) {
        return Ok(lower);
    }
    let name = quote::text(name);
    Err(format!("invalid name for build stage: {name}, name can't start with a number or contain symbols"))
}

fn copying(node: &Node, known: &[&'static str]) -> Result<Copying, String> {
    let Some((destination, sources)) = node.words.split_last().filter(|(_, sources)| !sources.is_empty())
    else {
        return Err(format!(
            "{} requires at least two arguments, but only one was provided. Destination could not be determined",
            node.name.to_uppercase()
        ));
    };
    let flags = Flags::parse(&node.flags, known)?;
    Ok(Copying {
        sources: sources.to_vec(),
        destination: destination.clone(),
        from: flags.text("from").into(),
        chown: flags.text("chown").into(),
        chmod: flags.text("chmod").into(),
    })
}

fn arguments(node: &Node) -> Result<Vec<Argument>, String> {
    if node.words.is_empty() {
        return Err("ARG requires at least one argument".into());
    }
    let argument = |word: &String| match word.split_once('=') {
        Some(("", _)) => Err("ARG names can not be blank".into()),
        Some((name, value)) => Ok((name.to_owned(), Some(value.to_owned()))),
        None => Ok((word.clone(), None)),
    };
    node.words.iter().map(argument).collect()
}

fn pairs(node: &Node, name: &str) -> Result<Vec<(String, String)>, String> {
    if node.words.is_empty() {
        return Err(format!("{name} requires at least one argument"));
    }
    let pair = |pair: &[String]| match pair {
        [key, value] if !key.is_empty() => Ok((key.clone(), value.clone())),
        _ => Err(format!("{name} names can not be blank")),
    };
    node.words.chunks(2).map(pair).collect()
}

fn volumes(node: &Node) -> Result<Vec<String>, String> {
    if node.words.is_empty() {
        return Err("VOLUME requires at least one argument".into());
    }
    Flags::parse(&node.flags, &[])?;
    let volume = |word: &String| match word.trim() {
        "" => Err("VOLUME specified can not be an empty string".into()),
        path => Ok(path.to_owned()),
    };
    node.words.iter().map(volume).collect()
}

fn healthcheck(node: &Node) -> Result<HealthConfig, String> {
    let Some((kind, words)) = node.words.split_first() else {
        return Err("HEALTHCHECK requires at least one argument".into());
    };
    let kind = kind.to_uppercase();
    if kind == "NONE" {
        if !words.is_empty() {
            return Err("HEALTHCHECK NONE takes no arguments".into());
        }
        return Ok(HealthConfig { test: Some(vec![kind]), ..HealthConfig::default() });
    }
    let flags = Flags::parse(&node.flags, &["interval", "timeout", "start-period", "retries"])?;
    if kind != "CMD" {
        return Err(format!("Unknown type {} in HEALTHCHECK (try CMD)", quote::text(&kind)));
    }
    if words.is_empty() {
        return Err("Missing command after HEALTHCHECK CMD".into());
    }
    let kind = if node.json { "CMD" } else { "CMD-SHELL" };
    let time = |name: &str| match flags.text(name) {
        "" => Ok(None),
        text => match duration::parse(text)? {
            nanos if nanos < duration::MINIMUM_NANOS => Err(format!(
                "Interval {name:?} cannot be less than {}",
                duration::in_words(duration::MINIMUM_NANOS)
            )),
            nanos => Ok(Some(nanos)),
        },
    };
    Ok(HealthConfig {
        test: Some([&[kind.to_owned()], words].concat()),
        interval: time("interval")?,
        timeout: time("timeout")?,
        start_period: time("start-period")?,
        retries: retries(flags.text("retries"))?,
        ..HealthConfig::default()
    })
}

fn retries(text: &str) -> Result<Option<i64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let is_number = text.strip_prefix(['-', '+']).unwrap_or(text).bytes().all(|c| c.is_ascii_digit());
    match text.parse::<i32>() {
        Ok(number) if number >= 1 => Ok(Some(number.into())),
        Ok(number) => Err(format!("--retries must be at least 1 (not {number})")),
        Err(_) => {
            let why = if is_number { "value out of range" } else { "invalid syntax" };
            Err(format!("strconv.ParseInt: parsing {}: {why}", quote::text(text)))
        }
    }
}
