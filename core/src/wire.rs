//! The messages between peers.
//!
//! A request is addressed to a *service* of a node and has a *method* there; its reply type is bound to it by
//! [`Request`]. Messages are encoded with postcard: the order of fields and variants is the format, and enums are
//! append-only once released. A message is decoded completely or refused.
//!
//! Deliberately absent: chunk payload. It follows a message as raw bytes (see `dfs-transport`).

pub mod chunk;
pub mod membership;
pub mod metadata;
pub mod method;

use crate::id::NodeId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The range of protocol versions that this build speaks, oldest first.
pub const PROTOCOL_VERSIONS: std::ops::RangeInclusive<u16> = 1..=1;

/// Whom a request is for. The number is the wire format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Service {
    /// Files and directories, served by the metadata leader to clients.
    Namespace = 1,
    /// Registration and beats, served by the metadata leader to storage nodes.
    Membership = 2,
    /// The Raft protocol, between metadata nodes.
    Raft = 3,
    /// Chunks, served by storage nodes to clients.
    Chunks = 4,
    /// Copies of chunks, served by storage nodes to storage nodes.
    Replicas = 5,
    /// What any node says of itself, served to every role.
    Node = 6,
}

impl Service {
    /// All services, in wire order.
    pub const ALL: [Service; 6] =
        [Service::Namespace, Service::Membership, Service::Raft, Service::Chunks, Service::Replicas, Service::Node];

    /// Its name, for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Service::Namespace => "namespace",
            Service::Membership => "membership",
            Service::Raft => "raft",
            Service::Chunks => "chunks",
            Service::Replicas => "replicas",
            Service::Node => "node",
        }
    }

    /// The service with this number on the wire.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Service> {
        Service::ALL.into_iter().find(|service| *service as u8 == number)
    }
}

/// A request: where it goes, and what comes back.
pub trait Request: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The service that it is for.
    const SERVICE: Service;
    /// Its number within the service, never reused.
    const METHOD: u8;
    /// Its version; a changed message gets a new one.
    const VERSION: u8 = 1;
    /// What comes back if it is not refused.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// Where a node can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeAddress {
    /// The node, within its role.
    pub node: NodeId,
    /// Its advertised UDP address.
    pub address: SocketAddr,
}

/// Decodes a whole message, or nothing: trailing bytes are an error too.
///
/// # Errors
/// Any byte sequence that is not exactly one `T`.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, postcard::Error> {
    let (value, rest) = postcard::take_from_bytes(bytes)?;
    if rest.is_empty() { Ok(value) } else { Err(postcard::Error::DeserializeBadEncoding) }
}

/// Encodes a message.
///
/// # Panics
/// Never for the types of this crate: encoding into memory fails only for types that postcard cannot represent.
#[must_use]
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).expect("the types of the protocol have a postcard form")
}
