//! The functions that checks are written with, beside those of CEL itself.
//!
//! Each takes a process as an observation has it, finds that process among the facts by its pid, and reads the fact
//! from there. None of them fails on what a lab can contain, only on a check that is written wrongly.

use crate::facts::{Facts, record};
use cel::common::types::{CelBool, CelString};
use cel::common::value::CowVal;
use cel::{Context, ExecutionError, FunctionContext};
use isolab_protocol::CAPABILITIES;
use isolab_protocol::observation::{Namespaces, Process};
use std::sync::Arc;

/// The functions' names, each with the number of its arguments and what it gives.
pub(crate) const FUNCTIONS: [(&str, usize, &str); 7] = [
    ("container", 1, "container(\"web\"): the container of that name, or null"),
    (
        "program",
        2,
        "program(process, \"sleep\"): whether it executes that program, unchanged, from an image of Isolab's",
    ),
    ("has_capability", 2, "has_capability(process, \"CAP_KILL\"): whether its effective set holds it"),
    ("command", 1, "command(process): its arguments in one line; the process can rewrite them"),
    ("nspid", 1, "nspid(process): \"NSpid: 3816 1\""),
    ("ns", 2, "ns(process, \"pid\"): \"pid:[4026532811]\""),
    ("proc", 2, "proc(process, \"status\"): \"/proc/3816/status\""),
];

type Answer<'c, 'v> = Result<CowVal<'c, 'v>, ExecutionError>;

/// The shape in which the interpreter keeps a function.
type Function = Box<dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> + Send + Sync>;

/// Makes the functions known to `context`.
pub(crate) fn add(context: &mut Context<'_, '_>, facts: &Arc<Facts>) {
    let all = facts.clone();
    add_one(context, "container", move |call| {
        let name = text(call, 0)?;
        Ok(CowVal::Owned(all.container(&name)))
    });
    add_fact(context, facts, "program", |process, call| {
        let program = text(call, 1)?;
        let name = process.executable.path.rsplit('/').next().unwrap_or_default();
        truth(process.executable.pristine && name == program)
    });
    add_fact(context, facts, "has_capability", |process, call| {
        let name = text(call, 1)?;
        let Some(bit) = CAPABILITIES.iter().position(|known| *known == name) else {
            return Err(call.error(format!("{name} is no capability")));
        };
        let mask = u64::from_str_radix(&process.capabilities.effective, 16).unwrap_or(0);
        truth(mask >> bit & 1 == 1)
    });
    add_fact(context, facts, "command", |process, _| words(process.argv.join(" ")));
    add_fact(context, facts, "nspid", |process, _| {
        let pids: Vec<String> = process.pids.iter().map(u32::to_string).collect();
        words(format!("NSpid: {}", pids.join(" ")))
    });
    add_fact(context, facts, "ns", |process, call| {
        let kind = text(call, 1)?;
        let inode = inode(&process.namespaces, &kind)
            .ok_or_else(|| call.error(format!("no namespace is called {kind}")))?;
        words(format!("{kind}:[{inode}]"))
    });
    add_fact(context, facts, "proc", |process, call| {
        words(format!("/proc/{}/{}", process.pid, text(call, 1)?))
    });
}

fn add_one<F>(context: &mut Context<'_, '_>, name: &str, function: F)
where
    F: for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Answer<'c, 'v> + Send + Sync + 'static,
{
    context
        .add_function::<Function, Function>(name, Box::new(function))
        .expect("the names are not those of CEL's own functions");
}

/// Adds a function whose first argument is a process.
fn add_fact<F>(context: &mut Context<'_, '_>, facts: &Arc<Facts>, name: &'static str, function: F)
where
    F: for<'c, 'v> Fn(&Process, &FunctionContext<'c, 'v>) -> Answer<'c, 'v> + Send + Sync + 'static,
{
    let facts = facts.clone();
    add_one(context, name, move |call| {
        let pid = record(name, call.args.first())?.number("pid").and_then(|pid| u32::try_from(pid).ok());
        match pid.and_then(|pid| facts.processes.get(&pid)) {
            Some(process) => function(process, call),
            None => Err(call.error("expects a process")),
        }
    });
}

fn text(call: &FunctionContext<'_, '_>, n: usize) -> Result<String, ExecutionError> {
    let argument = call.args.get(n).and_then(|value| value.downcast_ref::<CelString>());
    argument
        .map(|text| text.inner().to_owned())
        .ok_or_else(|| call.error(format!("argument {} is no string", n + 1)))
}

fn truth<'c, 'v>(truth: bool) -> Answer<'c, 'v> {
    Ok(CowVal::owned(CelBool::from(truth)))
}

fn words<'c, 'v>(words: String) -> Answer<'c, 'v> {
    Ok(CowVal::owned(CelString::from(words)))
}

fn inode(namespaces: &Namespaces, kind: &str) -> Option<u64> {
    let namespace = match kind {
        "user" => namespaces.user,
        "pid" => namespaces.pid,
        "mnt" => namespaces.mnt,
        "net" => namespaces.net,
        "uts" => namespaces.uts,
        "ipc" => namespaces.ipc,
        "cgroup" => namespaces.cgroup,
        "time" => namespaces.time,
        _ => return None,
    };
    Some(namespace.inode)
}
