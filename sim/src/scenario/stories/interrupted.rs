//! Uploads that are broken off, and the same command again.

use crate::story::{Story, it, kib, leader, mib, milliseconds, seconds, storage, story};

pub(super) fn all() -> Vec<Story> {
    vec![interrupted_upload(), interrupted_by_a_power_cut(), interrupted_by_a_new_leader()]
}

/// What is uploaded.
const BYTES: u64 = mib(6);

/// What of it may be sent again at most: a good part was durable when the user vanished.
const AGAIN_MAX: u64 = mib(5);

fn interrupted_upload() -> Story {
    story("interrupted-upload", "An upload that was broken off goes on, and sends what is missing only (15, 16).", 3, 4)
        .upload("warm", kib(100))
        .abandon_upload("a", BYTES, milliseconds(400))
        .await_end("a")
        .expect_missing("a")
        .upload_again("a", AGAIN_MAX)
        .within(seconds(5))
        .expect_readable("a")
        .abandon_upload("b", BYTES, milliseconds(400))
        .await_end("b")
        .wait(seconds(30))
        .upload_again("b", AGAIN_MAX)
        .by_another()
        .expect_readable("b")
}

fn interrupted_by_a_power_cut() -> Story {
    story(
        "interrupted-by-a-power-cut",
        "An upload goes on although nodes that hold its beginning lost their power (15, 16).",
        3,
        4,
    )
    .upload("warm", kib(100))
    .abandon_upload("a", BYTES, milliseconds(400))
    .wait(milliseconds(390))
    .cut_power(storage(1))
    .await_end("a")
    .upload_again("a", AGAIN_MAX)
    .within(seconds(10))
    .expect_readable("a")
    .start(it())
    .until_whole()
    .abandon_upload("b", BYTES, milliseconds(400))
    .await_end("b")
    .cut_power(storage(2))
    .start(it())
    .upload_again("b", AGAIN_MAX)
    .until_whole()
    .expect_readable("b")
}

fn interrupted_by_a_new_leader() -> Story {
    story("interrupted-by-a-new-leader", "An upload goes on under another leader (15, 16, 30).", 3, 4)
        .upload("warm", kib(100))
        .abandon_upload("a", BYTES, milliseconds(400))
        .await_end("a")
        .cut_power(leader())
        .expect_other_leader()
        .upload_again("a", AGAIN_MAX)
        .within(seconds(5))
        .expect_readable("a")
        .start(it())
        .until_whole()
        .abandon_upload("b", BYTES, milliseconds(400))
        .wait(milliseconds(200))
        .isolate(leader())
        .await_end("b")
        .upload_again("b", AGAIN_MAX)
        .mend(it())
        .until_whole()
        .expect_readable("b")
}
