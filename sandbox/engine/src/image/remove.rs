//! Removing images, by Docker's rules: what is in use, has several names, or has children needs more than asking, or cannot
//! be forced at all.

use super::document::Image;
use super::reference::Reference;
use super::store::{Images, State};
use super::tags::is_single;
use crate::error::ApiError;
use axum::http::StatusCode;
use std::sync::Arc;

/// A container, as far as it matters here.
#[derive(Clone, Debug)]
pub struct User {
    /// Its id.
    pub container: String,
    /// What it was made from.
    pub image: Arc<Image>,
    /// Whether it runs.
    pub running: bool,
}

/// What was done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// This image lost this name.
    Untagged { id: String, name: String },
    /// This image is gone.
    Image(String),
    /// This stack of layers is gone; told by its chain id.
    Layer(String),
}

/// What may stand in the way.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Minded {
    names: bool,
    stopped: bool,
}

impl Images {
    /// Removes a name, or an image with all its names. With `prune`, parents that nobody needs any more go too.
    pub fn remove(
        &self,
        text: &str,
        force: bool,
        prune: bool,
        users: &[User],
    ) -> Result<Vec<Removed>, ApiError> {
        let image = self.find(text)?;
        let mut removed = vec![];
        let by_id = image.digest.hex().starts_with(text.strip_prefix("sha256:").unwrap_or(text));
        let own = |state: &State| state.tags.of(&image.id);
        let done = self.change(|state| {
            let names = own(state);
            if !by_id {
                let name = Reference::parse(text).map_err(ApiError::bad_request)?;
                let user = users.iter().find(|user| user.image.id == image.id);
                if let Some(user) = user.filter(|_| !force && is_single(&names)) {
                    return Err(ApiError::conflict(format!(
                        "conflict: unable to remove repository reference {text:?} (must force) - container {} is using its \
                         referenced image {}",
                        short(&user.container),
                        image.short_id()
                    )));
                }
                untag(state, &image, &name, &mut removed);
                let same = |other: &Reference| other.name() == name.name();
                let left = own(state);
                if name.digest().is_none() && !left.iter().any(|n| n.digest().is_none() && same(n)) {
                    for digest in left.iter().filter(|other| same(other)) {
                        untag(state, &image, digest, &mut removed);
                    }
                }
                return Ok(own(state).is_empty());
            }
            if is_single(&names) {
                check(state, &image, Minded { names: false, stopped: !force }, users)?;
                for name in &names {
                    untag(state, &image, name, &mut removed);
                }
            }
            Ok(true)
        })?;
        if done {
            match self.delete(&image, force, prune, users, &mut removed) {
                // The name is gone, which is what was asked for.
                Err(error) if !by_id && error.status == StatusCode::CONFLICT => {}
                done => done?,
            }
        }
        Ok(removed)
    }

    /// Removes an image, which must not be in the way of anything, and its parents where they are wanted by nobody.
    fn delete(
        &self,
        image: &Arc<Image>,
        force: bool,
        prune: bool,
        users: &[User],
        removed: &mut Vec<Removed>,
    ) -> Result<(), ApiError> {
        let minded = Minded { names: !force, stopped: !force };
        let parent = self.change(|state| {
            check(state, image, minded, users)?;
            let parent = state.tags.parents.remove(&image.id);
            for name in state.tags.of(&image.id) {
                untag(state, image, &name, removed);
            }
            state.tags.removed.insert(image.id.clone());
            removed.push(Removed::Image(image.id.clone()));
            Ok(parent)
        })?;
        let used: Vec<_> = users.iter().map(|user| Arc::clone(&user.image)).collect();
        self.collect(&used)?;
        // Stacks go from the top, until one that another image has.
        for (height, chain) in (1..=image.layers.len()).rev().zip(image.chains()) {
            let stack = &image.layers[..height];
            let kept = self.state().images.values().any(|other| other.layers.starts_with(stack));
            if kept {
                break;
            }
            removed.push(Removed::Layer(chain.to_string()));
        }
        let parent = parent.filter(|_| prune).and_then(|id| self.find(&id).ok());
        match parent {
            // A parent that something is in the way of is simply kept.
            Some(parent) if self.names_of(&parent.id).is_empty() => {
                match self.delete(&parent, false, true, users, removed) {
                    Err(error) if error.status == StatusCode::CONFLICT => Ok(()),
                    done => done,
                }
            }
            _ => Ok(()),
        }
    }
}

fn untag(state: &mut State, image: &Image, name: &Reference, removed: &mut Vec<Removed>) {
    if state.tags.names.remove(&name.familiar()).is_some() {
        removed.push(Removed::Untagged { id: image.id.clone(), name: name.familiar() });
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Whether nothing is in the way. Children and running containers always are.
fn check(state: &State, image: &Image, minded: Minded, users: &[User]) -> Result<(), ApiError> {
    let conflict = |forced: &str, why: String| {
        let id = image.short_id();
        Err(ApiError::conflict(format!("conflict: unable to delete {id} ({forced}) - {why}")))
    };
    let user = |running: bool| users.iter().find(|user| user.image.id == image.id && user.running == running);
    if state.tags.children(&image.id).next().is_some() {
        return conflict("cannot be forced", "image has dependent child images".into());
    }
    if let Some(user) = user(true) {
        let why = format!("image is being used by running container {}", short(&user.container));
        return conflict("cannot be forced", why);
    }
    if minded.names && !state.tags.of(&image.id).is_empty() {
        return conflict("must be forced", "image is referenced in multiple repositories".into());
    }
    if let Some(user) = user(false).filter(|_| minded.stopped) {
        let why = format!("image is being used by stopped container {}", short(&user.container));
        return conflict("must be forced", why);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
