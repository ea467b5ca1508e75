//! What is expected: each word adds a step that fails if it does not come to pass.

use crate::story::step::{Step, Told};
use crate::story::{Story, Who};
use dfs_core::range::ByteRange;
use dfs_core::settings::SettingKey;
use dfs_core::wire::metadata::{ClusterSummary, Health};
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
        self.then(Step::Repaired(name, copies, Some(without)))
    }

    /// The same, wherever the copies are.
    #[must_use]
    pub fn expect_mended(self, name: &'static str, copies: usize) -> Story {
        self.then(Step::Repaired(name, copies, None))
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

    /// Within a minute the leader thinks a storage node slow, or not slow any more.
    #[must_use]
    pub fn expect_slow(self, who: Who, slow: bool) -> Story {
        self.then(Step::Slow(who, slow))
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

    /// Within a minute the leader's log begins behind all that [`it`](crate::story::it) has, which only a snapshot can give it.
    #[must_use]
    pub fn expect_log_cut(self) -> Story {
        self.then(Step::LogCut)
    }

    /// Of the files below a prefix, no more than so many in a hundred have chunks that were placed anew.
    #[must_use]
    pub fn expect_settled(self, prefix: &'static str, percent_max: usize) -> Story {
        self.then(Step::Settled(prefix, percent_max))
    }

    /// The log of each metadata node has at most so many entries.
    #[must_use]
    pub fn expect_logs_within(self, entries: usize) -> Story {
        self.then(Step::LogsWithin(entries))
    }

    /// These settings of the cluster have these values.
    #[must_use]
    pub fn expect_settings(self, values: &'static [(SettingKey, u64)]) -> Story {
        self.then(Step::SettingsAre(values))
    }

    /// When the last of the files of one chunk whose names begin with that text and that are down to one copy gets a
    /// second one, no more than so many in a hundred of those that are down to two have got their third. Nodes that do
    /// not run have no copies.
    #[must_use]
    pub fn expect_fewest_first(self, prefix: &'static str, percent_max: usize) -> Story {
        self.then(Step::FewestFirst(prefix, percent_max))
    }

    /// Within a minute metadata says of the cluster that it is so; what, the words say.
    #[must_use]
    pub fn expect_status(self, words: &'static str, told: fn(&ClusterSummary) -> bool) -> Story {
        self.then(Step::Says(words, Told(told)))
    }

    /// For so long metadata says of the cluster that it is so, and never takes more than a few seconds for it.
    #[must_use]
    pub fn expect_status_for(self, time: Duration, words: &'static str, told: fn(&ClusterSummary) -> bool) -> Story {
        self.then(Step::SaysFor(words, Told(told), time))
    }

    /// For so long metadata never says that no chunk lacks copies while one of the file does, as soon as it has had the
    /// time to look.
    #[must_use]
    pub fn expect_honest_status(self, time: Duration, name: &'static str) -> Story {
        self.then(Step::Honest(name, time))
    }

    /// Within a minute another node than [`it`](crate::story::it) leads.
    #[must_use]
    pub fn expect_other_leader(self) -> Story {
        self.then(Step::OtherLeader)
    }
}
