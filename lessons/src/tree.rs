//! The files that lessons are made of: embedded in the program, or read from an author's folder.
//!
//! Nothing here knows what the files mean.

use include_dir::{Dir, include_dir};
use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;

static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/content");

/// The largest file that a lesson may have, in bytes: the agent takes no longer setup script.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// The most files below the lessons' folder. A course of sixty lessons has some two thousand; a folder
/// with more was named by mistake (a home, a checkout) and must not be read into memory.
const FILES_MAX: usize = 8192;

/// The deepest file is `part/lesson/exercise/wrong/name.sh`.
const DEPTH_MAX: usize = 5;

/// Text files by their path below the lessons' folder, with `/` between names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree(BTreeMap<String, String>);

impl Tree {
    /// The lessons that the program was built with.
    pub fn embedded() -> Self {
        let mut tree = Self::default();
        tree.embed(&EMBEDDED);
        tree
    }

    fn embed(&mut self, dir: &Dir<'_>) {
        for file in dir.files() {
            let path = file.path().to_string_lossy().into_owned();
            self.0.insert(path, String::from_utf8_lossy(file.contents()).into_owned());
        }
        dir.dirs().for_each(|inner| self.embed(inner));
    }

    /// The lessons in `folder`. Errors: what could not be read, or is too large to be a lesson.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.walk(folder, "", DEPTH_MAX)?;
        Ok(tree)
    }

    fn walk(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<()> {
        if depth == 0 {
            return Err(Error::new(
                ErrorKind::InvalidData,
                format!("{prefix} is nested too deep for a lesson"),
            ));
        }
        for entry in std::fs::read_dir(folder).map_err(|error| named(folder, &error))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // Editors leave their own files behind: `.lesson.md.swp`, `lesson.md~`.
            if name.starts_with('.') || name.ends_with('~') {
                continue;
            }
            let path = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"), depth - 1)?;
            } else {
                self.add(path, &entry.path())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, file: &Path) -> Result<()> {
        let size = file.metadata().map_err(|error| named(file, &error))?.len();
        if size > FILE_BYTES_MAX {
            let message = format!("{path} has {size} bytes; a lesson's file has at most {FILE_BYTES_MAX}");
            return Err(Error::new(ErrorKind::InvalidData, message));
        }
        if self.0.len() >= FILES_MAX {
            let message = format!("more than {FILES_MAX} files: this is not a folder of lessons");
            return Err(Error::new(ErrorKind::InvalidData, message));
        }
        let text = std::fs::read_to_string(file).map_err(|error| named(file, &error))?;
        self.0.insert(path, text);
        Ok(())
    }

    /// A file's text.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// The paths and texts of all files below `prefix` (which ends with `/` or is empty), in order.
    pub fn below(&self, prefix: &str) -> impl Iterator<Item = (&str, &str)> {
        let from = self.0.range(prefix.to_owned()..);
        from.take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The names of the folders directly below `prefix`, in order.
    pub fn folders(&self, prefix: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .below(prefix)
            .filter_map(|(path, _)| path[prefix.len()..].split_once('/'))
            .map(|(name, _)| name)
            .collect();
        names.dedup();
        names
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Tree {
    fn from(files: [(&str, &str); N]) -> Self {
        Self(files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect())
    }
}

fn named(path: &Path, error: &Error) -> Error {
    Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_reads_as_the_embedded_tree_does() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("content");
        assert_eq!(Tree::read(&folder).unwrap().0, Tree::embedded().0);
    }

    #[test]
    fn folders_are_named_once() {
        let tree = Tree::from([("a/b/x", ""), ("a/b/y", ""), ("a/c/x", ""), ("a/z", ""), ("ab/d/x", "")]);
        assert_eq!(tree.folders("a/"), ["b", "c"]);
        assert_eq!(tree.folders(""), ["a", "ab"]);
    }

    #[test]
    fn what_is_no_lesson_is_refused_by_size_and_depth() {
        let folder = tempfile::tempdir().unwrap();
        let big = "x".repeat(FILE_BYTES_MAX as usize + 1);
        std::fs::write(folder.path().join("big.md"), big).unwrap();
        assert!(Tree::read(folder.path()).unwrap_err().to_string().contains("at most"));

        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("1/2/3/4/5/6")).unwrap();
        assert!(Tree::read(folder.path()).unwrap_err().to_string().contains("nested too deep"));
        assert!(Tree::read(&folder.path().join("absent")).unwrap_err().to_string().contains("absent"));
    }
}
