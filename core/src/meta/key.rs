//! The keys of the state: a table byte, then numbers in big-endian order, so that scans follow their order.
//!
//! Table bytes are append-only once released and stay below [`ADAPTOR`].

use crate::id::{DirectoryId, FileId, GroupIndex, NodeId, RequestId, UploadNonce};
use crate::name::FileName;
use crate::time::ClusterTime;

pub const SINGLE: u8 = 0x01;
pub const TREE: u8 = 0x02;
pub const DIRECTORY: u8 = 0x03;
pub const FILE: u8 = 0x04;
pub const GROUP: u8 = 0x05;
pub const NONCE: u8 = 0x06;
pub const NODE: u8 = 0x07;
pub const REQUEST: u8 = 0x08;
pub const REQUEST_AGE: u8 = 0x09;
pub const OPEN_UPLOAD: u8 = 0x10;
pub const PLACED_ON: u8 = 0x20;
pub const RECEIPT: u8 = 0x21;

/// From this table byte on, keys are the Raft adaptor's.
pub const ADAPTOR: u8 = 0xF0;

/// The record of the cluster id and the settings.
pub const CLUSTER: [u8; 2] = [SINGLE, 0x01];
/// The record of the counters.
pub const COUNTERS: [u8; 2] = [SINGLE, 0x02];

/// Bytes of a tree key before the component.
pub const TREE_PREFIX_BYTES: usize = 9;

/// The file `component` in a directory; or, as a bound of a scan, any text.
pub fn file_entry(parent: DirectoryId, component: &str) -> Vec<u8> {
    let mut key = numbered(TREE, parent.0);
    key.extend_from_slice(component.as_bytes());
    key
}

/// The directory `component` in a directory. Its slash makes a depth-first walk follow the bytewise order of whole
/// names: `a!` before `a/b` before `a0`.
pub fn directory_entry(parent: DirectoryId, component: &str) -> Vec<u8> {
    let mut key = file_entry(parent, component);
    key.push(b'/');
    key
}

/// Where the entries of a directory end (exclusive).
pub fn entries_end(parent: DirectoryId) -> Vec<u8> {
    parent.0.checked_add(1).map_or(vec![TREE + 1], |next| numbered(TREE, next))
}

/// The record of a directory.
pub fn directory(directory: DirectoryId) -> Vec<u8> {
    numbered(DIRECTORY, directory.0)
}

/// The record of a file.
pub fn file(file: FileId) -> Vec<u8> {
    numbered(FILE, file.0)
}

/// The record of a group.
pub fn group(file: FileId, group: GroupIndex) -> Vec<u8> {
    let mut key = numbered(GROUP, file.0);
    key.extend_from_slice(&group.0.to_be_bytes());
    key
}

/// Where the groups end (exclusive).
pub const GROUPS_END: [u8; 1] = [GROUP + 1];

/// The file and the group of a group's key.
pub fn parse_group(key: &[u8]) -> Option<(FileId, GroupIndex)> {
    let (file, group) = key.strip_prefix(&[GROUP])?.split_at_checked(8)?;
    let file = u64::from_be_bytes(file.try_into().ok()?);
    let group = u32::from_be_bytes(group.try_into().ok()?);
    Some((FileId(file), GroupIndex(group)))
}

/// The open upload of a nonce.
pub fn nonce(nonce: UploadNonce) -> Vec<u8> {
    [&[NONCE][..], &nonce.0.to_be_bytes()].concat()
}

/// An open upload among those of its name, the newest first. A name has no zero byte, so names cannot run into each
/// other.
pub fn open_upload(name: &FileName, file: FileId) -> Vec<u8> {
    let mut key = open_uploads(name).0;
    key.extend_from_slice(&(u64::MAX - file.0).to_be_bytes());
    key
}

/// Where the open uploads of a name begin, and where they end (exclusive).
pub fn open_uploads(name: &FileName) -> (Vec<u8>, Vec<u8>) {
    let with = |end: u8| [&[OPEN_UPLOAD], name.as_str().as_bytes(), &[end]].concat();
    (with(0), with(1))
}

/// Where the open uploads begin whose names begin with this text.
pub fn open_uploads_from(prefix: &str) -> Vec<u8> {
    [&[OPEN_UPLOAD], prefix.as_bytes()].concat()
}

/// Where the open uploads end (exclusive).
pub const OPEN_UPLOADS_END: [u8; 1] = [OPEN_UPLOAD + 1];

/// The file of an open upload's key.
pub fn parse_open_upload(key: &[u8]) -> Option<FileId> {
    let (_, age) = key.strip_prefix(&[OPEN_UPLOAD])?.split_last_chunk::<8>()?;
    Some(FileId(u64::MAX - u64::from_be_bytes(*age)))
}

