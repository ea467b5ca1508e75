//! The metadata cluster in trouble.

use crate::story::{Story, all_metadata, it, kib, leader, seconds, story};

pub(super) fn all() -> Vec<Story> {
    vec![leader_killed(), all_metadata_killed()]
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
        .expect_readable("b")
}

fn all_metadata_killed() -> Story {
    story("metadata-killed", "All metadata nodes are killed at once and started again: everything is there (33).", 3, 3)
        .upload("a", kib(500))
        .delete("a")
        .upload("b", kib(200))
        .crash(all_metadata())
        .wait(seconds(5))
        .start(all_metadata())
        .expect_missing("a")
        .expect_readable("b")
}
