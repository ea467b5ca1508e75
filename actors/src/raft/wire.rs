//! The messages of the Raft protocol between metadata nodes, private to this module: openraft's own change with its
//! releases, these have versions.

use super::codec::{CodecError, EntryForm, LogIdForm, VoteForm};
use super::types::{LogId, TypeConfig, Vote};
use dfs_core::meta::Entry;
use dfs_core::wire::{Request, Service};
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

/// A candidate asks for a vote.
#[derive(Serialize, Deserialize)]
pub(super) struct AskVote {
    pub vote: VoteForm,
    pub last: Option<LogIdForm>,
    pub transfer: bool,
}

/// Somebody who would be a candidate asks whether that had a chance. It changes nothing.
#[derive(Serialize, Deserialize)]
pub(super) struct AskPreVote(pub AskVote);

/// The answer to either.
#[derive(Serialize, Deserialize)]
pub(super) struct VoteAnswer {
    vote: VoteForm,
    granted: bool,
    last: Option<LogIdForm>,
}

/// The leader replicates entries or shows that it lives. `E` is [`Entry`] when decoding and a reference to one where
/// it saves a copy.
#[derive(Serialize, Deserialize)]
pub(super) struct Append<E = Entry> {
    pub vote: VoteForm,
    previous: Option<LogIdForm>,
    committed: Option<LogIdForm>,
    entries: Vec<EntryForm<E>>,
}

/// How an [`Append`] went.
#[derive(Serialize, Deserialize)]
pub(super) enum AppendAnswer {
    /// The member's log equals the leader's up to here, durably.
    Matched(Option<LogIdForm>),
    /// The member has another entry here, or none.
    Conflict(LogIdForm),
    /// The member knows a higher vote.
    HigherVote(VoteForm),
}

/// Opens a stream of [`Append`] messages, answered in order while more of them come.
#[derive(Serialize, Deserialize)]
pub(super) struct StreamAppends {}

/// Announces a snapshot file, whose bytes follow as payload.
#[derive(Serialize, Deserialize)]
pub(super) struct InstallSnapshot {
    pub vote: VoteForm,
    pub length: u64,
}

/// The snapshot is installed, unless the vote is a higher one.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotAnswer {
    pub vote: VoteForm,
}

/// The leader hands its office to a member.
#[derive(Serialize, Deserialize)]
pub(super) struct TransferLeadership {
    pub from: VoteForm,
    to: u64,
    last: Option<LogIdForm>,
}

impl Request for AskVote {
    const SERVICE: Service = Service::Raft;
    const METHOD: u8 = 1;
    type Reply = VoteAnswer;
}

impl Request for AskPreVote {
    const SERVICE: Service = Service::Raft;
    const METHOD: u8 = 2;
    type Reply = VoteAnswer;
}

impl Request for Append {
    const SERVICE: Service = Service::Raft;
    const METHOD: u8 = 3;
    type Reply = AppendAnswer;
}

impl Request for StreamAppends {
    const SERVICE: Service = Service::Raft;
    const METHOD: u8 = 4;
    type Reply = AppendAnswer;
}

impl Request for InstallSnapshot {
    const SERVICE: Service = Service::Raft;
    const METHOD: u8 = 5;
    type Reply = SnapshotAnswer;
}

impl Request for TransferLeadership {
    const SERVICE: Service = Service::Raft;
    const METHOD: u8 = 6;
    type Reply = ();
}

impl From<VoteRequest<TypeConfig>> for AskVote {
    fn from(request: VoteRequest<TypeConfig>) -> Self {
        AskVote {
            vote: request.vote.into(),
            last: request.last_log_id.map(LogIdForm::from),
            transfer: request.leadership_transfer,
        }
    }
}

impl From<AskVote> for VoteRequest<TypeConfig> {
    fn from(ask: AskVote) -> Self {
        let mut request = VoteRequest::new(ask.vote.into(), ask.last.map(LogId::from));
        request.leadership_transfer = ask.transfer;
        request
    }
}

impl From<VoteResponse<TypeConfig>> for VoteAnswer {
    fn from(response: VoteResponse<TypeConfig>) -> Self {
        VoteAnswer {
            vote: response.vote.into(),
            granted: response.vote_granted,
            last: response.last_log_id.map(LogIdForm::from),
        }
    }
}

impl From<VoteAnswer> for VoteResponse<TypeConfig> {
    fn from(answer: VoteAnswer) -> Self {
        VoteResponse::new(Vote::from(answer.vote), answer.last.map(LogId::from), answer.granted)
    }
}

impl<'r> From<&'r AppendEntriesRequest<TypeConfig>> for Append<&'r Entry> {
    fn from(request: &'r AppendEntriesRequest<TypeConfig>) -> Self {
        Append {
            vote: request.vote.into(),
            previous: request.prev_log_id.map(LogIdForm::from),
            committed: request.leader_commit.map(LogIdForm::from),
            entries: request.entries.iter().map(EntryForm::from).collect(),
        }
    }
}

impl Append {
    /// Shows that the leader lives, and what is committed.
    pub(super) fn heartbeat(request: &AppendEntriesRequest<TypeConfig>) -> Append {
        Append {
            vote: request.vote.into(),
            previous: request.prev_log_id.map(LogIdForm::from),
            committed: request.leader_commit.map(LogIdForm::from),
            entries: Vec::new(),
        }
    }
}

impl TryFrom<Append> for AppendEntriesRequest<TypeConfig> {
    type Error = CodecError;

    fn try_from(append: Append) -> Result<Self, CodecError> {
        Ok(AppendEntriesRequest {
            vote: append.vote.into(),
            prev_log_id: append.previous.map(LogId::from),
            leader_commit: append.committed.map(LogId::from),
            entries: append.entries.into_iter().map(EntryForm::into_entry).collect::<Result<_, _>>()?,
        })
    }
}

impl From<StreamAppendResult<TypeConfig>> for AppendAnswer {
    fn from(result: StreamAppendResult<TypeConfig>) -> Self {
        match result {
            Ok(matched) => AppendAnswer::Matched(matched.map(LogIdForm::from)),
            Err(StreamAppendError::Conflict(at)) => AppendAnswer::Conflict(at.into()),
            Err(StreamAppendError::HigherVote(vote)) => AppendAnswer::HigherVote(vote.into()),
        }
    }
}

impl From<AppendAnswer> for StreamAppendResult<TypeConfig> {
    fn from(answer: AppendAnswer) -> Self {
        match answer {
            AppendAnswer::Matched(matched) => Ok(matched.map(LogId::from)),
            AppendAnswer::Conflict(at) => Err(StreamAppendError::Conflict(at.into())),
            AppendAnswer::HigherVote(vote) => Err(StreamAppendError::HigherVote(vote.into())),
        }
    }
}

impl From<TransferLeaderRequest<TypeConfig>> for TransferLeadership {
    fn from(request: TransferLeaderRequest<TypeConfig>) -> Self {
        TransferLeadership {
            from: (*request.from_leader()).into(),
            to: *request.to_node_id(),
            last: request.last_log_id().copied().map(LogIdForm::from),
        }
    }
}

impl From<TransferLeadership> for TransferLeaderRequest<TypeConfig> {
    fn from(transfer: TransferLeadership) -> Self {
        TransferLeaderRequest::new(transfer.from.into(), transfer.to, transfer.last.map(LogId::from))
    }
}
