//! The reports of durable chunks that the metadata cluster has not been told of yet.

use dfs_core::id::{Epoch, GroupIndex};
use dfs_core::limit::REPORT_GROUPS_MAX;
use dfs_core::wire::metadata::{ChunkReport, GroupReport};
use std::collections::BTreeMap;

/// Reports that wait for the next request to ride on.
#[derive(Debug, Default)]
pub(super) struct Reports(BTreeMap<(GroupIndex, Epoch), Vec<ChunkReport>>);

impl Reports {
    /// A chunk became durable under this epoch of its group.
    pub(super) fn add(&mut self, epoch: Epoch, chunk: ChunkReport) {
        self.0.entry((chunk.index.group(), epoch)).or_default().push(chunk);
    }

    /// Takes what may ride one request. The reports of `urgent` are among them: they must arrive before that group's
    /// epoch rises, because afterwards they are not taken.
    pub(super) fn take(&mut self, urgent: Option<GroupIndex>) -> Vec<GroupReport> {
        let mut keys: Vec<_> = self.0.keys().copied().collect();
        keys.sort_by_key(|(group, _)| Some(*group) != urgent);
        keys.truncate(REPORT_GROUPS_MAX);
        keys.into_iter()
            .filter_map(|key| {
                let chunks = self.0.remove(&key)?;
                Some(GroupReport { group: key.0, epoch: key.1, chunks })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::checksum::Digest;
    use dfs_core::id::{ChunkIndex, NodeId};

    fn report(index: u32) -> ChunkReport {
        ChunkReport { index: ChunkIndex(index), length: 1, checksum: Digest([0; 32]), holders: vec![NodeId(1)] }
    }

    #[test]
    fn reports_of_one_group_and_epoch_travel_together_and_once() {
        let mut reports = Reports::default();
        reports.add(Epoch(1), report(0));
        reports.add(Epoch(1), report(17));
        reports.add(Epoch(1), report(1));
        let taken = reports.take(None);
        assert_eq!(taken.iter().map(|group| (group.group.0, group.chunks.len())).collect::<Vec<_>>(), [(0, 2), (1, 1)]);
        assert!(reports.take(None).is_empty());
    }

    #[test]
    fn an_urgent_group_rides_the_first_request() {
        let mut reports = Reports::default();
        (0..20).for_each(|group| reports.add(Epoch(1), report(group * 16)));
        let taken = reports.take(Some(GroupIndex(15)));
        assert_eq!(taken.len(), REPORT_GROUPS_MAX);
        assert_eq!(taken[0].group, GroupIndex(15));
        assert_eq!(reports.take(None).len(), REPORT_GROUPS_MAX);
        assert_eq!(reports.take(None).len(), 20 - 2 * REPORT_GROUPS_MAX);
    }
}
