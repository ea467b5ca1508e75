//! Everything that can go wrong for a user of the client, on one page.

use crate::source::SourceChanged;
use dfs_core::id::{ChunkId, FileId, NodeId};
use dfs_core::name::FileName;
use dfs_core::range::BeyondEnd;
use dfs_core::refusal::Refusal;
use dfs_core::settings::InvalidSettings;
use dfs_core::wire::metadata::FileTarget;
use dfs_transport::endpoint::BindError;
use dfs_transport::exchange::CallError;
use dfs_transport::world::Killed;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why an operation failed. Each says in a line or two what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no address to begin with.
    #[error("no address of a metadata node is given; name at least one")]
    NoSeeds,
    /// No local socket.
    #[error("cannot open a socket: {0}")]
    Bind(#[from] BindError),
    /// No metadata node answered at all.
    #[error(
        "no metadata node answers at {}: {cause}\ncheck that the cluster is running and that the addresses are right",
        Listed(tried)
    )]
    Unreachable {
        /// The addresses that were tried.
        tried: Vec<SocketAddr>,
        /// What happened at the last of them.
        cause: CallError,
    },
    /// No leader has answered: there is none, or it cannot be reached from here.
    #[error("the metadata cluster has not answered for {} s: {cause}\nmost of its nodes must be running: see `status`", waited.as_secs())]
    Unavailable {
        /// How long it was tried.
        waited: Duration,
        /// What happened last.
        cause: CallError,
    },
    /// There is no such file.
    #[error("there is no file {}\nsee `list` for the names that exist", Target(target))]
    NotFound {
        /// What was asked for.
        target: FileTarget,
    },
    /// The name is taken.
    #[error("a file named {name} exists already\nchoose another name, delete it first, or replace it with --overwrite")]
    NameExists {
        /// The name.
        name: FileName,
    },
    /// The name has another version now than the one that the upload was to replace.
    #[error("another upload replaced {name} meanwhile\nrun it again to replace that version")]
    Replaced {
        /// The name.
        name: FileName,
    },
    /// Too few storage nodes can take work to make a write durable.
    #[error(
        "a durable write needs {needed} storage nodes, and {available} can take work now\nsee `nodes` and start those that are missing"
    )]
    TooFewNodes {
        /// Copies that an acknowledgement needs.
        needed: u8,
        /// Nodes that can take work.
        available: u32,
    },
    /// The upload is not this run's any more.
    #[error(
        "the upload of {name} is gone: another run of it took over, or it expired\nif no other run is at it, run the same command again"
    )]
    UploadGone {
        /// The name that the file was to have.
        name: FileName,
    },
    /// The settings would contradict each other.
    #[error("{cause}\n{}", cause.fix())]
    Settings {
        /// How.
        cause: InvalidSettings,
    },
    /// The cluster refused, for another reason.
    #[error("the cluster refused: {0}")]
    Refused(Refusal),
    /// A node answered what cannot be.
    #[error("the metadata leader's answer makes no sense: {0}\nthe versions of client and cluster may not fit")]
    Nonsense(&'static str),
    /// The bytes that were asked for are not in the file.
    #[error("{0}\nsee `stat` for its size")]
    RangeBeyondEnd(#[from] BeyondEnd),
    /// The file would have more chunks than can be counted.
    #[error("the file is too large for its chunk size; choose a larger chunk size")]
    TooLarge,
    /// No placement made a chunk durable.
    #[error("chunk {chunk} did not become durable for {} s: {cause}\nnothing of the file is visible; see `nodes`", waited.as_secs())]
    ChunkUnwritable {
        /// The chunk.
        chunk: ChunkId,
        /// How long no chunk of the file became durable.
        waited: Duration,
        /// What happened last.
        cause: TransferFailure,
    },
    /// No replica gave the right bytes of a chunk.
    #[error("chunk {chunk} cannot be read from any replica{}", Attempts(attempts))]
    ChunkUnreadable {
        /// The chunk.
        chunk: ChunkId,
        /// Every replica that was tried, and why it failed last.
        attempts: Vec<(NodeId, TransferFailure)>,
    },
    /// The bytes to upload cannot be read.
    #[error("cannot read what is to be uploaded: {0}")]
    Source(io::Error),
    /// The source is not any more what it was when it was opened.
    #[error("{what} changed while it was uploaded; nothing of it is visible\nupload it again when nobody writes to it")]
    SourceChanged {
        /// The source, such as a path.
        what: String,
    },
    /// The source gave more or fewer bytes than it had said.
    #[error("the source gave {given} bytes, but had said {said}; it changed while it was read")]
    SourceSize {
        /// What the source had said.
        said: u64,
        /// What it gave, as far as it was read.
        given: u64,
    },
    /// The downloaded bytes cannot be written.
    #[error("cannot write what is downloaded: {0}")]
    Sink(io::Error),
    /// The world of the client was ended.
    #[error("the client was stopped")]
    Stopped,
}

/// What a caller can do about an error: the stuff of exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorKind {
    /// The cluster cannot be reached, or has no quorum: try again when it runs.
    Unavailable,
    /// There is no such file.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The request itself cannot be done as asked.
    Refused,
    /// Bytes could not be stored or read back; the nodes need attention.
    Storage,
    /// The local source or sink failed.
    Local,
    /// The local source changed while it was read: upload it again.
    Changed,
}

