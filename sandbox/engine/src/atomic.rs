//! Files and directories that are there whole or not at all, whenever the engine is killed.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// How much a change is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting {
    /// It survives the machine's losing power: it costs a wait for the disk.
    PowerLoss,
    /// It survives the engine's being killed. After a loss of power nothing runs any more, and what was said of what ran
    /// is out of date anyhow.
    Kill,
}

/// Puts a file with these contents in the place of what has this name now.
pub fn replace(path: &Path, contents: &[u8], lasting: Lasting) -> io::Result<()> {
    // One writer, the engine's one thread: the name needs to differ from the file's only. A leftover is written over.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let mut file = File::create(&beside)?;
    file.write_all(contents)?;
    if lasting == Lasting::PowerLoss {
        file.sync_all()?;
    }
    std::fs::rename(&beside, path)?;
    match (lasting, path.parent()) {
        (Lasting::PowerLoss, Some(directory)) => File::open(directory)?.sync_all(),
        _ => Ok(()),
    }
}

/// Makes a directory and fills it, at `half` until it is whole: a place in the same file system that is nobody else's.
pub fn directory(done: &Path, half: &Path, fill: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    remove_directory(half)?;
    DirBuilder::new().mode(0o755).create(half)?;
    fill()?;
    std::fs::rename(half, done)
}

/// Removes such a directory. It is moved out of the way to `half` first: what is removed by halves must not be taken for whole.
pub fn take_away(done: &Path, half: &Path) -> io::Result<()> {
    remove_directory(half)?;
    std::fs::rename(done, half)?;
    remove_directory(half)
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        std::fs::write(directory.path().join("a.json.new"), "a longer leftover of a killed engine").unwrap();
        for (contents, lasting) in [("1", Lasting::PowerLoss), ("22", Lasting::Kill)] {
            replace(&path, contents.as_bytes(), lasting).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), contents);
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_directory_is_whole_or_not_there() {
        let place = tempfile::tempdir().unwrap();
        let [done, half] = ["done", "half"].map(|name| place.path().join(name));
        std::fs::create_dir_all(half.join("of a killed engine")).unwrap();
        let fill = || std::fs::write(half.join("file"), "words");
        let failed = directory(&done, &half, || fill().and(Err(io::Error::other("full"))));
        assert_eq!((failed.unwrap_err().to_string().as_str(), done.exists()), ("full", false));
        directory(&done, &half, fill).unwrap();
        let names = |path: &Path| -> Vec<_> {
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect()
        };
        assert_eq!((names(&done), names(place.path())), (vec!["file".into()], vec!["done".into()]));
        take_away(&done, &half).unwrap();
        assert!(names(place.path()).is_empty());
        take_away(&done, &half).unwrap_err();
    }
}
