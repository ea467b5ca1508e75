//! Stories: what is done to a cluster and what must follow, told step by step in a small language.
//!
//! A story is a value: [`story`] begins one, each call adds a step, and [`Story::play`] tells it. Nodes are named by
//! what they are at that moment ([`Who`]). After its last step everything is mended, the cluster must become whole, and
//! every promise is checked as at the end of a life.

mod ask;
mod crowd;
mod overview;
mod play;
mod step;
mod who;
mod words;

pub use who::{Who, all_metadata, all_storage, follower, holder, it, leader, metadata, non_holder, storage};

use dfs_nodes::settings::SNAPSHOT_ENTRIES_DEFAULT;
use std::time::Duration;
use step::Step;

/// A story.
#[derive(Clone, Debug)]
pub struct Story {
    name: &'static str,
    sentence: &'static str,
    metadata: u64,
    storage: u64,
    /// Whether it begins before the cluster is whole for the first time.
    at_once: bool,
    /// Whether its files have large chunks.
    large_chunks: bool,
    /// Entries of the metadata log after which a snapshot is taken.
    snapshot_entries: u64,
    steps: Vec<Step>,
}

/// Begins a story about a cluster of so many metadata and storage nodes.
#[must_use]
pub fn story(name: &'static str, sentence: &'static str, metadata: u64, storage: u64) -> Story {
    Story {
        name,
        sentence,
        metadata,
        storage,
        at_once: false,
        large_chunks: false,
        snapshot_entries: SNAPSHOT_ENTRIES_DEFAULT,
        steps: Vec::new(),
    }
}

/// So many kibibytes.
#[must_use]
pub const fn kib(count: u64) -> u64 {
    count * 1024
}

/// So many mebibytes.
#[must_use]
pub const fn mib(count: u64) -> u64 {
    count * 1024 * 1024
}

/// So many milliseconds.
#[must_use]
pub const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// So many seconds.
#[must_use]
pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl Story {
    /// Its name on the command line.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What it tells, in a sentence.
    #[must_use]
    pub fn sentence(&self) -> &'static str {
        self.sentence
    }
}
