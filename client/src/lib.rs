//! The asynchronous client library of the file system.

pub mod client;
pub mod cluster;
mod download;
mod leader;
mod upload;
