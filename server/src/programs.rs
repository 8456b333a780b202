//! Where Isolab's other programs and its recipes are.

use std::path::{Path, PathBuf};
use std::{env, io};

/// The path of one of Isolab's programs: in `ISOLAB_BIN_DIR`, else beside this one. Errors say where it was sought.
pub fn find(name: &str) -> io::Result<PathBuf> {
    let folder = match env::var_os("ISOLAB_BIN_DIR").filter(|v| !v.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => beside(&env::current_exe()?),
    };
    let program = folder.join(name);
    if program.is_file() {
        return Ok(program);
    }
    let why = format!(
        "the program {name} is not in {}; build it there (`make build`), or name its directory in ISOLAB_BIN_DIR",
        folder.display()
    );
    Err(io::Error::new(io::ErrorKind::NotFound, why))
}

/// The directory of `executable`; for a test, which cargo puts into `deps`, the directory above that.
fn beside(executable: &Path) -> PathBuf {
    let folder = executable.parent().unwrap_or(Path::new("/"));
    if folder.ends_with("deps") { folder.parent().unwrap_or(folder).to_owned() } else { folder.to_owned() }
}

/// Where an installed Isolab has its recipes.
const INSTALLED: &str = "/usr/share/isolab";

/// The path of a recipe, which is a script with files beside it: in the folder that this program was built in, or where Isolab is
/// installed. Errors say where it was sought.
pub fn recipe(path: &str) -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folders = program.ancestors().chain([Path::new(INSTALLED)]);
    folders.map(|folder| folder.join(path)).find(|recipe| recipe.is_file()).ok_or_else(|| {
        let why = format!(
            "the recipe {path} is neither in a folder above {} nor in {INSTALLED}; run the program that `make build` made",
            program.display()
        );
        io::Error::new(io::ErrorKind::NotFound, why)
    })
}
