//! The steps of a story, as values.

use super::Who;
use crate::fault::FaultKind;
use crate::work::Manner;
use dfs_core::range::ByteRange;
use dfs_core::wire::metadata::Health;
use std::time::Duration;

/// Something that takes its time.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    /// An upload of so many bytes.
    Upload(u64, Manner),
    /// A deletion.
    Delete,
    /// A download.
    Read,
}

/// A user of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Somebody {
    /// One who knows all metadata nodes.
    Else,
    /// One who has not done anything yet, and knows only these metadata nodes.
    Knowing(&'static [u64]),
}

impl Somebody {
    /// The metadata nodes that they know, if not all.
    pub(super) fn knows(&self) -> Option<&'static [u64]> {
        match *self {
            Somebody::Else => None,
            Somebody::Knowing(metadata) => Some(metadata),
        }
    }
}

/// A step of a story.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Uploads a file; it must be acknowledged.
    Upload(&'static str, u64),
    /// Tries to upload a file; the user must be told these words, and nothing is there.
    UploadRefused(&'static str, u64, &'static str),
    /// Uploads so many files of so many bytes below a prefix.
    UploadMany(&'static str, u64, u64),
    /// Uploads and deletes empty files so often.
    Churn(&'static str, u64),
    /// Begins something with a file, and goes on meanwhile.
    Begin(&'static str, Errand),
    /// Waits until what was begun under that name has ended; it must have succeeded.
    Finish(&'static str),
    /// Waits until what was begun under that name has ended, however it did.
    Await(&'static str),
    /// Deletes a file by its name; it must be acknowledged.
    Delete(&'static str),
    /// Deletes a file by its id; it must be acknowledged.
    DeleteById(&'static str),
    /// Tries to delete a file, however that ends.
    TryDelete(&'static str),
    /// Tries to delete a file; the user must be told these words.
    DeleteRefused(&'static str, &'static str),
    /// Does a fault.
    Hurt(FaultKind, Who, Option<Who>),
    /// What a node sends the user is lost.
    Silence(Who),
    /// What a node sends the user arrives again.
    Hear(Who),
    /// Stops nodes in order and starts them again, one after the other, each time until the cluster is whole.
    RestartInTurn(Who),
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
    /// These bytes of the file are read, every one right.
    Range(&'static str, ByteRange),
    /// Downloads so many bytes of the file, and is cut off.
    CutOff(&'static str, u64),
    /// Goes on with what was cut off: all of the file is there, every byte right.
    GoOn(&'static str),
    /// The file is not there.
    Missing(&'static str),
    /// The file is there, but cannot be read: the user is told these words.
    Unreadable(&'static str, &'static str),
    /// Just these files begin with that text.
    Listed(&'static str, &'static [&'static str]),
    /// Metadata comes to count at least so many copies of each chunk of the file.
    Copies(&'static str, usize),
    /// Metadata comes to count just so many copies of each chunk of the file, none of them on that node, and all of them
    /// verified if repair has touched it.
    Repaired(&'static str, usize, Who),
    /// Metadata counts at most so many copies of each chunk of the file.
    CopiesAtMost(&'static str, usize),
    /// A storage node comes to have that health.
    Healthy(Who, Health),
    /// Storage nodes have one of these healths for so long.
    Stays(Who, &'static [Health], Duration),
    /// A node ends by itself, and says these words.
    Ends(Who, &'static str),
    /// The leader's log begins behind all that [`it`](super::it) has applied.
    LogCut,
    /// There is a leader, and it is another than [`it`].
    OtherLeader,
    /// The step is done within that time.
    Within(Duration, Box<Step>),
    /// The step is done by another user.
    By(Somebody, Box<Step>),
}

impl Step {
    /// The step itself, who does it if not the user, and how long it may take.
    pub(super) fn plain(&self) -> (&Step, Option<Somebody>, Option<Duration>) {
        match self {
            Step::Within(limit, step) => {
                let (step, by, _) = step.plain();
                (step, by, Some(*limit))
            }
            Step::By(by, step) => {
                let (step, _, limit) = step.plain();
                (step, Some(*by), limit)
            }
            step => (step, None, None),
        }
    }
}