/// The record of a storage node.
pub fn node(node: NodeId) -> Vec<u8> {
    numbered(NODE, node.0)
}

/// Where the storage nodes end (exclusive).
pub const NODES_END: [u8; 1] = [NODE + 1];

/// The kept answer to a request.
pub fn request(request: RequestId) -> Vec<u8> {
    [&[REQUEST][..], &request.0.to_be_bytes()].concat()
}

/// A kept answer in the order of age.
pub fn request_age(at: ClusterTime, request: RequestId) -> Vec<u8> {
    let mut key = numbered(REQUEST_AGE, at.0);
    key.extend_from_slice(&request.0.to_be_bytes());
    key
}

/// Where the kept answers in the order of age end (exclusive).
pub const REQUESTS_BY_AGE_END: [u8; 1] = [REQUEST_AGE + 1];

/// When a request was kept, and its id.
pub fn parse_request_age(key: &[u8]) -> Option<(ClusterTime, RequestId)> {
    let (at, request) = key.strip_prefix(&[REQUEST_AGE])?.split_at_checked(8)?;
    let at = u64::from_be_bytes(at.try_into().ok()?);
    let request = u128::from_be_bytes(request.try_into().ok()?);
    Some((ClusterTime(at), RequestId(request)))
}

/// That a node has copies of a group; or, with the least group, a bound of a scan. There is one for each copy of a
/// group, so its numbers are as short as they can be.
pub fn placed_on(node: NodeId, file: FileId, group: GroupIndex) -> Vec<u8> {
    let mut key = vec![PLACED_ON];
    for number in [node.0, file.0, u64::from(group.0)] {
        put_short(&mut key, number);
    }
    key
}

/// Where the groups of a node end (exclusive).
pub fn placed_on_end(node: NodeId) -> Vec<u8> {
    let mut key = vec![PLACED_ON];
    match node.0.checked_add(1) {
        Some(next) => put_short(&mut key, next),
        None => key[0] += 1,
    }
    key
}

/// A node, and the group that it has copies of.
pub fn parse_placed_on(key: &[u8]) -> Option<(NodeId, FileId, GroupIndex)> {
    let (node, rest) = take_short(key.strip_prefix(&[PLACED_ON])?)?;
    let (file, rest) = take_short(rest)?;
    let (group, rest) = take_short(rest)?;
    rest.is_empty().then_some((NodeId(node), FileId(file), GroupIndex(u32::try_from(group).ok()?)))
}

/// The receipt of this number.
pub fn receipt(number: u64) -> Vec<u8> {
    numbered(RECEIPT, number)
}

/// Where the receipts end (exclusive).
pub const RECEIPTS_END: [u8; 1] = [RECEIPT + 1];

/// The number of a receipt.
pub fn parse_receipt(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.strip_prefix(&[RECEIPT])?.try_into().ok()?))
}

/// The component of a tree key; a directory's ends with its slash.
pub fn parse_entry(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.get(TREE_PREFIX_BYTES..)?).ok()
}

fn numbered(table: u8, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(32);
    key.push(table);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// Appends a number: how many bytes it has, then these, the highest first. The order of keys is the order of numbers.
fn put_short(key: &mut Vec<u8>, number: u64) {
    let bytes = number.to_be_bytes();
    let skipped = number.leading_zeros() as usize / 8;
    key.push((bytes.len() - skipped) as u8);
    key.extend_from_slice(&bytes[skipped..]);
}

/// The number at the beginning, and what follows it.
fn take_short(key: &[u8]) -> Option<(u64, &[u8])> {
    let (count, rest) = key.split_first()?;
    let (digits, rest) = rest.split_at_checked(usize::from(*count))?;
    let start = size_of::<u64>().checked_sub(digits.len())?;
    let mut bytes = [0; size_of::<u64>()];
    bytes[start..].copy_from_slice(digits);
    Some((u64::from_be_bytes(bytes), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_groups_of_a_node_are_in_the_order_of_their_numbers(
            a: (u8, u64, u16), b: (u8, u64, u16), shifts: (u32, u32),
        ) {
            let place = |(node, file, group): (u8, u64, u16), shift: u32| {
                (NodeId(node.into()), FileId(file >> (shift % 64)), GroupIndex(group.into()))
            };
            let (a, b) = (place(a, shifts.0), place(b, shifts.1));
            let key = |(node, file, group)| placed_on(node, file, group);
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(parse_placed_on(&key(a)), Some(a));
            prop_assert!(key(a) < placed_on_end(a.0));
            prop_assert!(a.0 >= b.0 || placed_on_end(a.0) <= key(b));
        }
    }
}
