//! The high-water mark of the log: a small file beside the log's store that remembers how far the log was durable.
//!
//! A key-value store that finds a bad batch in its journal drops it and all that follows, silently. For a Raft log
//! that would be a broken promise: entries acknowledged and votes cast would be forgotten. The mark lives in a file of
//! its own, so that it does not vanish with them, and is raised soon after a commit but off the path of its
//! acknowledgement: what the log lost within that moment goes unseen. It is lowered before the log is cut on purpose.
//!
//! The file has two slots that are written in turn, so that a torn write leaves the other one.

use super::super::DIRECTORY;
use super::super::codec::{LogIdForm, VoteForm};
use crate::disk::{Disk, DiskFile};
use dfs_core::wire;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

/// Where the file is.
const PATH: &str = "raft/mark";
/// Where the slots are; each lies in a sector of its own.
const SLOTS: [u64; 2] = [0, 4096];
/// Bytes of a slot.
const SLOT_BYTES: usize = 128;
/// The version of a slot's content.
const VERSION: u8 = 1;

/// How far the log was durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::raft) struct Mark {
    /// The last entry, or the last one that was purged.
    pub log: Option<LogIdForm>,
    /// The vote.
    pub vote: Option<VoteForm>,
}

/// The file, open for writing.
pub(super) struct MarkFile {
    file: Arc<dyn DiskFile>,
    /// The number of the last write.
    writes: Mutex<u64>,
}

impl MarkFile {
    /// Opens the file and reads the mark, if there is one.
    pub(super) fn open(disk: &dyn Disk) -> io::Result<(MarkFile, Option<Mark>)> {
        let file = disk.open(PATH, true)?;
        disk.sync_directory(DIRECTORY)?;
        let mut newest: Option<(u64, Mark)> = None;
        for offset in SLOTS {
            let mut slot = [0; SLOT_BYTES];
            let length = file.read_at(offset, &mut slot)?;
            if let Some((write, mark)) = slot.get(..length).and_then(decode_slot)
                && newest.is_none_or(|(newest, _)| newest < write)
            {
                newest = Some((write, mark));
            }
        }
        let writes = Mutex::new(newest.map_or(0, |(write, _)| write));
        Ok((MarkFile { file, writes }, newest.map(|(_, mark)| mark)))
    }

    /// Writes the mark that `current` returns once no other write is under way, durably.
    pub(super) fn write(&self, current: impl FnOnce() -> Mark) -> io::Result<()> {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        *writes += 1;
        let slot = encode_slot(*writes, &current());
        let offset = SLOTS[usize::from(!writes.is_multiple_of(2))];
        self.file.write_at(offset, &[IoSlice::new(&slot)])?;
        self.file.sync_data()
    }
}

fn encode_slot(write: u64, mark: &Mark) -> [u8; SLOT_BYTES] {
    let content = wire::encode(&(VERSION, write, mark));
    let mut slot = [0; SLOT_BYTES];
    slot[4] = u8::try_from(content.len()).expect("a mark is small");
    slot[5..5 + content.len()].copy_from_slice(&content);
    let checksum = crc32c::crc32c(&slot[4..]);
    slot[..4].copy_from_slice(&checksum.to_le_bytes());
    slot
}

fn decode_slot(slot: &[u8]) -> Option<(u64, Mark)> {
    let (checksum, content) = slot.split_first_chunk()?;
    let length = usize::from(*content.first()?);
    if slot.len() != SLOT_BYTES || length == 0 || crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (version, write, mark): (u8, u64, Mark) = wire::decode(content.get(1..=length)?).ok()?;
    (version == VERSION).then_some((write, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_holds_the_largest_mark_and_shows_damage() {
        let largest = LogIdForm { term: u64::MAX, index: u64::MAX };
        let vote = VoteForm { term: u64::MAX, committed: true, node: u64::MAX };
        let mark = Mark { log: Some(largest), vote: Some(vote) };
        let mut slot = encode_slot(u64::MAX, &mark);
        assert_eq!(decode_slot(&slot), Some((u64::MAX, mark)));
        slot[9] ^= 1;
        assert_eq!(decode_slot(&slot), None);
        assert_eq!(decode_slot(&[0; SLOT_BYTES]), None);
    }
}
