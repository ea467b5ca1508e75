//! Identities: what names a cluster, a node, a store, a file, a chunk, an upload and a request.
//!
//! All of them are small copyable values with one textual form each, used in logs, on the command line and in
//! directories. None of them is ever derived from a name by hashing: a name that cannot be led back is no name here.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that is not the identity it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {kind}; expected {expected}")]
pub struct InvalidId {
    kind: &'static str,
    text: String,
    expected: &'static str,
}

macro_rules! hexadecimal_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let well_formed = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                u128::from_str_radix(text, 16)
                    .ok()
                    .filter(|_| well_formed)
                    .map($name)
                    .ok_or_else(|| InvalidId { kind: $kind, text: text.to_owned(), expected: "32 hexadecimal digits" })
            }
        }
    };
}

macro_rules! decimal_id {
    ($(#[$doc:meta])* $name:ident($inner:ty), $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.parse().map($name).map_err(|_| InvalidId {
                    kind: $kind,
                    text: text.to_owned(),
                    expected: "a whole number",
                })
            }
        }
    };
}

hexadecimal_id!(
    /// One cluster, drawn at random when it is initialised; kept in the Raft state and in every data directory.
    ClusterId, "cluster id"
);
hexadecimal_id!(
    /// One data directory of a storage node, drawn at random when the directory is made.
    StoreId, "store id"
);
hexadecimal_id!(
    /// One upload, drawn by the client: create, allocate and commit are idempotent by it.
    UploadNonce, "upload nonce"
);
hexadecimal_id!(
    /// One administrative request (delete, move, …), drawn by the client and kept with its answer.
    RequestId, "request id"
);
hexadecimal_id!(
    /// One start of a process, drawn by that process: a repeated registration is recognised by it.
    BootId, "boot id"
);

decimal_id!(
    /// One node within its role. The certificate of the node carries it.
    NodeId(u64), "node id"
);
decimal_id!(
    /// One version of a file's content. It comes from a counter in the replicated state and is never reused.
    FileId(u64), "file id"
);
decimal_id!(
    /// One directory of the namespace. The root is [`DirectoryId::ROOT`].
    DirectoryId(u64), "directory id"
);
decimal_id!(
    /// The place of a chunk within its file, from zero.
    ChunkIndex(u32), "chunk index"
);
decimal_id!(
    /// The place of a group of chunks within its file, from zero.
    GroupIndex(u32), "group index"
);
decimal_id!(
    /// One placement of a group, raised by every re-placement and every resume. The first is one.
    Epoch(u32), "epoch"
);
decimal_id!(
    /// One life of a storage node's process. Zero means that it has not registered yet.
    Incarnation(u64), "incarnation"
);

impl DirectoryId {
    /// The directory that holds all others.
    pub const ROOT: DirectoryId = DirectoryId(0);
}

impl Epoch {
    /// The epoch of a group's first placement.
    pub const FIRST: Epoch = Epoch(1);

    /// The epoch of the next placement.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl ChunkIndex {
    /// The group that this chunk belongs to.
    #[must_use]
    pub fn group(self) -> GroupIndex {
        GroupIndex(self.0 / crate::limit::CHUNKS_PER_GROUP)
    }

    /// The place of this chunk within its group, below [`crate::limit::CHUNKS_PER_GROUP`].
    #[must_use]
    pub fn slot(self) -> u32 {
        self.0 % crate::limit::CHUNKS_PER_GROUP
    }
}

impl GroupIndex {
    /// The chunk at `slot` of this group.
    #[must_use]
    pub fn chunk(self, slot: u32) -> ChunkIndex {
        ChunkIndex(self.0 * crate::limit::CHUNKS_PER_GROUP + slot)
    }
}

/// The name of a chunk: its file and its place in it, shown as `file:index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkId {
    /// The version of the file that the chunk belongs to.
    pub file: FileId,
    /// The place of the chunk in it.
    pub index: ChunkIndex,
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.index)
    }
}

/// What a peer is allowed to be, as its certificate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A member of the metadata cluster.
    Metadata,
    /// A keeper of chunks.
    Storage,
    /// A user of the file system.
    Client,
}

impl Role {
    /// All roles, in wire order.
    pub const ALL: [Role; 3] = [Role::Metadata, Role::Storage, Role::Client];

    /// The role's word, as it stands in certificates and settings.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Role::Metadata => "metadata",
            Role::Storage => "storage",
            Role::Client => "client",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Role::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| InvalidId {
            kind: "role",
            text: text.to_owned(),
            expected: "metadata, storage or client",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_what_they_print() {
        let cluster = ClusterId(0x0123_4567_89ab_cdef);
        assert_eq!(cluster.to_string().parse(), Ok(cluster));
        assert!("+0000000000000000000000000000001".parse::<ClusterId>().is_err());
        assert_eq!("42".parse(), Ok(NodeId(42)));
        assert_eq!("storage".parse(), Ok(Role::Storage));
        assert!("gateway".parse::<Role>().is_err());
    }

    #[test]
    fn a_chunk_knows_its_group_and_its_slot() {
        let index = ChunkIndex(35);
        assert_eq!((index.group(), index.slot()), (GroupIndex(2), 3));
        assert_eq!(GroupIndex(2).chunk(3), index);
        assert_eq!(ChunkId { file: FileId(7), index }.to_string(), "7:35");
    }
}
