//! What lab VMs are made of, as the recipe (`vagrant/image`) left it: kernel, initrd and disks, read only.

use serde::Deserialize;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The largest manifest that is read, in bytes.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The directory: `vmlinux`, `initrd`, `base.ext4`, `images.ext4`, `manifest.json`.
    pub directory: PathBuf,
    /// Its digest, which names it.
    pub digest: String,
    /// What it says of itself.
    pub manifest: Manifest,
}

/// `manifest.json`, as far as it is read here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// The distribution and its release, for people.
    pub distribution: String,
    /// The kernel's release, as `uname -r` prints it.
    pub kernel_release: String,
    /// What its kernel is told.
    pub cmdline: String,
}

/// The files of an image, beside the manifest.
const FILES: [&str; 4] = ["vmlinux", "initrd", "base.ext4", "images.ext4"];

impl Image {
    /// The image in use: what `current` in this directory points to. Errors: there is none, or it is not whole.
    pub fn current(images: &Path) -> io::Result<Self> {
        let target = std::fs::read_link(images.join("current"))?;
        let elsewhere = || io::Error::other(format!("current points to {}", target.display()));
        let digest = target.to_str().filter(|_| target.components().count() == 1).ok_or_else(elsewhere)?;
        let directory = images.join(digest);
        let mut text = String::new();
        std::fs::File::open(directory.join("manifest.json"))?
            .take(MANIFEST_BYTES_MAX)
            .read_to_string(&mut text)?;
        let manifest = serde_json::from_str(&text)?;
        for file in FILES {
            let path = directory.join(file);
            if !path.is_file() {
                return Err(io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{} is missing", path.display()),
                ));
            }
        }
        Ok(Self { digest: digest.to_owned(), directory, manifest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_there_only_when_all_of_it_is() {
        let images = tempfile::tempdir().unwrap();
        assert!(Image::current(images.path()).is_err(), "none yet");
        let directory = images.path().join("0123");
        std::fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink("0123", images.path().join("current")).unwrap();
        let manifest =
            r#"{"distribution":"debian bookworm","kernel_release":"6.12","cmdline":"quiet","sizes":{}}"#;
        std::fs::write(directory.join("manifest.json"), manifest).unwrap();
        for file in FILES {
            assert!(Image::current(images.path()).is_err(), "{file} is missing");
            std::fs::write(directory.join(file), "").unwrap();
        }
        let image = Image::current(images.path()).unwrap();
        assert_eq!((image.digest.as_str(), image.manifest.kernel_release.as_str()), ("0123", "6.12"));
    }

    #[test]
    fn a_link_that_leads_elsewhere_is_not_followed() {
        let images = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("../etc", images.path().join("current")).unwrap();
        assert!(Image::current(images.path()).unwrap_err().to_string().contains("../etc"));
    }
}
