//! Disks that lose power, are full, or fail.

use crate::fault::FaultKind;
use crate::story::{Story, all_storage, follower, holder, it, kib, leader, milliseconds, seconds, storage, story};

pub(super) fn all() -> Vec<Story> {
    vec![
        power_lost(),
        power_lost_everywhere(),
        full_disk(),
        full_disks(),
        full_before_it_joins(),
        failed_sync(),
        failed_sync_forgotten(),
        failed_log(),
        log_behind_the_state(),
        older_disk(),
    ]
}

fn older_disk() -> Story {
    story("older-disk", "A node that returns with an older copy of its disk costs no file (26).", 3, 3)
        .upload("a", kib(300))
        .expect_copies("a", 3)
        .keep_copy(storage(1))
        .upload("b", kib(300))
        .expect_copies("b", 3)
        .older_disk(storage(1))
        .start(it())
        .until_whole()
        .expect_readable("b")
        .cut_power(storage(2))
        .expect_readable("a")
        .expect_readable("b")
        .upload("c", kib(300))
        .expect_readable("c")
}

/// Moments of a small upload and of its deletion, in milliseconds after their beginning.
const MOMENTS: [(&str, u64); 8] = [("a", 2), ("b", 5), ("c", 8), ("d", 11), ("e", 15), ("f", 20), ("g", 30), ("h", 50)];

fn power_lost() -> Story {
    let told = story(
        "power-lost",
        "A node loses its power at any moment of a write: what was acknowledged is whole (54).",
        3,
        3,
    );
    MOMENTS.into_iter().fold(told, |told, (name, moment)| {
        told.begin_upload(name, kib(130))
            .wait(milliseconds(moment))
            .cut_power(storage(1))
            .finish(name)
            .start(it())
            .until_whole()
            .expect_readable(name)
    })
}

fn power_lost_everywhere() -> Story {
    let told =
        story("power-lost-everywhere", "All nodes lose their power at any moment of a write or a delete (54).", 3, 3)
            .upload("kept", kib(300));
    MOMENTS.into_iter().fold(told, |told, (name, moment)| {
        told.begin_upload(name, kib(130))
            .wait(milliseconds(moment))
            .blackout()
            .heal()
            .await_end(name)
            .until_whole()
            .begin_delete(name)
            .wait(milliseconds(moment / 4))
            .blackout()
            .heal()
            .await_end(name)
            .until_whole()
            .expect_readable("kept")
    })
}

fn full_disk() -> Story {
    story("full-disk", "A node whose disk is full takes no chunk, and the others do (55).", 3, 4)
        .upload("before", kib(300))
        .fault(FaultKind::FullDisk, holder("before", 0, 0))
        .wait(seconds(5))
        .upload("a", kib(300))
        .expect_copies("a", 3)
        .expect_readable("a")
        .expect_readable("before")
        .mend(it())
        .upload("b", kib(300))
}

fn full_disks() -> Story {
    story("full-disks", "Full disks refuse new chunks early, keep serving, and recover (55).", 3, 3)
        .upload("before", kib(300))
        .fault(FaultKind::FullDisk, all_storage())
        .wait(seconds(5))
        .upload_refused("a", kib(300), "a durable write needs 2 storage nodes, and 0 can take work now")
        .within(seconds(10))
        .expect_readable("before")
        .upload("empty", 0)
        .delete("before")
        .mend(all_storage())
        .wait(seconds(5))
        .upload("a", kib(300))
        .expect_readable("a")
}

fn full_before_it_joins() -> Story {
    story(
        "full-before-it-joins",
        "A new node whose disk is full before it has joined joins once there is room (55).",
        3,
        4,
    )
    .upload("before", kib(300))
    .fault(FaultKind::EmptyDisk, storage(4))
    .mend(it())
    .fault(FaultKind::FullDisk, it())
    .wait(seconds(20))
    .expect_readable("before")
    .mend(it())
    .until_whole()
    .upload("a", kib(300))
    .expect_readable("a")
}

fn failed_sync() -> Story {
    story("failed-sync", "A node whose fsync fails leaves and says why, and acknowledges nothing any more (56).", 3, 4)
        .upload("before", kib(300))
        .fault(FaultKind::FailingSync, holder("before", 0, 0))
        .upload("a", kib(300))
        .upload("b", kib(300))
        .expect_end(it(), "the disk failed; the store takes no more work")
        .expect_readable("a")
        .mend(it())
        .until_whole()
        .expect_readable("before")
}

fn failed_sync_forgotten() -> Story {
    story("failed-sync-forgotten", "What a failed fsync lost is not taken for durable after a restart (56).", 3, 3)
        .upload("before", kib(100))
        .fault(FaultKind::FailingSync, storage(2))
        .upload("a", kib(500))
        .expect_end(it(), "the disk failed; the store takes no more work")
        .crash(it())
        .start(it())
        .until_whole()
        .cut_power(it())
        .start(it())
        .until_whole()
        .expect_readable("a")
}

fn log_behind_the_state() -> Story {
    let story = story(
        "log-behind-the-state",
        "A log that lost its tail to a failed fsync is cut as far as the state is durable, and no further (33, 56).",
        3,
        3,
    );
    // The last entry has to be applied before its fsync fails.
    (0..8).fold(story.churn("churn", 10), |story, _| {
        story
            .fault(FaultKind::SlowDisk, follower())
            .fault(FaultKind::FailingSync, it())
            .churn("churn", 4)
            .expect_end(it(), "the Raft engine stopped")
            .mend(it())
            .churn("churn", 4)
            .cut_power(it())
            .start(it())
            .until_whole()
    })
}

fn failed_log() -> Story {
    story("failed-log", "A metadata node whose log fails leaves and says why, and the others go on (56).", 3, 3)
        .upload("before", kib(100))
        .fault(FaultKind::FailingSync, follower())
        .upload("a", kib(100))
        .expect_end(it(), "the Raft engine stopped")
        .mend(it())
        .until_whole()
        .fault(FaultKind::FailingSync, leader())
        .upload("b", kib(100))
        .expect_end(it(), "the Raft engine stopped")
        .expect_readable("before")
        .expect_readable("a")
}
