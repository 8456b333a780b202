//! Does what a case says on both sides, at the same time, and hands what came of it to be judged.

use crate::daemon::Daemon;
use crate::table::{Compared, Table};
use isolab_tests::parity::case::Case;
use isolab_tests::parity::meant::{Meant, Verdict};
use isolab_tests::parity::{difference, normalise};
use isolab_tests::programs::{self, Ended};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

/// A case that takes longer hangs. It takes a second, ten times that on a busy machine.
const CASE_TIME_MAX: Duration = Duration::from_secs(120);

/// How many cases are under way at once. Most of a case is waiting for the daemons, which take turns in the kernel.
const AT_ONCE: usize = 3;

/// The two that are compared.
pub struct Sides {
    /// Docker.
    pub theirs: Daemon,
    /// Our engine.
    pub ours: Daemon,
}

impl Sides {
    /// Ends both, and waits for them.
    pub fn end(self) {
        std::thread::scope(|scope| {
            scope.spawn(|| drop(self.theirs));
            drop(self.ours);
        });
    }
}

/// A command line under test.
pub struct Client {
    /// Put behind the names of cases that are tried with it.
    word: &'static str,
    /// A folder in which it is called `docker`.
    folder: PathBuf,
    /// A folder for its configuration, which is empty.
    config: PathBuf,
}

/// What command lines say, or not, as it happens: the older one when a container could not be started, the newer one when a
/// copy into a container is refused.
const RACES: [&str; 2] =
    ["level=error msg=\"error waiting for container: context canceled\"", "io: read/write on closed pipe\""];

/// What every script begins with. A failing command says how it failed, in the place where it did.
const PRELUDE: &str = r#"
set -o pipefail
trap 'echo "[exit $?]"' ERR
host() { nsenter --target "$DAEMON" --mount --net --pid --uts --ipc -- "$@"; }
# Waits until a command succeeds: `until-ok docker exec $N test -e /ready`.
until-ok() { local i; for i in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; return 1; }
# Runs a command with a terminal of 80 columns.
on-a-terminal() { script --quiet --return --command "stty cols 80 rows 24; $1" /dev/null; }
# Starts a registry on the daemon's loopback device: `registry PORT`, and what else its configuration has.
registry() {
  printf '%s\n' 'version: 0.1' 'log: {level: error}' "storage: {filesystem: {rootdirectory: $PWD/$N.registry}}" \
    "http: {addr: \"127.0.0.1:$1\"}" "${@:2}" >$N.yml
  nsenter --target "$DAEMON" --net -- /usr/bin/docker-registry serve $N.yml >/dev/null 2>&1 &
  until-ok nsenter --target "$DAEMON" --net -- bash -c ": </dev/tcp/127.0.0.1/$1"
}
# What is told of each layer, in one line. The order among layers, and whether one is seen to wait, to be verified or complete, is
# a race in Docker.
by-layer() {
  awk 'function flush(i) { for (i = 1; i <= count; i++) print ids[i] told[ids[i]]; count = 0; split("", told) }
    length($1) != 13 || $1 !~ /^[0-9a-f]+:$/ { flush(); print; next }
    !($1 in told) { ids[++count] = $1; told[$1] = last[$1] = "" }
    { what = substr($0, 14) }
    what != last[$1] && what !~ /Waiting|Verifying|Download complete/ { told[$1] = told[$1] what; last[$1] = what }
    END { flush() }'
}
sweep() {
  local left; left=$(docker ps -aq --filter name=$N 2>/dev/null) && [ -n "$left" ] && docker rm -fv $left
  left=$(jobs -p) && [ -n "$left" ] && kill $left && wait
}
trap 'status=$?; trap - ERR; sweep >/dev/null 2>&1; exit $status' EXIT
"#;

impl Client {
    /// The command line at this path.
    pub fn new(program: PathBuf, word: &'static str, place: &Path) -> Result<Self, String> {
        let folder = place.join(format!("client{word}"));
        let config = place.join(format!("config{word}"));
        let made = std::fs::create_dir(&folder)
            .and_then(|()| std::fs::create_dir(&config))
            .and_then(|()| std::os::unix::fs::symlink(&program, folder.join("docker")));
        made.map_err(|error| format!("{}: {error}", folder.display()))?;
        Ok(Self { word, folder, config })
    }

    fn run(&self, daemon: &Daemon, programs: &Path, case: &Case) -> Result<Ended, String> {
        let path = std::env::var("PATH").unwrap_or_default();
        let name = case.name.replace('/', "-");
        let mut command = Command::new("bash");
        command.args(["-c", &format!("{PRELUDE}{}", case.script)]);
        command.env("PATH", format!("{}:{path}", self.folder.display()));
        // The digit keeps a name from being the beginning of another's.
        command.env("N", format!("{name}{}-0", self.word.replace('@', "-")));
        command.env("DOCKER_HOST", daemon.host()).env("DOCKER_CONFIG", &self.config);
        command.env("DAEMON", daemon.pid().to_string()).env("PROGRAMS", programs);
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        command.env("HERE", tests.join("parity")).current_dir(daemon.folder());
        command.env("PYTHON_SDK", python_sdk());
        command.env("PROFILE", tests.join("../sandbox/runtime/assets/seccomp/default.json"));
        command.env("LC_ALL", "C").env_remove("DOCKER_CONTEXT").env_remove("DOCKER_API_VERSION");
        programs::run(&mut command, CASE_TIME_MAX).map_err(|error| error.to_string())
    }

