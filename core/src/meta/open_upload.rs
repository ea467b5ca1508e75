//! Open uploads, by name and page by page: for people who want to see what is under way, or was left behind.

use super::page::{Room, Scan};
use super::record::{FileRecord, FileState, damaged, read_referred};
use super::view::View;
use super::{key, time};
use crate::limit::NAME_BYTES_MAX;
use crate::wire::metadata::{ListUploads, OpenUpload, UploadList};
use std::ops::Bound;

/// The open uploads whose names begin with the prefix: one page.
pub fn list_uploads<V: View>(view: &V, request: &ListUploads) -> Result<UploadList, V::Error> {
    let mut page = UploadList { uploads: Vec::new(), more: false };
    if request.prefix.len() > NAME_BYTES_MAX {
        return Ok(page);
    }
    let now = time(view)?;
    let after = request.after.as_ref().filter(|(name, _)| name.as_str() >= request.prefix.as_str());
    let start = match after {
        Some((name, file)) => Bound::Excluded(key::open_upload(name, *file)),
        None => Bound::Included(key::open_uploads_from(&request.prefix)),
    };
    let mut room = Room::new(request.limit);
    let mut keys = Scan::new(start, &key::OPEN_UPLOADS_END);
    while let Some((own, _)) = keys.next(view)? {
        let file = key::parse_open_upload(&own).ok_or_else(|| damaged::<FileRecord>(&own))?;
        let record: FileRecord = read_referred(view, &key::file(file))?;
        let FileState::Open(open) = record.state else { return Err(damaged::<FileRecord>(&own).into()) };
        if !open.name.as_str().starts_with(&request.prefix) {
            break;
        }
        if !room.take(open.name.as_str().len()) {
            page.more = true;
            break;
        }
        page.uploads.push(OpenUpload {
            file,
            chunk_size: record.chunk_size,
            chunks: open.reported,
            size_hint: open.size_hint,
            idle_ms: u64::try_from(now.since(open.progress).as_millis()).unwrap_or(u64::MAX),
            name: open.name,
        });
    }
    Ok(page)
}
