//! The types that Raft is instantiated with, under short names.

use super::runtime::ScopedRuntime;
use dfs_core::meta::{Entry, Outcome};
use dfs_core::refusal::Refusal;
use openraft::type_config::alias::{CommittedLeaderIdOf, EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// What an applied entry answers.
pub(super) type Applied = Result<Outcome, Refusal>;

openraft::declare_raft_types!(
    /// Raft over metadata entries, in standard mode (one leader in a term), on the runtime of the node's scope.
    pub(super) TypeConfig:
        D = Entry,
        R = Applied,
        NodeId = u64,
        Node = Member,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = ScopedRuntime,
);

pub(super) type LogId = LogIdOf<TypeConfig>;
pub(super) type Vote = VoteOf<TypeConfig>;
pub(super) type LogEntry = EntryOf<TypeConfig>;
pub(super) type Payload = openraft::EntryPayload<Entry, u64, Member>;
pub(super) type Membership = openraft::Membership<u64, Member>;
pub(super) type StoredMembership = StoredMembershipOf<TypeConfig>;
pub(super) type SnapshotMeta = SnapshotMetaOf<TypeConfig>;

/// What Raft knows of a member besides its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    /// Where it is reached.
    pub address: SocketAddr,
}

/// Raft fills in the default where a membership names a voter without an address; nobody can be reached there.
impl Default for Member {
    fn default() -> Self {
        Member { address: SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)) }
    }
}

/// The log id at `index` in `term`.
pub(super) fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderIdOf::<TypeConfig>::new(term), index)
}
