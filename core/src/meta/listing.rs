//! Listings: a depth-first walk of the tree from any place in it, a page at a time.
//!
//! The walk never holds more than one batch of entries: when it goes down into a directory it drops the rest of the
//! batch, and reads on behind that directory when it comes back.

use super::key;
use super::page::{Room, Scan};
use super::record::{FileRecord, Record, damaged, read_referred};
use super::tree::directory_in;
use super::view::View;
use crate::id::{DirectoryId, FileId};
use crate::limit::NAME_BYTES_MAX;
use crate::name::FileName;
use crate::wire::metadata::{FileInfo, FilePage, ListFiles};
use std::ops::Bound;

/// The committed files whose names begin with the prefix and come after the given name, in bytewise order of whole
/// names: one page.
pub fn list<V: View>(view: &V, request: &ListFiles) -> Result<FilePage, V::Error> {
    let mut page = FilePage { files: Vec::new(), more: false };
    if request.prefix.len() > NAME_BYTES_MAX {
        return Ok(page);
    }
    let mut room = Room::new(request.limit);
    let mut walk = Walk::start(view, request)?;
    while let Some((name, file)) = walk.next()? {
        if !name.starts_with(&request.prefix) {
            break;
        }
        if !room.take(name.len()) {
            page.more = true;
            break;
        }
        page.files.push(info(view, name, file)?);
    }
    Ok(page)
}

/// What is told of the file that has this name.
pub fn info<V: View>(view: &V, name: String, file: FileId) -> Result<FileInfo, V::Error> {
    let own = key::file(file);
    let record: FileRecord = read_referred(view, &own)?;
    let name = FileName::new(name).map_err(|_| damaged::<FileRecord>(&own))?;
    let size = record.committed().ok_or_else(|| damaged::<FileRecord>(&own))?.size;
    Ok(record.info(file, name, size))
}

/// A place in the tree, and the way back to its root.
struct Walk<'v, 'p, V> {
    view: &'v V,
    prefix: &'p str,
    /// The directories from the root to here.
    frames: Vec<Frame>,
    /// The name of the innermost directory, with its slash; empty for the root.
    path: String,
}

/// One directory that the walk is in.
struct Frame {
    entries: Scan,
    path_bytes: usize,
}

impl<'v, 'p, V: View> Walk<'v, 'p, V> {
    /// Stands before the first name that can be in the answer.
    fn start(view: &'v V, request: &'p ListFiles) -> Result<Walk<'v, 'p, V>, V::Error> {
        let mut walk = Walk { view, prefix: &request.prefix, frames: Vec::new(), path: String::new() };
        let after = request.after.as_ref().map(FileName::as_str).filter(|after| *after >= request.prefix.as_str());
        let mut rest = after.unwrap_or(&request.prefix);
        let mut directory = DirectoryId::ROOT;
        // Goes down along the text as far as there are directories. What lies before is left behind: on the way back
        // each directory goes on behind the one that was entered.
        while let Some((component, below)) = rest.split_once('/') {
            let Some(inner) = directory_in(view, directory, component)? else { break };
            walk.enter(directory, Bound::Excluded(key::directory_entry(directory, component)));
            walk.path.push_str(component);
            walk.path.push('/');
            (directory, rest) = (inner, below);
        }
        let place = key::file_entry(directory, rest);
        walk.enter(directory, if after.is_some() { Bound::Excluded(place) } else { Bound::Included(place) });
        Ok(walk)
    }

    fn enter(&mut self, directory: DirectoryId, rest: Bound<Vec<u8>>) {
        let entries = Scan::new(rest, &key::entries_end(directory));
        self.frames.push(Frame { entries, path_bytes: self.path.len() });
    }

    /// The next file and its whole name. Directories that lie beyond the prefix are not entered.
    fn next(&mut self) -> Result<Option<(String, FileId)>, V::Error> {
        while let Some(frame) = self.frames.last_mut() {
            self.path.truncate(frame.path_bytes);
            let Some((entry, value)) = frame.entries.next(self.view)? else {
                self.frames.pop();
                continue;
            };
            let component = key::parse_entry(&entry).ok_or_else(|| damaged::<FileId>(&entry))?;
            self.path.push_str(component);
            if self.path.len() > NAME_BYTES_MAX + 1 {
                // Directories that contain each other: the walk would never end.
                return Err(damaged::<DirectoryId>(&entry).into());
            }
            if !component.ends_with('/') {
                return Ok(Some((self.path.clone(), FileId::from_bytes(&entry, &value)?)));
            }
            if !self.path.starts_with(self.prefix) {
                return Ok(None);
            }
            let inner = DirectoryId::from_bytes(&entry, &value)?;
            frame.entries.leave_behind(entry);
            self.enter(inner, Bound::Included(key::file_entry(inner, "")));
        }
        Ok(None)
    }
}
