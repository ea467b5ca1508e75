//! The asynchronous client library of the file system.
//!
//! A [`Client`] is a handle to one cluster. It finds the metadata leader from any seed, cuts files into chunks, streams
//! them straight to and from storage nodes, and goes on elsewhere when a node is gone, slow or wrong. What it says is
//! durable is durable, and what it hands out has been checked.
//!
//! ```no_run
//! use dfs_client::cluster::ClusterFile;
//! use dfs_client::{Client, ClientSettings, DownloadRequest, FileSource, UploadRequest};
//! use dfs_core::name::FileName;
//! use dfs_core::wire::metadata::FileTarget;
//! use dfs_transport::world::World;
//! use std::path::Path;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // Inside a tokio runtime: the client's tasks and blocking work belong to a world.
//! let world = World::production("example");
//! let cluster = ClusterFile::find(Path::new("my-cluster"))?;
//! let identity = cluster.identity()?;
//! let client = Client::new(&world, identity, cluster.addresses, ClientSettings::default())?;
//!
//! let source = FileSource::open(&world.scope, Path::new("cat.jpg")).await?;
//! let name = FileName::new("photos/cat.jpg")?;
//! let request = UploadRequest::new(name.clone(), world.wall_clock.now());
//! let info = client.upload(source, request, &()).await?;
//! println!("{} has {} bytes", info.name, info.size);
//!
//! let mut content = Vec::new();
//! client.download(FileTarget::Name(name), &mut content, DownloadRequest::default(), &()).await?;
//!
//! let mut files = client.list("photos/");
//! while let Some(file) = files.next().await? {
//!     println!("{}", file.name);
//! }
//! client.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! Sources of uploads are files ([`FileSource`]), pipes of unknown length ([`PipeSource`]), memory (`Bytes`) or anything
//! that implements [`Source`]; sinks of downloads are writers ([`WriterSink`]), memory (`Vec<u8>`) or anything that
//! implements [`Sink`]. Memory stays bounded whatever the size of a file.
//!
//! Deliberately absent: actors, databases, and everything that only a command line needs.

mod backoff;
pub mod client;
pub mod cluster;
mod download;
mod error;
mod flow;
mod in_flight;
mod leader;
mod listing;
mod pace;
mod progress;
mod removal;
mod settings;
mod sink;
mod source;
mod standing;
mod upload;

pub use client::{Client, ClusterNodes};
pub use download::DownloadRequest;
pub use error::{ClientError, ErrorKind, TransferFailure};
pub use in_flight::TransferMemory;
pub use listing::Listing;
pub use progress::{LeftBehind, Progress};
pub use removal::Removal;
pub use settings::ClientSettings;
pub use sink::{Sink, WriterSink};
pub use source::{FileSource, PipeSource, Source, SourceChanged};
pub use upload::{Resume, UploadRequest};
