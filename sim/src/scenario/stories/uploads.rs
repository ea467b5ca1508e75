//! Uploads, as they should be and in trouble.

use crate::fault::FaultKind;
use crate::story::{Story, all_storage, holder, it, kib, leader, mib, milliseconds, seconds, storage, story};
use std::time::Duration;

pub(super) fn all() -> Vec<Story> {
    vec![
        sizes(),
        degraded_upload(),
        too_few_nodes(),
        too_few_copies(),
        dying_primary(),
        hanging_primary(),
        hanging_replica(),
        two_writers(),
        create_reply_lost(),
        chunk_reply_lost(),
        replies_lost(),
        late_commit(),
        another_source(),
    ]
}

fn sizes() -> Story {
    story("sizes", "Sizes around every boundary are read back (2).", 3, 4)
        .upload("empty", 0)
        .upload("byte", 1)
        .upload("chunk-less-one", kib(64) - 1)
        .upload("chunk", kib(64))
        .upload("chunk-and-one", kib(64) + 1)
        .upload("two-chunks", kib(128))
        .upload("group", mib(1))
        .upload("group-and-one", mib(1) + 1)
        .expect_readable("empty")
        .expect_readable("byte")
        .expect_readable("chunk-less-one")
        .expect_readable("chunk")
        .expect_readable("chunk-and-one")
        .expect_readable("two-chunks")
        .expect_readable("group")
        .expect_readable("group-and-one")
}

fn degraded_upload() -> Story {
    story("degraded-upload", "With one of three nodes down an upload succeeds, and no copy is owed later (23).", 3, 3)
        .crash(storage(2))
        .upload("a", mib(1))
        .expect_copies("a", 2)
        .expect_readable("a")
        .start(storage(2))
        .until_whole()
        .expect_readable("a")
}

fn too_few_nodes() -> Story {
    story("too-few-nodes", "With fewer nodes than a write needs it is refused (23).", 3, 3)
        .upload("before", kib(300))
        .crash(storage(1))
        .crash(storage(2))
        .wait(seconds(12))
        .upload_refused("a", kib(300), "a durable write needs 2 storage nodes, and 1 can take work now")
        .within(seconds(10))
        .expect_missing("a")
        .expect_readable("before")
}

fn too_few_copies() -> Story {
    story("too-few-copies", "Success is never reported with fewer copies than a write needs (24).", 3, 3)
        .mute(all_storage(), all_storage())
        .upload_refused("a", kib(300), "did not become durable")
        .within(seconds(60))
        .expect_missing("a")
        .heal()
        .upload("a", kib(300))
}

fn dying_primary() -> Story {
    story("dying-node", "A node that dies in the middle of an upload is replaced (22).", 3, 5)
        .upload("first", kib(100))
        .begin_upload("a", mib(3))
        .wait(milliseconds(100))
        .cut_power(holder("first", 0, 0))
        .finish("a")
        .within(seconds(3))
        .expect_readable("a")
}

fn hanging_primary() -> Story {
    story("hanging-node", "A node that hangs in the middle of an upload is replaced (22).", 3, 5)
        .upload("first", kib(100))
        .begin_upload("a", mib(3))
        .wait(milliseconds(100))
        .pause(holder("first", 0, 0))
        .finish("a")
        .within(seconds(3))
        .expect_readable("a")
        .mend(it())
}

/// What an acknowledgement may take while a replica hangs: a primary drops it after a quarter of a second, or waits a
/// fifth of one for it.
const DESPITE_A_REPLICA: Duration = milliseconds(700);

/// What it may take if the primary hangs: it is left after three quarters of a second.
const DESPITE_A_PRIMARY: Duration = seconds(1);

