//! Archives that were saved are loaded again, in each form; hostile ones are refused.

use super::*;
use crate::transfer::Saving;
use serde_json::{Value, json};

struct Place {
    directory: tempfile::TempDir,
    images: Images,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    let images = Images::open(None, directory.path()).unwrap();
    Place { directory, images }
}

impl Place {
    fn load(&self, archive: &[u8]) -> (Result<Vec<Loaded>, ApiError>, String) {
        let mut out = vec![];
        let loaded = load(&self.images, archive, self.directory.path(), &mut Lines::new(&mut out), false);
        let left = std::fs::read_dir(self.directory.path().join("tmp")).unwrap().count();
        assert_eq!(left, 0, "nothing is left of the archive");
        (loaded, String::from_utf8(out).unwrap())
    }

    /// An image of layers with these files.
    fn make(&self, layers: &[&str], names: &[&str]) -> Arc<Image> {
        let held: Vec<_> = layers
            .iter()
            .map(|name| self.images.layer_of_archive(&*tar(&[(name, b"x")]), Origin::Elsewhere).unwrap().held)
            .collect();
        let ids: Vec<_> = held.iter().map(|held| held.digest.to_string()).collect();
        let document =
            json!({"os": "linux", "config": {"Cmd": layers}, "rootfs": {"type": "layers", "diff_ids": ids}});
        let image = self.images.create(document.to_string().into_bytes(), None).unwrap();
        for name in names {
            self.images.tag(&image.id, &Reference::parse(name).unwrap()).unwrap();
        }
        image
    }

    fn save(&self, names: &[&str]) -> Vec<u8> {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let mut out = vec![];
        Saving::new(&self.images, &names).unwrap().write(&self.images, &mut out).unwrap();
        out
    }
}

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(vec![]);
    for (path, content) in entries {
        let mut header = tar::Header::new_gnu();
        // Our own: only root may give files away.
        header.set_uid(rustix::process::getuid().as_raw().into());
        header.set_gid(rustix::process::getgid().as_raw().into());
        header.set_mtime(1);
        header.set_mode(0o644);
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn layout(layer: &[u8], break_it: &str) -> (Vec<u8>, Digest) {
    let diff = Digest::of(layer);
    let config =
        json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff.to_string()]}}).to_string();
    let descriptor = |bytes: &[u8]| json!({"digest": Digest::of(bytes).to_string(), "size": bytes.len()});
    let manifest =
        json!({"schemaVersion": 2, "config": descriptor(config.as_bytes()), "layers": [descriptor(layer)]})
            .to_string();
    let mut entry = descriptor(manifest.as_bytes());
    entry["platform"] = json!({"os": "linux", "architecture": Platform::own().architecture});
    let other = json!({"digest": Digest::of(b"other").to_string(), "platform": {"os": "linux", "architecture": "pdp11"}});
    let inner = json!({"schemaVersion": 2, "manifests": [other, entry]}).to_string();
    let mut outer = descriptor(inner.as_bytes());
    outer["annotations"] = json!({"io.containerd.image.name": "docker.io/library/laid:out"});
    let index = json!({"schemaVersion": 2, "manifests": [outer]}).to_string();
    let blobs = [
        ("layer", layer),
        ("config", config.as_bytes()),
        ("manifest", manifest.as_bytes()),
        ("inner", inner.as_bytes()),
    ];
    let mut files: Vec<(String, Vec<u8>)> = blobs
        .iter()
        .map(|(name, bytes)| {
            let content = if *name == break_it { [bytes, &b" "[..]].concat() } else { bytes.to_vec() };
            (format!("blobs/sha256/{}", Digest::of(bytes).hex()), content)
        })
        .collect();
    files.push(("index.json".into(), index.into_bytes()));
    let entries: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    (tar(&entries), Digest::of(config.as_bytes()))
}

