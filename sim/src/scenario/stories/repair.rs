//! Copies that are lost, and made anew.

use crate::fault::FaultKind;
use crate::story::{
    Story, all_metadata, all_storage, holder, it, kib, leader, metadata, mib, milliseconds, non_holder, seconds,
    storage, story,
};
use dfs_core::wire::metadata::Health;

pub(super) fn all() -> Vec<Story> {
    vec![
        dead_node(),
        two_dead_nodes(),
        fewest_first(),
        degraded_heals(),
        forgotten_copies(),
        no_target(),
        lost_store(),
        rotten_source(),
        rotten_beside_held(),
        rotten_in_place(),
        rotten_and_read(),
        rotten_at_the_start(),
        rotten_at_the_target(),
        unreadable_source(),
        source_dies(),
        target_dies(),
        leader_dies(),
        back_in_time(),
        old_beats(),
    ]
}

fn dead_node() -> Story {
    story("dead-node", "A holder dies: every chunk is back to three verified copies, elsewhere (39).", 3, 5)
        .upload("a", mib(3))
        .expect_copies("a", 3)
        .cut_power(holder("a", 0, 0))
        .wait(seconds(28))
        .expect_copies_at_most("a", 3)
        .expect_repaired("a", 3, it())
        .wait(seconds(60))
        .expect_repaired("a", 3, it())
        .expect_readable("a")
}

fn two_dead_nodes() -> Story {
    story("two-dead-nodes", "Two holders die: the last copy is enough to make both anew (39, 46).", 3, 5)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .cut_power(holder("a", 0, 0))
        .cut_power(holder("a", 0, 1))
        .wait(seconds(28))
        .expect_repaired("a", 3, it())
        .expect_readable("a")
}

fn fewest_first() -> Story {
    story("fewest-first", "Chunks with one copy left are repaired before those with two (46).", 3, 5)
        .upload_many("many", 240, 1000)
        .until_whole()
        .cut_power(storage(1))
        .cut_power(storage(2))
        // A new leader has listened for as long to the one as to the other: both are dead for it at once.
        .cut_power(leader())
        .fault(FaultKind::SlowDisk, storage(3))
        .fault(FaultKind::SlowDisk, storage(4))
        .fault(FaultKind::SlowDisk, storage(5))
        .wait(seconds(20))
        .expect_fewest_first("many/", 50)
        .expect_readable("many/7")
}

fn degraded_heals() -> Story {
    story("degraded-heals", "What was uploaded while a node was down is whole once it returns (23, 40).", 3, 3)
        .crash(storage(2))
        .expect_health(it(), Health::Suspect)
        .upload("a", mib(1))
        .expect_copies("a", 2)
        .start(storage(2))
        .until_whole()
        .expect_copies("a", 3)
        .expect_copies_at_most("a", 3)
        .expect_readable("a")
}

fn forgotten_copies() -> Story {
    story(
        "forgotten-copies",
        "Copies that were owed by nodes which have started anew are made all the same (40).",
        3,
        3,
    )
    .pause(storage(2))
    .upload("a", mib(1))
    .crash(storage(1))
    .crash(storage(3))
    .start(storage(1))
    .start(storage(3))
    .mend(storage(2))
    .until_whole()
    .expect_copies("a", 3)
    .expect_copies_at_most("a", 3)
    .expect_readable("a")
}

fn no_target() -> Story {
    story("no-target", "No node can take the copies that are missing; then one joins, and they are made (45).", 3, 4)
        .crash(storage(4))
        .expect_health(it(), Health::Suspect)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .cut_power(storage(1))
        .wait(seconds(60))
        .expect_copies("a", 3)
        .start(storage(4))
        .expect_repaired("a", 3, storage(1))
        .expect_readable("a")
}

