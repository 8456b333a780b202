//! The image recipe: what it made is what the index says, it holds nothing of this machine, and it can be run again.

use crate::world::World;
use isolab_tests::ensure;
use isolab_tests::harness::Outcome;
use isolab_tests::programs::{self, WAIT_MAX};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// `sandbox/images/build`, with the state directory `home`.
fn recipe(home: &Path) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sandbox/images/build"));
    command.env("ISOLAB_HOME", home);
    command
}

pub fn the_index_tells_the_truth(world: &World) -> Outcome {
    let current = world.home().join("images/current");
    let index: Value = serde_json::from_slice(&std::fs::read(current.join("index.json"))?)?;
    let named = std::fs::read_link(&current)?;
    ensure!(
        index["recipe"].as_str().map(Path::new) == Some(named.as_path()),
        "{named:?} is {}",
        index["recipe"]
    );
    let images = index["images"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(images.len() == 4, "{} images", images.len());
    for image in images {
        let layers = image["layers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut size = 0;
        for (number, layer) in layers.iter().enumerate() {
            let id = layer.as_str().unwrap_or_default();
            let file = current.join(format!("layers/{id}.tar"));
            size += file.metadata()?.len();
            let sum = programs::run(Command::new("sha256sum").arg(&file), WAIT_MAX)?;
            ensure!(sum.stdout.starts_with(id), "layer {id} is {}", sum.stdout);
            let named = &image["config"]["rootfs"]["diff_ids"][number];
            ensure!(named == &format!("sha256:{id}"), "layer {id} of {} is called {named}", image["tags"]);
        }
        ensure!(
            !layers.is_empty() && image["size_bytes"] == size,
            "{} has {size} bytes: {image:#}",
            image["tags"]
        );
    }
    Ok(())
}

/// Mirrors, proxies, names and keys of the machine that built an image do not belong into it.
pub fn nothing_of_this_machine_is_in_them(world: &World) -> Outcome {
    let current = world.home().join("images/current");
    let layers = std::fs::read_dir(current.join("layers"))?.flatten().map(|entry| entry.path());
    for file in layers.chain([current.join("lab-host.tar")]) {
        let list = programs::run(Command::new("tar").arg("-tf").arg(&file), WAIT_MAX)?;
        ensure!(list.code() == 0 && !list.stdout.is_empty(), "{}: {}", file.display(), list.stderr);
        let machine = |line: &&str| {
            line.starts_with("./etc/apt/sources.list")
                || line.starts_with("./etc/apt/auth.conf.d/")
                || line.ends_with("apt.conf.d/99mmdebstrap")
                || line.starts_with("./var/lib/apt/lists/") && line.contains("_dists_")
        };
        let found: Vec<&str> = list.stdout.lines().filter(machine).collect();
        ensure!(found.is_empty(), "{} holds {found:?}", file.display());
    }
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let inside = world.prints("cat /etc/hostname /etc/hosts /etc/resolv.conf")?;
    ensure!(inside.contains("labhost") && !inside.contains(name.trim()), "{name} is in {inside}");
    Ok(())
}

pub fn a_second_build_is_instant(world: &World) -> Outcome {
    let ended = programs::run(&mut recipe(world.home()), WAIT_MAX)?;
    ensure!(ended.code() == 0 && ended.stderr.is_empty(), "it ended with {}: {}", ended.code(), ended.stderr);
    ensure!(ended.took < Duration::from_secs(3), "it took {:?}", ended.took);
    Ok(())
}

/// An archive that cannot be reached: nothing half-made is left in place, and the message says what to do.
pub fn a_broken_download_says_what_to_do(_: &World) -> Outcome {
    let home = tempfile::tempdir()?;
    let sources = home.path().join("nowhere.list");
    std::fs::write(&sources, "deb [trusted=yes] http://127.0.0.1:1/nothing stable main\n")?;
    let ended = programs::run(recipe(home.path()).env("ISOLAB_APT_SOURCES", &sources), WAIT_MAX)?;
    ensure!(ended.code() == 1, "it ended with {}: {}", ended.code(), ended.stderr);
    ensure!(ended.stderr.contains("run this again"), "{}", ended.stderr);
    let left: Vec<_> =
        std::fs::read_dir(home.path().join("images"))?.flatten().map(|entry| entry.file_name()).collect();
    ensure!(left == [".lock"], "left in images: {left:?}");
    Ok(())
}
