//! The runtime under engines that are not ours: a real dockerd with `--add-runtime`, and podman with `--runtime`.
//!
//! Each engine has namespaces of its own, all that it keeps on a tmpfs in them, and a control group of its own for its
//! containers: what is left when it ends is looked for, and nothing else of the machine is touched. That it is really our runtime
//! which is asked shows in the calls that it was given, written down on the way.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod docker;
mod podman;

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const BUSYBOX: &str = "/bin/busybox";

/// Says why a test cannot run here, past libtest's capture. `ISOLAB_REQUIRE_ALL_TESTS=1` makes it a failure.
fn skip(why: &str) {
    assert!(std::env::var_os("ISOLAB_REQUIRE_ALL_TESTS").is_none(), "cannot run: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED, because {why}");
}

/// What keeps a test of these programs from running here.
fn obstacle(programs: &[&str]) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("an engine of the machine's runs as root only".into());
    }
    if let Some(missing) = programs.iter().chain(&[BUSYBOX]).find(|program| !Path::new(program).exists()) {
        return Some(format!("there is no {missing}"));
    }
    let mut probe = Command::new("unshare");
    probe.args(NAMESPACES).args(["mount", "-t", "tmpfs", "tmpfs", "/run"]);
    match probe.output().is_ok_and(|output| output.status.success()) {
        true => None,
        false => Some("this machine lets nobody have namespaces of his own".into()),
    }
}

/// The arguments of `unshare`: the program in them ends with `unshare`, and everything of it with the program.
const NAMESPACES: [&str; 10] = [
    "--net",
    "--mount",
    "--pid",
    "--uts",
    "--ipc",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation",
    "private",
];

/// A place outside of the namespaces: an image, a runtime that writes down how it is called, and the name of a control group.
struct Place {
    folder: tempfile::TempDir,
    group: String,
}

impl Place {
    fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("isolab-engines-").tempdir().unwrap();
        let place = Self { folder, group: format!("isolab-{name}-{}", std::process::id()) };
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {}\nexec {} \"$@\"\n",
            place.path("calls").display(),
            env!("CARGO_BIN_EXE_isolab-runtime")
        );
        std::fs::write(place.path("runtime"), script).unwrap();
        std::fs::set_permissions(place.path("runtime"), PermissionsExt::from_mode(0o755)).unwrap();
        place.make_image();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An archive for `import`, with a busybox and its names.
    fn make_image(&self) {
        let root = self.path("root");
        std::fs::create_dir_all(root.join("bin")).unwrap();
        std::fs::create_dir(root.join("tmp")).unwrap();
        std::fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
        for name in ["sh", "true", "sleep", "cat", "tty", "ip", "mknod", "grep", "seq", "id"] {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).arg("-cf").arg(self.path("image.tar")).arg(".");
        assert!(tar.status().unwrap().success());
    }

    /// How the runtime was called.
    fn calls(&self) -> String {
        std::fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// The control groups of containers that are still there, in any hierarchy. An engine may remove a container that could not
    /// be started after it has told so.
    fn groups_left(&self) -> Vec<PathBuf> {
        let settled = (0..500).any(|_| {
            self.groups().is_empty() || {
                std::thread::sleep(std::time::Duration::from_millis(20));
                false
            }
        });
        if settled { vec![] } else { self.groups() }
    }

    fn groups(&self) -> Vec<PathBuf> {
        let mut left = vec![];
        for group in self.parents() {
            let entries = std::fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
            left.extend(entries.filter(|path| path.is_dir() && !path.ends_with("conmon")));
        }
        left
    }

    fn parents(&self) -> Vec<PathBuf> {
        let hierarchies = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let hierarchies = hierarchies.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]);
        hierarchies.map(|hierarchy| hierarchy.join(&self.group)).filter(|group| group.is_dir()).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for group in self.parents() {
            // Deepest first; the kernel is a moment behind the processes that have ended.
            for path in self.groups().iter().chain([&group.join("conmon"), &group]) {
                for _ in 0..100 {
                    if std::fs::remove_dir(path).is_ok() || !path.exists() {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
            }
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `exit status|output|errors`, for messages.
fn told(output: &Output) -> String {
    format!("{:?}|{}|{}", output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The arguments of `timeout`: docker passes the first signal on to its container, and has to be killed. A command takes a second where
/// its engine works. Without `--foreground` it moves the command to a process group of its own, in which the terminal
/// stops it as soon as it sets that to raw.
const TIMEOUT: [&str; 3] = ["--foreground", "--kill-after=5", "60"];

/// `script` runs its line with this. Some shells become the line's last command and some do not, which makes a difference to its
/// process group: whoever runs the tests has no say in it.
const SHELL: &str = "/bin/sh";

/// Whether `timeout` ended it: it answers 124, or dies of the signal with which it kills.
fn was_ended(output: &Output) -> bool {
    matches!(output.status.code(), Some(124) | None)
}

/// Shell: what the processes of a pid namespace wait for, where a command hangs.
const LOOK: &str = r#"
ps -eo pid,ppid,stat,wchan:30,etimes,args
for process in /proc/[0-9]*; do
  echo "$process: $(cat "$process/syscall")"; head -n 8 "$process/stack"
done
"#;

fn quiet(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}