    /// What both sides said of a case, and how that is to be judged.
    fn compare(&self, sides: &Sides, programs: &Path, case: &Case, meant: &Meant) -> Compared {
        let name = format!("{}{}", case.name, self.word);
        let said = std::thread::scope(|scope| {
            let theirs = scope.spawn(|| self.run(&sides.theirs, programs, case));
            let ours = self.run(&sides.ours, programs, case);
            [theirs.join().unwrap_or_else(|_| Err("it panicked".into())), ours]
        });
        // That Docker's side fails altogether says nothing of ours.
        let hangs = said[0].is_err();
        let said = said.map(|ended| text_of(ended, case));
        let broken = hangs.then(|| Verdict::Wrong(format!("it hangs with Docker; {}", said[0])));
        let missing = case.docker_says.as_ref().filter(|words| !said[0].contains(words.as_str()));
        let broken =
            broken.or_else(|| missing.map(|words| Verdict::Wrong(format!("Docker does not say {words:?}"))));
        let judged = || meant.judge(&name, &difference::between(&said[0], &said[1]));
        let verdict = broken.unwrap_or_else(judged);
        Compared { name, said, verdict }
    }
}

/// All that can be seen of a run.
fn text_of(ended: Result<Ended, String>, case: &Case) -> String {
    match ended {
        Ok(ended) => {
            let mut text = String::new();
            for (what, output) in [("", &ended.stdout), ("errors: ", &ended.stderr)] {
                for line in output.lines().filter(|line| !RACES.iter().any(|race| line.ends_with(race))) {
                    text.push_str(&format!("{what}{line}\n"));
                }
                if !output.is_empty() && !output.ends_with('\n') {
                    text.push_str("(no end of line)\n");
                }
            }
            text.push_str(&format!("ended with {}\n", ended.code()));
            normalise::normalise(&text, case.names)
        }
        // The message begins with all of the command, which has the script in it.
        Err(what) => format!(
            "it did not end; it printed: {}\n",
            what.rsplit("it printed: ").next().unwrap_or_default()
        ),
    }
}

/// Where `scripts/setup` puts Docker's library for Python.
fn python_sdk() -> PathBuf {
    if let Some(folder) = std::env::var_os("ISOLAB_PYTHON_SDK") {
        return folder.into();
    }
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::env::var_os("CARGO_TARGET_DIR").map_or(own, PathBuf::from).join("python-sdk")
}

/// Why a need is not met here.
fn lacks(need: &str) -> Option<String> {
    if need == "python-sdk" {
        let python = python_sdk().join("bin/python");
        let missing =
            || format!("Docker's library for Python is not in {} (`scripts/setup test`)", python.display());
        return (!python.exists()).then(missing);
    }
    if need != "all-capabilities" {
        return (!Path::new(need).exists()).then(|| format!("there is no {need}"));
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let last: u32 = read("/proc/sys/kernel/cap_last_cap").trim().parse().unwrap_or(63);
    let status = read("/proc/self/status");
    let mask = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap_or_default();
    let held = u64::from_str_radix(mask.trim(), 16).unwrap_or(0);
    let all = u64::MAX >> (63 - last.min(63));
    (held != all).then(|| {
        format!("root of this machine lacks capabilities ({held:x} of {all:x}), and dockerd insists")
    })
}

/// Tries all cases, several at once; then those that want to be alone.
pub fn all(
    sides: &Sides,
    client: &Client,
    programs: &Path,
    cases: &[Case],
    meant: &Meant,
    table: &mut Table,
) {
    let mut can = vec![];
    for case in cases {
        match case.needs.iter().find_map(|need| lacks(need)) {
            Some(why) => table.skip(case, &format!("{}{}", case.name, client.word), &why),
            None => can.push(case),
        }
    }
    let (alone, together): (Vec<&Case>, Vec<&Case>) = can.into_iter().partition(|case| case.alone);
    for (cases, at_once) in [(together, AT_ONCE), (alone, 1)] {
        let queue = Mutex::new(VecDeque::from(cases));
        let (sender, results) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..at_once {
                let (queue, sender) = (&queue, sender.clone());
                scope.spawn(move || {
                    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    while let Some(case) = next() {
                        let compared = client.compare(sides, programs, case, meant);
                        // The receiver lives until all senders are gone.
                        let _ = sender.send((case.group().to_owned(), compared));
                    }
                });
            }
            drop(sender);
            results.iter().for_each(|(group, compared)| table.add(&group, compared));
        });
    }
}
