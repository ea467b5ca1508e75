//! Deleting all files whose names begin with a text: listed page by page, several deletions at once.
//!
//! Each file is deleted by the id and the name with which it was listed, so that a version that takes a name meanwhile stays,
//! and so does a file that was moved elsewhere.

use crate::client::Client;
use crate::error::{ClientError, ErrorKind};
use dfs_core::limit::DELETES_IN_FLIGHT_MAX;
use dfs_core::wire::metadata::FileInfo;
use futures_util::stream::{FuturesUnordered, StreamExt};

/// What came of deleting many files.
#[derive(Debug, Default)]
pub struct Removal {
    /// Files that were deleted.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that somebody else deleted, replaced or moved between their listing and their deletion.
    pub gone: u64,
    /// Files that may be there still.
    pub failed: u64,
    /// Why not all files were tried, if they were not.
    pub stopped: Option<ClientError>,
}

/// Deletes what is listed. A failed deletion is told, and the rest goes on, unless no other could succeed.
pub(crate) async fn delete_all(
    client: &Client,
    prefix: String,
    mut on_failure: impl FnMut(&FileInfo, &ClientError),
) -> Removal {
    let mut removal = Removal::default();
    let mut listing = client.list(prefix);
    let mut deletions = FuturesUnordered::new();
    while removal.stopped.is_none() {
        match listing.next().await {
            Ok(Some(info)) => deletions.push(async move {
                let outcome = client.delete_listed(&info).await;
                (info, outcome)
            }),
            Ok(None) => break,
            Err(error) => removal.stopped = Some(error),
        }
        if deletions.len() >= DELETES_IN_FLIGHT_MAX
            && let Some((info, outcome)) = deletions.next().await
        {
            removal.count(&info, outcome, &mut on_failure);
        }
    }
    while let Some((info, outcome)) = deletions.next().await {
        removal.count(&info, outcome, &mut on_failure);
    }
    removal
}

impl Removal {
    fn count(
        &mut self,
        info: &FileInfo,
        outcome: Result<FileInfo, ClientError>,
        on_failure: &mut impl FnMut(&FileInfo, &ClientError),
    ) {
        match outcome {
            Ok(deleted) => {
                self.files += 1;
                self.bytes = self.bytes.saturating_add(deleted.size);
            }
            Err(ClientError::NotFound { .. }) => self.gone += 1,
            Err(error) => {
                self.failed += 1;
                on_failure(info, &error);
                if error.kind() == ErrorKind::Unavailable {
                    self.stopped.get_or_insert(error);
                }
            }
        }
    }
}
