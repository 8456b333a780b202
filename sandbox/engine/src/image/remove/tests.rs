//! Docker's rules, each with what stands in the way. The words are dockerd's.

use super::super::Digest;
use super::super::layers::Record;
use super::*;
use serde_json::json;

struct Place {
    images: Images,
    _directory: tempfile::TempDir,
}

fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    Place { images: Images::open(None, directory.path()).unwrap(), _directory: directory }
}

impl Place {
    fn make(&self, layers: &[&str], parent: Option<&str>, names: &[&str]) -> Arc<Image> {
        let digests: Vec<_> = layers.iter().map(|layer| Digest::of(layer.as_bytes())).collect();
        let held: Vec<_> = digests
            .iter()
            .map(|digest| {
                let new = self.images.new_layer().unwrap();
                self.images.finish_layer(new, digest.clone(), Record::default()).unwrap()
            })
            .collect();
        let listed: Vec<_> = digests.iter().map(Digest::to_string).collect();
        let document = json!({ "author": layers.join(" "), "rootfs": { "diff_ids": listed } });
        let image = self.images.create(document.to_string().into_bytes(), parent).unwrap();
        drop(held);
        for name in names {
            self.images.tag(&image.id, &Reference::parse(name).unwrap()).unwrap();
        }
        image
    }

    fn refusal(&self, name: &str, force: bool, users: &[User]) -> String {
        let error = self.images.remove(name, force, true, users).unwrap_err();
        assert_eq!(error.status.as_u16(), 409);
        error.message
    }
}

fn user(image: &Arc<Image>, running: bool) -> User {
    User { container: "c".repeat(64), image: Arc::clone(image), running }
}

#[test]
fn a_name_of_several_is_only_taken_away() {
    let place = place();
    let image = place.make(&["a"], None, &["x:1", "x:2"]);
    let removed = place.images.remove("x:1", false, true, &[user(&image, true)]).unwrap();
    assert_eq!(removed, [Removed::Untagged { id: image.id.clone(), name: "x:1".into() }]);
    assert_eq!(place.images.find("x:2").unwrap().id, image.id);
}

#[test]
fn what_is_in_the_way_is_told() {
    let place = place();
    let image = place.make(&["a"], None, &["x:1", "x:2"]);
    let (id, short) = (image.id.clone(), image.short_id().to_owned());
    let told =
        |forced: &str, why: &str| format!("conflict: unable to delete {short} ({forced}) - image {why}");
    assert_eq!(
        place.refusal(&id, false, &[]),
        told("must be forced", "is referenced in multiple repositories")
    );
    let running = told("cannot be forced", "is being used by running container cccccccccccc");
    assert_eq!(place.refusal(&id, true, &[user(&image, true)]), running);
    place.images.remove("x:1", false, true, &[]).unwrap();
    let stopped = told("must be forced", "is being used by stopped container cccccccccccc");
    assert_eq!(place.refusal(&short, false, &[user(&image, false)]), stopped);
    let named = format!(
        "conflict: unable to remove repository reference \"x:2\" (must force) - container cccccccccccc is using its \
         referenced image {short}"
    );
    assert_eq!(place.refusal("x:2", false, &[user(&image, false)]), named);
    place.make(&["a", "b"], Some(&id), &[]);
    let child = told("cannot be forced", "has dependent child images");
    assert_eq!(place.refusal(&id, true, &[]), child);
    assert!(place.images.find("x:2").is_ok(), "a refused removal changes nothing");
}

#[test]
fn parents_that_nobody_wants_go_too_with_their_layers() {
    let place = place();
    let base = place.make(&["a"], None, &["base:1"]);
    let middle = place.make(&["a", "b"], Some(&base.id), &[]);
    let top = place.make(&["a", "b", "c"], Some(&middle.id), &["top:1"]);
    let chains = top.chains();
    let removed = place.images.remove("top:1", false, true, &[]).unwrap();
    assert_eq!(
        removed,
        [
            Removed::Untagged { id: top.id.clone(), name: "top:1".into() },
            Removed::Image(top.id.clone()),
            Removed::Layer(chains[0].to_string()),
            Removed::Image(middle.id.clone()),
            Removed::Layer(chains[1].to_string()),
        ]
    );
    assert!(place.images.find("base:1").is_ok(), "a parent with a name is wanted");
    assert!(!place.images.has_layer(&top.layers[2]) && place.images.has_layer(&top.layers[0]));
}

#[test]
fn parents_stay_where_they_are_asked_to() {
    let place = place();
    let base = place.make(&["a"], None, &[]);
    place.make(&["a", "b"], Some(&base.id), &["top:1"]);
    place.images.remove("top:1", false, false, &[]).unwrap();
    assert!(place.images.find(&base.id).is_ok());
}

#[test]
fn digests_go_with_the_last_tag_of_their_repository() {
    let place = place();
    let pinned = Reference::parse("x").unwrap().with_digest(Digest::of(b"m")).familiar();
    let image = place.make(&["a"], None, &["x:1", &pinned]);
    let names: Vec<_> = place
        .images
        .remove("x:1", false, true, &[])
        .unwrap()
        .into_iter()
        .filter_map(|removed| match removed {
            Removed::Untagged { name, .. } => Some(name),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["x:1".to_owned(), pinned]);
    assert!(place.images.find(&image.id).is_err());
}
