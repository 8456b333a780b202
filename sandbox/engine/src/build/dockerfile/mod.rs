//! A Dockerfile, parsed once into stages of instructions, with Docker's own words for every mistake.
//!
//! Pure: what an instruction does to an image is elsewhere. Heredocs and `RUN --mount` are BuildKit's; the classic builder
//! takes a heredoc's lines for instructions that it does not know, and so do we.

mod duration;
mod flags;
mod instruction;
mod lines;
mod node;
pub mod quote;
mod words;

pub use duration::in_words;
pub use instruction::{Argument, CommandLine, Copying, From, Instruction};

use crate::error::ApiError;
use instruction::Statement;
use lines::Lines;
use node::Node;

/// A Dockerfile larger than this is refused: people write them, and every line becomes an image.
pub const BYTES_MAX: usize = 1024 * 1024;

/// How many instructions a Dockerfile may have. Docker's images end at 125 layers, and few instructions make none.
const STEPS_MAX: usize = 1000;

/// One instruction, as it was written and as it was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The line.
    pub text: String,
    /// What it says.
    pub instruction: Instruction,
}

/// What is between one `FROM` and the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stage {
    /// The line with `FROM`.
    pub text: String,
    /// What it says.
    pub from: From,
    /// The instructions after it.
    pub steps: Vec<Step>,
}

/// A parsed Dockerfile.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dockerfile {
    /// What escapes a character.
    pub escape: char,
    /// `ARG` before the first `FROM`: the line, and what it says.
    pub arguments: Vec<(String, Vec<Argument>)>,
    /// Its stages; at least one, except where there is only `ARG`.
    pub stages: Vec<Stage>,
    /// Lines that Docker warns of.
    pub empty_continuations: Vec<String>,
}

/// Parses a Dockerfile called `name`. The errors are Docker's, and name the line where Docker does.
pub fn parse(name: &str, bytes: &[u8]) -> Result<Dockerfile, ApiError> {
    let refuse = |message: String| ApiError::bad_request(message);
    if bytes.is_empty() {
        return Err(refuse(format!("the Dockerfile ({name}) cannot be empty")));
    }
    let (nodes, lines) = nodes(bytes).map_err(|why| refuse(format!("failed to parse Dockerfile: {why}")))?;
    let mut dockerfile = Dockerfile {
        escape: lines.escape,
        empty_continuations: lines.empty_continuations,
        ..Dockerfile::default()
    };
    for node in nodes {
        let statement = instruction::parse(&node)
            .map_err(|why| refuse(format!("dockerfile parse error line {}: {why}", node.line)))?;
        let text = node.text.trim().to_owned();
        match (statement, dockerfile.stages.last_mut()) {
            (Statement::From(from), _) => dockerfile.stages.push(Stage { text, from, steps: vec![] }),
            (Statement::Instruction(instruction), Some(stage)) => {
                stage.steps.push(Step { text, instruction });
            }
            (Statement::Instruction(Instruction::Arg(arguments)), None) => {
                dockerfile.arguments.push((text, arguments));
            }
            (Statement::Instruction(_), None) => {
                return Err(refuse("no build stage in current context".into()));
            }
        }
    }
    Ok(dockerfile)
}

/// Parses one instruction: a trigger of `ONBUILD`, or a change of `docker commit --change`.
pub fn parse_instruction(text: &str) -> Result<Instruction, ApiError> {
    let (mut nodes, _) = nodes(text.as_bytes()).map_err(ApiError::bad_request)?;
    let node = nodes.pop().filter(|_| nodes.is_empty());
    let node = node.ok_or_else(|| ApiError::bad_request("onbuild trigger should be a single expression"))?;
    match instruction::parse(&node).map_err(ApiError::bad_request)? {
        Statement::Instruction(instruction) => Ok(instruction),
        Statement::From(_) => Err(ApiError::bad_request("*instructions.Stage is not a command type")),
    }
}

fn nodes(bytes: &[u8]) -> Result<(Vec<Node>, Lines<'_>), String> {
    if bytes.len() > BYTES_MAX {
        return Err(format!("{} bytes are more than a Dockerfile may have ({BYTES_MAX})", bytes.len()));
    }
    let mut lines = Lines::of(bytes);
    let mut nodes = vec![];
    while let Some(line) = lines.next()? {
        if nodes.len() == STEPS_MAX {
            return Err(format!("more than {STEPS_MAX} instructions: join some with &&"));
        }
        nodes.push(Node::parse(line, lines.escape)?);
    }
    if nodes.is_empty() {
        return Err("file with no instructions".into());
    }
    Ok((nodes, lines))
}

#[cfg(test)]
pub(in crate::build) mod tests;
