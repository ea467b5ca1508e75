//! The supervised actors of a node, and the seams to its disk and key-value store.
//!
//! This is the only crate that knows ractor, openraft and fjall. An actor decides with `dfs-core` and acts here;
//! mailboxes carry lifecycle, admission and decisions, streams carry bytes.

pub mod disk;
pub mod key_value;