fn lost_store() -> Story {
    story("lost-store", "A node returns with an empty disk: its copies are made anew without delay.", 3, 3)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .wait(seconds(31))
        .empty_disk(storage(1))
        .start(it())
        .until_whole()
        .expect_copies("a", 3)
        .within(seconds(10))
        .crash(storage(2))
        .crash(storage(3))
        .expect_readable("a")
}

fn rotten_source() -> Story {
    story("rotten-source", "A copy that has rotted is not copied, and does not count for one (48).", 3, 5)
        .large_chunks()
        .upload("a", mib(2))
        .expect_copies("a", 3)
        .rot("a", 0, holder("a", 0, 0))
        .rot("a", 1, holder("a", 1, 1))
        .cut_power(holder("a", 0, 2))
        .wait(seconds(28))
        .expect_repaired("a", 3, it())
        .expect_readable("a")
}

fn rotten_beside_held() -> Story {
    let sentence = "A copy that has rotted does not count for one where its target holds the chunk already (41, 48).";
    story("rotten-beside-held", sentence, 3, 4)
        .large_chunks()
        .upload("a", kib(512))
        .expect_copies("a", 3)
        .cut_power(holder("a", 0, 2))
        .wait(seconds(28))
        .expect_repaired("a", 3, it())
        .start(it())
        .until_whole()
        // Nobody has checked anything in this life of the nodes.
        .cut_power(all_storage())
        .start(all_storage())
        .until_whole()
        .cut_power(holder("a", 0, 2))
        .rot("a", 0, holder("a", 0, 0))
        .wait(seconds(28))
        .expect_repaired("a", 2, it())
        // The node of the rotten copy is left alone for a minute; then it gets the chunk once more, and writes it anew.
        .wait(seconds(50))
        .expect_repaired("a", 3, it())
        .expect_readable("a")
}

fn rotten_in_place() -> Story {
    let sentence = "A copy that has rotted is written anew on its own node where there is no other (48).";
    story("rotten-in-place", sentence, 3, 3)
        .large_chunks()
        .upload("a", mib(2))
        .expect_copies("a", 3)
        .rot("a", 0, storage(1))
        .rot("a", 1, storage(2))
        .empty_disk(storage(3))
        .start(it())
        .until_whole()
        .wait(seconds(60))
        .expect_mended("a", 3)
        .cut_power(storage(3))
        .cut_power(storage(2))
        .expect_readable("a")
        .cut_power(storage(1))
        .start(storage(2))
        .expect_readable("a")
}

fn rotten_and_read() -> Story {
    let sentence =
        "A copy that a reader finds rotten is told of by its node, and made anew without anybody asking (28, 48).";
    story("rotten-and-read", sentence, 3, 3)
        .large_chunks()
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .rot("a", 0, storage(1))
        .rot("a", 0, storage(2))
        .begin_read_flood("a", 20)
        .finish("a")
        .wait(seconds(100))
        .expect_copies("a", 3)
        .cut_power(storage(3))
        .expect_readable("a")
}

fn rotten_at_the_start() -> Story {
    let sentence =
        "A copy that a start finds broken is told of by its node, and made anew without anybody asking (41, 48).";
    story("rotten-at-the-start", sentence, 3, 3)
        .large_chunks()
        .upload("a", mib(1))
        .expect_copies("a", 3)
        // Before the index is saved, so that the start looks at the record itself.
        .rot("a", 0, storage(1))
        .cut_power(storage(1))
        .start(it())
        .until_whole()
        .wait(seconds(100))
        .expect_mended("a", 3)
        .cut_power(storage(3))
        .cut_power(storage(2))
        .expect_readable("a")
}

fn rotten_at_the_target() -> Story {
    let sentence = "A copy that has rotted unseen is written anew when its node is to have the chunk again (41, 48).";
    story("rotten-at-the-target", sentence, 3, 4)
        .large_chunks()
        .upload("a", mib(1))
        .expect_copies("a", 3)
        // Until the index is saved, a start looks at the record itself.
        .wait(seconds(15))
        .rot("a", 0, holder("a", 0, 2))
        .cut_power(holder("a", 0, 2))
        .wait(seconds(28))
        .expect_repaired("a", 3, it())
        .start(it())
        .until_whole()
        .cut_power(holder("a", 0, 0))
        .wait(seconds(28))
        .expect_repaired("a", 3, it())
        .expect_readable("a")
}

