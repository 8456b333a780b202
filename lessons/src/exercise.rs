//! An exercise's scripts: the solution, plausible mistakes, and cheats. `isolab lesson test` runs them in a lab.

use crate::finding::Finding;
use crate::output::Output;
use crate::tree::Tree;

/// The scripts of one exercise.
#[derive(Clone, Debug)]
pub struct Exercise {
    /// Its name, unique within its lesson.
    pub id: String,
    /// After it, every check of the exercise passes.
    pub solution: Script,
    /// Mistakes that a learner is likely to make. After each, the exercise is not solved.
    pub wrong: Vec<Script>,
    /// Attempts to look solved. After each, the exercise is not solved.
    pub cheats: Vec<Script>,
}

/// A `bash` script, run as root of the lab host.
#[derive(Clone, Debug)]
pub struct Script {
    /// Its path below the lessons' folder.
    pub path: String,
    /// Its text.
    pub text: String,
    says: Vec<Output>,
}

/// A script's expectations hold on every kernel, so `<release>` is of no use in them.
const NO_RELEASE: &str = "\0";

impl Script {
    /// Whether `message` is among what the head of the script expects a verdict to say (`# says: …`).
    pub fn expects(&self, message: &str) -> bool {
        self.says.iter().any(|says| says.check(message, NO_RELEASE).is_ok())
    }

    /// What the head of the script expects a verdict to say: any one of these.
    pub fn says(&self) -> impl Iterator<Item = &str> {
        self.says.iter().map(Output::text)
    }

    /// The commands, without the comments at the head.
    pub fn commands(&self) -> &str {
        let mut rest = self.text.as_str();
        while rest.starts_with('#') || rest.starts_with('\n') {
            rest = rest.split_once('\n').map_or("", |(_, after)| after);
        }
        rest.trim_end()
    }

    fn read(path: &str, text: &str, must_say: bool, findings: &mut Vec<Finding>) -> Self {
        let mut find =
            |line: usize, message: String| findings.push(Finding { file: path.to_owned(), line, message });
        let mut says = vec![];
        for (n, line) in text.lines().enumerate().take_while(|(_, line)| line.starts_with('#')) {
            let Some(expected) = line.strip_prefix("# says:") else { continue };
            match Output::parse(expected.trim()) {
                Ok(expected) => says.push(expected),
                Err((_, message)) => find(n + 1, message),
            }
        }
        if must_say && says.is_empty() {
            find(1, "begin with `# says: …`: the message that the verdict has to show".to_owned());
        }
        if !must_say && !says.is_empty() {
            find(1, "a solution passes: there is nothing that a verdict has to say".to_owned());
        }
        let script = Self { path: path.to_owned(), text: text.to_owned(), says };
        if script.commands().is_empty() {
            find(0, "there is no command in this script".to_owned());
        }
        script
    }
}

impl Exercise {
    /// Reads the folder of an exercise; nothing where it has no solution.
    pub(crate) fn read(tree: &Tree, folder: &str, id: &str, findings: &mut Vec<Finding>) -> Option<Self> {
        let base = format!("{folder}{id}/");
        let (mut solution, mut wrong, mut cheats) = (None, vec![], vec![]);
        for (path, text) in tree.below(&base) {
            let name = &path[base.len()..];
            match name.split_once('/') {
                None if name == "solution.sh" => solution = Some(Script::read(path, text, false, findings)),
                Some(("wrong", file)) if file.ends_with(".sh") => {
                    wrong.push(Script::read(path, text, true, findings));
                }
                Some(("cheats", file)) if file.ends_with(".sh") => {
                    cheats.push(Script::read(path, text, true, findings));
                }
                _ => {
                    let message =
                        "nothing reads this file; an exercise has solution.sh, wrong/*.sh and cheats/*.sh";
                    findings.push(Finding { file: path.to_owned(), line: 0, message: message.to_owned() });
                }
            }
        }
        let mut missing = |what: &str| {
            let message = format!("the exercise {id} has no {what}");
            findings.push(Finding { file: base.clone(), line: 0, message });
        };
        if solution.is_none() {
            missing("solution.sh");
        }
        if wrong.is_empty() {
            missing("wrong/*.sh: a mistake that learners make");
        }
        if cheats.is_empty() {
            missing("cheats/*.sh: an attempt to look solved");
        }
        Some(Self { id: id.to_owned(), solution: solution?, wrong, cheats })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<const N: usize>(files: [(&str, &str); N]) -> (Option<Exercise>, Vec<Finding>) {
        let mut findings = vec![];
        let exercise = Exercise::read(&Tree::from(files), "p/01-l/", "one", &mut findings);
        (exercise, findings)
    }

    #[test]
    fn scripts_are_read_with_what_they_expect() {
        let (exercise, findings) = read([
            ("p/01-l/one/solution.sh", "# Any text.\n\ndocker run x\n"),
            ("p/01-l/one/wrong/a.sh", "# says: PID <pid> is …\n# says: or this\nfalse\n"),
            ("p/01-l/one/cheats/b.sh", "# says: x\ntrue\n"),
        ]);
        assert_eq!(findings, []);
        let exercise = exercise.unwrap();
        assert_eq!(exercise.solution.commands(), "docker run x");
        let wrong = &exercise.wrong[0];
        assert!(
            wrong.expects("PID 7 is odd.") && wrong.expects("or this") && !wrong.expects("PID x is odd.")
        );
    }

    #[test]
    fn what_is_missing_or_unread_is_found() {
        let (exercise, findings) =
            read([("p/01-l/one/solutoin.sh", "true\n"), ("p/01-l/one/wrong/a.sh", "# says nothing\n")]);
        assert!(exercise.is_none());
        let all = findings.iter().map(Finding::to_string).collect::<Vec<_>>().join("\n");
        for part in [
            "solutoin.sh: nothing reads",
            "no solution.sh",
            "no cheats/*.sh",
            "begin with `# says",
            "no command",
        ] {
            assert!(all.contains(part), "{part} is not in\n{all}");
        }
    }
}
