//! Guards behind which others stand, so that only a story of their own shows whether they are there.

use crate::fault::FaultKind;
use crate::story::{
    Story, all_metadata, all_storage, holder, it, kib, leader, mib, milliseconds, non_holder, seconds, storage, story,
};
use dfs_core::wire::metadata::Health;

pub(super) fn all() -> Vec<Story> {
    vec![
        empty_store(),
        store_lost_meanwhile(),
        unheard_nodes(),
        damaged_everywhere(),
        late_copies(),
        overruled(),
        torn_records(),
        hole_in_a_segment(),
        checkpoint(),
        repeated_deletion(),
        receipt_for_another_leader(),
    ]
}

fn empty_store() -> Story {
    story("empty-store", "A node that returns with an empty disk holds nothing, and metadata knows.", 3, 3)
        .upload("a", kib(300))
        .expect_copies("a", 3)
        .empty_disk(storage(1))
        .start(it())
        .until_whole()
        .expect_copies("a", 2)
        .expect_readable("a")
}

fn store_lost_meanwhile() -> Story {
    let sentence = "Copies that are lost before an upload is complete do not count for its acknowledgement (18).";
    story("store-lost-meanwhile", sentence, 3, 3)
        .crash(storage(3))
        .expect_health(it(), Health::Suspect)
        .begin_upload("a", mib(24))
        .wait(milliseconds(900))
        .empty_disk(storage(2))
        .start(it())
        .refused("a", "run the same command again")
        .start(storage(3))
        .until_whole()
        .upload_again("a", mib(24))
        .expect_copies("a", 3)
        .expect_readable("a")
}

fn unheard_nodes() -> Story {
    story("unheard-nodes", "A new leader gives work to nodes that it has not heard yet (37).", 3, 3)
        .wait(seconds(40))
        .mute(all_storage(), all_metadata())
        .cut_power(leader())
        .upload("a", kib(300))
        .within(seconds(8))
        .expect_readable("a")
}

fn damaged_everywhere() -> Story {
    story("damaged-everywhere", "A node itself refuses to serve a copy that is damaged (26, 28).", 3, 3)
        .upload("a", kib(64))
        .expect_copies("a", 3)
        .rot("a", 0, all_storage())
        .expect_unreadable("a", "the node's copy of this chunk is damaged")
        .delete("a")
}

fn late_copies() -> Story {
    story("late-copies", "Copies on a slow node are made later, and metadata comes to know (23).", 3, 3)
        .fault(FaultKind::SlowLink, storage(2))
        .upload("a", mib(2))
        .mend(it())
        .expect_copies("a", 3)
        // Sooner than repair would have them made once more.
        .within(seconds(10))
}

fn overruled() -> Story {
    story("overruled", "What a leader that is cut off has written is gone from its log once another leads (30).", 3, 3)
        .upload("warm", kib(100))
        .isolate(leader())
        .abandon_upload("a", 100, milliseconds(400))
        .abandon_upload("b", 100, milliseconds(400))
        .abandon_upload("c", 100, milliseconds(400))
        .wait(seconds(1))
        .expect_other_leader()
        .mend(it())
        .until_whole()
        .expect_readable("warm")
}

fn torn_records() -> Story {
    let told = story("torn-records", "A record that a power cut has torn is not taken for a copy (54).", 3, 3)
        .upload("warm", kib(100));
    [("a", 40), ("b", 60), ("c", 80), ("d", 100), ("e", 120), ("f", 140), ("g", 160), ("h", 180)].into_iter().fold(
        told,
        |told, (name, moment)| {
            told.fault(FaultKind::SlowDisk, storage(1))
                .begin_upload(name, kib(300))
                .wait(milliseconds(moment))
                .cut_power(storage(1))
                .finish(name)
                .start(it())
                .until_whole()
                .expect_readable(name)
        },
    )
}

fn hole_in_a_segment() -> Story {
    let told =
        story("hole-in-a-segment", "What lies behind a record that was begun and given up is found again (54).", 3, 3)
            .large_chunks()
            .upload("warm", kib(100));
    let moments = [("a", 300), ("b", 400), ("c", 500), ("d", 600), ("e", 700), ("f", 800)];
    let told = moments
        .into_iter()
        .fold(told, |told, (name, moment)| told.abandon_upload(name, mib(1), milliseconds(moment)).wait(seconds(1)));
    told.heal()
        .upload("behind", mib(2))
        .expect_copies("behind", 3)
        .cut_power(all_storage())
        .start(all_storage())
        .until_whole()
        .expect_readable("behind")
}

fn checkpoint() -> Story {
    story("checkpoint", "Power is lost just after a checkpoint of the index: every copy is found again (54).", 3, 3)
        .upload("warm", kib(100))
        .fault(FaultKind::SlowDisk, all_storage())
        .begin_upload("a", mib(24))
        .wait(milliseconds(10_500))
        .cut_power(storage(1))
        .start(it())
        .finish("a")
        .until_whole()
        .expect_readable("a")
}

fn repeated_deletion() -> Story {
    let told = story(
        "repeated-deletion",
        "A deletion that is asked for again is not done again to who took the name (20).",
        3,
        3,
    )
    .upload("warm", 1)
    .silence(leader())
    .hear(it());
    // Before, while and after the leader answers.
    [("a", 10), ("b", 13), ("c", 16), ("d", 19), ("e", 22), ("f", 25), ("g", 28)].into_iter().fold(
        told,
        |told, (name, moment)| {
            told.upload(name, 1)
                .begin_delete(name)
                .wait(milliseconds(moment))
                .silence(it())
                .overwrite(name, 2)
                .by_another()
                .wait(milliseconds(900))
                .hear(it())
                // What it has done is looked at before what it has told.
                .await_end(name)
                .finish(name)
        },
    )
}

/// A leader orders a copy in the place of a dead node's. It is made only when another leads, and the dead node is back.
fn receipt_for_another_leader() -> Story {
    story(
        "receipt-for-another-leader",
        "What an earlier leader wanted to give up is kept if it is not dead any more (36, 41).",
        3,
        4,
    )
    .upload("a", kib(60))
    .expect_copies("a", 3)
    .cut_power(holder("a", 0, 0))
    .wait(seconds(26))
    .pause(non_holder("a"))
    .wait(seconds(9))
    .cut_power(leader())
    .heal()
    .until_whole()
    .expect_copies("a", 4)
    .expect_readable("a")
}
