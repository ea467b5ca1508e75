//! Refusals: the closed list of why a node does not do what it was asked.
//!
//! A refusal travels as it is; no internal error text ever does. What a caller can do is part of the refusal: try
//! the named leader, try again later, ask for another placement, or give up and tell the user.
//!
//! The list is append-only once released: its order is the wire format.

use crate::id::{Epoch, NodeId};
use crate::limit::NAME_BYTES_MAX;
use crate::settings::InvalidSettings;
use crate::wire::NodeAddress;
use serde::{Deserialize, Serialize};

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// This metadata node does not lead; the leader is named where it is known.
    #[error("this node is not the leader")]
    NotLeader {
        /// The leader as this node knows it.
        leader: Option<NodeAddress>,
    },
    /// The metadata cluster has no quorum at the moment, or has not been initialised.
    #[error("the metadata cluster cannot answer now; it has no quorum or is not initialised")]
    Unavailable,
    /// The node has too much work at the moment.
    #[error("the node is busy; try again")]
    Overloaded,
    /// The deadline passed before the work was done.
    #[error("the deadline passed before the work was done")]
    DeadlineExceeded,
    /// The peers belong to different clusters.
    #[error("the peer belongs to another cluster")]
    WrongCluster,
    /// The certificate's role or id does not allow this request.
    #[error("the certificate's role does not allow this request")]
    NotPermitted,
    /// The peers share no version of the protocol.
    #[error("the peers share no version of the protocol")]
    UnsupportedVersion,
    /// The node does not know this service, method or version.
    #[error("the node does not serve this kind of request")]
    UnknownMethod,
    /// The message could not be decoded completely, or has impossible values.
    #[error("the message is malformed")]
    Malformed,
    /// The message is larger than its bound.
    #[error("the message is too large")]
    TooLarge,
    /// There is no such file.
    #[error("no such file")]
    NotFound,
    /// The name belongs to a file already.
    #[error("a file of this name exists already")]
    NameExists,
    /// A component of the name is a file, or the name is that of a directory.
    #[error("the name conflicts with a file or directory on its path")]
    NameConflict,
    /// More copies were asked for than there are storage nodes, or than the system allows.
    #[error("{asked} copies were asked for, but there are {nodes} storage nodes")]
    TooManyCopies {
        /// The replication factor asked for.
        asked: u8,
        /// Storage nodes known to the cluster.
        nodes: u32,
    },
    /// Too few storage nodes can take work at the moment to make a write durable.
    #[error("a durable write needs {needed} storage nodes, and {available} can take work now")]
    TooFewNodes {
        /// Copies that an acknowledgement needs.
        needed: u8,
        /// Nodes that can take work.
        available: u32,
    },
    /// The upload was deleted, has expired, or never was.
    #[error("the upload is gone; it was deleted or has expired")]
    UploadGone,
    /// The group has been placed anew since.
    #[error("the group was placed anew; its epoch is {current}")]
    StaleEpoch {
        /// The group's epoch now.
        current: Epoch,
    },
    /// A report names a node outside the placement, too few copies, or a chunk with other bytes.
    #[error("a report does not fit the placement of its group")]
    BadReport,
    /// A commit does not cover the file: chunks are missing or the size does not fit them.
    #[error("the upload is incomplete: {reported} of {expected} chunks are known")]
    Incomplete {
        /// Chunks that metadata knows of.
        reported: u64,
        /// Chunks that a file of the committed size has.
        expected: u64,
    },
    /// A newer process of this node, or another store, has registered.
    #[error("a newer incarnation of this node has registered")]
    StaleIncarnation,
    /// The first try of this request is too long ago for its outcome to be known; it was not done again.
    #[error("the outcome of the first try is no longer known; it was not done again")]
    OutcomeUnknown,
    /// The node does not hold this chunk.
    #[error("the node does not hold this chunk")]
    ChunkMissing,
    /// The node's copy of this chunk fails its checksums.
    #[error("the node's copy of this chunk is damaged")]
    ChunkDamaged,
    /// The bytes do not match their checksums.
    #[error("the bytes do not match their checksums")]
    ChecksumMismatch,
    /// The node holds other bytes for this chunk and epoch, and keeps them.
    #[error("the node holds other bytes for this chunk and epoch")]
    ConflictingContent,
    /// Another writer is writing this chunk and epoch at the moment.
    #[error("another writer is writing this chunk")]
    WriteInProgress,
    /// Fewer copies became durable than an acknowledgement needs.
    #[error("{durable} of {needed} copies became durable")]
    TooFewCopies {
        /// Copies that an acknowledgement needs.
        needed: u8,
        /// Copies that became durable.
        durable: u8,
        /// Nodes of the placement that did not take the chunk.
        failed: Vec<NodeId>,
    },
    /// The node's disk has no room for chunks.
    #[error("the node's disk is full")]
    StoreFull,
    /// The node's disk failed; the node takes no work.
    #[error("the node's disk failed")]
    StoreFailed,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// The node has a bug; its log has the details.
    #[error("the node failed internally; its log says why")]
    Internal,
    /// Settings that contradict each other.
    #[error(transparent)]
    Settings(#[from] InvalidSettings),
    /// The upload was to replace the version that had its name when it began, and the name has another one now.
    #[error("another upload replaced this file meanwhile; run it again to replace that version")]
    Replaced,
    /// A directory was to be moved to where a name below it could be too long.
    #[error("a name below the directory would be longer than {NAME_BYTES_MAX} bytes there")]
    NameTooLong,
    /// The node's disk cannot read its copy of this chunk now, which says nothing about what the copy is.
    #[error("the node's disk cannot read its copy of this chunk")]
    ChunkUnreadable,
    /// Copies that an upload has reported count no more: their stores were replaced, or they proved to be gone.
    #[error("copies of the uploaded chunks were lost meanwhile; run the same command again, which sends those anew")]
    CopiesLost,
}

impl Refusal {
    /// Whether the same request may succeed a little later, here or at another node of the same role.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Refusal::NotLeader { .. }
            | Refusal::Unavailable
            | Refusal::Overloaded
            | Refusal::DeadlineExceeded
            | Refusal::TooFewNodes { .. }
            | Refusal::TooFewCopies { .. }
            | Refusal::WriteInProgress
            | Refusal::Stopping
            | Refusal::StoreFull
            | Refusal::StoreFailed
            | Refusal::Internal => true,
            Refusal::WrongCluster
            | Refusal::NotPermitted
            | Refusal::UnsupportedVersion
            | Refusal::UnknownMethod
            | Refusal::Malformed
            | Refusal::TooLarge
            | Refusal::NotFound
            | Refusal::NameExists
            | Refusal::NameConflict
            | Refusal::TooManyCopies { .. }
            | Refusal::UploadGone
            | Refusal::StaleEpoch { .. }
            | Refusal::BadReport
            | Refusal::Incomplete { .. }
            | Refusal::StaleIncarnation
            | Refusal::OutcomeUnknown
            | Refusal::ChunkMissing
            | Refusal::ChunkDamaged
            | Refusal::ChunkUnreadable
            | Refusal::ChecksumMismatch
            | Refusal::ConflictingContent
            | Refusal::Settings(_)
            | Refusal::Replaced
            | Refusal::NameTooLong
            | Refusal::CopiesLost => false,
        }
    }
}
