//! Downloads that meet trouble.

use crate::fault::FaultKind;
use crate::story::{Story, all_storage, holder, it, kib, mib, milliseconds, seconds, storage, story};

pub(super) fn all() -> Vec<Story> {
    vec![
        replica_down(),
        replica_slow(),
        replica_corrupt(),
        range_of_rotten_copies(),
        cut_off(),
        replica_dies(),
        replica_hangs(),
        one_bad_node(),
        no_replica(),
        one_replica_left(),
    ]
}

fn replica_down() -> Story {
    story("replica-down", "A replica that is down is replaced by another while a file is read (26).", 3, 3)
        .upload("a", mib(1))
        .expect_copies("a", 3)
        .crash(holder("a", 0, 0))
        .expect_readable("a")
        .within(seconds(10))
        .crash(holder("a", 0, 1))
        .expect_readable("a")
        .within(seconds(10))
}

fn replica_slow() -> Story {
    story("replica-slow", "A replica that is slow does not make a reader wait for long (26).", 3, 3)
        .upload("a", kib(300))
        .expect_copies("a", 3)
        .fault(FaultKind::StallingDisk, holder("a", 0, 0))
        .fault(FaultKind::SlowLink, it())
        .expect_readable("a")
        .within(seconds(10))
        .fault(FaultKind::SlowDisk, storage(2))
        .fault(FaultKind::BadLink, storage(3))
        .expect_readable("a")
        .within(seconds(30))
}

fn replica_corrupt() -> Story {
    story("replica-corrupt", "A flipped bit is never served: another replica is read (26, 28).", 3, 3)
        .upload("a", kib(200))
        .expect_copies("a", 3)
        .rot("a", 0, storage(1))
        .expect_readable("a")
        .expect_readable("a")
        .rot("a", 1, storage(2))
        .rot("a", 0, storage(3))
        .expect_readable("a")
        .expect_readable("a")
        .expect_readable("a")
        .within(seconds(5))
}

fn range_of_rotten_copies() -> Story {
    let end = mib(2) + kib(3);
    story("range-of-rotten-copies", "A range is exactly its bytes, whatever the copies are like (12, 28).", 3, 3)
        .large_chunks()
        .upload("a", end)
        .expect_copies("a", 3)
        .expect_range("a", kib(64) - 1, kib(64))
        .rot("a", 0, storage(1))
        .rot("a", 1, storage(2))
        .expect_range("a", 0, mib(1))
        .rot("a", 0, storage(3))
        .rot("a", 1, storage(3))
        .expect_range("a", mib(1) - 1, mib(1))
        .expect_range("a", 5, end + 5)
        .crash(storage(2))
        .crash(storage(3))
        .expect_range("a", kib(1900), end - 1)
        .start(storage(2))
        .expect_range("a", end - 1, end - 1)
}

fn cut_off() -> Story {
    story("cut-off-download", "A download that was cut off goes on, and never mixes two files (8, 13).", 3, 3)
        .upload("a", mib(2) + 5)
        .expect_copies("a", 3)
        .cut_off_read("a", kib(700))
        .crash(storage(1))
        .rot("a", 12, storage(2))
        .go_on_reading("a")
        .start(storage(1))
        .cut_off_read("a", mib(2) + 5)
        .go_on_reading("a")
        .cut_off_read("a", kib(700))
        .delete("a")
        .upload("a", mib(1))
        .go_on_reading("a")
}

fn replica_dies() -> Story {
    story("replica-dies", "A replica that dies in the middle of a download is replaced (26).", 3, 3)
        .upload("a", mib(3))
        .expect_copies("a", 3)
        .begin_read("a")
        .wait(milliseconds(20))
        .cut_power(storage(1))
        .wait(milliseconds(100))
        .cut_power(storage(2))
        .finish("a")
        .within(seconds(15))
}

fn replica_hangs() -> Story {
    story("replica-hangs", "A node that hangs never hangs a reader (27).", 3, 3)
        .upload("a", mib(3))
        .expect_copies("a", 3)
        .begin_read("a")
        .wait(milliseconds(20))
        .pause(storage(1))
        .finish("a")
        .within(seconds(15))
        .expect_readable("a")
        .within(seconds(15))
}

fn one_bad_node() -> Story {
    let story =
        story("one-bad-node", "One bad node costs a reader less than a second, whatever ails it (26, 27).", 3, 3)
            .upload("a", kib(700))
            .expect_copies("a", 3)
            .expect_readable("a");
    let ailments = [
        (1, FaultKind::Pause),
        (2, FaultKind::StallingDisk),
        (3, FaultKind::SlowDisk),
        (1, FaultKind::SlowLink),
        (2, FaultKind::Unplug),
        (3, FaultKind::Crash),
        (1, FaultKind::BadLink),
    ];
    let muted = story.silence(storage(2)).expect_readable("a").within(seconds(1)).hear(storage(2)).wait(seconds(16));
    ailments.into_iter().fold(muted, |story, (node, ailment)| {
        story
            .fault(ailment, storage(node))
            .expect_readable("a")
            .within(seconds(1))
            .expect_readable("a")
            .within(seconds(1))
            .mend(storage(node))
            .wait(seconds(16))
            .expect_readable("a")
    })
}

fn no_replica() -> Story {
    story("no-replica", "With all replicas gone a reader is told which chunk cannot be read (26).", 3, 3)
        .upload("a", kib(200))
        .expect_copies("a", 3)
        .crash(all_storage())
        .expect_unreadable("a", "chunk 1:0 cannot be read from any replica")
        .within(seconds(30))
        .start(storage(2))
        .expect_readable("a")
}

fn one_replica_left() -> Story {
    story("one-replica-left", "The last of three replicas is enough, whichever it is (26).", 3, 3)
        .upload("a", kib(500))
        .expect_copies("a", 3)
        .crash(storage(1))
        .crash(storage(2))
        .expect_readable("a")
        .start(storage(1))
        .crash(storage(3))
        .expect_readable("a")
        .start(storage(2))
        .crash(storage(1))
        .expect_readable("a")
}
