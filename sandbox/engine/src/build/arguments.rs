//! `ARG` and `--build-arg`: which variables a stage has, and which of them show in its history.

use std::collections::{BTreeMap, BTreeSet};

/// Variables that need no `ARG`. They leave no trace in an image, unless the Dockerfile names them.
const PREDEFINED: [&str; 8] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
];

type Values = BTreeMap<String, Option<String>>;

/// The build-time variables.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// `--build-arg`.
    given: Values,
    /// Declared before the first `FROM`.
    global: Values,
    /// Declared in this stage.
    declared: Values,
    /// Declared anywhere so far.
    named: BTreeSet<String>,
}

impl Arguments {
    /// With what the client has given.
    pub fn new(given: Values) -> Self {
        Self { given, ..Self::default() }
    }

    /// Declares one before the first `FROM`.
    pub fn declare_global(&mut self, name: &str, value: Option<String>) {
        self.global.insert(name.into(), value.clone());
        self.declare(name, value);
    }

    /// Declares one in this stage.
    pub fn declare(&mut self, name: &str, value: Option<String>) {
        self.declared.insert(name.into(), value);
        self.named.insert(name.into());
    }

    /// A new stage has none, until it declares some.
    pub fn begin_stage(&mut self) {
        self.declared.clear();
    }

    fn value(&self, name: &str, declared: &Values) -> Option<String> {
        let given = self.given.get(name).cloned().flatten();
        let default = || declared.get(name).cloned().flatten();
        given.or_else(default).or_else(|| self.global.get(name).cloned().flatten())
    }

    fn entries(&self, declared: &Values) -> Vec<String> {
        let names = declared.keys().map(String::as_str).chain(PREDEFINED).collect::<BTreeSet<_>>();
        let entry = |name: &str| Some(format!("{name}={}", self.value(name, declared)?));
        names.into_iter().filter_map(entry).collect()
    }

    /// What can stand in a `FROM`.
    pub fn global(&self) -> Vec<String> {
        self.entries(&self.global)
    }

    /// What this stage has, except where its environment has the same names.
    pub fn beside(&self, environment: &[String]) -> Vec<String> {
        let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
        let taken: BTreeSet<_> = environment.iter().map(|entry| name(entry)).collect();
        self.entries(&self.declared).into_iter().filter(|entry| !taken.contains(&name(entry))).collect()
    }

    /// A command line as history and cache know it: with the variables that it could have used.
    pub fn mark(&self, environment: &[String], command: &[String]) -> Vec<String> {
        let beside = self.beside(environment);
        if beside.is_empty() {
            return command.to_vec();
        }
        let shows = |entry: &String| {
            let name = entry.split('=').next().unwrap_or_default();
            self.declared.contains_key(name) || !PREDEFINED.contains(&name)
        };
        let mut shown: Vec<_> = beside.into_iter().filter(shows).collect();
        shown.sort();
        let count = format!("|{}", shown.len());
        std::iter::once(count).chain(shown).chain(command.iter().cloned()).collect()
    }

    /// What was given and never declared.
    pub fn unused(&self) -> Vec<&str> {
        let given = self.given.keys().map(String::as_str);
        given.filter(|name| !self.named.contains(*name) && !PREDEFINED.contains(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.into()).collect()
    }

    #[test]
    fn what_is_given_counts_only_where_it_is_declared() {
        let given = [("a", Some("given")), ("HTTP_PROXY", Some("p")), ("x", None)];
        let given = given.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        let mut arguments = Arguments::new(given.into());
        assert_eq!(arguments.beside(&[]), ["HTTP_PROXY=p"]);
        arguments.declare("a", Some("default".into()));
        arguments.declare("b", None);
        assert_eq!(arguments.beside(&[]), ["HTTP_PROXY=p", "a=given"]);
        assert_eq!(arguments.beside(&words(&["a=env"])), ["HTTP_PROXY=p"]);
        assert_eq!(arguments.unused(), ["x"]);
        arguments.begin_stage();
        assert_eq!(arguments.beside(&[]), ["HTTP_PROXY=p"]);
    }

    #[test]
    fn a_proxy_shows_in_the_history_only_where_it_is_declared() {
        let mut arguments = Arguments::new([("http_proxy".to_owned(), Some("p".to_owned()))].into());
        let command = words(&["true"]);
        assert_eq!(arguments.mark(&[], &command), ["|0", "true"]);
        arguments.declare("http_proxy", None);
        assert_eq!(arguments.mark(&[], &command), ["|1", "http_proxy=p", "true"]);
        assert_eq!(Arguments::default().mark(&[], &command), ["true"]);
    }
}
