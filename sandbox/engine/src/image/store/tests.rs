//! The store over a shared part, closed and opened again.

use super::super::{Removed, User};
use super::*;
use serde_json::json;

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    /// A shared part with an image `ubuntu:latest`, also called `debian:12`, and an image `a/b:1`.
    fn new() -> Self {
        let place = Self { directory: tempfile::tempdir().unwrap() };
        let image = |tags: &[&str], os: &str| {
            json!({
                "tags": tags,
                "layers": ["a".repeat(64), "b".repeat(64)],
                "config": {"os": os, "config": {"Cmd": ["sh"], "Env": null}},
            })
        };
        let index =
            json!({ "images": [image(&["ubuntu:latest", "debian:12"], "linux"), image(&["a/b:1"], "x")] });
        for layer in ["a".repeat(64), "b".repeat(64)] {
            std::fs::create_dir_all(place.shared().join("layers").join(layer)).unwrap();
        }
        std::fs::write(place.shared().join("index.json"), index.to_string()).unwrap();
        place
    }

    fn shared(&self) -> PathBuf {
        self.directory.path().join("shared")
    }

    fn open(&self) -> Images {
        Images::open(Some((&self.shared(), Form::Directories)), &self.directory.path().join("data")).unwrap()
    }
}

/// An image of one layer of its own, with this in its configuration.
fn make(images: &Images, content: &str, parent: Option<&str>) -> Arc<Image> {
    let new = images.new_layer().unwrap();
    std::fs::write(new.diff().join("file"), content).unwrap();
    let held = images
        .finish_layer(new, Digest::of(content.as_bytes()), Record { size_bytes: 4, ..Record::default() })
        .unwrap();
    let document =
        json!({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [held.digest.to_string()]}});
    images.create(document.to_string().into_bytes(), parent).unwrap()
}

fn name(text: &str) -> Reference {
    Reference::parse(text).unwrap()
}

#[test]
fn an_image_is_found_by_each_of_its_names() {
    let place = Place::new();
    let images = place.open();
    let id = images.find("ubuntu").unwrap().id.clone();
    for name in [
        "ubuntu:latest",
        "debian:12",
        "library/ubuntu",
        "docker.io/ubuntu",
        "docker.io/library/debian:12",
        "index.docker.io/library/ubuntu",
        &id[7..],
        &id[7..19],
        id.as_str(),
        &id[..19],
    ] {
        assert_eq!(images.find(name).unwrap().id, *id, "{name}");
    }
    assert_ne!(images.find("a/b:1").unwrap().id, id);
}

#[test]
fn a_missing_image_is_named_with_its_tag() {
    let images = Place::new();
    let images = images.open();
    for (name, message) in [
        ("debian", "No such image: debian:latest"),
        ("quay.io/ubuntu", "No such image: quay.io/ubuntu:latest"),
        ("a/b", "No such image: a/b:latest"),
    ] {
        assert_eq!(images.find(name).unwrap_err(), ApiError::not_found(message));
    }
    for bad in ["UPPER", "", "sha256:"] {
        assert_eq!(images.find(bad).unwrap_err().status.as_u16(), 400, "{bad}");
    }
}

#[test]
fn layers_are_given_topmost_first() {
    let place = Place::new();
    let images = place.open();
    let directories = images.directories(&images.find("ubuntu").unwrap()).unwrap();
    assert_eq!(directories[0], place.shared().join("layers").join("b".repeat(64)));
}

#[test]
fn what_was_made_is_found_after_a_restart() {
    let place = Place::new();
    let images = place.open();
    let base = make(&images, "base", None);
    let own = make(&images, "own!", Some(&base.id));
    images.tag(&own.id, &name("mine:1")).unwrap();
    images.tag(&own.id, &name("mine").with_digest(Digest::of(b"manifest"))).unwrap();
    drop(images);
    let images = place.open();
    let found = images.find("mine:1").unwrap();
    assert_eq!(found.bytes(), own.bytes());
    assert_eq!(images.find(&format!("mine@{}", Digest::of(b"manifest"))).unwrap().id, own.id);
    assert_eq!(images.parent_of(&own.id), Some(base.id.clone()));
    assert!(images.has_children(&base.id));
    assert_eq!(images.image_bytes(&found), 4);
    let layer = images.directories(&found).unwrap().remove(0);
    assert_eq!(std::fs::read(layer.join("file")).unwrap(), b"own!");
}

#[test]
fn an_image_without_its_layers_is_not_listed() {
    let place = Place::new();
    let images = place.open();
    let own = make(&images, "own!", None);
    images.tag(&own.id, &name("mine")).unwrap();
    std::fs::remove_dir_all(images.directories(&own).unwrap().remove(0)).unwrap();
    drop(images);
    let images = place.open();
    assert!(images.find("mine").is_err() && images.find(&own.id).is_err());
    assert!(images.create(own.bytes().to_vec(), None).is_err(), "an image needs its layers");
}

#[test]
fn a_name_goes_from_one_image_to_another() {
    let place = Place::new();
    let images = place.open();
    let own = make(&images, "own!", None);
    let ubuntu = images.find("ubuntu").unwrap();
    assert_eq!(images.tag(&own.id, &name("ubuntu")).unwrap(), Some(ubuntu.id.clone()));
    assert_eq!(images.tag(&own.id, &name("ubuntu")).unwrap(), None, "it has it already");
    assert_eq!(images.find("ubuntu").unwrap().id, own.id);
    drop(images);
    assert_eq!(place.open().find("ubuntu").unwrap().id, own.id, "the shared part does not take it back");
}

#[test]
fn a_removed_shared_image_stays_removed_and_may_come_back() {
    let place = Place::new();
    let images = place.open();
    let image = images.find("a/b:1").unwrap();
    let removed = images.remove("a/b:1", false, true, &[]).unwrap();
    assert!(matches!(&removed[0], Removed::Untagged { name, .. } if name == "a/b:1"), "{removed:?}");
    assert_eq!(removed[1..], [Removed::Image(image.id.clone())], "its layers are another's too");
    drop(images);
    let images = place.open();
    assert!(images.find("a/b:1").is_err() && images.find(&image.id).is_err());
    assert!(place.shared().join("layers").join("b".repeat(64)).exists());
    images.create(image.bytes().to_vec(), None).unwrap();
    assert!(images.find(&image.id).is_ok());
}

#[test]
fn an_image_stays_for_its_containers_and_goes_with_them() {
    let place = Place::new();
    let images = place.open();
    let own = make(&images, "own!", None);
    let layer = images.directories(&own).unwrap().remove(0);
    let user = User { container: "c".repeat(64), image: Arc::clone(&own), running: false };
    let removed = images.remove(&own.id, true, true, &[user]).unwrap();
    assert_eq!(removed, [Removed::Image(own.id.clone())], "no layer is told of: they are still here");
    assert!(images.find(&own.id).is_err());
    drop(images);
    let images = place.open();
    assert!(images.of_container(&own.id).is_some() && layer.exists());
    images.collect(&[]).unwrap();
    assert!(images.of_container(&own.id).is_none() && !layer.exists());
}

#[test]
fn names_that_cannot_be_written_down_are_not_given() {
    let place = Place::new();
    let images = place.open();
    let id = images.find("ubuntu").unwrap().id.clone();
    // In place of the file that names are written to first, so that not even root can.
    std::fs::create_dir(place.directory.path().join("data/image/overlay2/repositories.json.new")).unwrap();
    assert!(images.tag(&id, &name("other")).is_err());
    assert!(images.find("other").is_err());
}
