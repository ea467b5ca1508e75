//! What users do, one operation at a time: each is recorded in the history, judged by the oracle, and must end.

mod again;
mod listing;
mod name;
mod settings;
mod version;

pub use again::Share;
pub use listing::LISTINGS_IN_ORDER;
pub use settings::{SETTINGS_WHOLE, Windows};
pub use version::UNMIXED;

use crate::cluster::User;
use crate::history::{History, Operation, Outcome};
use crate::oracle::{Attempt, Oracle};
use crate::trace::Trace;
use crate::verdict::{AnyError, Failure, Tally};
use dfs_client::{ClientError, DownloadRequest, Progress, Resume, Sink, UploadRequest};
use dfs_core::limit::WRITE_PIECE_BYTES;
use dfs_core::name::FileName;
use dfs_core::range::ByteRange;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::metadata::{FileInfo, FileTarget};
use std::fmt;
use std::future::Future;
use std::io::Cursor;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Small, so that a small file has many chunks: a group has a mebibyte.
pub const CHUNK_BYTES: u32 = 64 * 1024;

/// Large enough that a store writes a record of it in several pieces, so that it can be left half written.
pub const LARGE_CHUNK_BYTES: u32 = 1024 * 1024;
const _: () = assert!(LARGE_CHUNK_BYTES as usize > WRITE_PIECE_BYTES);

/// Longer than all patience of a client together.
pub const OPERATION_WITHIN: Duration = Duration::from_secs(180);

/// Every operation of a user ends, in success or failure, within [`OPERATION_WITHIN`].
pub const OPERATIONS_END: &str = "operations-end";

/// Every byte that a user is given is the one that was written.
pub const RIGHT_BYTES: &str = "right-bytes";

/// Whatever is seen was written by somebody.
pub const NOTHING_FROM_NOWHERE: &str = "nothing-from-nowhere";

/// What all users share.
#[derive(Debug)]
pub struct Shared {
    /// What they were promised.
    pub oracle: Oracle,
    /// What they did and saw.
    pub history: History,
    /// Where it is counted.
    pub tally: Tally,
    /// Where it is written down.
    pub trace: Trace,
    /// Every so many-th upload has large chunks, if any.
    pub large_chunks_every: Option<u64>,
}

impl Shared {
    /// Nothing was promised yet, and nothing done.
    #[must_use]
    pub fn new(tally: Tally, trace: Trace) -> Shared {
        Shared { oracle: Oracle::default(), history: History::new(), tally, trace, large_chunks_every: None }
    }
}

/// How an upload goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// From memory, with its size known.
    Plain,
    /// From a pipe, whose size nobody knows before its end.
    Piped,
    /// Its source fails at that byte.
    Failing(u64),
    /// Its writer vanishes after that time.
    Vanishing(Duration),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What came of it.
    pub outcome: Outcome,
    /// What the user was told.
    pub words: String,
}

/// One user at work.
#[derive(Clone, Copy)]
pub struct Work<'w> {
    /// The user's number.
    pub number: u64,
    /// The user.
    pub user: &'w User,
    /// What all users share.
    pub shared: &'w Shared,
}

