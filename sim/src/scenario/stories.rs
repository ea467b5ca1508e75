//! The stories: one for each promise to users that a simulation can show, for each bug that the swarm found,
//! and for each guard that a random life seldom puts to the test.
//!
//! The number in a story's sentence is that of the promise.

mod crowds;
mod disks;
mod downloads;
mod guards;
mod health;
mod interrupted;
mod metadata;
mod names;
mod repair;
mod settings;
mod stopping;
mod uploads;

use crate::story::Story;

/// All stories.
#[must_use]
pub fn all() -> Vec<Story> {
    let parts = [
        names::all(),
        uploads::all(),
        interrupted::all(),
        crowds::all(),
        downloads::all(),
        metadata::all(),
        health::all(),
        settings::all(),
        disks::all(),
        stopping::all(),
        repair::all(),
        guards::all(),
    ];
    parts.concat()
}

/// The story of that name.
#[must_use]
pub fn named(name: &str) -> Option<Story> {
    all().into_iter().find(|story| story.name() == name)
}
