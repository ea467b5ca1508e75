//! The tree of names: directories are made on demand, and go with their last entry.

use super::draft::{Draft, Stop};
use super::key;
use super::record::{DirectoryRecord, damaged, read, read_referred};
use super::view::View;
use crate::id::{DirectoryId, FileId};
use crate::limit::NAME_BYTES_MAX;
use crate::name::FileName;
use crate::refusal::Refusal;
use std::ops::Bound;

/// The file `component` in a directory.
fn file_in<V: View>(view: &V, parent: DirectoryId, component: &str) -> Result<Option<FileId>, V::Error> {
    read(view, &key::file_entry(parent, component))
}

/// The directory `component` in a directory.
pub fn directory_in<V: View>(view: &V, parent: DirectoryId, component: &str) -> Result<Option<DirectoryId>, V::Error> {
    read(view, &key::directory_entry(parent, component))
}

/// The file of this name.
pub fn find<V: View>(view: &V, name: &FileName) -> Result<Option<FileId>, V::Error> {
    let mut components = name.components();
    let Some(base) = components.next_back() else { return Ok(None) };
    let mut parent = DirectoryId::ROOT;
    for component in components {
        match directory_in(view, parent, component)? {
            Some(directory) => parent = directory,
            None => return Ok(None),
        }
    }
    file_in(view, parent, base)
}

/// The file that has this name, or none if the name is free. Refuses a name that no file can have, as the tree is.
pub fn occupant<V: View>(view: &V, name: &FileName) -> Result<Option<FileId>, Stop<V::Error>> {
    let mut components = name.components();
    let base = components.next_back().ok_or(Refusal::Malformed)?;
    let mut parent = DirectoryId::ROOT;
    for component in components {
        if file_in(view, parent, component).map_err(Stop::Failed)?.is_some() {
            return Err(Refusal::NameConflict.into());
        }
        match directory_in(view, parent, component).map_err(Stop::Failed)? {
            Some(directory) => parent = directory,
            None => return Ok(None),
        }
    }
    if directory_in(view, parent, base).map_err(Stop::Failed)?.is_some() {
        return Err(Refusal::NameConflict.into());
    }
    file_in(view, parent, base).map_err(Stop::Failed)
}

/// Gives a file a name that is free or that it takes over, and answers the directory that it is in.
pub fn link<V: View>(draft: &mut Draft<'_, V>, name: &FileName, file: FileId) -> Result<DirectoryId, Stop<V::Error>> {
    let mut components = name.components();
    let base = components.next_back().ok_or(Refusal::Malformed)?;
    let mut parent = DirectoryId::ROOT;
    for component in components {
        let entry = key::directory_entry(parent, component);
        parent = match draft.get(&entry)? {
            Some(directory) => directory,
            None => {
                let directory = draft.draw_directory();
                draft.put(entry, &directory);
                draft.put(key::directory(directory), &DirectoryRecord { parent, component: component.to_owned() });
                directory
            }
        };
    }
    draft.put(key::file_entry(parent, base), &file);
    Ok(parent)
}

/// Takes a file's name away, and the directories that it leaves empty.
pub fn unlink<V: View>(
    draft: &mut Draft<'_, V>,
    mut directory: DirectoryId,
    component: &str,
) -> Result<(), Stop<V::Error>> {
    draft.delete(key::file_entry(directory, component));
    while directory != DirectoryId::ROOT && is_empty(&draft.state, directory).map_err(Stop::Failed)? {
        let own = key::directory(directory);
        let record: DirectoryRecord = read_referred(&draft.state, &own).map_err(Stop::Failed)?;
        draft.delete(own);
        draft.delete(key::directory_entry(record.parent, &record.component));
        directory = record.parent;
    }
    Ok(())
}

fn is_empty<V: View>(view: &V, directory: DirectoryId) -> Result<bool, V::Error> {
    let (start, end) = (key::file_entry(directory, ""), key::entries_end(directory));
    Ok(view.scan(Bound::Included(&start), Bound::Excluded(&end), 1)?.is_empty())
}

/// The whole name of `component` in a directory.
pub fn name<V: View>(view: &V, mut directory: DirectoryId, component: &str) -> Result<FileName, V::Error> {
    let mut text = component.to_owned();
    while directory != DirectoryId::ROOT {
        let own = key::directory(directory);
        let record: DirectoryRecord = read_referred(view, &own)?;
        text = format!("{}/{text}", record.component);
        if text.len() > NAME_BYTES_MAX {
            return Err(damaged::<DirectoryRecord>(&own).into());
        }
        directory = record.parent;
    }
    FileName::new(text).map_err(|_| damaged::<DirectoryRecord>(&key::directory(directory)).into())
}
