//! Nodes that are asked to stop.

use crate::story::{Story, all_storage, holder, it, kib, leader, mib, milliseconds, seconds, storage, story};

pub(super) fn all() -> Vec<Story> {
    vec![stop_while_writing(), stop_while_reading(), stop_leader()]
}

fn stop_while_writing() -> Story {
    story("stop-while-writing", "A node that is asked to stop finishes what it takes in, and stops soon (64).", 3, 4)
        .upload("first", kib(100))
        .begin_upload("a", mib(4))
        .wait(milliseconds(100))
        .stop(holder("first", 0, 0))
        .within(seconds(15))
        .finish("a")
        .within(seconds(30))
        .expect_readable("a")
        .start(it())
        .until_whole()
        .expect_copies("a", 2)
}

fn stop_while_reading() -> Story {
    story("stop-while-reading", "A node that is asked to stop finishes what it gives out, and stops soon (64).", 3, 3)
        .upload("a", mib(4))
        .expect_copies("a", 3)
        .begin_read("a")
        .wait(milliseconds(30))
        .stop(storage(1))
        .within(seconds(15))
        .stop(storage(2))
        .within(seconds(15))
        .finish("a")
        .within(seconds(15))
        .start(all_storage())
        .until_whole()
}

fn stop_leader() -> Story {
    story("stop-leader", "The leader is asked to stop: nothing is refused, and another one leads (64).", 3, 3)
        .begin_upload("a", mib(4))
        .wait(milliseconds(100))
        .stop(leader())
        .within(seconds(15))
        .finish("a")
        .within(seconds(15))
        .expect_other_leader()
        .expect_readable("a")
}
