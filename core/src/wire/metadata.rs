//! What clients ask the metadata cluster ([`Service::Namespace`](super::Service::Namespace)), and what any node says of
//! itself ([`Service::Node`](super::Service::Node)).
//!
//! Create, allocate and commit are idempotent: by (nonce) and by (file, group, epoch). Deletes and moves carry a
//! request id and the cluster time of their first try.

mod cluster;
mod file;
mod listing;
mod resume;
mod upload;

pub use cluster::*;
pub use file::*;
pub use listing::*;
pub use resume::*;
pub use upload::*;