impl Work<'_> {
    /// Waits for the end of an operation, and counts it.
    async fn finish<T>(
        &self,
        what: &'static str,
        name: &FileName,
        doing: impl Future<Output = T>,
    ) -> Result<T, AnyError> {
        self.shared.tally.checked(OPERATIONS_END, 1);
        timeout(OPERATION_WITHIN, doing).await.map_err(|_| {
            let detail = format!("user {}: {what} of {name} did not end within {OPERATION_WITHIN:?}", self.number);
            Failure::liveness(OPERATIONS_END, detail).into()
        })
    }

    fn note(&self, what: &'static str, name: &FileName, began: Instant, outcome: Outcome, words: String) -> Ended {
        self.shared.tally.operation(what, word(outcome));
        let words = words.replace('\n', "; ");
        let (user, took) = (self.number, began.elapsed());
        self.shared.trace.record(what, format_args!("user-{user} {name}: {words} ({} ms)", took.as_millis()));
        Ended { outcome, words }
    }

    /// Uploads a new file.
    ///
    /// # Errors
    /// It does not end.
    pub async fn upload(&self, name: &FileName, length: u64, manner: Manner) -> Result<Ended, AnyError> {
        let attempt = self.shared.oracle.begin(name, length);
        let operation = Operation::Create { content: attempt.id };
        self.put("upload", attempt, name, manner, operation, &()).await
    }

    /// Uploads a file in the place of whatever has the name.
    ///
    /// # Errors
    /// It does not end.
    pub async fn overwrite(&self, name: &FileName, length: u64, manner: Manner) -> Result<Ended, AnyError> {
        let attempt = self.shared.oracle.begin_over(name, length);
        let operation = Operation::Overwrite { content: attempt.id };
        self.put("overwrite", attempt, name, manner, operation, &()).await
    }

    async fn put(
        &self,
        what: &'static str,
        attempt: Attempt,
        name: &FileName,
        manner: Manner,
        operation: Operation,
        progress: &dyn Progress,
    ) -> Result<Ended, AnyError> {
        let call = self.shared.history.invoke(self.number, name, operation);
        let began = Instant::now();
        let replaces = matches!(operation, Operation::Overwrite { .. });
        let sending = self.send(&attempt, name, manner, replaces, progress);
        let length = attempt.content.length;
        let outcome = match manner {
            Manner::Vanishing(after) => timeout(after, sending).await.ok(),
            _ => Some(self.finish(what, name, sending).await?),
        };
        let (outcome, words) = match outcome {
            None => (Outcome::Unknown, "its writer vanished".to_owned()),
            Some(Ok(info)) => {
                self.shared.oracle.acknowledged(&attempt, &info);
                (Outcome::Done, format!("file {}, {length} bytes", info.file))
            }
            Some(Err(ClientError::NameExists { .. })) => (Outcome::Exists, "exists".to_owned()),
            Some(Err(error @ ClientError::Replaced { .. })) => (Outcome::Exists, error.to_string()),
            // An upload that cannot read its source never asks for its commit.
            Some(Err(error @ ClientError::Source(_))) => (Outcome::Failed, error.to_string()),
            Some(Err(error)) => (Outcome::Unknown, error.to_string()),
        };
        if matches!(outcome, Outcome::Exists | Outcome::Failed) {
            self.shared.oracle.refused(&attempt);
        }
        self.shared.history.respond(call, outcome);
        Ok(self.note(what, name, began, outcome, words))
    }

    async fn send(
        &self,
        attempt: &Attempt,
        name: &FileName,
        manner: Manner,
        replace: bool,
        progress: &dyn Progress,
    ) -> Result<FileInfo, ClientError> {
        let mut request = UploadRequest::new(name.clone(), attempt.modified());
        request.replace = replace;
        // Every source has a time of its own, so none may go on with what another left.
        request.resume = Resume::Trust;
        let large = self.shared.large_chunks_every.is_some_and(|every| attempt.id.is_multiple_of(every));
        let chunk_bytes = if large { LARGE_CHUNK_BYTES } else { CHUNK_BYTES };
        request.chunk_size = ChunkSize::try_from(chunk_bytes).expect("the chunk size lies within its bounds");
        let source = attempt.content.source();
        let source = match manner {
            Manner::Plain | Manner::Vanishing(_) => source,
            Manner::Piped => source.of_unknown_size(),
            Manner::Failing(at) => source.failing_at(at),
        };
        self.user.client().upload(source, request, progress).await
    }

    /// Deletes whatever has the name.
    ///
    /// # Errors
    /// It does not end.
    pub async fn delete(&self, name: &FileName) -> Result<Ended, AnyError> {
        self.delete_target(name, FileTarget::Name(name.clone())).await
    }

    /// Deletes the version that has the name now, by its id.
    ///
    /// # Errors
    /// There is none, or it does not end.
    pub async fn delete_by_id(&self, name: &FileName) -> Result<Ended, AnyError> {
        let info = self.finish("stat", name, self.user.client().stat(FileTarget::Name(name.clone()))).await??;
        self.delete_target(name, FileTarget::Id(info.file)).await
    }

    async fn delete_target(&self, name: &FileName, target: FileTarget) -> Result<Ended, AnyError> {
        self.shared.oracle.deletes(name);
        let call = self.shared.history.invoke(self.number, name, Operation::Delete);
        let began = Instant::now();
        let deletion = self.user.client().delete(target);
        let (outcome, words) = match self.finish("delete", name, deletion).await? {
            Ok(info) => (Outcome::Done, format!("file {}", info.file)),
            Err(ClientError::NotFound { .. }) => (Outcome::NotFound, "not found".to_owned()),
            Err(error) => (Outcome::Unknown, error.to_string()),
        };
        if outcome != Outcome::Unknown {
            self.shared.oracle.deleted(name);
        }
        self.shared.history.respond(call, outcome);
        Ok(self.note("delete", name, began, outcome, words))
    }

    /// Looks a name up.
    ///
    /// # Errors
    /// It does not end, or tells of what nobody wrote.
    pub async fn stat(&self, name: &FileName) -> Result<Ended, AnyError> {
        let call = self.shared.history.invoke(self.number, name, Operation::Stat);
        let began = Instant::now();
        let looking = self.user.client().stat(FileTarget::Name(name.clone()));
        let found = self.finish("stat", name, looking).await?;
        let (outcome, words) = self.seen(found)?;
        self.shared.history.respond(call, outcome);
        Ok(self.note("stat", name, began, outcome, words))
    }

    /// Reads a file, by its name or by the id that its name leads to, and compares every byte.
    ///
    /// # Errors
    /// It does not end, or gives what nobody wrote.
    pub async fn read(&self, name: &FileName, by_id: bool) -> Result<Ended, AnyError> {
        let call = self.shared.history.invoke(self.number, name, Operation::Read);
        let began = Instant::now();
        let read = self.finish("read", name, self.fetch(name, by_id)).await??;
        let (outcome, words) = self.seen(read)?;
        self.shared.history.respond(call, outcome);
        Ok(self.note("read", name, began, outcome, words))
    }

    async fn fetch(&self, name: &FileName, by_id: bool) -> Result<Result<FileInfo, ClientError>, AnyError> {
        let client = self.user.client();
        let request = DownloadRequest::default();
        let target = FileTarget::Name(name.clone());
        if by_id {
            let info = match client.stat(target).await {
                Ok(info) => info,
                Err(error) => return Ok(Err(error)),
            };
            let mut checker = self.content(&info)?.checker();
            let outcome = client.download(FileTarget::Id(info.file), &mut checker, request, &()).await;
            self.right(&info, checker.verdict().map(|seen| (outcome.is_err() || seen == info.size, seen)))?;
            return Ok(outcome);
        }
        let mut bytes = Vec::new();
        match client.download(target, &mut bytes, request, &()).await {
            Ok(info) => {
                let mut checker = self.content(&info)?.checker();
                let seen = bytes.len() as u64;
                checker.write(bytes.into()).await?;
                self.right(&info, checker.verdict().map(|_| (seen == info.size, seen)))?;
                Ok(Ok(info))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// Reads some bytes of a file, and compares each.
    ///
    /// # Errors
    /// It does not end, or gives what nobody wrote.
    pub async fn read_range(&self, name: &FileName, range: ByteRange) -> Result<Ended, AnyError> {
        let call = self.shared.history.invoke(self.number, name, Operation::Read);
        let began = Instant::now();
        let mut bytes = Vec::new();
        let request = DownloadRequest { range: Some(range), ..DownloadRequest::default() };
        let target = FileTarget::Name(name.clone());
        let reading = self.user.client().download(target, &mut bytes, request, &());
        let read = self.finish("read", name, reading).await?;
        if let Ok(info) = &read {
            let content = self.content(info)?;
            let span = range.resolve(info.size)?;
            let mut expected = vec![0; usize::try_from(span.length)?];
            content.fill(span.offset, &mut expected);
            self.right(info, Ok::<_, Failure>((bytes == expected, bytes.len() as u64)))?;
        }
        let (outcome, words) = self.seen(read)?;
        self.shared.history.respond(call, outcome);
        Ok(self.note("read", name, began, outcome, words))
    }

    /// Reads the first bytes of a file, as a download does that is cut off. Answers them.
    ///
    /// # Errors
    /// It does not end, or fails.
    pub async fn read_beginning(&self, name: &FileName, bytes: u64) -> Result<Vec<u8>, AnyError> {
        let mut copy = Vec::new();
        let range = Some(ByteRange::From { first: 0, last: Some(bytes.saturating_sub(1)) });
        let request = DownloadRequest { range, ..DownloadRequest::default() };
        let target = FileTarget::Name(name.clone());
        let reading = self.user.client().download(target, &mut copy, request, &());
        self.finish("read", name, reading).await??;
        Ok(copy)
    }

    /// Goes on with a download that was cut off: what is right of the copy stays, and the rest is read.
    ///
    /// # Errors
    /// It does not end, fails, or gives what nobody wrote.
    pub async fn read_on(&self, name: &FileName, mut copy: Vec<u8>) -> Result<(), AnyError> {
        let client = self.user.client();
        let reading = async {
            let info = client.stat(FileTarget::Name(name.clone())).await?;
            let first = client.verified_prefix(&info, Cursor::new(copy.clone()), &()).await?;
            copy.truncate(usize::try_from(first).unwrap_or(copy.len()));
            if first < info.size {
                let range = Some(ByteRange::From { first, last: None });
                let request = DownloadRequest { range, ..DownloadRequest::default() };
                client.download_version(&info, &mut copy, request, &()).await?;
            }
            Ok::<_, ClientError>((info, first))
        };
        let (info, first) = self.finish("read", name, reading).await??;
        let seen = copy.len() as u64;
        let mut checker = self.content(&info)?.checker();
        checker.write(copy.into()).await?;
        self.right(&info, checker.verdict().map(|_| (seen == info.size, seen)))?;
        self.shared.trace.record("read", format_args!("{name}: went on from {first} of {seen} bytes"));
        Ok(())
    }

    /// What a look at a name came to.
    fn seen(&self, found: Result<FileInfo, ClientError>) -> Result<(Outcome, String), AnyError> {
        Ok(match found {
            Ok(info) => (Outcome::Found(self.known(&info)?.0), format!("file {}, {} bytes", info.file, info.size)),
            Err(ClientError::NotFound { .. }) => (Outcome::Absent, "not found".to_owned()),
            Err(error) => (Outcome::Unknown, error.to_string()),
        })
    }

    fn known(&self, info: &FileInfo) -> Result<(u64, crate::content::Content), Failure> {
        self.shared.tally.checked(NOTHING_FROM_NOWHERE, 1);
        self.shared.oracle.content_of(info).map_err(|wrong| Failure::correctness(NOTHING_FROM_NOWHERE, wrong))
    }

    fn content(&self, info: &FileInfo) -> Result<crate::content::Content, Failure> {
        Ok(self.known(info)?.1)
    }

    fn right<E: fmt::Display>(&self, info: &FileInfo, whole: Result<(bool, u64), E>) -> Result<(), Failure> {
        self.shared.tally.checked(RIGHT_BYTES, 1);
        match whole {
            Ok((true, _)) => Ok(()),
            Ok((false, seen)) => {
                let detail = format!("{} ended well after {seen} of {} bytes", info.name, info.size);
                Err(Failure::correctness(RIGHT_BYTES, detail))
            }
            Err(wrong) => Err(Failure::correctness(RIGHT_BYTES, format!("{}: {wrong}", info.name))),
        }
    }
}

/// The word for an outcome in reports.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done | Outcome::Found(_) | Outcome::Present => "done",
        Outcome::Exists => "exists",
        Outcome::NotFound | Outcome::Absent => "not found",
        Outcome::Failed => "refused",
        Outcome::Unknown => "unknown",
    }
}
