//! Puts the bundled web assets (`web/dist`, made by `make web`) into the program.
//!
//! Writes `assets.rs`: a table of paths and bytes, and one digest over all of them that names their address,
//! so that browsers may keep them for ever and relative imports between them still work.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../web/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    println!("cargo::rerun-if-changed=migrations");
    let mut files = Vec::new();
    collect(&dist, &mut files);
    if files.is_empty() {
        println!(
            "cargo::error=web/dist is missing or empty: run `make web` first, which bundles styles and scripts"
        );
        return;
    }
    files.sort_by(|a, b| a.as_os_str().cmp(b.as_os_str()));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets it"));
    fs::write(out.join("assets.rs"), table(&dist, &files, &out)).expect("the build directory is writable");
}

/// Every file below `folder`; nothing where the folder cannot be read.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { collect(&path, files) } else { files.push(path) }
    }
}

/// The assets are copied first: `make web` may run again before the compiler reads them.
fn table(dist: &Path, files: &[PathBuf], out: &Path) -> String {
    let mut digest = DefaultHasher::new();
    let mut rows = String::new();
    for (n, file) in files.iter().enumerate() {
        let name =
            file.strip_prefix(dist).expect("it was found there").to_str().expect("assets have UTF-8 names");
        let bytes = fs::read(file).expect("assets are readable");
        (name, &bytes).hash(&mut digest);
        let copy = out.join(format!("asset-{n}"));
        fs::write(&copy, bytes).expect("the build directory is writable");
        writeln!(rows, "    ({name:?}, include_bytes!({copy:?})),").expect("a string takes it");
    }
    format!(
        "/// The digest of all assets.\npub const DIGEST: &str = \"{:016x}\";\n\
         /// Path and content of each asset, by path.\npub static FILES: &[(&str, &[u8])] = &[\n{rows}];\n",
        digest.finish()
    )
}
