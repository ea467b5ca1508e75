//! The steps of a story, as values.

use super::Who;
use crate::fault::FaultKind;
use crate::work::Manner;
use dfs_core::range::ByteRange;
use dfs_core::settings::SettingKey;
use dfs_core::wire::metadata::{ClusterSummary, Health};
use std::fmt;
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
    /// An upload of so many bytes in the place of what has the name.
    Overwrite(u64),
    /// A download in two halves, with a pause between them.
    ReadInHalves(Duration),
    /// A move to another name.
    Move(&'static str),
    /// Uploads and deletions of an empty file, so often.
    Churn(u64),
    /// So many uploads at once, each of so many bytes.
    UploadFlood(u64, u64),
    /// So many downloads at once.
    ReadFlood(u64),
}

/// How soon uploads are acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    /// Of a file whose chunks stayed where they were first placed.
    pub(super) kept: Duration,
    /// Of one that had to go elsewhere.
    pub(super) moved: Duration,
}

/// What metadata may say of the cluster.
#[derive(Clone, Copy)]
pub(super) struct Told(pub(super) fn(&ClusterSummary) -> bool);

impl fmt::Debug for Told {
    /// Without its address, which differs from process to process: steps stand in traces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// Values of settings.
pub(super) type Values = &'static [(SettingKey, u64)];

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
    /// Uploads a file in the place of what has the name; it must be acknowledged.
    Overwrite(&'static str, u64),
    /// Moves a file or directory; it must be acknowledged.
    Move(&'static str, &'static str),
    /// Tries to move a file or directory; the user must be told these words.
    MoveRefused(&'static str, &'static str, &'static str),
    /// Waits until what was begun under that name has ended; the user must have been told these words.
    Refused(&'static str, &'static str),
    /// Tries to upload a file; the user must be told these words, and nothing is there.
    UploadRefused(&'static str, u64, &'static str),
    /// Uploads so many files of so many bytes below a prefix.
    UploadMany(&'static str, u64, u64),
    /// Uploads and deletes empty files so often.
    Churn(&'static str, u64),
    /// Uploads the same source once more; it must be acknowledged, and no more than so many bytes be sent.
    UploadAgain(&'static str, u64),
    /// Uploads so many files of so many bytes, one after the other, each within that time.
    OneByOne(&'static str, u64, u64, Latency),
    /// Changes settings of the cluster; it must be acknowledged.
    ChangeSettings(Values),
    /// Tries to change settings of the cluster; the user must be told these words.
    SettingsRefused(Values, &'static str),
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
    /// So many bytes come from the leader to a node.
    Given(Who, u64),
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
    /// Metadata comes to count just so many copies of each chunk of the file, all of them verified if repair has touched
    /// it, and none of them on that node, if one is named.
    Repaired(&'static str, usize, Option<Who>),
    /// Metadata counts at most so many copies of each chunk of the file.
    CopiesAtMost(&'static str, usize),
    /// A storage node comes to have that health.
    Healthy(Who, Health),
    /// The leader thinks these storage nodes slow, or not.
    Slow(Who, bool),
    /// Storage nodes have one of these healths for so long.
    Stays(Who, &'static [Health], Duration),
    /// A node ends by itself, and says these words.
    Ends(Who, &'static str),
    /// The leader's log begins behind all that [`it`](super::it) has applied.
    LogCut,
    /// The log of each metadata node has at most so many entries.
    LogsWithin(usize),
    /// These settings have these values.
    SettingsAre(Values),
    /// No more than so many in a hundred of the files below a prefix were placed anew.
    Settled(&'static str, usize),
    /// Files with one copy left get another before so many in a hundred of those with two left do.
    FewestFirst(&'static str, usize),
    /// Metadata comes to say that it is so.
    Says(&'static str, Told),
    /// For so long metadata says that it is so, whenever somebody leads.
    SaysFor(&'static str, Told, Duration),
    /// For so long metadata calls nothing well that is not so, of the file.
    Honest(&'static str, Duration),
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
