//! `upload -r`: a directory with all that is below it.
//!
//! Many files are on their way at once, as many as [`FILES_AT_ONCE`] and their bytes within
//! [`CLIENT_IN_FLIGHT_BYTES`]. What cannot be stored is named on standard error and the rest goes on; only a cluster
//! that does not answer ends it. A file that is there already with the same size and modification time is let alone, so
//! that the same command goes on where it was interrupted.

use super::{explain, modified};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::local_tree::{Entry, Walk};
use crate::output::{note, print};
use crate::progress::{Many, summary};
use dfs_client::{Client, ClientError, ErrorKind, FileSource, Source, UploadRequest};
use dfs_core::limit::{BLOCK_BYTES, CLIENT_IN_FLIGHT_BYTES};
use dfs_core::name::FileName;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::{FileInfo, FileTarget};
use dfs_transport::world::World;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Files on their way at once.
const FILES_AT_ONCE: usize = 32;
/// Entries that are read from the file system at once.
const ENTRIES_AT_ONCE: usize = 256;

/// How a tree is uploaded.
pub(super) struct Tree<'a> {
    pub(super) world: &'a World,
    pub(super) client: &'a Client,
    /// What is asked for each file; its name is the prefix.
    pub(super) request: UploadRequest,
    /// Whether files that are there already may be let alone.
    pub(super) may_be_there: bool,
    pub(super) json: bool,
    pub(super) quiet: bool,
}

/// What became of the files.
#[derive(Debug, Default)]
struct Tally {
    uploaded: u64,
    bytes: u64,
    there: u64,
    failed: u64,
    /// The exit code of what failed, if it is one and the same.
    exit: Option<Exit>,
}

/// What became of one file.
enum Done {
    Uploaded(FileInfo),
    There(FileInfo),
    Failed(Failure),
    /// The cluster does not answer; nothing else would succeed.
    Hopeless(Failure),
}

impl Tree<'_> {
    /// Uploads all files below `root`.
    pub(super) async fn upload(&self, root: &Path) -> Result<(), Failure> {
        let began = Instant::now();
        let mut walk = Some(begin(root, &self.request.name)?);
        let progress = Many::new("uploading", self.request.name.as_str(), self.quiet || self.json);
        let memory = Semaphore::new(CLIENT_IN_FLIGHT_BYTES / BLOCK_BYTES as usize);
        let (mut tally, mut entries, mut files) = (Tally::default(), VecDeque::new(), FuturesUnordered::new());
        loop {
            while files.len() < FILES_AT_ONCE {
                if entries.is_empty() {
                    entries = self.read_on(&mut walk).await?;
                }
                match entries.pop_front() {
                    None => break,
                    Some(Entry::PassedOver(path, reason)) => {
                        self.fail(&mut tally, &path, &Failure::new(Exit::LocalFile, reason))?;
                    }
                    Some(Entry::File(path, name)) => {
                        let (memory, progress) = (&memory, &progress);
                        files.push(async move {
                            let done = self.one(&path, name, memory, progress).await;
                            (path, done)
                        });
                    }
                }
            }
            match files.next().await {
                None => break,
                Some((path, Done::Uploaded(info))) => {
                    tally.uploaded += 1;
                    tally.bytes += info.size;
                    self.tell(&path, "uploaded", &info)?;
                }
                Some((path, Done::There(info))) => {
                    tally.there += 1;
                    self.tell(&path, "there", &info)?;
                }
                Some((path, Done::Failed(failure))) => self.fail(&mut tally, &path, &failure)?,
                Some((path, Done::Hopeless(failure))) => {
                    self.fail(&mut tally, &path, &failure)?;
                    return Err(failure.hint("run the same command again to go on; what is stored is not sent again"));
                }
            }
        }
        progress.finish();
        self.conclude(&tally, began)
    }

    /// The next entries; the walk is gone when there are no more.
    async fn read_on(&self, walk: &mut Option<Walk>) -> Result<VecDeque<Entry>, Failure> {
        let Some(mut walking) = walk.take() else { return Ok(VecDeque::new()) };
        let read = move || {
            let entries = walking.next_entries(ENTRIES_AT_ONCE);
            (walking, entries)
        };
        let stopped = |_| Failure::new(Exit::Failure, "the upload was stopped");
        let (walking, entries) = self.world.scope.blocking(read).await.map_err(stopped)?;
        *walk = Some(walking).filter(|_| !entries.is_empty());
        Ok(entries.into())
    }

    async fn one(&self, path: &Path, name: FileName, memory: &Semaphore, progress: &Many) -> Done {
        let source = match FileSource::open(&self.world.scope, path).await {
            Ok(source) => source,
            Err(cause) => return Done::Failed(Failure::local_file("read", path, &cause)),
        };
        let size = source.size().unwrap_or(0);
        let modified = modified(&source).unwrap_or(self.request.modified);
        // The semaphore is never closed.
        let _share = memory.acquire_many(blocks(size, self.request.chunk_size, self.request.parallel)).await;
        let request = UploadRequest { name: name.clone(), modified, ..self.request.clone() };
        let error = match self.client.upload(source, request, progress).await {
            Ok(info) => return Done::Uploaded(info),
            Err(error) => error,
        };
        if let ClientError::NameExists { .. } = &error
            && self.may_be_there
            && let Ok(info) = self.client.stat(FileTarget::Name(name.clone())).await
            && (info.size, info.modified) == (size, modified)
        {
            return Done::There(info);
        }
        match error.kind() {
            ErrorKind::Unavailable => Done::Hopeless(explain(error, &name)),
            _ => Done::Failed(explain(error, &name)),
        }
    }

    fn tell(&self, path: &Path, result: &'static str, info: &FileInfo) -> Result<(), Failure> {
        self.line(&json::TreeFile {
            path: path.display().to_string(),
            result,
            file: Some(json::File::of(info)),
            error: None,
        })
    }

    fn fail(&self, tally: &mut Tally, path: &Path, failure: &Failure) -> Result<(), Failure> {
        tally.exit = Some(match tally.exit {
            Some(exit) if exit != failure.exit => Exit::Failure,
            _ => failure.exit,
        });
        tally.failed += 1;
        note(format_args!("not uploaded: {}: {}", path.display(), failure.message));
        let error = Some(failure.message.clone());
        self.line(&json::TreeFile { path: path.display().to_string(), result: "failed", file: None, error })
    }

    fn line(&self, line: &json::TreeFile) -> Result<(), Failure> {
        if self.json { print(format_args!("{}\n", json::line(line))) } else { Ok(()) }
    }

    fn conclude(&self, tally: &Tally, began: Instant) -> Result<(), Failure> {
        let Tally { uploaded, bytes, there, failed, exit } = *tally;
        if self.json {
            let line = json::TreeSummary { uploaded, uploaded_bytes: bytes, there, failed };
            print(format_args!("{}\n", json::line(&line)))?;
        } else if !self.quiet {
            let there = if there > 0 { format!("; {there} were there already") } else { String::new() };
            let (name, took) = (&self.request.name, began.elapsed());
            note(format_args!("uploaded {uploaded} files below {name}: {}{there}", summary(bytes, took)));
        }
        let Some(exit) = exit else { return Ok(()) };
        let message = format_args!("{failed} of {} entries were not uploaded", uploaded + there + failed).to_string();
        Err(Failure::new(exit, message).hint("each is named above with its reason; the others are stored"))
    }
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
