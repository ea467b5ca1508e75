//! Never two contents under one (file, index, epoch).
//!
//! Source: DESIGN §3, *Epoch*: "A node keeps at most one record per (file id, index, epoch) and refuses other bytes for
//! it; metadata accepts reports of the current epoch only. So a replaced primary, an older run of an upload, and a late
//! retry cannot mix." Were there two, a reader would be served whichever holder it asked.
//!
//! Only whole durable records count: what was never sealed was never told to anybody.

use super::{Evidence, Invariant};
use crate::verdict::Failure;
use dfs_actors::chunk_store::inspect::RecordKey;
use dfs_core::checksum::Digest;
use std::collections::BTreeMap;

/// The checksum of each key, as it was seen first in the whole run.
#[derive(Debug, Default)]
pub(super) struct OneContent {
    contents: BTreeMap<RecordKey, Digest>,
}

impl OneContent {
    fn take(&mut self, key: RecordKey, checksum: Digest, who: &str) -> Result<(), Failure> {
        let known = *self.contents.entry(key).or_insert(checksum);
        if known == checksum {
            return Ok(());
        }
        let detail = format!("chunk {key} is {checksum} for {who}, and was seen as {known}");
        Err(Failure::correctness(Self::NAME, detail))
    }
}

impl Invariant for OneContent {
    const NAME: &'static str = "one content";
    const STATEMENT: &'static str =
        "no two stores, and no store and the metadata, ever have different contents under one file, index and epoch";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let mut facts = 0;
        for sight in evidence.sight.storage.values() {
            for record in &sight.news {
                let Some(checksum) = record.whole() else { continue };
                self.take(record.key, checksum, &sight.name)?;
                facts += 1;
            }
        }
        for known in evidence.sight.known.iter().flat_map(|known| known.chunks.values()) {
            let key = RecordKey { chunk: known.chunk, epoch: known.epoch };
            self.take(key, known.checksum, "the metadata")?;
            facts += 1;
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, damaged, key, record};
    use super::*;

    #[test]
    fn a_key_has_the_same_content_on_every_disk() {
        let mut invariant = OneContent::default();
        let mut scene = Scene::new();
        scene.storage(1, &[record(1, 0, 1, 7), damaged(1, 1, 1)]);
        scene.storage(2, &[record(1, 0, 1, 7), record(1, 1, 1, 9)]);
        assert_eq!(invariant.check(&scene.evidence()).unwrap(), 3);
        scene.storage(1, &[]);
        scene.storage(2, &[]);
        assert!(invariant.check(&scene.evidence()).is_ok());
        // Another epoch may have other bytes; the same one may not, though the first record is long gone.
        scene.storage(3, &[record(1, 0, 2, 8)]);
        assert!(invariant.check(&scene.evidence()).is_ok());
        scene.storage(3, &[record(1, 0, 1, 8)]);
        assert!(invariant.check(&scene.evidence()).is_err());
    }

    #[test]
    fn a_record_has_the_content_that_metadata_says() {
        let mut invariant = OneContent::default();
        let mut scene = Scene::new();
        scene.storage(1, &[record(1, 0, 1, 7)]);
        scene.known(&[(key(1, 0, 1), 7, &[1])]);
        assert_eq!(invariant.check(&scene.evidence()).unwrap(), 2);
        scene.known(&[(key(1, 0, 1), 8, &[1])]);
        assert!(invariant.check(&scene.evidence()).is_err());
    }
}
