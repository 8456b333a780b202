//! A test harness without threads: each test runs in a process of its own, because it forks zygotes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What a test says when it did not fail.
pub enum Outcome {
    Passed,
    /// Why it cannot run here.
    Skipped(String),
}

/// A named test. It fails by panicking.
pub type Test = (&'static str, fn() -> Outcome);

/// The exit status by which a test's process says "skipped".
const SKIPPED: i32 = 77;
/// Set in the process of a single test.
const SINGLE: &str = "ISOLAB_TEST_SINGLE";

/// Runs the tests whose names contain the arguments that are not options.
pub fn run(groups: &[&[Test]]) -> ExitCode {
    let tests: Vec<Test> = groups.iter().flat_map(|group| group.iter().copied()).collect();
    if let Ok(name) = std::env::var(SINGLE) {
        return single(&tests, &name);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<_> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let chosen = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str()));
    let chosen: Vec<_> = tests.iter().filter(|(name, _)| chosen(name)).collect();
    if arguments.iter().any(|a| a == "--list") {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let mut ends = Vec::new();
    let copy = readable_copy();
    for user in users() {
        ends.extend(chosen.iter().map(|(name, _)| one(name, user.as_deref(), &copy.path().join(COPY))));
    }
    drop(copy);
    let count = |wanted| ends.iter().filter(|&&end| end == wanted).count();
    let failed = count(End::Failed);
    // `scripts/test` adds these up.
    println!("\n{} passed, {failed} failed, {} skipped", count(End::Passed), count(End::Skipped));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn single(tests: &[Test], name: &str) -> ExitCode {
    let Some((_, test)) = tests.iter().find(|(n, _)| *n == name) else { return ExitCode::FAILURE };
    match test() {
        Outcome::Passed => ExitCode::SUCCESS,
        Outcome::Skipped(why) => {
            println!("{why}");
            ExitCode::from(SKIPPED as u8)
        }
    }
}

/// Ourselves, and, as root, an ordinary user too.
fn users() -> Vec<Option<String>> {
    let mut users = vec![None];
    if nix::unistd::geteuid().is_root() {
        let name = std::env::var("ISOLAB_TEST_USER").unwrap_or_else(|_| "learner".into());
        match user_named(|line, _| line == name) {
            Some(_) => users.push(Some(name)),
            None => println!("SKIPPED as an ordinary user: there is no user {name} (useradd {name})"),
        }
    }
    users
}

/// The user of `/etc/passwd` whose name and uid are these. Not `getpwnam`: a static program that asks for a user who is not in
/// that file loads whatever else the machine looks users up with (libnss-systemd), and dies of it.
pub fn user_named(is: impl Fn(&str, &str) -> bool) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let mut names = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        is(name, uid).then(|| name.to_owned())
    });
    names.next()
}

/// How a test's process ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Passed,
    Failed,
    Skipped,
}

fn one(name: &str, user: Option<&str>, copy: &Path) -> End {
    let mut command = match user {
        None => Command::new(copy),
        Some(user) => {
            let mut command = Command::new("runuser");
            command.args(["-u", user, "--"]).arg(copy).current_dir("/");
            command
        }
    };
    let output = command.env(SINGLE, name).output().expect("the test's process starts");
    let words = [output.stdout, output.stderr].concat();
    let words = String::from_utf8_lossy(&words);
    let who = user.unwrap_or("as we are");
    let (end, said) = match output.status.code() {
        Some(0) => (End::Passed, "ok".to_owned()),
        Some(SKIPPED) => (End::Skipped, format!("SKIPPED: {}", words.trim())),
        _ => (End::Failed, format!("FAILED\n{words}")),
    };
    println!("test {name} ({who}) ... {said}");
    end
}

/// The name of a copy of this program.
const COPY: &str = "containers";

/// A copy of this program, because an ordinary user may not be able to look into our target directory.
fn readable_copy() -> tempfile::TempDir {
    let directory = tempfile::Builder::new().prefix("isolab-test-").tempdir().expect("a directory");
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).expect("its mode");
    let copy = directory.path().join(COPY);
    std::fs::copy("/proc/self/exe", &copy).expect("a copy of ourselves");
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).expect("its mode");
    directory
}
