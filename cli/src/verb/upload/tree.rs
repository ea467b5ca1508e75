//! `upload -r`: a directory with all that is below it.
//!
//! Many files are on their way at once, as many as [`UPLOADS_AT_ONCE`] and their bytes within
//! [`CLIENT_IN_FLIGHT_BYTES`]. What cannot be stored is named on standard error and the rest goes on; only a cluster
//! that does not answer ends it. A file that is there already with the same size and modification time, or with the same
//! bytes where they are to be compared, is let alone, so that the same command goes on where it was interrupted.

use super::{explain, modified};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::local_tree::{Entry, Walk};
use crate::output::note;
use crate::progress::{Many, OneOf};
use crate::transfer::{Done, Ended, Moved, Tally};
use dfs_client::{Client, ClientError, FileSource, Resume, Source, UploadRequest};
use dfs_core::id::FileId;
use dfs_core::limit::{BLOCK_BYTES, CLIENT_IN_FLIGHT_BYTES, UPLOADS_AT_ONCE};
use dfs_core::name::FileName;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::{FileInfo, FileTarget};
use dfs_transport::world::World;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::fs::File;
use std::path::{Path, PathBuf};
use tokio::sync::Semaphore;

/// Entries that are read from the file system at once.
const ENTRIES_AT_ONCE: usize = 256;

/// How a tree is uploaded.
pub(super) struct Tree<'a> {
    pub(super) world: &'a World,
    pub(super) client: &'a Client,
    /// What is asked for each file; its name is the prefix.
    pub(super) request: UploadRequest,
    pub(super) json: bool,
    pub(super) quiet: bool,
    /// What to do if it is cut short.
    pub(super) advice: &'static str,
}

/// One file whose turn is over.
struct One {
    path: PathBuf,
    name: FileName,
    /// Its bytes, if it can be read.
    bytes: Option<u64>,
    id: Option<FileId>,
    outcome: Result<Moved, Failure>,
}

