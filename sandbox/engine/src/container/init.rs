//! Where the program is that is bound into containers as their init (see [`crate::init`]).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const OWN: &str = "/proc/self/exe";

/// The engine's own program as a file that can be bound; where it has no name in our tree (a daemon of root's runs from a
/// file that is attached nowhere), a copy of it, made once, under the data root.
pub fn program(data_root: &Path) -> io::Result<PathBuf> {
    let own = fs::metadata(OWN)?;
    if let Ok(path) = fs::read_link(OWN)
        && fs::metadata(&path).is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino()))
    {
        return Ok(path);
    }
    let copy = data_root.join(crate::init::NAME);
    if fs::metadata(&copy).is_ok_and(|copied| copied.len() == own.len()) {
        return Ok(copy);
    }
    let half = data_root.join(format!(".{}", crate::init::NAME));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(&half)?;
    io::copy(&mut File::open(OWN)?, &mut file)?;
    fs::rename(&half, &copy)?;
    Ok(copy)
}
