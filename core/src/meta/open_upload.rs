//! Open uploads, by name and page by page: for people who want to see what is under way, or was left behind.

use super::listing::INFO_BYTES_MAX;
use super::record::{FileRecord, FileState, damaged, read_referred};
use super::view::View;
use super::{key, time};
use crate::limit::{LIST_PAGE_BYTES_MAX, LIST_PAGE_MAX, NAME_BYTES_MAX};
use crate::wire::metadata::{ListUploads, OpenUpload, UploadList};
use std::ops::Bound;

/// Keys that are read at once.
const BATCH: usize = 128;

/// The open uploads whose names begin with the prefix: a page of at most [`LIST_PAGE_MAX`] uploads and about
/// [`LIST_PAGE_BYTES_MAX`] bytes.
pub fn list_uploads<V: View>(view: &V, request: &ListUploads) -> Result<UploadList, V::Error> {
    let mut page = UploadList { uploads: Vec::new(), more: false };
    if request.prefix.len() > NAME_BYTES_MAX {
        return Ok(page);
    }
    let now = time(view)?;
    let limit = (request.limit as usize).min(LIST_PAGE_MAX);
    let mut room = LIST_PAGE_BYTES_MAX;
    let after = request.after.as_ref().filter(|(name, _)| name.as_str() >= request.prefix.as_str());
    let mut start = match after {
        Some((name, file)) => Bound::Excluded(key::open_upload(name, *file)),
        None => Bound::Included(key::open_uploads_from(&request.prefix)),
    };
    loop {
        let batch = view.scan(start.as_ref().map(Vec::as_slice), Bound::Excluded(&key::OPEN_UPLOADS_END), BATCH)?;
        let is_last = batch.len() < BATCH;
        for (own, _) in batch {
            let file = key::parse_open_upload(&own).ok_or_else(|| damaged::<FileRecord>(&own))?;
            let record: FileRecord = read_referred(view, &key::file(file))?;
            let FileState::Open(open) = record.state else { return Err(damaged::<FileRecord>(&own).into()) };
            if !open.name.as_str().starts_with(&request.prefix) {
                return Ok(page);
            }
            let cost = open.name.as_str().len() + INFO_BYTES_MAX;
            if page.uploads.len() >= limit || (cost > room && !page.uploads.is_empty()) {
                page.more = true;
                return Ok(page);
            }
            room = room.saturating_sub(cost);
            page.uploads.push(OpenUpload {
                file,
                chunk_size: record.chunk_size,
                chunks: open.reported,
                size_hint: open.size_hint,
                idle_ms: u64::try_from(now.since(open.progress).as_millis()).unwrap_or(u64::MAX),
                name: open.name,
            });
            start = Bound::Excluded(own);
        }
        if is_last {
            return Ok(page);
        }
    }
}
