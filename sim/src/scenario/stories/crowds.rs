//! Much more at once than nodes take on.

use crate::story::{Story, kib, milliseconds, seconds, story};

pub(super) fn all() -> Vec<Story> {
    vec![many_at_once()]
}

fn many_at_once() -> Story {
    story(
        "many-at-once",
        "A user asks for far more than nodes take on at once: all is done, and others are served.",
        3,
        3,
    )
    .upload("warm", kib(60))
    .begin_upload_flood("flood", 400, kib(60))
    .wait(milliseconds(100))
    .upload_one_by_one("calm", 8, kib(60), seconds(4), seconds(4))
    .by_another()
    .finish("flood")
    .within(seconds(60))
    // A node that is busy says so, and is not taken for one that hangs.
    .expect_settled("flood", 3)
    .upload_one_by_one("after", 4, kib(60), seconds(1), seconds(1))
    .begin_read_flood("warm", 500)
    .wait(milliseconds(100))
    .expect_readable("flood/7")
    .by_another()
    .within(seconds(3))
    .finish("warm")
    .within(seconds(60))
}
