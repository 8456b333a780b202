//! One CEL expression of a check: compiled once, with every name in it known, and bounded in size.

use crate::facts::{Facts, cut};
use crate::{functions, vocabulary};
use cel::common::ast::{EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::{CelBool, CelString};
use cel::common::value::Val;
use cel::{Context, Env, Program, Value, extensions};
use std::sync::{Arc, LazyLock};

/// The longest expression, in bytes. One that needs more is several checks.
const SOURCE_BYTES_MAX: usize = 2000;

/// How deep `exists`, `all`, `filter` and `map` may be nested. Two loops over the 512 processes of the largest
/// observation take a second or so; a third would take minutes.
const LOOPS_MAX: usize = 2;

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings).expect("the standard library declares none of these");
    Arc::new(env)
});

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Expression {
    program: Program,
}

impl Expression {
    /// Compiles `source`, in which the names in `bound` are variables too.
    ///
    /// Errors: a sentence that says what is wrong with the expression.
    pub fn compile(source: &str, bound: &[String]) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!(
                "an expression has at most {SOURCE_BYTES_MAX} bytes; this one has {}",
                source.len()
            ));
        }
        let program =
            ENVIRONMENT.compile(source.trim()).map_err(|error| format!("not CEL: {}", first_line(&error)))?;
        let mut scope: Vec<&str> = vocabulary::VARIABLES.to_vec();
        scope.extend(bound.iter().map(String::as_str));
        Names { scope, loops: 0 }.check(program.expression())?;
        Ok(Self { program })
    }

    /// Its value as a truth.
    pub fn truth(&self, scope: &Context<'_, '_>) -> Result<bool, String> {
        let value = Value::resolve_val(self.program.expression(), scope).map_err(said)?;
        let truth = value.downcast_ref::<CelBool>().map(|truth| *truth.inner());
        truth.ok_or_else(|| "it gives neither true nor false".to_owned())
    }

    /// Its value as a text for people: numbers and truths are written out.
    pub fn text(&self, scope: &Context<'_, '_>) -> Result<String, String> {
        let value = Value::resolve_val(self.program.expression(), scope).map_err(said)?;
        if let Some(text) = value.downcast_ref::<CelString>() {
            return Ok(text.inner().to_owned());
        }
        match Value::try_from(value.as_ref()) {
            Ok(Value::Int(number)) => Ok(number.to_string()),
            Ok(Value::Bool(truth)) => Ok(truth.to_string()),
            _ => Err("it gives neither a text nor a number".to_owned()),
        }
    }

    /// Its value as it is, for a name of the check's own.
    pub fn value<'v>(&self, scope: &Context<'_, 'v>) -> Result<Box<dyn Val + 'v>, String> {
        Ok(Value::resolve_val(self.program.expression(), scope).map_err(said)?.into_owned())
    }
}

/// The scope in which expressions are evaluated for an observation.
pub(crate) fn scope(facts: &Arc<Facts>) -> Context<'static, 'static> {
    let mut context = Context::with_env(ENVIRONMENT.clone());
    for (name, value) in &facts.variables {
        context.add_variable_as_val(*name, value.clone_as_boxed());
    }
    functions::add(&mut context, facts);
    context
}

/// An evaluation error may quote values out of the lab: it is cut.
fn said(error: cel::ExecutionError) -> String {
    cut(error.to_string(), 200)
}

fn first_line(error: &cel::ParseErrors) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("ERROR: <input>:").unwrap_or(line).to_owned()
}

/// Looks for names that nothing is called by.
struct Names<'a> {
    scope: Vec<&'a str>,
    loops: usize,
}

impl<'a> Names<'a> {
    fn check(&mut self, expression: &'a IdedExpr) -> Result<(), String> {
        match &expression.expr {
            Expr::Unspecified | Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if name.starts_with('@') || self.scope.contains(&name.as_str()) => Ok(()),
            Expr::Ident(name) => {
                Err(format!("there is no variable {name}; there are {}", self.scope.join(", ")))
            }
            Expr::Select(select) if vocabulary::is_field(&select.field) => self.check(&select.operand),
            Expr::Select(select) => Err(format!("no part of an observation has a field {}", select.field)),
            Expr::Call(call) => {
                function(&call.func_name, call.target.is_some(), &call.args)?;
                self.all(call.target.as_deref().into_iter().chain(&call.args))
            }
            Expr::List(list) => self.all(&list.elements),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => self.all([&entry.key, &entry.value]),
                EntryExpr::StructField(field) => self.check(&field.value),
            }),
            Expr::Struct(_) => Err("checks make no structures".to_owned()),
            Expr::Comprehension(each) => {
                self.check(&each.iter_range)?;
                if self.loops == LOOPS_MAX {
                    return Err(format!("loops are nested more than {LOOPS_MAX} deep"));
                }
                let depth = self.scope.len();
                self.scope.push(&each.iter_var);
                self.scope.extend(each.iter_var2.as_deref());
                self.loops += 1;
                let inner = self.all([&each.accu_init, &each.loop_cond, &each.loop_step, &each.result]);
                self.loops -= 1;
                self.scope.truncate(depth);
                inner
            }
        }
    }

    fn all(&mut self, expressions: impl IntoIterator<Item = &'a IdedExpr>) -> Result<(), String> {
        expressions.into_iter().try_for_each(|expression| self.check(expression))
    }
}

