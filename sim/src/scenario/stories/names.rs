//! What names do: they are listed, taken, and free again once their file is deleted.

use crate::story::{Story, kib, seconds, story};

pub(super) fn all() -> Vec<Story> {
    vec![listing(), name_taken(), deletion()]
}

fn listing() -> Story {
    story("listing", "A listing is sorted, and has the committed files of its prefix and no others (4).", 3, 3)
        .expect_listed("", &[])
        .upload("b/2", kib(70))
        .upload("a", 0)
        .upload("b/10", 1)
        .upload("bc", 1)
        .abandon_upload("b/3", kib(3_000), seconds(0))
        .await_end("b/3")
        .begin_upload("b/4", kib(3_000))
        .expect_listed("", &["a", "b/10", "b/2", "bc"])
        .expect_listed("b/", &["b/10", "b/2"])
        .expect_listed("b", &["b/10", "b/2", "bc"])
        .expect_listed("nothing", &[])
        .finish("b/4")
        .expect_listed("b/", &["b/10", "b/2", "b/4"])
}

fn name_taken() -> Story {
    story("name-taken", "A second upload under an existing name is refused, and changes nothing (6).", 3, 3)
        .upload("a", kib(200))
        .upload_refused("a", kib(300), "exists")
        .upload_refused("a", 0, "exists")
        .expect_readable("a")
        .upload_refused("a/b", 1, "the name conflicts with a file or directory on its path")
        .expect_listed("", &["a"])
        .begin_upload("b", kib(2_000))
        .upload("b", kib(10))
        .by_another()
        .await_end("b")
        .expect_readable("b")
}

fn deletion() -> Story {
    story("deletion", "A file that is deleted, by its name or its id, is gone at once (10).", 3, 3)
        .upload("a", kib(200))
        .upload("b", kib(200))
        .delete("a")
        .expect_missing("a")
        .expect_listed("", &["b"])
        .delete_by_id("b")
        .expect_missing("b")
        .expect_listed("", &[])
        .delete_refused("a", "not found")
        .upload("a", kib(90))
        .expect_readable("a")
        .expect_readable("a")
        .by_another()
}
