//! The records of the state one by one, with what their keys say: for those who check a state.
//!
//! [`record`] tells what a pair of the state is, and nothing else: no table is compared with another here, so that
//! whoever does so owes nothing to the code that keeps them.

use super::key;
use super::record::{Record, damaged};
use super::view::DamagedRecord;
use crate::id::{DirectoryId, FileId, GroupIndex, NodeId, RequestId, UploadNonce};
use crate::time::ClusterTime;
use std::str::from_utf8;

pub use super::group::{GroupRecord, Holder, PlacedNode, Placement};
pub use super::record::{
    Answer, Claim, ClusterRecord, CommittedFile, Counters, DirectoryRecord, FileRecord, FileState, OpenFile,
    ReplacedFile, RequestRecord, ShortChunk,
};
pub use super::{NodeRecord, ReceiptRecord};

/// A record of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StateRecord {
    /// What the cluster is.
    Cluster(ClusterRecord),
    /// Everything that is counted.
    Counters(Counters),
    /// In this directory, this component is this file.
    FileEntry(DirectoryId, String, FileId),
    /// In this directory, this component is this directory.
    DirectoryEntry(DirectoryId, String, DirectoryId),
    /// A directory.
    Directory(DirectoryId, DirectoryRecord),
    /// A version of a file.
    File(FileId, FileRecord),
    /// A group of chunks.
    Group(FileId, GroupIndex, GroupRecord),
    /// The open upload of a nonce.
    Nonce(UploadNonce, FileId),
    /// An open upload among those of its name.
    OpenUpload(String, FileId),
    /// A storage node.
    Node(NodeRecord),
    /// The kept answer to a request.
    Request(RequestId, RequestRecord),
    /// A kept answer in the order of age.
    RequestAge(ClusterTime, RequestId),
    /// That a node has copies of a group.
    PlacedOn(NodeId, FileId, GroupIndex),
    /// What a finished order has changed.
    Receipt(u64, ReceiptRecord),
}

/// What a pair of the state is; nothing if it is not the metadata state machine's.
///
/// # Errors
/// It is of no table, or it is not what its key says.
pub fn record(own: &[u8], value: &[u8]) -> Result<Option<StateRecord>, DamagedRecord> {
    let (table, rest) = own.split_first().ok_or_else(|| foreign(own))?;
    if *table >= key::ADAPTOR {
        return Ok(None);
    }
    Ok(Some(match *table {
        key::SINGLE if own == key::CLUSTER => StateRecord::Cluster(read(own, value)?),
        key::SINGLE if own == key::COUNTERS => StateRecord::Counters(read(own, value)?),
        key::TREE => entry(own, value)?,
        key::DIRECTORY => StateRecord::Directory(DirectoryId(number(own, rest)?), read(own, value)?),
        key::FILE => StateRecord::File(FileId(number(own, rest)?), read(own, value)?),
        key::GROUP => {
            let (file, group) = key::parse_group(own).ok_or_else(|| foreign(own))?;
            StateRecord::Group(file, group, read(own, value)?)
        }
        key::NONCE => StateRecord::Nonce(UploadNonce(wide(own, rest)?), read(own, value)?),
        key::OPEN_UPLOAD => {
            let file = key::parse_open_upload(own).ok_or_else(|| foreign(own))?;
            let name = rest.get(..rest.len() - size_of::<u64>()).and_then(|name| name.strip_suffix(&[0]));
            let name = name.filter(|name| !name.contains(&0)).and_then(|name| from_utf8(name).ok());
            let name = name.ok_or_else(|| foreign(own))?;
            bare(own, value, StateRecord::OpenUpload(name.to_owned(), file))?
        }
        key::NODE => {
            let node: NodeRecord = read(own, value)?;
            if number(own, rest)? != node.node.0 {
                return Err(damaged::<NodeRecord>(own));
            }
            StateRecord::Node(node)
        }
        key::REQUEST => StateRecord::Request(RequestId(wide(own, rest)?), read(own, value)?),
        key::REQUEST_AGE => {
            let (at, request) = key::parse_request_age(own).ok_or_else(|| foreign(own))?;
            bare(own, value, StateRecord::RequestAge(at, request))?
        }
        key::PLACED_ON => {
            let (node, file, group) = key::parse_placed_on(own).ok_or_else(|| foreign(own))?;
            bare(own, value, StateRecord::PlacedOn(node, file, group))?
        }
        key::RECEIPT => StateRecord::Receipt(key::parse_receipt(own).ok_or_else(|| foreign(own))?, read(own, value)?),
        _ => return Err(foreign(own)),
    }))
}

fn read<R: Record>(own: &[u8], value: &[u8]) -> Result<R, DamagedRecord> {
    R::from_bytes(own, value)
}

/// What is told by a key alone.
fn bare(own: &[u8], value: &[u8], record: StateRecord) -> Result<StateRecord, DamagedRecord> {
    read::<()>(own, value).map(|()| record)
}

/// An entry of the tree.
fn entry(own: &[u8], value: &[u8]) -> Result<StateRecord, DamagedRecord> {
    let parent = own.get(1..key::TREE_PREFIX_BYTES).ok_or_else(|| foreign(own))?;
    let parent = DirectoryId(number(own, parent)?);
    let component = key::parse_entry(own).ok_or_else(|| foreign(own))?;
    Ok(match component.strip_suffix('/') {
        Some(component) => StateRecord::DirectoryEntry(parent, component.to_owned(), read(own, value)?),
        None => StateRecord::FileEntry(parent, component.to_owned(), read(own, value)?),
    })
}

fn number(own: &[u8], bytes: &[u8]) -> Result<u64, DamagedRecord> {
    bytes.try_into().map(u64::from_be_bytes).map_err(|_| foreign(own))
}

fn wide(own: &[u8], bytes: &[u8]) -> Result<u128, DamagedRecord> {
    bytes.try_into().map(u128::from_be_bytes).map_err(|_| foreign(own))
}

/// What to say of a key of no table.
fn foreign(own: &[u8]) -> DamagedRecord {
    DamagedRecord { kind: "unknown", key: own.to_vec() }
}