impl ClientError {
    /// What a caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            ClientError::Unreachable { .. } | ClientError::Unavailable { .. } => ErrorKind::Unavailable,
            ClientError::NotFound { .. } => ErrorKind::NotFound,
            ClientError::NameExists { .. } | ClientError::Replaced { .. } => ErrorKind::AlreadyExists,
            ClientError::Refused(refusal) if refusal.is_retryable() => ErrorKind::Unavailable,
            ClientError::NoSeeds
            | ClientError::UploadGone { .. }
            | ClientError::Settings { .. }
            | ClientError::Refused(_)
            | ClientError::Nonsense(_)
            | ClientError::TooLarge
            | ClientError::RangeBeyondEnd(_) => ErrorKind::Refused,
            ClientError::TooFewNodes { .. }
            | ClientError::ChunkUnwritable { .. }
            | ClientError::ChunkUnreadable { .. } => ErrorKind::Storage,
            ClientError::SourceChanged { .. } | ClientError::SourceSize { .. } => ErrorKind::Changed,
            ClientError::Bind(_) | ClientError::Source(_) | ClientError::Sink(_) | ClientError::Stopped => {
                ErrorKind::Local
            }
        }
    }

    /// What a source that cannot be read means.
    pub(crate) fn of_source(error: io::Error) -> ClientError {
        match error.downcast::<SourceChanged>() {
            Ok(SourceChanged { what }) => ClientError::SourceChanged { what },
            Err(error) => ClientError::Source(error),
        }
    }

    /// The error that a refusal by the metadata leader means.
    pub(crate) fn of_refusal(refusal: Refusal, subject: Subject<'_>) -> ClientError {
        match (refusal, subject) {
            (Refusal::NotFound, Subject::File(target)) => ClientError::NotFound { target: target.clone() },
            (Refusal::NotFound, Subject::Version(file)) => ClientError::NotFound { target: FileTarget::Id(file) },
            (Refusal::UploadGone, Subject::Upload(name)) => ClientError::UploadGone { name: name.clone() },
            (Refusal::NotFound, Subject::Move { from, .. }) => {
                ClientError::NotFound { target: FileTarget::Name(from.clone()) }
            }
            (Refusal::NameExists, Subject::Upload(name) | Subject::Move { to: name, .. }) => {
                ClientError::NameExists { name: name.clone() }
            }
            (Refusal::Replaced, Subject::Upload(name)) => ClientError::Replaced { name: name.clone() },
            (Refusal::TooFewNodes { needed, available }, _) => ClientError::TooFewNodes { needed, available },
            (Refusal::Settings(cause), _) => ClientError::Settings { cause },
            (refusal, _) => ClientError::Refused(refusal),
        }
    }
}

impl From<Killed> for ClientError {
    fn from(_: Killed) -> ClientError {
        ClientError::Stopped
    }
}

