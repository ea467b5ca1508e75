//! How large a cluster is, and what its nodes are set to.

use dfs_nodes::settings::SNAPSHOT_ENTRIES_DEFAULT;

/// What [`Cluster::prepare`](super::Cluster::prepare) makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClusterShape {
    /// Metadata nodes.
    pub metadata: u64,
    /// Storage nodes.
    pub storage: u64,
    /// Users who know all metadata nodes.
    pub users: u64,
    /// Entries of the metadata log after which a snapshot is taken.
    pub snapshot_entries: u64,
}

impl ClusterShape {
    /// So many of each; the nodes have the default settings.
    #[must_use]
    pub fn of(metadata: u64, storage: u64, users: u64) -> ClusterShape {
        ClusterShape { metadata, storage, users, snapshot_entries: SNAPSHOT_ENTRIES_DEFAULT }
    }
}
