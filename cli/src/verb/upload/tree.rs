//! `upload -r`: a directory with all that is below it.
//!
//! Many files are on their way at once, as many as [`UPLOADS_AT_ONCE`] and their bytes within
//! [`CLIENT_IN_FLIGHT_BYTES`]. What cannot be stored is named on standard error and the rest goes on; only a cluster
//! that does not answer ends it. A file that is there already with the same size and modification time, or with the same
//! bytes where they are to be compared, is let alone, so that the same command goes on where it was interrupted.

use super::{Asked, explain, modified, stopped, there};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::local_file::{Links, to_read};
use crate::local_tree::{Entry, Reason, Walk};
use crate::output::note;
use crate::progress::{Many, OneOf};
use crate::transfer::{Done, Ended, Moved, Tally};
use dfs_client::{Client, ClientError, FileSource, Source, UploadRequest};
use dfs_core::id::FileId;
use dfs_core::limit::{BLOCK_BYTES, CLIENT_IN_FLIGHT_BYTES, UPLOADS_AT_ONCE};
use dfs_core::name::FileName;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::FileInfo;
use dfs_transport::world::World;
use futures_util::stream::{FuturesUnordered, StreamExt};
use rustix::io::Errno;
use std::collections::VecDeque;
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
        let source = match open_found(self.world, &path).await {
            Ok(source) => source,
            Err(failure) => return One { path, name, bytes: None, id: None, outcome: Err(failure) },
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
        let asked = Asked { request: &request, size, path, links: Links::Refused };
        if request.replace
            && let Some(info) = there(self.world, self.client, &asked).await?
        {
            return Ok((info, Done::There));
        }
        let error = match self.client.upload(source, request.clone(), progress).await {
            Ok(info) => return Ok((info, Done::Uploaded)),
            Err(error) => error,
        };
        if let ClientError::NameExists { .. } = &error
            && let Some(info) = there(self.world, self.client, &asked).await?
        {
            return Ok((info, Done::There));
        }
        Err(explain(error, name))
    }
}

/// Opens a file that was found in the tree. It may be something else by now.
async fn open_found(world: &World, path: &Path) -> Result<FileSource, Failure> {
    let opened = FileSource::open_with(&world.scope, path, to_read(Links::Refused)).await;
    opened.map_err(|cause| match Errno::from_io_error(&cause) {
        Some(Errno::LOOP) => Failure::new(Exit::LocalFile, Reason::Link),
        _ => Failure::local_file("read", path, &cause),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use std::time::Duration;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_link_or_a_pipe_that_came_to_a_files_place_is_neither_followed_nor_waited_for() {
        let world = World::production("test");
        let directory = tempfile::tempdir().unwrap();
        let (file, link, pipe) =
            (directory.path().join("file"), directory.path().join("link"), directory.path().join("pipe"));
        std::fs::write(&file, "x").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        open_found(&world, &file).await.unwrap();
        let failure = open_found(&world, &link).await.unwrap_err();
        assert!(failure.exit == Exit::LocalFile && failure.message.contains("links are not followed"), "{failure}");
        let opened = timeout(Duration::from_secs(10), open_found(&world, &pipe)).await;
        let failure = opened.expect("nobody waits for a writer").unwrap_err();
        assert!(failure.message.contains("is not a regular file"), "{failure}");
        FileSource::open_with(&world.scope, &link, to_read(Links::Followed)).await.unwrap();
    }
}
