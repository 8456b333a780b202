//! Which bytes Isolab's own images hold at a path: what tells a genuine `sleep` from a program that took its name.

use crate::stage::Staged;
use isolab_runtime::observe::Trusted;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The largest program that is digested, in bytes; the docker command line has about 40 MB.
const PROGRAM_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How many answers are kept. A lab's images hold a few thousand programs; a learner who makes up paths gets past it
/// and only makes the agent ask again.
const ANSWERS_MAX: usize = 4096;

/// The digests of the images' programs, computed when first asked for. All labs share one.
#[derive(Debug)]
pub struct Pristine {
    /// The lab host and every layer. A path counts where any of them holds it.
    roots: Vec<rustix::fd::OwnedFd>,
    /// By path: the digests that the images hold there.
    answers: Mutex<HashMap<String, Vec<[u8; 32]>>>,
    /// Where the engine is in a lab, and what it is.
    engine_path: String,
    engine: Option<File>,
    engine_digest: OnceLock<Option<[u8; 32]>>,
}

impl Pristine {
    /// Of what is on the stage. What cannot be opened holds nothing.
    pub fn of(staged: &Staged) -> Self {
        let layers = staged.layers.iter().map(|(_, directory)| directory);
        let directory = |path: &std::path::PathBuf| {
            open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()
        };
        let roots = std::iter::once(&staged.lab_host).chain(layers).filter_map(directory).collect();
        Self {
            roots,
            answers: Mutex::default(),
            engine_path: crate::spec::engine_path(),
            engine: File::open(&staged.engine).ok(),
            engine_digest: OnceLock::new(),
        }
    }

    fn digests(&self, path: &str) -> Vec<[u8; 32]> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers.get(path) {
            return known.clone();
        }
        let digests: Vec<_> = self.roots.iter().filter_map(|root| digest_of(find(root, path)?)).collect();
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(path.to_owned(), digests.clone());
        digests
    }
}

impl Trusted for Pristine {
    fn pristine(&self, path: &str, digest: &[u8; 32]) -> bool {
        if path == self.engine_path {
            // Not when the stage is set up: the first lab of an agent waits for that.
            let engine = || digest_of(self.engine.as_ref()?.try_clone().ok()?);
            return self.engine_digest.get_or_init(engine).as_ref() == Some(digest);
        }
        self.digests(path).contains(digest)
    }
}

/// Opens a file of an image. The path is a learner's; the image's own links are followed as if it were `/`.
fn find(root: &rustix::fd::OwnedFd, path: &str) -> Option<File> {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    openat2(root, Path::new(path), flags, Mode::empty(), resolve).ok().map(File::from)
}

fn digest_of(file: File) -> Option<[u8; 32]> {
    let stat = fstat(&file).ok()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return None;
    }
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut file = file.take(PROGRAM_BYTES_MAX);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Some(hasher.finalize().into()),
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    #[test]
    fn only_the_bytes_of_an_image_at_that_path_are_pristine() {
        let dir = tempfile::tempdir().unwrap();
        let (host, layer) = (dir.path().join("host"), dir.path().join("layer"));
        for (root, body) in [(&host, "host's sleep"), (&layer, "layer's sleep")] {
            std::fs::create_dir_all(root.join("usr/bin")).unwrap();
            std::fs::write(root.join("usr/bin/sleep"), body).unwrap();
            symlink("usr/bin", root.join("bin")).unwrap();
        }
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        symlink("../../secret", layer.join("usr/secret")).unwrap();
        std::fs::write(dir.path().join("engine"), "engine").unwrap();
        let staged = Staged {
            lab_host: host,
            index: dir.path().join("index.json"),
            layers: vec![("x".into(), layer)],
            archives: "/nonexistent".into(),
            engine: dir.path().join("engine"),
        };
        let pristine = Pristine::of(&staged);
        let is = |path: &str, body: &str| pristine.pristine(path, &sha256(body.as_bytes()));
        assert!(is("/usr/bin/sleep", "host's sleep"));
        assert!(is("/usr/bin/sleep", "layer's sleep"));
        assert!(is("/bin/sleep", "layer's sleep"), "the image's own links are followed");
        assert!(!is("/usr/bin/sleep", "a fake"));
        assert!(!is("/tmp/sleep", "host's sleep"), "the right bytes at another path are another program");
        assert!(!is("/usr/bin/sleep (deleted)", "host's sleep"));
        assert!(!is("/usr/secret", "outside"), "no link leads out of the image");
        assert!(!is("/usr/bin", ""));
        assert!(is("/usr/lib/isolab/isolab-engine", "engine"));
        assert!(!is("/usr/lib/isolab/isolab-engine", "host's sleep"));
    }
}
