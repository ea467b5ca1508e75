//! The chunks of a source in order, each with what is to be done about it: sent, or left because it is there already.

use super::cutter::{Chunk, Cutter};
use super::stock::{self, Origin, Stock};
use crate::client::Inner;
use crate::error::ClientError;
use crate::source::Source;
use dfs_core::id::{ChunkIndex, Epoch, GroupIndex};
use dfs_core::wire::metadata::UploadGroup;
use std::collections::VecDeque;
use std::sync::Arc;

/// The next chunk.
#[derive(Debug)]
pub(super) enum Fed {
    /// It is to be sent.
    Missing(Chunk),
    /// It is there. Its bytes, where they were compared just now and not counted before.
    There(ChunkIndex, Option<u32>),
    /// It is there with other bytes, and its group has this epoch: it is to be sent again.
    Differs(Chunk, Epoch),
}

/// Feeds one upload.
pub(super) struct Feed<'a, S> {
    cutter: Cutter<S>,
    stock: Arc<Stock>,
    /// A chunk that was cut before anything was known of the upload.
    first: Option<Chunk>,
    compare: Option<Recorded<'a>>,
    /// A source that had no first chunk is not read again.
    ended: bool,
}

impl<'a, S: Source> Feed<'a, S> {
    /// Feeds what `cutter` gives behind its first chunk, which was cut already. `stock` is there.
    pub(super) fn new(
        cutter: Cutter<S>,
        stock: Arc<Stock>,
        first: Option<Chunk>,
        compare: Option<Recorded<'a>>,
    ) -> Feed<'a, S> {
        let ended = first.is_none();
        Feed { cutter, stock, first, compare, ended }
    }

    /// How many bytes there were so far: the size of the file once there are no more chunks.
    pub(super) fn given(&self) -> u64 {
        self.cutter.given()
    }

    /// The next chunk, once there is memory for it; nothing at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Fed>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        if self.compare.is_none() && self.first.is_none() && self.stock.has(self.cutter.next_index()?) {
            return Ok(self.cutter.skip().await?.map(|index| Fed::There(index, None)));
        }
        let cut = match self.first.take() {
            Some(first) => Some(first),
            None => self.cutter.next().await?,
        };
        let Some(chunk) = cut else { return Ok(None) };
        if !self.stock.has(chunk.index) {
            return Ok(Some(Fed::Missing(chunk)));
        }
        let Some(recorded) = &mut self.compare else { return Ok(Some(Fed::There(chunk.index, None))) };
        let group = recorded.group(chunk.index.group()).await?;
        let same =
            group.chunks.iter().any(|known| known.index == chunk.index && known.checksum == chunk.sums.checksum());
        Ok(Some(match same {
            true => Fed::There(chunk.index, Some(chunk.sums.length)),
            false => Fed::Differs(chunk, group.placement.epoch),
        }))
    }
}

/// The checksums of what an earlier run left, page by page, as far as they are needed. A page is asked for before any
/// of its chunks is sent.
pub(super) struct Recorded<'a> {
    client: &'a Inner,
    origin: Origin<'a>,
    groups: u32,
    page: VecDeque<UploadGroup>,
}

impl<'a> Recorded<'a> {
    /// What is recorded of the first `groups` groups of an upload.
    pub(super) fn new(client: &'a Inner, origin: Origin<'a>, groups: u32) -> Recorded<'a> {
        Recorded { client, origin, groups, page: VecDeque::new() }
    }

    /// What is recorded of a group. They are asked for in order.
    async fn group(&mut self, wanted: GroupIndex) -> Result<&UploadGroup, ClientError> {
        while self.page.front().is_some_and(|group| group.placement.group < wanted) {
            self.page.pop_front();
        }
        if self.page.is_empty() {
            let left = self.groups.saturating_sub(wanted.0).max(1);
            self.page = stock::locate(self.client, &self.origin, wanted, left).await?.into();
        }
        let group = self.page.front().filter(|group| group.placement.group == wanted);
        group.ok_or(ClientError::Nonsense("a page of an upload has other groups than were asked for"))
    }
}