/// Operators are functions too: `_==_`, `!_`, `@in`.
fn function(name: &str, is_method: bool, arguments: &[IdedExpr]) -> Result<(), String> {
    let operator = name.contains('_') && !name.starts_with(|c: char| c.is_ascii_alphabetic());
    if operator || name.starts_with('@') || vocabulary::CEL_FUNCTIONS.contains(&name) {
        return Ok(());
    }
    let Some((_, count, usage)) = functions::FUNCTIONS.iter().find(|(known, ..)| *known == name) else {
        let known: Vec<&str> = functions::FUNCTIONS.iter().map(|(known, ..)| *known).collect();
        return Err(format!("there is no function {name}; there are {} and CEL's own", known.join(", ")));
    };
    if is_method || arguments.len() != *count {
        return Err(format!("it is {usage}"));
    }
    match arguments.get(1).map(|second| &second.expr) {
        Some(Expr::Literal(LiteralValue::String(capability)))
            if name == "has_capability" && !isolab_protocol::CAPABILITIES.contains(&capability.inner()) =>
        {
            Err(format!("{} is no capability", capability.inner()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> Result<String, String> {
        let facts = Arc::new(Facts::of(&vocabulary::sample()));
        Expression::compile(source, &[])?.text(&scope(&facts))
    }

    #[test]
    fn the_functions_read_the_facts() {
        for (source, expected) in [
            ("nspid(container('pid-test').init)", "NSpid: 38 1"),
            ("proc(container('pid-test').init, 'status')", "/proc/38/status"),
            ("ns(containers[0].init, 'pid')", "pid:[4026532801]"),
            ("command(containers[0].init)", "sleep 3600"),
            ("program(containers[0].init, 'sleep')", "true"),
            ("program(containers[0].init, 'bash')", "false"),
            ("has_capability(containers[0].init, 'CAP_KILL')", "true"),
            ("has_capability(containers[0].init, 'CAP_SYS_ADMIN')", "false"),
            ("container('absent') == null", "true"),
            ("null == container('absent')", "true"),
            ("container('pid-test') == null", "false"),
            ("container('pid-test') != null && container('pid-test').init.pid_inside == 1", "true"),
            ("processes.filter(p, p.pid_inside == 1).size()", "2"),
            ("containers.map(c, c.name).join(', ')", "pid-test"),
            ("containers.exists(c, c.processes.exists(p, p.pids.size() == 2))", "true"),
            ("host.namespaces.pid.inode == containers[0].namespaces.pid.inode", "false"),
            ("kernel.release + ' ' + string(truncated)", "6.12.0 false"),
        ] {
            assert_eq!(text(source), Ok(expected.to_owned()), "{source}");
        }
    }

    #[test]
    fn a_name_that_nothing_has_is_found_before_anything_runs() {
        for (source, part) in [
            ("containers[0].init.pid_insde == 1", "no part of an observation has a field pid_insde"),
            ("contaners.size() == 1", "no variable contaners"),
            ("containers.exists(c, d.name == '')", "no variable d"),
            ("programme(containers[0].init, 'sleep')", "no function programme"),
            ("program(containers[0].init)", "it is program(process"),
            ("containers[0].init.program('sleep')", "it is program(process"),
            ("has_capability(containers[0].init, 'CAP_FLY')", "CAP_FLY is no capability"),
            ("1 +", "not CEL"),
            ("processes.exists(a, processes.exists(b, processes.exists(c, true)))", "nested more than 2"),
            (&"1+".repeat(2000), "at most 2000 bytes"),
        ] {
            let error = Expression::compile(source, &[]).unwrap_err();
            assert!(error.contains(part), "{source}: {error}");
        }
        assert!(Expression::compile("box != null", &["box".to_owned()]).is_ok());
    }

    #[test]
    fn the_largest_observation_is_judged_in_time() {
        let mut observation = vocabulary::sample();
        let process = observation.containers[0].init.clone();
        let many = (0..isolab_protocol::observation::PROCESSES_MAX as u32).map(|n| {
            let mut process = process.clone();
            process.pid = 1000 + n;
            process
        });
        observation.containers[0].processes = many.collect();
        let facts = Arc::new(Facts::of(&observation));
        let source = "processes.exists(a, processes.exists(b, a.pid == b.ppid && program(b, 'x')))";
        let started = std::time::Instant::now();
        assert_eq!(Expression::compile(source, &[]).unwrap().truth(&scope(&facts)), Ok(false));
        let took = started.elapsed();
        assert!(took.as_secs() < 20, "{took:?} without optimisation");
    }
}
