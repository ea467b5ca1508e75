//! The words of the language: each adds a step to a story. What is expected is in [`expect`].

mod expect;

use super::step::{Errand, Latency, Somebody, Step};
use super::{Story, Who, metadata};
use crate::fault::FaultKind;
use crate::work::Manner;
use dfs_core::settings::SettingKey;
use std::time::Duration;

impl Story {
    /// It begins before the cluster is whole for the first time.
    #[must_use]
    pub fn at_once(self) -> Story {
        Story { at_once: true, ..self }
    }

    /// Its files have large chunks, which stores write in several pieces.
    #[must_use]
    pub fn large_chunks(self) -> Story {
        Story { large_chunks: true, ..self }
    }

    /// Its metadata nodes take a snapshot after so many entries.
    #[must_use]
    pub fn snapshots_every(self, entries: u64) -> Story {
        Story { snapshot_entries: entries, ..self }
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

    /// Uploads so many files of so many bytes, called `prefix/0`, `prefix/1` and so on; each must be acknowledged.
    #[must_use]
    pub fn upload_many(self, prefix: &'static str, count: u64, bytes: u64) -> Story {
        self.then(Step::UploadMany(prefix, count, bytes))
    }

    /// Uploads an empty file and deletes it, so often: three entries of the log each time.
    #[must_use]
    pub fn churn(self, prefix: &'static str, count: u64) -> Story {
        self.then(Step::Churn(prefix, count))
    }

    /// Uploads so many files of so many bytes, called `prefix/0`, `prefix/1` and so on, one after the other. Each must be
    /// acknowledged within `kept` if its chunks stayed where they were first placed, and within `moved` if they did not.
    #[must_use]
    pub fn upload_one_by_one(
        self,
        prefix: &'static str,
        count: u64,
        bytes: u64,
        kept: Duration,
        moved: Duration,
    ) -> Story {
        self.then(Step::OneByOne(prefix, count, bytes, Latency { kept, moved }))
    }

    /// Runs the same command again: uploads the source of the last upload under that name once more. It must be
    /// acknowledged, and send no more than so many bytes.
    #[must_use]
    pub fn upload_again(self, name: &'static str, bytes_max: u64) -> Story {
        self.then(Step::UploadAgain(name, bytes_max))
    }

    /// Begins so many uploads of so many bytes at once, called `prefix/0`, `prefix/1` and so on, and goes on meanwhile.
    /// All must be acknowledged.
    #[must_use]
    pub fn begin_upload_flood(self, prefix: &'static str, count: u64, bytes: u64) -> Story {
        self.then(Step::Begin(prefix, Errand::UploadFlood(count, bytes)))
    }

    /// Begins to read a file so many times at once, and goes on meanwhile. All must be read, every byte right.
    #[must_use]
    pub fn begin_read_flood(self, name: &'static str, count: u64) -> Story {
        self.then(Step::Begin(name, Errand::ReadFlood(count)))
    }

    /// Begins to upload an empty file and delete it, so often, and goes on meanwhile.
    #[must_use]
    pub fn begin_churn(self, prefix: &'static str, count: u64) -> Story {
        self.then(Step::Begin(prefix, Errand::Churn(count)))
    }

    /// Changes settings of the cluster; it must be acknowledged.
    #[must_use]
    pub fn change_settings(self, values: &'static [(SettingKey, u64)]) -> Story {
        self.then(Step::ChangeSettings(values))
    }

    /// Tries to change settings of the cluster; the user must be told these words.
    #[must_use]
    pub fn settings_refused(self, values: &'static [(SettingKey, u64)], words: &'static str) -> Story {
        self.then(Step::SettingsRefused(values, words))
    }

    /// Begins to upload a file, and goes on meanwhile.
    #[must_use]
    pub fn begin_upload(self, name: &'static str, bytes: u64) -> Story {
        self.then(Step::Begin(name, Errand::Upload(bytes, Manner::Plain)))
    }

    /// Uploads a file in the place of what has the name; it must be acknowledged.
    #[must_use]
    pub fn overwrite(self, name: &'static str, bytes: u64) -> Story {
        self.then(Step::Overwrite(name, bytes))
    }

    /// Begins to upload a file in the place of what has the name, and goes on meanwhile.
    #[must_use]
    pub fn begin_overwrite(self, name: &'static str, bytes: u64) -> Story {
        self.then(Step::Begin(name, Errand::Overwrite(bytes)))
    }

    /// Moves a file, or a directory with all that is kept below it; it must be acknowledged.
    #[must_use]
    pub fn rename(self, from: &'static str, to: &'static str) -> Story {
        self.then(Step::Move(from, to))
    }

    /// Begins to move a file or a directory, and goes on meanwhile.
    #[must_use]
    pub fn begin_rename(self, from: &'static str, to: &'static str) -> Story {
        self.then(Step::Begin(from, Errand::Move(to)))
    }

    /// Tries to move a file or a directory; the user must be told these words.
    #[must_use]
    pub fn rename_refused(self, from: &'static str, to: &'static str, words: &'static str) -> Story {
        self.then(Step::MoveRefused(from, to, words))
    }

    /// Begins to read a file in two halves with a pause between them, and goes on meanwhile.
    #[must_use]
    pub fn begin_read_in_halves(self, name: &'static str, pause: Duration) -> Story {
        self.then(Step::Begin(name, Errand::ReadInHalves(pause)))
    }

    /// Begins to delete a file, and goes on meanwhile.
    #[must_use]
    pub fn begin_delete(self, name: &'static str) -> Story {
        self.then(Step::Begin(name, Errand::Delete))
    }

    /// Begins to read a file, and goes on meanwhile.
    #[must_use]
    pub fn begin_read(self, name: &'static str) -> Story {
        self.then(Step::Begin(name, Errand::Read))
    }

    /// Begins to upload a file whose writer vanishes after some time.
    #[must_use]
    pub fn abandon_upload(self, name: &'static str, bytes: u64, after: Duration) -> Story {
        self.then(Step::Begin(name, Errand::Upload(bytes, Manner::Vanishing(after))))
    }

    /// Downloads so many bytes of the file, and is cut off.
    #[must_use]
    pub fn cut_off_read(self, name: &'static str, bytes: u64) -> Story {
        self.then(Step::CutOff(name, bytes))
    }

    /// Goes on with the download that was cut off: all of the file as it is now is there, every byte right.
    #[must_use]
    pub fn go_on_reading(self, name: &'static str) -> Story {
        self.then(Step::GoOn(name))
    }

    /// Waits until what was begun under that name has ended; it must have succeeded.
    #[must_use]
    pub fn finish(self, name: &'static str) -> Story {
        self.then(Step::Finish(name))
    }

    /// Waits until what was begun under that name has ended; it must have failed, and the user been told these words.
    #[must_use]
    pub fn refused(self, name: &'static str, words: &'static str) -> Story {
        self.then(Step::Refused(name, words))
    }

    /// Waits until what was begun under that name has ended, however it did.
    #[must_use]
    pub fn await_end(self, name: &'static str) -> Story {
        self.then(Step::Await(name))
    }

    /// Deletes a file; it must be acknowledged.
    #[must_use]
    pub fn delete(self, name: &'static str) -> Story {
        self.then(Step::Delete(name))
    }

    /// Deletes a file by its id; it must be acknowledged.
    #[must_use]
    pub fn delete_by_id(self, name: &'static str) -> Story {
        self.then(Step::DeleteById(name))
    }

    /// Tries to delete a file, however that ends.
    #[must_use]
    pub fn try_delete(self, name: &'static str) -> Story {
        self.then(Step::TryDelete(name))
    }

    /// Tries to delete a file; the user must be told these words.
    #[must_use]
    pub fn delete_refused(self, name: &'static str, words: &'static str) -> Story {
        self.then(Step::DeleteRefused(name, words))
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

    /// What a node sends the user is lost, while it hears the user well.
    #[must_use]
    pub fn silence(self, who: Who) -> Story {
        self.then(Step::Silence(who))
    }

    /// What a node sends the user arrives again.
    #[must_use]
    pub fn hear(self, who: Who) -> Story {
        self.then(Step::Hear(who))
    }

    /// Stops nodes in order and starts them again, one after the other, each time until the cluster is whole.
    #[must_use]
    pub fn restart_in_turn(self, who: Who) -> Story {
        self.then(Step::RestartInTurn(who))
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

    /// Waits until so many bytes have come from the leader to a node, at most a minute.
    #[must_use]
    pub fn until_given(self, who: Who, bytes: u64) -> Story {
        self.then(Step::Given(who, bytes))
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

    /// The step before this is done by another user.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn by_another(self) -> Story {
        self.by(Somebody::Else)
    }

    /// The step before this is done by somebody who has not done anything yet and knows only these metadata nodes.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn by_one_who_knows(self, metadata: &'static [u64]) -> Story {
        self.by(Somebody::Knowing(metadata))
    }

    fn by(mut self, somebody: Somebody) -> Story {
        let last = self.steps.pop().expect("a story has a step before it is told who does it");
        self.then(Step::By(somebody, Box::new(last)))
    }
}
