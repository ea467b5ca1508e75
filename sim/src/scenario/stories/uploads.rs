//! Uploads, as they should be and in trouble.

use crate::story::{Story, holder, it, kib, mib, seconds, storage, story};

pub(super) fn all() -> Vec<Story> {
    vec![sizes(), degraded_upload(), too_few_nodes(), dying_primary()]
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
        .expect_listed("chunk", &["chunk", "chunk-and-one", "chunk-less-one"])
}

fn degraded_upload() -> Story {
    story("degraded-upload", "With one of three nodes down an upload succeeds, and is completed later (23).", 3, 3)
        .crash(storage(2))
        .upload("a", mib(1))
        .expect_readable("a")
        .start(storage(2))
        .until_whole()
        .expect_readable("a")
}

fn too_few_nodes() -> Story {
    story("too-few-nodes", "With fewer nodes than a write needs it is refused (23, 24).", 3, 3)
        .upload("before", kib(300))
        .crash(storage(1))
        .crash(storage(2))
        .wait(seconds(12))
        .upload_refused("a", kib(300), "a durable write needs 2 storage nodes, and 1 can take work now")
        .expect_missing("a")
        .expect_readable("before")
}

fn dying_primary() -> Story {
    story("dying-node", "Nodes that die or hang in the middle of an upload are replaced (22).", 3, 5)
        .upload("first", kib(100))
        .begin_upload("a", mib(3))
        .wait(seconds(0))
        .cut_power(holder("first", 0, 0))
        .pause(storage(5))
        .finish_upload("a")
        .within(seconds(30))
        .expect_readable("a")
        .start(it())
}
