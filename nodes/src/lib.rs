//! The roles of a node: supervision trees, settings and the one composition root.
//!
//! [`start`] is the only way a node comes to be: production, tests and the simulation call it with different
//! [`Environment`]s and get the same node.
//!
//! Deliberately absent: algorithms, `main`, signal handling and the reading of files.

mod description;
pub mod environment;
mod metrics;
pub mod node;
mod process;
pub mod settings;
mod tree;

pub use dfs_actors::raft::InitialiseError;
pub use environment::{Environment, EnvironmentError, Machine};
pub use node::{InitialiseCluster, Node, StartError, start};
pub use process::usage as process_usage;
