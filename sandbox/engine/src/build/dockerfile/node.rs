//! A logical line with its arguments in the form that its instruction takes them.

use super::lines::{Line, is_blank};
use super::words::{self, Json};

/// One line, not checked against its instruction's rules yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Node {
    /// The number of its first line.
    pub line: usize,
    /// The line as it was written, continuations joined.
    pub text: String,
    /// The instruction in lower case.
    pub name: String,
    /// Its flags.
    pub flags: Vec<String>,
    /// Its arguments.
    pub words: Vec<String>,
    /// Whether they stood in a JSON list.
    pub json: bool,
}

/// A JSON list with something else than strings in it is an error even where another form would be taken.
const NOT_STRINGS: &str = "when using JSON array syntax, arrays must be comprised of strings only";

type Arguments = (Vec<String>, bool);

impl Node {
    /// Takes a line apart; the error is in Docker's words.
    pub fn parse(line: Line, escape: char) -> Result<Self, String> {
        let parts = words::parts(&line.text);
        let (words, json) = if parts.name == "onbuild" {
            (triggers(parts.rest, escape)?, false)
        } else {
            arguments(&parts.name, parts.rest, escape)?
        };
        let (name, flags) = (parts.name, parts.flags);
        Ok(Self { line: line.number, text: line.text, name, flags, words, json })
    }
}

fn arguments(name: &str, rest: &str, escape: char) -> Result<Arguments, String> {
    Ok(match name {
        "add" | "copy" | "volume" => list(rest)?,
        "arg" => (words::quoted(rest, escape), false),
        "cmd" | "entrypoint" | "run" | "shell" => command(rest)?,
        "env" | "label" => (pairs(name, rest, escape)?, false),
        "expose" | "from" => (separated(rest), false),
        "healthcheck" => {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (kind, rest) = rest.split_at(end);
            let (words, json) = command(rest.trim_start())?;
            let kind = (!kind.is_empty()).then(|| kind.to_owned());
            (kind.into_iter().chain(words).collect(), json)
        }
        "maintainer" | "stopsignal" | "user" | "workdir" => (whole(rest), false),
        _ => (vec![], false),
    })
}

/// The name of the instruction that is to be triggered. Its arguments are read only for their errors. (A loop: triggers of
/// triggers are refused later, but could be many.)
fn triggers(mut rest: &str, escape: char) -> Result<Vec<String>, String> {
    let mut first = None;
    while !rest.is_empty() {
        let parts = words::parts(rest);
        first.get_or_insert(parts.name.clone());
        if parts.name != "onbuild" {
            arguments(&parts.name, parts.rest, escape)?;
            break;
        }
        rest = parts.rest;
    }
    Ok(first.into_iter().collect())
}

fn whole(rest: &str) -> Vec<String> {
    if rest.is_empty() { vec![] } else { vec![rest.to_owned()] }
}

fn separated(rest: &str) -> Vec<String> {
    rest.split(is_blank).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn command(rest: &str) -> Result<Arguments, String> {
    match words::json(rest) {
        Json::Strings(words) => Ok((words, true)),
        Json::Other => Err(NOT_STRINGS.into()),
        Json::No => Ok((whole(rest), false)),
    }
}

fn list(rest: &str) -> Result<Arguments, String> {
    match words::json(rest) {
        Json::Strings(words) => Ok((words, true)),
        Json::Other => Err(NOT_STRINGS.into()),
        Json::No => Ok((separated(rest), false)),
    }
}

/// `name=value …`, or the old form `name value with spaces`: keys and values in turn.
fn pairs(name: &str, rest: &str, escape: char) -> Result<Vec<String>, String> {
    let words = words::quoted(rest, escape);
    let Some(first) = words.first() else { return Ok(vec![]) };
    if !first.contains('=') {
        let (key, value) = words::split_once_blank(rest)
            .ok_or_else(|| format!("{} must have two arguments", name.to_uppercase()))?;
        return Ok(vec![key.to_owned(), value.to_owned()]);
    }
    let mut pairs = vec![];
    for word in &words {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            let word = super::quote::text(word);
            format!("Syntax error - can't find = in {word}. Must be of the form: name=value")
        })?;
        pairs.extend([key.to_owned(), value.to_owned()]);
    }
    Ok(pairs)
}
