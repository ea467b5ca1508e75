//! The metadata state machine: which files there are, which chunks they have, and who holds them.
//!
//! The Raft log holds [`Entry`]s; [`apply`] turns one into a [`Change`] of an ordered byte map that it reads through a
//! [`View`]. It is a pure function: the same log gives the same state on every node, in whatever batches it is
//! applied. The leader decides what is not a function of the state (time, placement) and writes it into the entry;
//! `apply` checks it again and refuses what does not fit.
//!
//! The map has these tables, told apart by the first byte of their keys (`key`):
//!
//! | table | key | record |
//! |---|---|---|
//! | cluster | | cluster id and settings |
//! | counters | | time, next ids, totals |
//! | tree | directory, component (a directory's ends with `/`) | the file or directory of this name |
//! | directories | directory | its parent and component, so that a file's whole name can be told from its id; how long names below it are |
//! | files | file | its state: open, committed, replaced or deleted |
//! | groups | file, group | placements, checksums, holders (`group`) |
//! | nonces | upload nonce | the open upload that it drew |
//! | open uploads | name, file from the newest | nothing: the key says all |
//! | nodes | node | incarnation, store, address |
//! | requests | request id, and again by age | the kept answer |
//! | placed on | node, file, group | nothing: that the node has copies of the group (`placed_on`) |
//! | receipts | number | what a finished order has changed (`receipt`) |
//!
//! **Copies and stores.** A node's record has a *generation* that rises when the node registers with another store. A
//! placement remembers the generation of each of its nodes, and copies reported under it are recorded with that
//! generation. Readers count a copy only if its generation is still the node's. So registering an empty store
//! uncounts every copy of the old one at once, by one record, and a report that was under way meanwhile cannot bring
//! one back.
//!
//! Deliberately absent: liveness (the leader's evidence, [`crate::liveness`]), the choice of nodes
//! ([`crate::placement`]), the removal of a deleted or replaced file's groups, and any cache.

mod copies;
mod draft;
mod generation;
mod group;
mod key;
mod level;
mod listing;
mod membership;
mod open_upload;
mod page;
mod placed_on;
mod read;
mod receipt;
mod record;
mod removal;
mod rename;
mod report;
mod request;
mod resume;
mod tree;
mod upload;
mod version;
mod view;

#[cfg(test)]
mod tests;

pub use copies::{KnownChunk, KnownPage, known_chunks};
pub use level::list_level;
pub use listing::list;
pub use open_upload::list_uploads;
pub use placed_on::{group_facts, groups_after, groups_on};
pub use read::{
    Placing, Totals, all_nodes, allocation_state, cluster, creation_state, locate, needs_ticks, node, nodes, stat,
    time, totals,
};
pub use receipt::receipts;
pub use record::{CopyChange, NodeRecord, ReceiptRecord};
pub use resume::{OpenGroup, Resumption, locate_upload, resumption_state};
pub use view::{Change, DamagedRecord, Overlay, Pairs, View};

use crate::id::{BootId, ClusterId, Epoch, FileId, GroupIndex, Incarnation, NodeId, StoreId};
use crate::limit::COMMAND_BYTES_MAX;
use crate::refusal::Refusal;
use crate::settings::ClusterSettings;
use crate::time::ClusterTime;
use crate::wire;
use crate::wire::membership::{LateReport, Receipt};
use crate::wire::metadata::{
    AllocateGroup, ChangeSettings, CommitFile, CreateFile, DeleteFile, FileInfo, FoundUpload, MoveName, MovedName,
    ResumeUpload,
};
use draft::{Draft, Stop};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;

/// One entry of the Raft log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Cluster time as the leader counted it. The state's time is the highest that it has seen.
    pub time: ClusterTime,
    /// What to do.
    pub command: Command,
}

/// What an entry asks for. Append-only once released: the order of the variants is the format of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes the cluster: the first entry. Again with the same cluster id it does nothing; with another it is
    /// refused.
    Initialise {
        /// Drawn by whoever initialises.
        cluster: ClusterId,
        /// The settings from now on.
        settings: ClusterSettings,
    },
    /// Only advances time.
    Tick,
    /// Begins an incarnation of a storage node. The same boot id again gives the same answer.
    Register {
        /// The node.
        node: NodeId,
        /// This start of its process.
        boot: BootId,
        /// Its data directory.
        store: StoreId,
        /// Where others reach it.
        address: SocketAddr,
    },
    /// Opens an upload.
    Create {
        /// What the client asked.
        request: CreateFile,
        /// The placement of the first group; empty if the size is known to be zero.
        nodes: Vec<NodeId>,
    },
    /// Places a group, or places it anew.
    Allocate {
        /// What the client asked.
        request: AllocateGroup,
        /// The placement.
        nodes: Vec<NodeId>,
    },
    /// Makes an upload visible.
    Commit {
        /// What the client asked.
        request: CommitFile,
    },
    /// Removes a name.
    Delete {
        /// What the client asked.
        request: DeleteFile,
    },
    /// Records copies that became durable late.
    RecordCopies {
        /// The node that tells.
        reporter: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// What it tells: at most [`crate::limit::LATE_REPORTS_PER_ENTRY_MAX`].
        reports: Vec<LateReport>,
    },
    /// Changes settings of the cluster.
    ChangeSettings {
        /// What the client asked.
        request: ChangeSettings,
    },
    /// Hands an open upload over to another run.
    Resume {
        /// What the client asked.
        request: ResumeUpload,
    },
    /// Moves a file or a directory.
    Move {
        /// What the client asked.
        request: MoveName,
    },
    /// Records what became of orders.
    RecordReceipts {
        /// The node that executed them.
        reporter: NodeId,
        /// Its incarnation.
        incarnation: Incarnation,
        /// What it tells: at most [`crate::limit::RECEIPTS_PER_BEAT_MAX`].
        receipts: Vec<Receipt>,
    },
}

