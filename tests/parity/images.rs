//! The images that both sides have: those that labs are made of, as an archive for `docker load` and unpacked for ours.

use isolab_tests::programs;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The images that cases use.
const WANTED: [&str; 3] = ["busybox:latest", "alpine:latest", "debian:latest"];

/// Unpacking a distribution takes seconds.
const TAR_TIME_MAX: Duration = Duration::from_secs(120);

/// Where they are.
pub struct Images {
    /// For `docker load`.
    pub archive: PathBuf,
    /// `index.json` and `layers/`.
    pub unpacked: PathBuf,
}

/// Makes both of them from the images of this machine. Errors: it has none.
pub fn prepare(place: &Path) -> Result<Images, String> {
    let home = std::env::var_os("ISOLAB_HOME").map_or_else(|| "/var/lib/isolab".into(), PathBuf::from);
    let source = home.join("images/current");
    let path = source.join("index.json");
    let text = fs::read(&path).map_err(|error| format!("{}: {error} (`make images`)", path.display()))?;
    let mut index: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let is_wanted = |image: &Value| {
        let tags = image["tags"].as_array().into_iter().flatten();
        tags.filter_map(Value::as_str).any(|tag| WANTED.contains(&tag))
    };
    if let Some(images) = index["images"].as_array_mut() {
        images.retain(is_wanted);
    }
    write(place, &source, &index).map_err(|error| format!("preparing images: {error}"))
}

fn write(place: &Path, source: &Path, index: &Value) -> std::io::Result<Images> {
    let (archive, unpacked, saved) = (place.join("images.tar"), place.join("images"), place.join("saved"));
    fs::create_dir_all(unpacked.join("layers"))?;
    fs::create_dir(&saved)?;
    fs::write(unpacked.join("index.json"), index.to_string())?;
    let mut manifest = vec![];
    for image in index["images"].as_array().into_iter().flatten() {
        let layers: Vec<&str> =
            image["layers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut files = vec![];
        for layer in layers {
            let digest = layer.trim_start_matches("sha256:");
            let packed = source.join(format!("layers/{digest}.tar"));
            files.push(format!("{digest}.tar"));
            if !saved.join(format!("{digest}.tar")).exists() {
                std::os::unix::fs::symlink(&packed, saved.join(format!("{digest}.tar")))?;
                let target = unpacked.join("layers").join(digest);
                fs::create_dir(&target)?;
                tar(&["--extract", "--numeric-owner", "--file"], &packed, &target)?;
            }
        }
        let config = format!("{}.json", manifest.len());
        fs::write(saved.join(&config), image["config"].to_string())?;
        manifest.push(json!({ "Config": config, "RepoTags": image["tags"], "Layers": files }));
    }
    fs::write(saved.join("manifest.json"), Value::from(manifest).to_string())?;
    tar(&["--create", "--dereference", "."], &archive, &saved)?;
    fs::remove_dir_all(saved)?;
    Ok(Images { archive, unpacked })
}

fn tar(words: &[&str], archive: &Path, directory: &Path) -> std::io::Result<()> {
    let mut command = Command::new("tar");
    command.arg("--directory").arg(directory).args(words);
    if words.last() != Some(&"--file") {
        command.arg("--file");
    }
    let ended = programs::run(command.arg(archive), TAR_TIME_MAX)?;
    match ended.code() {
        0 => Ok(()),
        code => Err(std::io::Error::other(format!("tar ended with {code}: {}", ended.stderr))),
    }
}
