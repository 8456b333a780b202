//! The programs of other people that VMs take: QEMU, and those that make its disks.

use crate::refusal::{Kind, Refusal};
use isolab_vm::hardware;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// How long one of them may take: making a disk of some hundred MB on a slow one.
const DONE_WITHIN: Duration = Duration::from_secs(120);

/// What installs them, here.
pub const MEND: &str = "make vm";

/// The path of a program of this machine, where it has it.
pub fn find(program: &str) -> Option<PathBuf> {
    // An ordinary user's PATH often lacks sbin.
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from);
    let all = usual.into_iter().chain(std::env::split_paths(&path));
    all.map(|directory| directory.join(program)).find(|path| path.is_file())
}

/// Runs one to its end. Errors carry the last line that it said.
pub async fn run(program: &str, arguments: &[&str]) -> Result<String, Refusal> {
    let unavailable = |message: String| Refusal::new(Kind::Unavailable, message).mend(MEND);
    let path = find(program).ok_or_else(|| unavailable(format!("{program} is not installed.")))?;
    let mut command = Command::new(path);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true).env_clear().env("LC_ALL", "C.UTF-8");
    let failed = |what: String| Refusal::new(Kind::Failed, format!("{program} failed: {what}."));
    let done = timeout(DONE_WITHIN, command.output()).await;
    let done =
        done.map_err(|_| failed("it took too long".into()))?.map_err(|error| failed(error.to_string()))?;
    let said = String::from_utf8_lossy(&done.stderr);
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => {
            Err(failed(said.lines().last().unwrap_or("without a word").trim_end_matches('.').to_owned()))
        }
    }
}

/// QEMU's version as it tells it. Errors: there is none, or it is too old.
pub async fn qemu_version() -> Result<String, Refusal> {
    let said = run(hardware::program(), &["--version"]).await?;
    let (major, minor) = hardware::QEMU_MIN;
    match version(&said) {
        found if found < hardware::QEMU_MIN => {
            let (a, b) = found;
            let message = format!("QEMU {a}.{b} is older than {major}.{minor}, which lab VMs need.");
            Err(Refusal::new(Kind::Unavailable, message).mend(MEND))
        }
        _ => Ok(said.lines().next().unwrap_or_default().to_owned()),
    }
}

/// The version of the QEMU at this path, (0, 0) where it does not tell. It waits for the program, which is quick.
pub fn version_of(qemu: &Path) -> (u32, u32) {
    let said = std::process::Command::new(qemu).arg("--version").stdin(Stdio::null()).output();
    said.map_or((0, 0), |said| version(&String::from_utf8_lossy(&said.stdout)))
}

/// From "QEMU emulator version 10.0.2 (Debian …)".
fn version(said: &str) -> (u32, u32) {
    let word = said.split_whitespace().skip_while(|word| *word != "version").nth(1).unwrap_or_default();
    let mut numbers = word.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// An empty disk over another, which is read where this one was not written yet. The other is named as QEMU will see it, and
/// not opened now.
pub async fn disk_over(backing: &str, format: &str, bytes: u64, disk: &Path) -> Result<(), Refusal> {
    let (disk, bytes) = (disk.to_string_lossy(), bytes.to_string());
    let create = ["create", "-q", "-u", "-f", "qcow2", "-F", format, "-b", backing, &disk, &bytes];
    run("qemu-img", &create).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_what_qemu_says() {
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright"), (10, 0));
        assert_eq!(version("QEMU emulator version 8.2.2"), (8, 2));
        assert_eq!(version("command not found"), (0, 0));
    }

    #[tokio::test]
    async fn a_program_that_fails_says_why_and_one_that_is_not_there_how_to_get_it() {
        let refusal = run("cat", &["/no/such/file"]).await.unwrap_err();
        assert!(refusal.message.contains("No such file"), "{refusal}");
        let refusal = run("no-such-program", &[]).await.unwrap_err();
        assert_eq!(refusal.mend.as_deref(), Some(MEND));
    }
}
