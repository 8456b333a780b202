//! What is told of images: what has happened to one, and what was pulled or pushed under a name.

use super::Engine;
use crate::image::{Image, Reference};
use std::collections::BTreeMap;

impl Engine {
    /// Tells of what has happened to an image. `name` is what it was called by then.
    pub fn tell_of_image(&self, action: &str, image: &Image, name: &str) {
        self.tell_of_named(action, &image.id, image.config.labels.clone(), name);
    }

    /// Tells of what was pulled or pushed. That is told of the name, and with the labels of the image that it means now.
    pub fn tell_of_name(&self, action: &str, name: &Reference) {
        let shown = name.shown();
        let labels = self.images.find(&shown).ok().and_then(|image| image.config.labels.clone());
        self.tell_of_named(action, &shown, labels, &name.name());
    }

    fn tell_of_named(
        &self,
        action: &str,
        id: &str,
        labels: Option<impl IntoIterator<Item = (String, String)>>,
        name: &str,
    ) {
        let mut attributes: BTreeMap<_, _> = labels.into_iter().flatten().collect();
        attributes.insert("name".into(), name.to_owned());
        self.events.tell_of("image", action.into(), id, attributes);
    }
}
