//! Going through all files, page by page.

use crate::client::Client;
use crate::error::ClientError;
use dfs_core::limit::LIST_PAGE_MAX;
use dfs_core::name::FileName;
use dfs_core::wire::metadata::{FileInfo, ListFiles};
use std::collections::VecDeque;

/// Committed files in the order of their names, fetched as they are asked for: memory holds one page, however many
/// there are. A listing is not a snapshot: files that come or go meanwhile may or may not be in it.
#[derive(Debug)]
pub struct Listing {
    client: Client,
    prefix: String,
    after: Option<FileName>,
    page: VecDeque<FileInfo>,
    more: bool,
}

impl Listing {
    pub(crate) fn new(client: Client, prefix: String) -> Listing {
        Listing { client, prefix, after: None, page: VecDeque::new(), more: true }
    }

    /// The next file, or nothing after the last.
    ///
    /// # Errors
    /// The cluster cannot answer; asking again goes on where this ended.
    pub async fn next(&mut self) -> Result<Option<FileInfo>, ClientError> {
        while self.page.is_empty() && self.more {
            let limit = u32::try_from(LIST_PAGE_MAX).unwrap_or(u32::MAX);
            let request = ListFiles { prefix: self.prefix.clone(), after: self.after.clone(), limit };
            let page = self.client.list_page(&request).await?;
            let last = page.files.last().map(|file| file.name.clone());
            if page.more && last <= self.after {
                return Err(ClientError::Nonsense("a page of files does not go on where the last one ended"));
            }
            self.after = last.or(self.after.take());
            self.more = page.more;
            self.page = page.files.into();
        }
        Ok(self.page.pop_front())
    }
}
