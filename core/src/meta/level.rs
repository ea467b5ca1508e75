//! One level of the tree: the entries of one directory, whatever is below them. A page reads as many entries as it
//! shows and a few more; what is below a directory is never looked at.

use super::key;
use super::listing::info;
use super::page::{Room, Scan};
use super::record::{Record, damaged};
use super::tree::directory_in;
use super::view::View;
use crate::id::{DirectoryId, FileId};
use crate::limit::NAME_BYTES_MAX;
use crate::name::FileName;
use crate::wire::metadata::{LevelEntry, LevelPage, ListLevel};
use std::ops::Bound;

/// The files and directories whose names begin with the prefix and have no slash behind it (but a directory's own): one
/// page.
pub fn list_level<V: View>(view: &V, request: &ListLevel) -> Result<LevelPage, V::Error> {
    let mut page = LevelPage { entries: Vec::new(), more: false };
    if request.prefix.len() > NAME_BYTES_MAX {
        return Ok(page);
    }
    let (path, beginning) = request.prefix.split_at(request.prefix.rfind('/').map_or(0, |slash| slash + 1));
    let Some(directory) = enter(view, path)? else { return Ok(page) };
    let Some(start) = start(directory, path, request) else { return Ok(page) };
    let mut room = Room::new(request.limit);
    let mut entries = Scan::new(start, &key::entries_end(directory));
    while let Some((own, value)) = entries.next(view)? {
        let component = key::parse_entry(&own).ok_or_else(|| damaged::<FileId>(&own))?;
        if !component.starts_with(beginning) {
            break;
        }
        if !room.take(path.len() + component.len()) {
            page.more = true;
            break;
        }
        page.entries.push(entry(view, path, component, &own, &value)?);
    }
    Ok(page)
}

/// The directory of this path, which is empty or ends with a slash.
fn enter<V: View>(view: &V, path: &str) -> Result<Option<DirectoryId>, V::Error> {
    let mut directory = DirectoryId::ROOT;
    for component in path.split_terminator('/') {
        match directory_in(view, directory, component)? {
            Some(inner) => directory = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(directory))
}

/// Where the page begins in the directory of this path; nowhere if it begins behind that.
fn start(directory: DirectoryId, path: &str, request: &ListLevel) -> Option<Bound<Vec<u8>>> {
    match request.after.as_ref().filter(|after| **after >= request.prefix) {
        Some(after) => Some(Bound::Excluded(key::file_entry(directory, after.strip_prefix(path)?))),
        None => Some(Bound::Included(key::file_entry(directory, &request.prefix[path.len()..]))),
    }
}

fn entry<V: View>(view: &V, path: &str, component: &str, own: &[u8], value: &[u8]) -> Result<LevelEntry, V::Error> {
    let Some(directory) = component.strip_suffix('/') else {
        let file = FileId::from_bytes(own, value)?;
        return Ok(LevelEntry::File(info(view, format!("{path}{component}"), file)?));
    };
    let name = FileName::new(format!("{path}{directory}")).map_err(|_| damaged::<DirectoryId>(own))?;
    Ok(LevelEntry::Directory(name))
}
