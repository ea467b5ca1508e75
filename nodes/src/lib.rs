//! The roles of a node: supervision trees, settings and the one composition root.
//!
//! [`start`] is the only way a node comes to be: production, tests and the simulation call it with different
//! [`Environment`]s and get the same node.
//!
//! Deliberately absent: algorithms, `main`, signal handling and the reading of files.

pub mod environment;
pub mod node;
pub mod settings;
mod tree;

pub use dfs_actors::raft::InitialiseError;
pub use environment::{Environment, EnvironmentError};
pub use node::{InitialiseCluster, Node, StartError, start};