/// What a request was about, so that its refusal can name it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject<'a> {
    /// Nothing in particular.
    Cluster,
    /// A file that should exist.
    File(&'a FileTarget),
    /// A version that should exist.
    Version(FileId),
    /// An upload under a name that should be free.
    Upload(&'a FileName),
    /// A name that should exist, and one that should be free.
    Move { from: &'a FileName, to: &'a FileName },
}

/// Why one transfer with one storage node failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TransferFailure {
    /// The node refused, could not be reached, or broke off.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The node stood still for too long.
    #[error("the node stood still")]
    Stalled,
    /// The node sent bytes or checksums that are not those of the chunk.
    #[error("the node's bytes are not those of the chunk")]
    WrongBytes,
    /// The node acknowledged fewer copies than were asked for.
    #[error("the node acknowledged {acknowledged} copies where {needed} are needed")]
    TooFewCopies {
        /// Copies that it acknowledged.
        acknowledged: usize,
        /// Copies that were asked for.
        needed: u8,
    },
    /// The node holds other bytes for this chunk and epoch.
    #[error("the node holds other bytes for this chunk")]
    Conflict,
    /// The cluster names a replica there, but no address of the node.
    #[error("the address of the node is not known")]
    NoAddress,
}

/// Addresses, separated by commas.
struct Listed<'a>(&'a [SocketAddr]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, address) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{address}")?;
        }
        Ok(())
    }
}

/// A file, as a user names it.
struct Target<'a>(&'a FileTarget);

impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            FileTarget::Name(name) => write!(f, "named {name}"),
            FileTarget::Id(file) => write!(f, "with the id {file}"),
        }
    }
}

/// What was tried, on one line.
struct Attempts<'a>(&'a [(NodeId, TransferFailure)]);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("; no node that holds it is known");
        }
        for (position, (node, failure)) in self.0.iter().enumerate() {
            let separator = if position == 0 { "\n" } else { "; " };
            write!(f, "{separator}storage node {node}: {failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::id::ChunkIndex;

    #[test]
    fn an_unreadable_chunk_is_named_with_every_reason() {
        let error = ClientError::ChunkUnreadable {
            chunk: ChunkId { file: FileId(7), index: ChunkIndex(3) },
            attempts: vec![
                (NodeId(1), TransferFailure::WrongBytes),
                (NodeId(2), TransferFailure::Call(CallError::Refused(Refusal::ChunkMissing))),
            ],
        };
        let text = error.to_string();
        assert!(text.contains("chunk 7:3"), "{text}");
        assert!(text.contains("storage node 1: the node's bytes are not"), "{text}");
        assert!(text.contains("storage node 2: "), "{text}");
        assert_eq!(text.lines().count(), 2);
        assert_eq!(error.kind(), ErrorKind::Storage);
    }

    #[test]
    fn a_cluster_that_does_not_answer_is_told_with_the_cause_and_what_to_do() {
        let error = ClientError::Unavailable { waited: Duration::from_secs(7), cause: CallError::TimedOut };
        let text = error.to_string();
        let first = "the metadata cluster has not answered for 7 s: the peer did not answer in time";
        assert_eq!((text.lines().next(), text.lines().count()), (Some(first), 2));
    }

    #[test]
    fn a_refusal_is_told_in_the_words_of_what_was_asked() {
        let name = FileName::new("a/b").unwrap();
        let target = FileTarget::Name(name.clone());
        let missing = ClientError::of_refusal(Refusal::NotFound, Subject::File(&target));
        assert_eq!(missing.to_string().lines().next(), Some("there is no file named a/b"));
        let taken = ClientError::of_refusal(Refusal::NameExists, Subject::Upload(&name));
        assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        let overtaken = ClientError::of_refusal(Refusal::Replaced, Subject::Upload(&name));
        assert_eq!(overtaken.kind(), ErrorKind::AlreadyExists);
        assert_eq!(overtaken.to_string().lines().next(), Some("another upload replaced a/b meanwhile"));
        let odd = ClientError::of_refusal(Refusal::NotFound, Subject::Cluster);
        assert!(matches!(odd, ClientError::Refused(Refusal::NotFound)));
    }
}
