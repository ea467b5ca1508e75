//! The forms in which Raft's own values are stored and travel, apart from openraft's types, which change with its
//! releases.
//!
//! What is stored begins with a version byte. Messages between peers are versioned by their requests.

use super::types::{LogEntry, LogId, Member, Membership, Payload, StoredMembership, Vote, log_id};
use dfs_core::meta::Entry;
use dfs_core::wire;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

/// The version of everything stored here.
const STORED_VERSION: u8 = 1;

/// Bytes in a store that are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum CodecError {
    #[error("a stored record of Raft is damaged")]
    Damaged,
    #[error("a stored record of Raft has version {0}, which this build does not know")]
    UnknownVersion(u8),
}

impl From<CodecError> for io::Error {
    fn from(error: CodecError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Encodes what is to be stored.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![STORED_VERSION];
    bytes.extend(wire::encode(value));
    bytes
}

/// Decodes what was stored.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Damaged),
        Some((&STORED_VERSION, rest)) => wire::decode(rest).map_err(|_| CodecError::Damaged),
        Some((&version, _)) => Err(CodecError::UnknownVersion(version)),
    }
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct LogIdForm {
    pub term: u64,
    pub index: u64,
}

impl From<LogId> for LogIdForm {
    fn from(id: LogId) -> Self {
        LogIdForm { term: id.leader_id.term, index: id.index }
    }
}

impl From<LogIdForm> for LogId {
    fn from(form: LogIdForm) -> Self {
        log_id(form.term, form.index)
    }
}

/// A vote for a candidate or, committed, for a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct VoteForm {
    pub term: u64,
    pub committed: bool,
    pub node: u64,
}

impl From<Vote> for VoteForm {
    fn from(vote: Vote) -> Self {
        let leader = vote.leader_id();
        VoteForm { term: leader.term, committed: vote.is_committed(), node: leader.voted_for }
    }
}

impl From<VoteForm> for Vote {
    fn from(form: VoteForm) -> Self {
        if form.committed { Vote::new_committed(form.term, form.node) } else { Vote::new(form.term, form.node) }
    }
}

/// Who is in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MembershipForm {
    pub voters: Vec<BTreeSet<u64>>,
    pub members: BTreeMap<u64, SocketAddr>,
}

impl From<&Membership> for MembershipForm {
    fn from(membership: &Membership) -> Self {
        MembershipForm {
            voters: membership.get_joint_config().clone(),
            members: membership.nodes().map(|(id, member)| (*id, member.address)).collect(),
        }
    }
}

impl TryFrom<MembershipForm> for Membership {
    type Error = CodecError;

    fn try_from(form: MembershipForm) -> Result<Self, CodecError> {
        let members: BTreeMap<u64, Member> =
            form.members.into_iter().map(|(id, address)| (id, Member { address })).collect();
        if form.voters.is_empty() && members.is_empty() {
            return Ok(Membership::default());
        }
        Membership::new(form.voters, members).map_err(|_| CodecError::Damaged)
    }
}

/// Who is in the cluster, and since which entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredMembershipForm {
    pub since: Option<LogIdForm>,
    pub membership: MembershipForm,
}

impl From<&StoredMembership> for StoredMembershipForm {
    fn from(stored: &StoredMembership) -> Self {
        StoredMembershipForm { since: stored.log_id().map(LogIdForm::from), membership: stored.membership().into() }
    }
}

impl TryFrom<StoredMembershipForm> for StoredMembership {
    type Error = CodecError;

    fn try_from(form: StoredMembershipForm) -> Result<Self, CodecError> {
        Ok(StoredMembership::new(form.since.map(LogId::from), form.membership.try_into()?))
    }
}

/// A log entry; `E` is [`Entry`] when decoding and a reference to one when encoding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EntryForm<E = Entry> {
    id: LogIdForm,
    payload: PayloadForm<E>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum PayloadForm<E> {
    Blank,
    Normal(E),
    Membership(MembershipForm),
}

impl<'e> From<&'e LogEntry> for EntryForm<&'e Entry> {
    fn from(entry: &'e LogEntry) -> Self {
        let payload = match &entry.payload {
            Payload::Blank => PayloadForm::Blank,
            Payload::Normal(entry) => PayloadForm::Normal(entry),
            Payload::Membership(membership) => PayloadForm::Membership(membership.into()),
        };
        EntryForm { id: entry.log_id.into(), payload }
    }
}

impl EntryForm {
    /// The entry, if its membership is a possible one.
    pub(super) fn into_entry(self) -> Result<LogEntry, CodecError> {
        let payload = match self.payload {
            PayloadForm::Blank => Payload::Blank,
            PayloadForm::Normal(entry) => Payload::Normal(entry),
            PayloadForm::Membership(membership) => Payload::Membership(membership.try_into()?),
        };
        Ok(LogEntry { log_id: self.id.into(), payload })
    }
}
