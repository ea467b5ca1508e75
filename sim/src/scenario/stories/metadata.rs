//! The metadata cluster in trouble.

use crate::fault::FaultKind;
use crate::story::{Story, all_metadata, follower, it, kib, leader, metadata, seconds, story};

pub(super) fn all() -> Vec<Story> {
    vec![
        state_directory(),
        leader_found(),
        leader_killed(),
        leader_hangs(),
        leader_cut_off(),
        metadata_killed(),
        follower_behind(),
        follower_far_behind(),
        snapshots_under_load(),
        one_metadata_node(),
    ]
}

fn state_directory() -> Story {
    story(
        "state-directory",
        "A follower that was given a snapshot keeps it through its first power cut (33, 54).",
        3,
        3,
    )
    .snapshots_every(200)
    .upload("a", kib(100))
    .crash(follower())
    .churn("churn", 160)
    .expect_log_cut()
    .start(it())
    .until_whole()
    .cut_power(it())
    .start(it())
    .until_whole()
    .expect_readable("a")
}

fn leader_found() -> Story {
    story("leader-found", "Who knows only some metadata nodes, or dead ones besides, finds the leader (29).", 3, 3)
        .upload("a", kib(100))
        .upload("b", kib(100))
        .by_one_who_knows(&[1])
        .expect_readable("b")
        .by_one_who_knows(&[2])
        .expect_readable("b")
        .by_one_who_knows(&[3])
        .crash(leader())
        .expect_other_leader()
        .expect_readable("a")
        .by_one_who_knows(&[1, 2])
        .expect_readable("a")
        .by_one_who_knows(&[2, 3])
        .upload("c", kib(100))
        .by_one_who_knows(&[1, 3])
}

fn leader_killed() -> Story {
    story("leader-killed", "The leader is killed: reads and writes go on within two seconds (30).", 3, 3)
        .upload("a", kib(500))
        .cut_power(leader())
        .expect_readable("a")
        .within(seconds(2))
        .upload("b", kib(100))
        .expect_other_leader()
        .start(it())
        .until_whole()
        .crash(leader())
        .upload("c", kib(100))
        .within(seconds(2))
        .expect_readable("b")
}

fn leader_hangs() -> Story {
    story("leader-hangs", "A leader that hangs is replaced, and follows when it goes on (30).", 3, 3)
        .upload("a", kib(100))
        .pause(leader())
        .delete("a")
        .within(seconds(5))
        .expect_other_leader()
        .upload("a", kib(200))
        .mend(it())
        .expect_readable("a")
        .until_whole()
        .expect_readable("a")
}

fn leader_cut_off() -> Story {
    story("leader-cut-off", "A leader that is cut off from the others tells its users nothing old (30, 31).", 3, 3)
        .upload("a", kib(100))
        .expect_readable("a")
        .isolate(leader())
        .delete("a")
        .by_another()
        .expect_missing("a")
        .upload("a", kib(200))
        .expect_readable("a")
        .by_another()
        .mend(it())
        .until_whole()
        .expect_readable("a")
}

fn metadata_killed() -> Story {
    story("metadata-killed", "All metadata nodes are killed at once and started again: everything is there (33).", 3, 3)
        .upload("a", kib(500))
        .delete("a")
        .upload("b", kib(200))
        .crash(all_metadata())
        .wait(seconds(5))
        .start(all_metadata())
        .expect_missing("a")
        .expect_readable("b")
        .upload("c", kib(100))
        .cut_power(all_metadata())
        .start(all_metadata())
        .expect_readable("c")
}

fn follower_behind() -> Story {
    story("follower-behind", "A follower that was away has the same state as the others afterwards (32).", 3, 3)
        .upload("a", kib(100))
        .cut_power(follower())
        .churn("churn", 80)
        .upload_many("many", 30, 100)
        .start(it())
        .until_whole()
        .cut_power(leader())
        .expect_other_leader()
        .expect_readable("many/7")
}

fn follower_far_behind() -> Story {
    story("follower-far-behind", "A follower that is behind the whole log catches up by a snapshot (32).", 3, 3)
        .snapshots_every(200)
        .upload("a", kib(100))
        .cut_power(follower())
        .churn("churn", 160)
        .upload_many("many", 30, 100)
        .expect_log_cut()
        .start(it())
        .until_whole()
        .cut_power(leader())
        .expect_other_leader()
        .expect_readable("many/7")
}

/// Entries after which a snapshot is taken under load.
const OFTEN: u64 = 150;

/// What a log may have at most then: the entries since the last snapshot, and as many while the next one is made.
const LOG_MAX: usize = 2 * OFTEN as usize;

/// Bytes of its snapshot that a follower has when the leader dies.
const GIVEN: [(&str, u64); 3] = [("e", kib(8)), ("f", kib(14)), ("g", kib(20))];

fn snapshots_under_load() -> Story {
    let told = story(
        "snapshots-under-load",
        "Logs are cut while users write, and a leader that dies while it gives a snapshot away leaves no harm (32).",
        3,
        3,
    )
    .snapshots_every(OFTEN)
    .upload("a", kib(100))
    .upload_many("many", 500, 0)
    .expect_logs_within(LOG_MAX);
    let told = GIVEN.into_iter().fold(told, |told, (name, bytes)| {
        told.cut_power(follower())
            .churn(name, 120)
            .expect_log_cut()
            .expect_logs_within(LOG_MAX)
            .fault(FaultKind::SlowLink, it())
            .begin_churn(name, 80)
            .start(it())
            .until_given(it(), bytes)
            .cut_power(leader())
            .finish(name)
            .within(seconds(6))
            .expect_other_leader()
            .heal()
            .until_whole()
            .expect_logs_within(LOG_MAX)
    });
    told.expect_readable("a").expect_readable("many/7")
}

fn one_metadata_node() -> Story {
    story("one-metadata-node", "A single metadata node works, and comes back with everything (35).", 1, 3)
        .upload("a", kib(300))
        .expect_readable("a")
        .stop(metadata(1))
        .start(it())
        .expect_readable("a")
        .delete("a")
        .upload("b", kib(100))
        .cut_power(metadata(1))
        .start(it())
        .expect_missing("a")
        .expect_readable("b")
}
