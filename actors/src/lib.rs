//! The supervised actors of a node, and the seams to its disk and key-value store.
//!
//! This is the only crate that knows ractor, openraft and fjall. An actor decides with `dfs-core` and acts here;
//! mailboxes carry lifecycle, admission and decisions, streams carry bytes.

pub mod chunk_store;
pub mod chunk_store_actor;
pub mod disk;
pub mod heartbeat;
pub mod key_value;
pub mod listener;
mod metadata_link;
pub mod meter;
pub mod metrics_endpoint;
pub mod namespace;
pub mod node_watcher;
pub mod raft;
pub mod raft_actor;
pub mod repair_scheduler;
pub mod replicator;
pub mod seat;
pub mod share;
pub mod supervisor;
pub mod transfer;
