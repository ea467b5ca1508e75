//! What names do: they are listed, taken, taken over and moved, and free again once their file is deleted.

use crate::story::{Story, it, kib, leader, milliseconds, seconds, storage, story};

pub(super) fn all() -> Vec<Story> {
    vec![
        listing(),
        name_taken(),
        deletion(),
        after_an_idle_while(),
        overwritten(),
        overtaken(),
        overwritten_in_trouble(),
        moved(),
        move_replies_lost(),
    ]
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

fn after_an_idle_while() -> Story {
    story("after-an-idle-while", "What is asked for the first time is never taken for something old (10, 11).", 1, 3)
        .upload("a", kib(100))
        .upload("b", kib(100))
        .wait(seconds(1000))
        .delete("a")
        .by_another()
        .expect_missing("a")
        .rename("b", "c")
        .by_another()
        .expect_readable("c")
}

fn overwritten() -> Story {
    story(
        "overwritten",
        "Who began to read a file before it was overwritten ends with the old content, whole (6).",
        3,
        3,
    )
    .upload("a", kib(1_500))
    .begin_read_in_halves("a", seconds(20))
    .wait(seconds(5))
    .overwrite("a", 0)
    .expect_readable("a")
    .expect_listed("", &["a"])
    .overwrite("a", kib(1_700))
    .expect_readable("a")
    .finish("a")
}

fn overtaken() -> Story {
    story("overtaken", "Of two that overwrite one version, one is told that the other was first (6).", 3, 3)
        .upload("a", kib(200))
        .begin_overwrite("a", kib(6_000))
        .wait(milliseconds(20))
        .overwrite("a", kib(10))
        .by_another()
        .refused("a", "another upload replaced a meanwhile")
        .expect_readable("a")
        .overwrite("a", kib(30))
        .expect_readable("a")
        .expect_listed("", &["a"])
}

fn overwritten_in_trouble() -> Story {
    story("overwritten-in-trouble", "An overwrite is done once, or not at all, whoever dies meanwhile (6, 20).", 3, 4)
        .upload("a", kib(1_100))
        .begin_read_in_halves("a", seconds(40))
        .wait(milliseconds(300))
        .begin_overwrite("b", kib(900))
        .crash(storage(1))
        .finish("b")
        .overwrite("a", kib(300))
        .heal()
        .until_whole()
        .silence(leader())
        .begin_overwrite("c", kib(60))
        .wait(milliseconds(700))
        .hear(it())
        .finish("c")
        .crash(leader())
        .overwrite("c", kib(70))
        .heal()
        .expect_readable("c")
        .finish("a")
        .expect_listed("", &["a", "b", "c"])
}

fn moved() -> Story {
    story("moved", "A move renames a file, and a directory with all below it, at once (11).", 3, 3)
        .upload("d/1", kib(100))
        .upload("d/e/2", 0)
        .upload("d/e/f/3", kib(1_300))
        .upload("x", kib(10))
        .begin_read_in_halves("d/e/f/3", seconds(10))
        .wait(seconds(1))
        .rename("x", "y/z")
        .rename("d", "p/q")
        .expect_listed("", &["p/q/1", "p/q/e/2", "p/q/e/f/3", "y/z"])
        .expect_readable("p/q/e/f/3")
        .expect_missing("d/1")
        .finish("d/e/f/3")
        .rename_refused("none", "n", "not found")
        .rename_refused("y/z", "p/q/1", "exists")
        .rename_refused("p/q", "p/q/r/s", "conflicts with a file or directory")
        .upload("d", kib(5))
        .rename("p/q/e", "e")
        .expect_listed("", &["d", "e/2", "e/f/3", "p/q/1", "y/z"])
}

fn move_replies_lost() -> Story {
    let told = story("move-replies-lost", "A move whose reply is lost is done once (11, 20).", 3, 3)
        .upload("d/0", kib(20))
        .upload("x0", kib(30))
        .silence(leader())
        .hear(it());
    // Before, while and after the leader answers.
    let rounds = [("x0", "x1", "d", "d1", 0), ("x1", "x2", "d1", "d2", 15), ("x2", "x3", "d2", "d3", 45)];
    rounds
        .into_iter()
        .fold(told, |told, (from, to, directory, other, moment)| {
            told.begin_rename(from, to)
                .begin_rename(directory, other)
                .wait(milliseconds(moment))
                .silence(it())
                .wait(milliseconds(900))
                .hear(it())
                .finish(from)
                .finish(directory)
                .expect_missing(from)
                .expect_readable(to)
                // The old name is another's by now: a move that is done again would take it away.
                .upload(from, 1)
                .expect_readable(from)
                .delete(from)
        })
        .expect_listed("", &["d3/0", "x3"])
        .expect_readable("d3/0")
}