#[test]
fn what_was_saved_is_loaded_elsewhere_with_its_names() {
    let (here, there) = (place(), place());
    let first = here.make(&["a", "b"], &["x:1", "x:2"]);
    let second = here.make(&["b", "a"], &["y:1"]);
    let archive = here.save(&["x", "y:1"]);
    let (loaded, told) = there.load(&archive);
    let ids: Vec<_> = loaded.unwrap().iter().map(|loaded| loaded.image.id.clone()).collect();
    assert_eq!(ids, [first.id.clone(), second.id.clone()]);
    for (name, image) in [("x:1", &first), ("x:2", &first), ("y:1", &second)] {
        assert_eq!(there.images.find(name).unwrap().bytes(), image.bytes());
        assert!(told.contains(&format!("Loaded image: {name}\\n")), "{told}");
    }
    let layer = there.images.directory(&first.layers[0]).unwrap();
    assert_eq!(std::fs::read(layer.join("a")).unwrap(), b"x");
    assert!(told.contains("\"status\":\"Loading layer\""));
    let (again, told) = there.load(&archive);
    assert_eq!(again.unwrap().len(), 2);
    assert!(!told.contains("Loading layer"), "its layers are here: {told}");
    assert_eq!(there.save(&["x", "y:1"]), archive, "it leaves as it came");
}

#[test]
fn an_id_is_saved_without_a_name_and_a_name_is_taken_from_another() {
    let (here, there) = (place(), place());
    let image = here.make(&["a"], &["x:1"]);
    let (_, told) = there.load(&here.save(&[&image.id]));
    assert!(told.contains(&format!("Loaded image ID: {}\\n", image.id)), "{told}");
    let other = there.make(&["other"], &["x:1"]);
    let (_, told) = there.load(&here.save(&["x:1"]));
    let words =
        format!("The image x:1 already exists, renaming the old one with ID {} to empty string\\n", other.id);
    assert!(told.contains(&words), "{told}");
    assert_eq!(there.images.find("x:1").unwrap().id, image.id);
}

#[test]
fn an_oci_layout_is_loaded_for_this_machine() {
    let there = place();
    let (archive, config) = layout(&tar(&[("a", b"x")]), "");
    let (loaded, _) = there.load(&archive);
    assert_eq!(loaded.unwrap()[0].image.digest, config);
    assert_eq!(there.images.find("laid:out").unwrap().digest, config);
    for part in ["layer", "config", "manifest", "inner"] {
        let there = place();
        let (archive, _) = layout(&tar(&[("a", b"x")]), part);
        assert!(there.load(&archive).0.is_err(), "a wrong {part} is refused");
        assert!(there.images.all().is_empty());
    }
}

#[test]
fn what_lies_is_refused() {
    let here = place();
    here.make(&["a"], &["x:1"]);
    let manifest = |layer: &str, config: &str, tags: Value| {
        json!([{"Config": config, "RepoTags": tags, "Layers": [layer]}]).to_string()
    };
    let ids = json!([Digest::of(b"something else").to_string()]);
    let config = json!({"os": "linux", "rootfs": {"diff_ids": ids}}).to_string();
    let (layer, secret) = (tar(&[("a", b"x")]), here.directory.path().join("secret"));
    std::fs::write(&secret, &layer).unwrap();
    let load = |manifest: String| {
        let entries = [
            ("c.json", config.as_bytes()),
            ("l.tar", layer.as_slice()),
            ("manifest.json", manifest.as_bytes()),
        ];
        here.load(&tar(&entries)).0.unwrap_err().message
    };
    let wrong = load(manifest("l.tar", "c.json", Value::Null));
    assert!(wrong.starts_with("invalid diffID for layer 0: expected \"sha256:"), "{wrong}");
    assert!(load(manifest("../../secret", "c.json", Value::Null)).contains("no such file"));
    assert!(load(manifest("l.tar", "nothing.json", Value::Null)).contains("no such file"));
    assert!(load(manifest("l.tar", "c.json", json!(["UPPER"]))).contains("lowercase"));
    let (none, _) = here.load(&tar(&[("a", b"x")]));
    assert!(none.unwrap_err().message.ends_with("repositories: no such file or directory"));
    assert!(here.load(b"FROM busybox\n").0.is_err());
    assert_eq!(here.images.all().len(), 1);
}