/// What an entry that was not refused answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is done; there is nothing to tell.
    Done,
    /// The node is registered.
    Registered {
        /// The life of its process.
        incarnation: Incarnation,
    },
    /// The upload is open.
    Created(CreatedUpload),
    /// The group has a placement of the epoch asked for, or of a higher one.
    Allocated(Allocation),
    /// The file is visible.
    Committed(FileInfo),
    /// The name is gone.
    Deleted(FileInfo),
    /// The late reports, or receipts, were dealt with: recorded, or of no more use.
    Recorded {
        /// How many; always all of the entry.
        taken: u32,
    },
    /// The settings are changed, to these.
    SettingsChanged(ClusterSettings),
    /// The upload was handed over, or there is none that fits.
    Resumed(FoundUpload),
    /// The file or directory has its new name.
    Moved(MovedName),
}

/// An open upload: [`crate::wire::metadata::CreatedFile`] without addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedUpload {
    /// The id of the new version.
    pub file: FileId,
    /// Copies of each chunk that the cluster aims for.
    pub replication: u8,
    /// The placement of the first group, if it has one.
    pub first_group: Option<Allocation>,
}

/// The present placement of a group: [`crate::wire::metadata::GroupPlacement`] without addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The group.
    pub group: GroupIndex,
    /// The epoch of the placement.
    pub epoch: Epoch,
    /// Durable copies that an acknowledgement needs.
    pub write_quorum: u8,
    /// The nodes, in order.
    pub nodes: Vec<NodeId>,
}

impl Entry {
    /// Refuses an entry that is too large for the log. The leader calls it before it proposes.
    ///
    /// # Errors
    /// [`Refusal::TooLarge`] if the entry encodes to more than [`COMMAND_BYTES_MAX`] bytes.
    pub fn check_size(&self) -> Result<(), Refusal> {
        if wire::encode(self).len() <= COMMAND_BYTES_MAX { Ok(()) } else { Err(Refusal::TooLarge) }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} ms", self.command, self.time.0)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::Initialise { cluster, .. } => write!(f, "initialise cluster {cluster}"),
            Command::Tick => write!(f, "tick"),
            Command::Register { node, boot, .. } => write!(f, "register node {node} (boot {boot})"),
            Command::Create { request, .. } => {
                write!(f, "create {:?} (nonce {})", request.name.as_str(), request.nonce)
            }
            Command::Allocate { request, .. } => {
                write!(f, "allocate group {} of file {} (epoch {})", request.group, request.file, request.epoch)
            }
            Command::Commit { request } => write!(f, "commit file {} ({} bytes)", request.file, request.size),
            Command::Delete { request } => write!(f, "delete {:?} (request {})", request.target, request.request),
            Command::RecordCopies { reporter, incarnation, reports } => {
                write!(f, "record {} late reports of node {reporter} (incarnation {incarnation})", reports.len())
            }
            Command::ChangeSettings { request } => {
                write!(f, "change settings (request {}):", request.request)?;
                request.changes.iter().try_for_each(|change| write!(f, " {}={}", change.key, change.value))
            }
            Command::Resume { request } => {
                write!(f, "resume {:?} (nonce {})", request.name.as_str(), request.nonce)
            }
            Command::Move { request } => {
                let (from, to) = (request.from.as_str(), request.to.as_str());
                write!(f, "move {from:?} to {to:?} (request {})", request.request)
            }
            Command::RecordReceipts { reporter, incarnation, receipts } => {
                write!(f, "record {} receipts of node {reporter} (incarnation {incarnation})", receipts.len())
            }
        }
    }
}

/// Applies one entry: what it changes, and what it answers.
///
/// # Errors
/// Only if the state can not be read, or is damaged.
pub fn apply<V: View>(view: &V, entry: &Entry) -> Result<Change, V::Error> {
    let mut draft = Draft::open(view)?;
    draft.advance(entry.time);
    request::expire(&mut draft)?;
    let kept = draft.clone();
    match execute(&mut draft, &entry.command) {
        Ok(outcome) => Ok(draft.into_change(Ok(outcome))),
        Err(Stop::Refused(refusal)) => Ok(kept.into_change(Err(refusal))),
        Err(Stop::Failed(error)) => Err(error),
    }
}

fn execute<V: View>(draft: &mut Draft<'_, V>, command: &Command) -> Result<Outcome, Stop<V::Error>> {
    match command {
        Command::Initialise { cluster, settings } => membership::initialise(draft, *cluster, settings),
        Command::Tick => Ok(Outcome::Done),
        Command::Register { node, boot, store, address } => membership::register(draft, *node, *boot, *store, *address),
        Command::Create { request, nodes } => upload::create(draft, request, nodes),
        Command::Allocate { request, nodes } => upload::allocate(draft, request, nodes),
        Command::Commit { request } => upload::commit(draft, request),
        Command::Delete { request } => removal::delete(draft, request),
        Command::RecordCopies { reporter, incarnation, reports } => {
            report::record_copies(draft, *reporter, *incarnation, reports)
        }
        Command::RecordReceipts { reporter, incarnation, receipts } => {
            receipt::record(draft, *reporter, *incarnation, receipts)
        }
        Command::ChangeSettings { request } => membership::change_settings(draft, request),
        Command::Resume { request } => resume::resume(draft, request),
        Command::Move { request } => rename::move_name(draft, request),
    }
}
