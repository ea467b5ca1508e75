//! Nodes that go and come back.

use crate::fault::FaultKind;
use crate::story::{Story, all_metadata, all_storage, follower, it, kib, leader, mib, seconds, storage, story};
use dfs_core::wire::metadata::{ClusterSummary, Health};

pub(super) fn all() -> Vec<Story> {
    vec![
        silent_node(),
        new_leader(),
        leader_without_peers(),
        leader_stands_still(),
        metadata_away(),
        first_seconds(),
        restarted_in_turn(),
        cluster_restarted(),
        back_from_the_dead(),
        status_in_trouble(),
        slow_node(),
    ]
}

fn silent_node() -> Story {
    story("silent-node", "A silent node is Suspect after ten seconds, Dead after thirty, and comes back (36).", 3, 4)
        .upload("a", kib(300))
        .expect_health_for(seconds(30), all_storage(), &[Health::Alive])
        .unplug(storage(2))
        .expect_health_for(seconds(6), it(), &[Health::Alive])
        .expect_health(it(), Health::Suspect)
        .within(seconds(6))
        .expect_health_for(seconds(17), it(), &[Health::Suspect])
        .expect_health(it(), Health::Dead)
        .within(seconds(5))
        .expect_health_for(seconds(10), it(), &[Health::Dead])
        .mend(it())
        .expect_health(it(), Health::Alive)
        .within(seconds(8))
        .expect_readable("a")
}

fn slow_node() -> Story {
    story("slow-node", "A node whose disk is slow beside the others is noticed by its peers, and forgiven (27).", 1, 4)
        .upload_many("before", 60, kib(64))
        .wait(seconds(6))
        .expect_slow(all_storage(), false)
        .fault(FaultKind::SlowDisk, storage(2))
        .upload_many("while", 80, kib(64))
        .expect_slow(it(), true)
        .mend(it())
        .expect_slow(it(), false)
        .expect_health(all_storage(), Health::Alive)
        .expect_readable("while/0")
}

/// A new leader does not know yet whom it has not heard from.
const NOT_SUSPECTED: &[Health] = &[Health::Alive, Health::Unknown];

fn new_leader() -> Story {
    story("new-leader", "The metadata leader dies: no storage node is thought dead, and all is readable (37).", 3, 3)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .wait(seconds(40))
        .cut_power(leader())
        .expect_health_for(seconds(35), all_storage(), NOT_SUSPECTED)
        .expect_readable("a")
        .start(it())
        .isolate(leader())
        .expect_health_for(seconds(35), all_storage(), NOT_SUSPECTED)
        .expect_readable("a")
        .expect_copies("a", 3)
}

fn leader_without_peers() -> Story {
    let sentence = "A leader that hears storage nodes and users, and no other member, leads nobody any more (37).";
    story("leader-without-peers", sentence, 3, 4)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .wait(seconds(40))
        .fault(FaultKind::CutOff, leader())
        .expect_health_for(seconds(75), all_storage(), NOT_SUSPECTED)
        .upload("b", mib(1))
        .expect_copies("b", 3)
        .heal()
        .until_whole()
        .expect_readable("a")
        .expect_readable("b")
}

fn leader_stands_still() -> Story {
    let sentence = "The only metadata node stands still for a minute, and takes that for nobody's silence (36, 37).";
    story("leader-stands-still", sentence, 1, 4)
        .crash(storage(4))
        .expect_health(it(), Health::Suspect)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .start(storage(4))
        .until_whole()
        .wait(seconds(31))
        // What it sent before would else be heard now.
        .unplug(storage(2))
        .pause(leader())
        .wait(seconds(60))
        .mend(it())
        .expect_health_for(seconds(5), all_storage(), NOT_SUSPECTED)
        .mend(storage(2))
        .expect_repaired("a", 3, storage(4))
        .expect_readable("a")
}

fn metadata_away() -> Story {
    story("metadata-away", "Metadata is down for a minute: all is readable then, and no replica is gone (38).", 3, 3)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .crash(all_metadata())
        .wait(seconds(60))
        .start(all_metadata())
        .expect_readable("a")
        .within(seconds(5))
        .expect_health_for(seconds(40), all_storage(), NOT_SUSPECTED)
        .expect_copies("a", 3)
        .expect_readable("a")
}