impl Tree<'_> {
    /// Uploads all files below `root`.
    pub(super) async fn upload(&self, root: &Path) -> Result<(), Failure> {
        let mut walk = Some(begin(root, &self.request.name)?);
        let quiet = self.quiet || self.json;
        let progress = Many::new("uploading", self.request.name.as_str(), quiet);
        let memory = Semaphore::new(CLIENT_IN_FLIGHT_BYTES / BLOCK_BYTES as usize);
        let mut tally = Tally::new(Done::Uploaded, self.json);
        let (mut entries, mut files) = (VecDeque::new(), FuturesUnordered::new());
        let mut cut_short = None;
        loop {
            while files.len() < UPLOADS_AT_ONCE {
                if entries.is_empty() {
                    entries = self.read_on(&mut walk).await?;
                }
                match entries.pop_front() {
                    None => break,
                    Some(Entry::PassedOver(path, reason)) => {
                        let outcome = Err(Failure::new(Exit::LocalFile, reason));
                        tell(&mut tally, &path, None, (None, None), &outcome);
                    }
                    Some(Entry::File(path, name)) => files.push(self.one(path, name, &memory, &progress)),
                }
            }
            let Some(One { path, name, bytes, id, outcome }) = files.next().await else { break };
            tell(&mut tally, &path, Some(&name), (bytes, id), &outcome);
            if let Err(failure) = outcome
                && failure.exit == Exit::Unavailable
            {
                // The cluster does not answer; nothing else would succeed.
                cut_short = Some(failure.hint(self.advice));
                break;
            }
        }
        if tally.done() > 0 || tally.there() == 0 {
            progress.finish(&format!("uploaded {} files below", tally.done()));
        }
        if tally.there() > 0 && !quiet {
            note(format_args!("{} files were there already and were let alone", tally.there()));
        }
        tally.conclude(cut_short)
    }

    /// The next entries; the walk is gone when there are no more.
    async fn read_on(&self, walk: &mut Option<Walk>) -> Result<VecDeque<Entry>, Failure> {
        let Some(mut walking) = walk.take() else { return Ok(VecDeque::new()) };
        let read = move || {
            let entries = walking.next_entries(ENTRIES_AT_ONCE);
            (walking, entries)
        };
        let (walking, entries) = self.world.scope.blocking(read).await.map_err(|_| stopped())?;
        *walk = Some(walking).filter(|_| !entries.is_empty());
        Ok(entries.into())
    }

    async fn one(&self, path: PathBuf, name: FileName, memory: &Semaphore, progress: &Many) -> One {
        let source = match FileSource::open(&self.world.scope, &path).await {
            Ok(source) => source,
            Err(cause) => {
                let outcome = Err(Failure::local_file("read", &path, &cause));
                return One { path, name, bytes: None, id: None, outcome };
            }
        };
        let (bytes, progress) = (source.size(), progress.one());
        let stored = self.store(source, &path, &name, memory, &progress).await;
        let id = stored.as_ref().ok().map(|(info, _)| info.file);
        let outcome = stored.map(|(_, done)| Moved { done, resumed_bytes: progress.resumed_bytes() });
        One { path, name, bytes, id, outcome }
    }

    async fn store(
        &self,
        source: FileSource,
        path: &Path,
        name: &FileName,
        memory: &Semaphore,
        progress: &OneOf<'_>,
    ) -> Result<(FileInfo, Done), Failure> {
        let size = source.size().unwrap_or(0);
        let modified = modified(&source).unwrap_or(self.request.modified);
        let request = UploadRequest { name: name.clone(), modified, ..self.request.clone() };
        // The semaphore is never closed.
        let _share = memory.acquire_many(blocks(size, request.chunk_size, request.parallel)).await;
        // What would be replaced is looked at first; elsewhere the refusal says that there is something.
        if request.replace
            && let Some(info) = self.there(&request, size, path).await?
        {
            return Ok((info, Done::There));
        }
        let error = match self.client.upload(source, request.clone(), progress).await {
            Ok(info) => return Ok((info, Done::Uploaded)),
            Err(error) => error,
        };
        if let ClientError::NameExists { .. } = &error
            && let Some(info) = self.there(&request, size, path).await?
        {
            return Ok((info, Done::There));
        }
        Err(explain(error, name))
    }

    /// The file that has the name already, if it is the one that is asked for.
    async fn there(&self, request: &UploadRequest, size: u64, path: &Path) -> Result<Option<FileInfo>, Failure> {
        let info = match self.client.stat(FileTarget::Name(request.name.clone())).await {
            Ok(info) => info,
            Err(ClientError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let other_shape = info.chunk_size != request.chunk_size
            || request.replication.is_some_and(|replication| replication != info.replication);
        if info.size != size || request.replace && other_shape {
            return Ok(None);
        }
        let same = if request.resume == Resume::Compare {
            let opening = path.to_owned();
            let opened = self.world.scope.blocking(move || File::open(opening)).await.map_err(|_| stopped())?;
            let copy = opened.map_err(|cause| Failure::local_file("read", path, &cause))?;
            self.client.verified_prefix(&info, copy, &()).await? == size
        } else {
            info.modified == request.modified
        };
        Ok(same.then_some(info))
    }
}

/// Counts an entry, and names what failed.
fn tell(
    tally: &mut Tally,
    path: &Path,
    name: Option<&FileName>,
    (bytes, id): (Option<u64>, Option<FileId>),
    outcome: &Result<Moved, Failure>,
) {
    if let Err(failure) = outcome {
        note(format_args!("not uploaded: {}: {}", path.display(), failure.message));
    }
    tally.add(&Ended { name, path: Some(path), id, bytes, outcome });
}

fn stopped() -> Failure {
    Failure::new(Exit::Failure, "the upload was stopped")
}

fn begin(root: &Path, prefix: &FileName) -> Result<Walk, Failure> {
    if root.is_file() {
        let message = format!("{} is a file", root.display());
        return Err(Failure::new(Exit::LocalFile, message).hint("upload it with --file"));
    }
    Walk::begin(root, prefix).map_err(|cause| Failure::local_file("read", root, &cause))
}

/// The memory that the upload of a file takes, in blocks.
fn blocks(size: u64, chunk_size: ChunkSize, parallel: usize) -> u32 {
    let ahead = u64::from(chunk_size.bytes()).saturating_mul(parallel as u64 + 2);
    let bytes = size.min(ahead).min(CLIENT_IN_FLIGHT_BYTES as u64);
    u32::try_from(bytes.div_ceil(u64::from(BLOCK_BYTES))).unwrap_or(u32::MAX)
}

/// A directory without what its path has to spare: `photos/` and `photos/.` are `photos`.
pub(super) fn tidy(root: &Path) -> PathBuf {
    root.components().collect()
}
