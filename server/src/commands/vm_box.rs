//! `isolab vm box`: the instructors' VM, as a box that vagrant starts. The recipe (`vagrant/box`) builds it; starting it is vagrant's.

use crate::home::Home;
use crate::programs;
use anyhow::{Context, bail};
use clap::Args;
use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::{fs, io};
use tokio::process::Command;

/// The recipe, from the folder that Isolab was built in or is installed to.
const BOX_RECIPE: &str = "vagrant/box/build";

/// Build the instructors' VM as a box for vagrant, and print where it is; done at once where nothing has changed
#[derive(Debug, Args)]
pub(super) struct BuildBox {
    /// Put a copy of the box there
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Build anew, with the packages that the distribution has today
    #[arg(long)]
    fresh: bool,
    /// Which provider of vagrant it is for: libvirt, virtualbox or vmware_desktop [default: libvirt]
    #[arg(long, value_name = "PROVIDER")]
    format: Option<String>,
    /// With QEMU inside, for labs in virtual machines
    #[arg(long)]
    qemu: bool,
}

impl BuildBox {
    pub async fn run(self, home: &Home) -> anyhow::Result<ExitCode> {
        let mut recipe = Command::new(programs::recipe(BOX_RECIPE)?);
        // The programs that go into the box are those that this one belongs to.
        let agent = programs::find("isolab-agent")?;
        recipe
            .env("ISOLAB_BIN_DIR", agent.parent().unwrap_or(Path::new("/")))
            .env("ISOLAB_HOME", home.path());
        recipe.args(self.fresh.then_some("--fresh"));
        if let Some(format) = self.format {
            recipe.env("ISOLAB_BOX_FORMAT", format);
        }
        if self.qemu {
            recipe.env("ISOLAB_BOX_QEMU", "1");
        }
        let child = recipe.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let done = child.context("the recipe of the box cannot be run")?.wait_with_output().await?;
        if !done.status.success() {
            return Ok(super::status(done.status.code().unwrap_or(1)));
        }
        let built = path_in(&done.stdout)?;
        let path = match self.output {
            Some(output) => {
                let copied = copy(&built, &output);
                copied.with_context(|| {
                    format!("{} cannot be copied to {}", built.display(), output.display())
                })?;
                output
            }
            None => built,
        };
        writeln!(io::stdout(), "{}", path.display())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The path that the recipe printed, and nothing else.
fn path_in(printed: &[u8]) -> anyhow::Result<PathBuf> {
    let line = printed.trim_ascii();
    if line.is_empty() || line.contains(&b'\n') {
        bail!(
            "the recipe of the box did not say where the box is, but: {}",
            String::from_utf8_lossy(line).escape_debug()
        );
    }
    Ok(PathBuf::from(OsStr::from_bytes(line)))
}

/// Copies beside the target first, so that a box which is there is whole.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let name = to.file_name().ok_or_else(|| io::Error::other("that is not the name of a file"))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut part = OsStr::new(".").to_owned();
    part.push(name);
    part.push(format!(".{}", std::process::id()));
    let part = folder.join(part);
    let done = fs::copy(from, &part).and_then(|_| fs::rename(&part, to));
    if done.is_err() {
        let _ = fs::remove_file(&part);
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_recipe_prints_is_one_path() {
        assert_eq!(
            path_in(b"/var/lib/isolab/box/ab/isolab.box\n").unwrap(),
            Path::new("/var/lib/isolab/box/ab/isolab.box")
        );
        assert!(path_in(b"\n").is_err());
        assert!(path_in(b"a\nb\n").is_err());
    }

    #[test]
    fn a_copy_is_whole_or_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to.box"));
        fs::write(&from, "box").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"box");
        assert!(copy(&folder.path().join("none"), &folder.path().join("other")).is_err());
        assert!(copy(&from, Path::new("/")).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