fn hanging_replica() -> Story {
    story("hanging-replica", "A replica that hangs delays each acknowledgement by less than a second (22, 27).", 3, 3)
        .upload_one_by_one("before", 4, kib(60), DESPITE_A_REPLICA, DESPITE_A_REPLICA)
        .begin_upload("a", mib(2))
        .wait(milliseconds(100))
        .pause(storage(2))
        .finish("a")
        .within(seconds(3))
        .upload_one_by_one("hanging", 12, kib(60), DESPITE_A_REPLICA, DESPITE_A_PRIMARY)
        .mend(it())
        .until_whole()
        .fault(FaultKind::SlowDisk, storage(1))
        .upload_one_by_one("slow", 12, kib(60), seconds(1), seconds(2))
        .mend(it())
        .until_whole()
        .expect_copies("a", 3)
        .expect_readable("a")
}

fn two_writers() -> Story {
    story("two-writers", "A node goes on with chunks that others have written meanwhile: one content stays (18).", 3, 4)
        .upload("first", kib(100))
        .begin_upload("a", mib(4))
        .wait(milliseconds(100))
        .pause(holder("first", 0, 0))
        .wait(milliseconds(2_100))
        .mend(it())
        .finish("a")
        .within(seconds(15))
        .until_whole()
        .expect_copies("a", 2)
        .expect_readable("a")
}

fn create_reply_lost() -> Story {
    story("create-reply-lost", "The answer to a create is lost: the upload succeeds, once (20).", 3, 3)
        .upload("warm", 1)
        .silence(leader())
        .begin_upload("a", kib(150))
        .wait(milliseconds(700))
        .hear(it())
        .finish("a")
        .within(seconds(10))
        .upload_refused("a", 1, "exists")
        .expect_listed("", &["a", "warm"])
}

fn chunk_reply_lost() -> Story {
    story(
        "chunk-reply-lost",
        "The answers to chunks are lost: they are written again, and one content stays (18, 20).",
        3,
        3,
    )
    .upload("warm", kib(640))
    .silence(all_storage())
    .begin_upload("a", kib(640))
    .wait(seconds(4))
    .hear(all_storage())
    .finish("a")
    .within(seconds(20))
    .until_whole()
    .expect_copies("a", 2)
    .expect_readable("a")
}

/// Moments at which a small upload creates, writes and commits, in milliseconds after its beginning.
const MOMENTS: [(&str, u64); 10] =
    [("a", 1), ("b", 3), ("c", 5), ("d", 7), ("e", 9), ("f", 12), ("g", 15), ("h", 20), ("i", 25), ("j", 30)];

fn replies_lost() -> Story {
    let told =
        story("replies-lost", "A reply lost at any step, then retried, ends in success exactly once (20).", 3, 3)
            .upload("warm", kib(100))
            .silence(leader())
            .hear(it());
    MOMENTS.into_iter().fold(told, |told, (name, moment)| {
        told.begin_upload(name, kib(60))
            .wait(milliseconds(moment))
            .silence(it())
            .wait(milliseconds(900))
            .hear(it())
            .finish(name)
            .expect_readable(name)
            .begin_delete(name)
            .wait(milliseconds(moment / 3))
            .silence(it())
            .wait(milliseconds(900))
            .hear(it())
            .finish(name)
            .expect_missing(name)
    })
}

fn late_commit() -> Story {
    let told = story("late-commit", "A commit that comes after a delete leaves the file deleted (21).", 3, 3)
        .upload("warm", kib(100))
        .silence(leader())
        .hear(it());
    MOMENTS.into_iter().fold(told, |told, (name, moment)| {
        told.begin_upload(name, kib(60))
            .wait(milliseconds(moment))
            .silence(it())
            .wait(milliseconds(200))
            .try_delete(name)
            .by_another()
            .wait(milliseconds(700))
            .hear(it())
            .await_end(name)
    })
}

fn another_source() -> Story {
    story("another-source", "An upload never goes on with what another source has left, however alike (15).", 3, 4)
        .upload("warm", kib(100))
        .abandon_upload("a", mib(3), milliseconds(150))
        .await_end("a")
        .expect_missing("a")
        .upload("a", mib(3))
        .expect_readable("a")
}
