//! The stories: one for each promise to users that a simulation can show, and one for each bug that the swarm found.
//!
//! The number in a story's sentence is that of the promise.

mod guards;
mod metadata;
mod uploads;

use crate::story::Story;

/// All stories.
#[must_use]
pub fn all() -> Vec<Story> {
    [uploads::all(), metadata::all(), guards::all()].concat()
}

/// The story of that name.
#[must_use]
pub fn named(name: &str) -> Option<Story> {
    all().into_iter().find(|story| story.name() == name)
}
