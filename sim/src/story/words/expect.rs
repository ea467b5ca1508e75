//! What is expected: each word adds a step that fails if it does not come to pass.

use crate::story::step::Step;
use crate::story::{Story, Who};
use dfs_core::range::ByteRange;
use dfs_core::wire::metadata::Health;
use std::time::Duration;

impl Story {
    /// The file is read by name and by id, every byte right.
    #[must_use]
    pub fn expect_readable(self, name: &'static str) -> Story {
        self.then(Step::Readable(name))
    }

    /// The bytes of the file from `first` to `last` inclusive are read, every one right.
    #[must_use]
    pub fn expect_range(self, name: &'static str, first: u64, last: u64) -> Story {
        self.then(Step::Range(name, ByteRange::From { first, last: Some(last) }))
    }

    /// The file is not there.
    #[must_use]
    pub fn expect_missing(self, name: &'static str) -> Story {
        self.then(Step::Missing(name))
    }

    /// The file is there, but cannot be read, and the user is told these words.
    #[must_use]
    pub fn expect_unreadable(self, name: &'static str, words: &'static str) -> Story {
        self.then(Step::Unreadable(name, words))
    }

    /// Just these files begin with that text.
    #[must_use]
    pub fn expect_listed(self, prefix: &'static str, names: &'static [&'static str]) -> Story {
        self.then(Step::Listed(prefix, names))
    }

    /// Within a minute metadata counts at least so many copies of each chunk of the file.
    #[must_use]
    pub fn expect_copies(self, name: &'static str, copies: usize) -> Story {
        self.then(Step::Copies(name, copies))
    }

    /// Within a minute metadata counts just so many copies of each chunk of the file, none of them on that node, and all
    /// of them verified if repair has touched it.
    #[must_use]
    pub fn expect_repaired(self, name: &'static str, copies: usize, without: Who) -> Story {
        self.then(Step::Repaired(name, copies, without))
    }

    /// Metadata counts at most so many copies of each chunk of the file.
    #[must_use]
    pub fn expect_copies_at_most(self, name: &'static str, copies: usize) -> Story {
        self.then(Step::CopiesAtMost(name, copies))
    }

    /// Within a minute a storage node is seen so by the leader.
    #[must_use]
    pub fn expect_health(self, who: Who, health: Health) -> Story {
        self.then(Step::Healthy(who, health))
    }

    /// For so long storage nodes are seen in one of these ways by the leader, whenever there is one.
    #[must_use]
    pub fn expect_health_for(self, time: Duration, who: Who, health: &'static [Health]) -> Story {
        self.then(Step::Stays(who, health, time))
    }

    /// Within a minute a node ends by itself, and says these words.
    #[must_use]
    pub fn expect_end(self, who: Who, words: &'static str) -> Story {
        self.then(Step::Ends(who, words))
    }

    /// Within a minute the leader's log begins behind all that [`it`](super::it) has, which only a snapshot can give it.
    #[must_use]
    pub fn expect_log_cut(self) -> Story {
        self.then(Step::LogCut)
    }

    /// Within a minute another node than [`it`](super::it) leads.
    #[must_use]
    pub fn expect_other_leader(self) -> Story {
        self.then(Step::OtherLeader)
    }
}
