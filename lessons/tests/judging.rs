//! The embedded lessons, judged against states made by hand: what `isolab lesson test` proves in labs, in milliseconds,
//! and states that no honest lab has.
#![forbid(unsafe_code)]

use isolab_lessons::Course;
use isolab_protocol::observation::{Container, Namespace, Process};
use isolab_protocol::{Observation, Verdict, VerdictState};

/// One lab host with one container, `pid-test`, in which `sleep` is PID 1.
fn sample() -> Observation {
    serde_json::from_str(include_str!("../src/vocabulary.json")).unwrap()
}

fn judge(lesson: &str, observation: &Observation) -> Vec<Verdict> {
    Course::embedded().lesson(lesson).unwrap().judge(observation)
}

fn verdict(lesson: &str, check: &str, observation: &Observation) -> Verdict {
    judge(lesson, observation).into_iter().find(|verdict| verdict.check == check).unwrap()
}

/// A container like the sample's, changed.
fn container(name: &str, pid: u32, change: impl Fn(&mut Container)) -> Container {
    let mut container = sample().containers.remove(0);
    container.name = name.to_owned();
    container.init.pid = pid;
    container.init.pids[0] = pid;
    change(&mut container);
    container.processes = vec![container.init.clone()];
    container
}

const ONE: &str = "namespaces/01-one-kernel";
const PIDS: &str = "namespaces/02-pid-namespace";

#[test]
fn the_document_s_command_passes_with_evidence() {
    let observation = sample();
    let passed = verdict(PIDS, "sleep-is-pid-1", &observation);
    assert_eq!(passed.state, VerdictState::Passed, "{passed:?}");
    assert_eq!(
        (passed.evidence[0].saw.as_str(), passed.evidence[0].place.as_str()),
        ("NSpid: 38 1", "/proc/38/status")
    );
    let passed = verdict(PIDS, "own-pid-namespace", &observation);
    assert_eq!(passed.state, VerdictState::Passed, "{passed:?}");
    assert_eq!(passed.evidence[0].saw, "pid:[4026532801]");
}

#[test]
fn names_and_arguments_alone_pass_nothing() {
    for (what, said, change) in [
        ("renamed", "calls itself \"sleep 3600\", but executes /usr/bin/tail", "/usr/bin/tail"),
        ("replaced", "is not the one of the image", ""),
    ] {
        let mut observation = sample();
        observation.containers[0] = container("pid-test", 38, |c| {
            if change.is_empty() {
                c.init.executable.pristine = false;
            } else {
                c.init.executable.path = change.to_owned();
            }
        });
        let open = verdict(PIDS, "sleep-is-pid-1", &observation);
        assert_eq!(open.state, VerdictState::Open, "{what}");
        assert!(open.message.contains(said), "{what}: {}", open.message);
    }
}

#[test]
fn a_shared_namespace_opens_one_check_and_passes_the_other() {
    let mut observation = sample();
    let host = observation.host.namespaces.pid.inode;
    let share = |c: &mut Container| {
        c.namespaces.pid = Namespace { inode: host, shared: true };
        c.init.namespaces = c.namespaces.clone();
        c.init.pids.truncate(1);
        c.init.pid_inside = c.init.pid;
    };
    observation.containers = vec![container("pid-test", 40, share), container("see-all", 41, share)];
    let states: Vec<_> =
        judge(PIDS, &observation).into_iter().map(|verdict| (verdict.check, verdict.state)).collect();
    let expected = [
        ("sleep-is-pid-1", VerdictState::Open),
        ("own-pid-namespace", VerdictState::Open),
        ("sees-the-host", VerdictState::Passed),
        ("three-numbers", VerdictState::Open),
    ];
    assert_eq!(states, expected.map(|(check, state)| (check.to_owned(), state)));
}

#[test]
fn a_file_with_another_hostname_changes_nothing() {
    let mut observation = sample();
    observation.containers = vec![container("two-names", 40, |c| c.hostname = "5f0c3f1d9a7b".to_owned())];
    let open = verdict(ONE, "two-hostnames", &observation);
    assert_eq!(
        open.message,
        "The kernel says that two-names is called 5f0c3f1d9a7b. A file or a variable with another name changes nothing."
    );
    observation.containers[0].hostname = "lighthouse".to_owned();
    assert_eq!(verdict(ONE, "two-hostnames", &observation).state, VerdictState::Passed);
    observation.host.hostname = "lighthouse".to_owned();
    assert_eq!(verdict(ONE, "two-hostnames", &observation).state, VerdictState::Open);
}

/// States that a hostile or a dying lab may show. None may break a check, and none may pass one.
#[test]
fn nothing_that_a_lab_can_hold_breaks_a_check() {
    let hostile = "\u{0}\u{1b}[2J{box}<script>'\"`${x}\u{202e}\n".repeat(300);
    type Change = fn(&mut Process, &str);
    let changes: [(&str, Change); 6] = [
        ("a zombie", |p, _| {
            p.state = "Z".into();
            p.executable.path.clear();
            p.executable.pristine = false;
            p.argv.clear();
            for namespace in [&mut p.namespaces.pid, &mut p.namespaces.mnt, &mut p.namespaces.uts] {
                *namespace = Namespace { inode: 0, shared: false };
            }
        }),
        ("hostile arguments", |p, text| {
            p.argv = vec![text.to_owned(); 50];
            p.comm = text.to_owned();
            p.executable.path = format!("/{text}");
        }),
        ("no pids", |p, _| {
            p.pids.clear();
            p.pid_inside = 0;
            p.executable.pristine = false;
        }),
        ("odd capability sets", |p, text| {
            p.capabilities.effective = text.to_owned();
            p.executable.pristine = false;
        }),
        ("the largest numbers", |p, _| {
            p.pid = u32::MAX;
            p.namespaces.pid.inode = u64::MAX;
            p.executable.pristine = false;
        }),
        ("sleep by name only", |p, _| {
            p.argv = vec!["sleep 3600".into()];
            p.pids = vec![9, 8, 1];
            p.executable.path = "/usr/bin/tail".into();
        }),
    ];
    let names = ["pid-test", "see-all", "one-kernel", "two-names", "other-files", "", &hostile];
    for (what, change) in changes {
        let mut observation = sample();
        let made =
            names.iter().zip(50..).map(|(name, pid)| container(name, pid, |c| change(&mut c.init, &hostile)));
        observation.containers = made.collect();
        let zombies = what == "a zombie";
        observation
            .containers
            .iter_mut()
            .filter(|_| zombies)
            .for_each(|c| c.namespaces = c.init.namespaces.clone());
        observation.host.hostname = hostile.clone();
        observation.host.processes.iter_mut().for_each(|process| change(process, &hostile));
        for lesson in [ONE, PIDS] {
            for verdict in judge(lesson, &observation) {
                // Whose namespace it is does not depend on what runs in it: that check is of the namespace alone.
                if zombies || verdict.check != "own-pid-namespace" {
                    assert_eq!(verdict.state, VerdictState::Open, "{what}: {verdict:?}");
                }
                let texts = verdict
                    .evidence
                    .iter()
                    .flat_map(|e| [&e.wanted, &e.saw, &e.place])
                    .chain([&verdict.message]);
                for text in texts {
                    assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{what}: {text:?}");
                    assert!(text.len() < 1500, "{what}: {} bytes", text.len());
                }
            }
        }
    }
}
