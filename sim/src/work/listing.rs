//! Listings: of all that is below a prefix, of one level of the tree, and of open uploads.

use super::{Ended, NOTHING_FROM_NOWHERE, Work};
use crate::history::{Operation, Outcome};
use crate::verdict::{AnyError, Failure, Verdict};
use dfs_client::ClientError;
use dfs_core::id::FileId;
use dfs_core::name::FileName;
use dfs_core::wire::metadata::{FileInfo, LevelEntry, ListLevel, ListUploads, OpenUpload};
use std::cmp::Reverse;
use tokio::time::Instant;

/// Listings are given page by page, in their order, and each thing once.
pub const LISTINGS_IN_ORDER: &str = "listings-in-order";

/// Entries of a page: few, so that there are several pages.
const PAGE: u32 = 3;

impl Work<'_> {
    /// Lists everything below a prefix: each of `names` is seen or not.
    ///
    /// # Errors
    /// It does not end, or tells of what nobody wrote.
    pub async fn list(&self, prefix: &FileName, names: &[FileName]) -> Result<Ended, AnyError> {
        let all = async {
            let mut all = Vec::new();
            let mut listing = self.user.client().list(prefix.as_str());
            while let Some(info) = listing.next().await? {
                all.push(info);
            }
            Ok(all)
        };
        self.look("list", prefix, names, all).await
    }

    /// Lists one level of the tree, a few entries at a time: each of `names`, which are files of that level, is seen or
    /// not.
    ///
    /// # Errors
    /// It does not end, tells of what nobody wrote, or is not in its order.
    pub async fn list_level(&self, directory: &FileName, names: &[FileName]) -> Result<Ended, AnyError> {
        let mut directories = Vec::new();
        let mut texts: Vec<String> = Vec::new();
        let files = async {
            let mut files = Vec::new();
            loop {
                let (prefix, after) = (format!("{directory}/"), texts.last().cloned());
                let page = self.user.client().list_level_page(&ListLevel { prefix, after, limit: PAGE }).await?;
                for entry in page.entries {
                    texts.push(entry.text());
                    match entry {
                        LevelEntry::File(info) => files.push(info),
                        LevelEntry::Directory(name) => directories.push(name),
                    }
                }
                if !page.more {
                    return Ok(files);
                }
            }
        };
        let ended = self.look("list level", directory, names, files).await?;
        self.ascend(&texts)?;
        let written = self.shared.oracle.names();
        let holds = |directory: &FileName| {
            let below = format!("{directory}/");
            written.iter().any(|name| name.as_str().starts_with(&below))
        };
        match directories.iter().find(|directory| !holds(directory)) {
            Some(other) => {
                let detail = format!("there is a directory {other}, but nothing was ever written below it");
                Err(Failure::correctness(NOTHING_FROM_NOWHERE, detail).into())
            }
            None => Ok(ended),
        }
    }

    /// Lists the open uploads below a prefix, a few at a time.
    ///
    /// # Errors
    /// It does not end, tells of what nobody began, or is not in its order.
    pub async fn list_uploads(&self, prefix: &FileName) -> Result<Ended, AnyError> {
        let began = Instant::now();
        let mut uploads: Vec<OpenUpload> = Vec::new();
        let all = async {
            loop {
                let after = uploads.last().map(|last| (last.name.clone(), last.file));
                let request = ListUploads { prefix: prefix.to_string(), after, limit: PAGE };
                let page = self.user.client().list_uploads_page(&request).await?;
                uploads.extend(page.uploads);
                if !page.more {
                    return Ok::<_, ClientError>(());
                }
            }
        };
        let listed = self.finish("list uploads", prefix, all).await?;
        let order: Vec<(&FileName, Reverse<FileId>)> =
            uploads.iter().map(|upload| (&upload.name, Reverse(upload.file))).collect();
        self.ascend(&order)?;
        let from_nowhere = |upload: &&OpenUpload| !self.shared.oracle.was_begun(&upload.name, upload.size_hint);
        if let Some(upload) = uploads.iter().find(from_nowhere) {
            let detail = format!("an upload of {} is open that nobody began: {upload:?}", upload.name);
            return Err(Failure::correctness(NOTHING_FROM_NOWHERE, detail).into());
        }
        let (outcome, words) = match listed {
            Ok(()) => (Outcome::Done, format!("{} uploads", uploads.len())),
            Err(error) => (Outcome::Unknown, error.to_string()),
        };
        Ok(self.note("list uploads", prefix, began, outcome, words))
    }

    /// Looks at many files at once: each of `names` is among them or not.
    async fn look(
        &self,
        what: &'static str,
        below: &FileName,
        names: &[FileName],
        files: impl Future<Output = Result<Vec<FileInfo>, ClientError>>,
    ) -> Result<Ended, AnyError> {
        let since = self.shared.history.moment();
        let began = Instant::now();
        let listed = self.finish(what, below, files).await?;
        let (outcome, words) = match &listed {
            Ok(all) => (Outcome::Done, format!("{} files", all.len())),
            Err(error) => (Outcome::Unknown, error.to_string()),
        };
        if let Ok(all) = &listed {
            self.ascend(&all.iter().map(|info| &info.name).collect::<Vec<_>>())?;
        }
        for name in names {
            let outcome = match &listed {
                Err(_) => Outcome::Unknown,
                Ok(all) => match all.iter().find(|info| info.name == *name) {
                    None => Outcome::Absent,
                    Some(info) => Outcome::Found(self.known(info)?.0),
                },
            };
            self.shared.history.observe(self.number, name, since, Operation::List, outcome);
        }
        Ok(self.note(what, below, began, outcome, words))
    }

    fn ascend<T: Ord + std::fmt::Debug>(&self, listed: &[T]) -> Verdict {
        self.shared.tally.checked(LISTINGS_IN_ORDER, 1);
        match listed.array_windows().find(|[one, next]| one >= next) {
            Some([one, next]) => {
                let detail = format!("{next:?} is listed after {one:?}");
                Err(Failure::correctness(LISTINGS_IN_ORDER, detail).into())
            }
            None => Ok(()),
        }
    }
}
