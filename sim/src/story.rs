//! Stories: what is done to a cluster and what must follow, told step by step in a small language.
//!
//! A story is a value: [`story`] begins one, each call adds a step, and [`Story::play`] tells it. Nodes are named by
//! what they are at that moment ([`Who`]). After its last step everything is mended, the cluster must become whole, and
//! every promise is checked as at the end of a life.

mod play;
mod who;

pub use who::{Who, all_metadata, all_storage, follower, holder, it, leader, metadata, non_holder, storage};

use crate::fault::FaultKind;
use crate::work::Manner;
use dfs_core::wire::metadata::Health;
use std::time::Duration;

/// A story.
#[derive(Clone, Debug)]
pub struct Story {
    pub(super) name: &'static str,
    pub(super) sentence: &'static str,
    pub(super) metadata: u64,
    pub(super) storage: u64,
    pub(super) steps: Vec<Step>,
}

/// A step of a story.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Uploads a file; it must be acknowledged.
    Upload(&'static str, u64),
    /// Tries to upload a file; the user must be told these words, and nothing is there.
    UploadRefused(&'static str, u64, &'static str),
    /// Begins to upload a file, and goes on meanwhile.
    Begin(&'static str, u64, Manner),
    /// Waits until what was begun under that name has ended; it must have been acknowledged.
    Finish(&'static str),
    /// Waits until what was begun under that name has ended, however it did.
    Await(&'static str),
    /// Deletes a file; it must be acknowledged.
    Delete(&'static str),
    /// Does a fault.
    Hurt(FaultKind, Who, Option<Who>),
    /// Starts a node that does not run.
    Start(Who),
    /// Undoes the faults of a node.
    Mend(Who),
    /// Undoes everything.
    Heal,
    /// Waits until the cluster is whole.
    Whole,
    /// Keeps a copy of a node's disk, for later.
    KeepCopy(Who),
    /// Flips a bit of one copy of a chunk.
    Rot(&'static str, u32, Who),
    /// Lets time pass.
    Wait(Duration),
    /// The file is read by name and by id, every byte right.
    Readable(&'static str),
    /// The file is not there.
    Missing(&'static str),
    /// The file is there, but cannot be read: the user is told these words.
    Unreadable(&'static str, &'static str),
    /// Just these files begin with that text.
    Listed(&'static str, &'static [&'static str]),
    /// Metadata comes to count so many copies of each chunk of the file.
    Copies(&'static str, usize),
    /// A storage node comes to have that health.
    Healthy(Who, Health),
    /// A node ends by itself, and says these words.
    Ends(Who, &'static str),
    /// There is a leader, and it is another than [`it`].
    OtherLeader,
    /// A node does not serve for so long.
    Within(Duration, Box<Step>),
}

/// Begins a story about a cluster of so many metadata and storage nodes.
#[must_use]
pub fn story(name: &'static str, sentence: &'static str, metadata: u64, storage: u64) -> Story {
    Story { name, sentence, metadata, storage, steps: Vec::new() }
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

    fn then(mut self, step: Step) -> Story {
        self.steps.push(step);
        self
    }

    fn hurt(self, kind: FaultKind, who: Who) -> Story {
        self.then(Step::Hurt(kind, who, None))
    }

    /// Uploads a file; it must be acknowledged.
    #[must_use]
    pub fn upload(self, name: &'static str, bytes: u64) -> Story {
        self.then(Step::Upload(name, bytes))
    }

    /// Tries to upload a file; the user must be told these words, and nothing may be there.
    #[must_use]
    pub fn upload_refused(self, name: &'static str, bytes: u64, words: &'static str) -> Story {
        self.then(Step::UploadRefused(name, bytes, words))
    }

    /// Begins to upload a file, and goes on meanwhile.
    #[must_use]
    pub fn begin_upload(self, name: &'static str, bytes: u64) -> Story {
        self.then(Step::Begin(name, bytes, Manner::Plain))
    }

    /// Begins to upload a file whose writer vanishes after some time.
    #[must_use]
    pub fn abandon_upload(self, name: &'static str, bytes: u64, after: Duration) -> Story {
        self.then(Step::Begin(name, bytes, Manner::Vanishing(after)))
    }

    /// Waits until what was begun under that name has ended; it must have been acknowledged.
    #[must_use]
    pub fn finish_upload(self, name: &'static str) -> Story {
        self.then(Step::Finish(name))
    }

    /// Waits until what was begun under that name has ended, however it did.
    #[must_use]
    pub fn await_upload(self, name: &'static str) -> Story {
        self.then(Step::Await(name))
    }

    /// Deletes a file; it must be acknowledged.
    #[must_use]
    pub fn delete(self, name: &'static str) -> Story {
        self.then(Step::Delete(name))
    }

    /// A process ends at once.
    #[must_use]
    pub fn crash(self, who: Who) -> Story {
        self.hurt(FaultKind::Crash, who)
    }

    /// A machine loses its power.
    #[must_use]
    pub fn cut_power(self, who: Who) -> Story {
        self.hurt(FaultKind::PowerCut, who)
    }

    /// All machines lose their power.
    #[must_use]
    pub fn blackout(self) -> Story {
        self.hurt(FaultKind::Blackout, metadata(1))
    }

    /// A node stops in order.
    #[must_use]
    pub fn stop(self, who: Who) -> Story {
        self.hurt(FaultKind::Stop, who)
    }

    /// A process stands still.
    #[must_use]
    pub fn pause(self, who: Who) -> Story {
        self.hurt(FaultKind::Pause, who)
    }

    /// A node is cut off from all other nodes.
    #[must_use]
    pub fn isolate(self, who: Who) -> Story {
        self.hurt(FaultKind::Isolate, who)
    }

    /// A node is cut off from everybody.
    #[must_use]
    pub fn unplug(self, who: Who) -> Story {
        self.hurt(FaultKind::Unplug, who)
    }

    /// What one node sends another is lost.
    #[must_use]
    pub fn mute(self, who: Who, to: Who) -> Story {
        self.then(Step::Hurt(FaultKind::Mute, who, Some(to)))
    }

    /// Any fault.
    #[must_use]
    pub fn fault(self, kind: FaultKind, who: Who) -> Story {
        self.hurt(kind, who)
    }

    /// Keeps a copy of a node's disk, for [`Story::older_disk`].
    #[must_use]
    pub fn keep_copy(self, who: Who) -> Story {
        self.then(Step::KeepCopy(who))
    }

    /// A storage node is down, and its disk is as it was when a copy was kept.
    #[must_use]
    pub fn older_disk(self, who: Who) -> Story {
        self.hurt(FaultKind::OlderDisk, who)
    }

    /// A storage node is down, and its disk is empty.
    #[must_use]
    pub fn empty_disk(self, who: Who) -> Story {
        self.hurt(FaultKind::EmptyDisk, who)
    }

    /// A bit flips in a node's copy of a chunk.
    #[must_use]
    pub fn rot(self, name: &'static str, chunk: u32, who: Who) -> Story {
        self.then(Step::Rot(name, chunk, who))
    }

    /// Starts what does not run.
    #[must_use]
    pub fn start(self, who: Who) -> Story {
        self.then(Step::Start(who))
    }

    /// Undoes the faults of a node.
    #[must_use]
    pub fn mend(self, who: Who) -> Story {
        self.then(Step::Mend(who))
    }

    /// Undoes every fault, and starts what does not run.
    #[must_use]
    pub fn heal(self) -> Story {
        self.then(Step::Heal)
    }

    /// Waits until the cluster is whole.
    #[must_use]
    pub fn until_whole(self) -> Story {
        self.then(Step::Whole)
    }

    /// Lets time pass.
    #[must_use]
    pub fn wait(self, time: Duration) -> Story {
        self.then(Step::Wait(time))
    }

    /// The step before this must have been done within that time.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Story {
        let last = self.steps.pop().expect("a story has a step before it is told how long that may take");
        self.then(Step::Within(time, Box::new(last)))
    }

    /// The file is read by name and by id, every byte right.
    #[must_use]
    pub fn expect_readable(self, name: &'static str) -> Story {
        self.then(Step::Readable(name))
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

    /// Within a minute metadata counts so many copies of each chunk of the file.
    #[must_use]
    pub fn expect_copies(self, name: &'static str, copies: usize) -> Story {
        self.then(Step::Copies(name, copies))
    }

    /// Within a minute a storage node is seen so by the leader.
    #[must_use]
    pub fn expect_health(self, who: Who, health: Health) -> Story {
        self.then(Step::Healthy(who, health))
    }

    /// Within a minute a node ends by itself, and says these words.
    #[must_use]
    pub fn expect_end(self, who: Who, words: &'static str) -> Story {
        self.then(Step::Ends(who, words))
    }

    /// Within a minute another node than [`it`] leads.
    #[must_use]
    pub fn expect_other_leader(self) -> Story {
        self.then(Step::OtherLeader)
    }
}