fn unreadable_source() -> Story {
    story("unreadable-source", "A disk that cannot read for a while costs no copy: another source is taken (48).", 3, 5)
        .upload("a", mib(12))
        .expect_copies("a", 3)
        .cut_power(holder("a", 0, 0))
        .fault(FaultKind::FailingReads, holder("a", 0, 1))
        .wait(seconds(60))
        .expect_copies("a", 3)
        .heal()
        .until_whole()
        .expect_readable("a")
}

fn source_dies() -> Story {
    story("source-dies", "The nodes that repair copies from stand still: others take over (44).", 3, 5)
        .upload("a", mib(2))
        .expect_copies("a", 3)
        .cut_power(holder("a", 0, 0))
        .wait(seconds(31))
        .pause(holder("a", 0, 1))
        .wait(seconds(50))
        .heal()
        .until_whole()
        .expect_copies("a", 3)
        .expect_readable("a")
}

fn target_dies() -> Story {
    let told =
        story("target-dies", "Nodes lose power while repair copies to them: nothing counts that is not there.", 3, 6)
            .upload("a", mib(2))
            .expect_copies("a", 3)
            .cut_power(holder("a", 0, 0))
            .wait(seconds(26))
            .fault(FaultKind::SlowDisk, all_storage())
            .cut_power(non_holder("a"))
            .wait(seconds(15))
            .start(it());
    let told = [(400_u64, 1), (450, 2), (500, 3), (550, 4)].into_iter().fold(told, |told, (moment, id)| {
        told.wait(milliseconds(moment)).cut_power(storage(id)).wait(milliseconds(600)).start(it())
    });
    told.wait(seconds(20)).heal().until_whole().expect_copies("a", 3).expect_readable("a")
}

fn leader_dies() -> Story {
    story(
        "leader-dies-in-repair",
        "The leader dies while repair is under way: the next one listens, and ends it (39).",
        3,
        5,
    )
    .upload("a", mib(3))
    .expect_copies("a", 3)
    .cut_power(holder("a", 0, 0))
    .wait(seconds(30))
    .cut_power(leader())
    .wait(seconds(35))
    .expect_copies("a", 3)
    .expect_readable("a")
}

fn back_in_time() -> Story {
    story("back-in-time", "A dead node returns while its copies are made anew: none is lost over it (36, 41).", 3, 5)
        .upload("a", mib(2))
        .expect_copies("a", 3)
        .cut_power(holder("a", 0, 0))
        .wait(seconds(31))
        .start(it())
        .until_whole()
        .expect_copies("a", 3)
        .wait(seconds(30))
        .expect_copies("a", 3)
        .expect_readable("a")
}

/// A leader that has just begun does not know yet whom it has not heard.
const NOT_DEAD: &[Health] = &[Health::Alive, Health::Unknown];

fn old_beats() -> Story {
    let told = story(
        "old-beats",
        "Who leads again goes by what it hears now, not by what it heard when it led before (37).",
        3,
        5,
    )
    .upload("a", kib(300))
    .expect_copies("a", 3);
    let told = [1, 2, 3].into_iter().fold(told, |told, _| {
        let told = told.isolate(leader()).expect_other_leader().wait(seconds(34)).mend(it()).until_whole();
        [1, 2, 3].into_iter().fold(told, |told, id| told.expect_health_for(milliseconds(100), storage(id), NOT_DEAD))
    });
    told.crash(metadata(3))
        .expect_health_for(seconds(3), storage(1), NOT_DEAD)
        .start(all_metadata())
        .expect_copies_at_most("a", 3)
        .expect_readable("a")
}