fn first_seconds() -> Story {
    story("first-seconds", "What is written in the first seconds of a cluster keeps its replicas (43).", 3, 3)
        .at_once()
        .upload("a", mib(1))
        .upload("b", 1)
        .expect_copies("a", 2)
        .within(seconds(1))
        .wait(seconds(90))
        .expect_copies("a", 2)
        .expect_copies("b", 2)
        .expect_readable("a")
}

fn restarted_in_turn() -> Story {
    story("restarted-in-turn", "Each node is restarted in turn: no replica is lost (40).", 3, 3)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .restart_in_turn(all_storage())
        .expect_copies("a", 3)
        .restart_in_turn(all_metadata())
        .expect_copies("a", 3)
        .expect_readable("a")
}

fn cluster_restarted() -> Story {
    story("cluster-restarted", "The whole cluster is stopped and started: all data is there (40).", 3, 3)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .stop(all_storage())
        .stop(all_metadata())
        .wait(seconds(60))
        .start(all_metadata())
        .start(all_storage())
        .until_whole()
        .expect_copies("a", 3)
        .expect_readable("a")
        .blackout()
        .wait(seconds(60))
        .heal()
        .until_whole()
        .expect_copies("a", 3)
        .expect_readable("a")
}

fn back_from_the_dead() -> Story {
    story("back-from-the-dead", "A node returns after it was thought dead: its replicas are read again (41).", 3, 3)
        .upload("a", kib(500))
        .expect_copies("a", 3)
        .cut_power(storage(1))
        .expect_health(it(), Health::Dead)
        .start(it())
        .expect_health(it(), Health::Alive)
        .wait(seconds(60))
        .expect_copies("a", 3)
        .crash(storage(2))
        .crash(storage(3))
        .expect_readable("a")
}

fn status_in_trouble() -> Story {
    story(
        "status-in-trouble",
        "Metadata answers how the cluster is while nodes are down, and calls nothing well that is not (52).",
        3,
        5,
    )
    .upload("a", mib(6))
    .expect_copies("a", 3)
    .wait(seconds(31))
    .expect_status("no chunk lacks copies", nothing_lacks)
    .crash(follower())
    .expect_status("a metadata node does not answer", |status| status.metadata_responding == 2)
    .within(seconds(5))
    .start(it())
    .until_whole()
    .cut_power(storage(1))
    .expect_status("a node is Suspect, and its copies count", |status| {
        (status.storage_alive, status.storage_suspect) == (4, 1) && status.repair.chunks_below == 0
    })
    .within(seconds(15))
    .expect_status("a node is Dead, and copies are missing", |status| {
        (status.storage_alive, status.storage_dead) == (4, 1) && status.repair.chunks_below > 0
    })
    .within(seconds(25))
    .fault(FaultKind::SlowDisk, all_storage())
    .expect_honest_status(seconds(20), "a")
    .expect_repaired("a", 3, storage(1))
    .cut_power(storage(2))
    .cut_power(leader())
    .expect_status_for(seconds(20), "a new leader does not know yet what is missing", |status| !status.repair.listened)
    .expect_honest_status(seconds(30), "a")
    .expect_repaired("a", 3, storage(2))
    .heal()
    .until_whole()
    .expect_status("no chunk lacks copies", nothing_lacks)
    .crash(all_storage())
    .expect_status("no node has a copy", |status| {
        status.storage_alive == 0 && status.repair.chunks_unavailable == 96 && status.available_bytes == 0
    })
    .start(all_storage())
    .until_whole()
    .expect_status("no chunk lacks copies", nothing_lacks)
    .expect_readable("a")
}

/// Every group was looked at, and no chunk has fewer copies than it should.
fn nothing_lacks(status: &ClusterSummary) -> bool {
    let repair = &status.repair;
    repair.listened && repair.swept.is_some() && !repair.more && repair.chunks_below == 0
}
