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

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nothing.
    Free,
    /// Nothing, and nothing can: a part of the name is a file.
    BelowFile,
    /// A file, in that directory.
    File { parent: DirectoryId, file: FileId },
    /// A directory, in that directory.
    Directory { parent: DirectoryId, directory: DirectoryId },
}

/// What stands at this name.
pub fn look<V: View>(view: &V, name: &FileName) -> Result<Place, V::Error> {
    let mut components = name.components();
    let Some(base) = components.next_back() else { return Ok(Place::Free) };
    let mut parent = DirectoryId::ROOT;
    for component in components {
        match directory_in(view, parent, component)? {
            Some(directory) => parent = directory,
            None if file_in(view, parent, component)?.is_some() => return Ok(Place::BelowFile),
            None => return Ok(Place::Free),
        }
    }
    if let Some(file) = file_in(view, parent, base)? {
        return Ok(Place::File { parent, file });
    }
    let directory = directory_in(view, parent, base)?;
    Ok(directory.map_or(Place::Free, |directory| Place::Directory { parent, directory }))
}

/// The file of this name.
pub fn find<V: View>(view: &V, name: &FileName) -> Result<Option<FileId>, V::Error> {
    match look(view, name)? {
        Place::File { file, .. } => Ok(Some(file)),
        Place::Free | Place::BelowFile | Place::Directory { .. } => Ok(None),
    }
}

/// The file that has this name, or none if the name is free. Refuses a name that no file can have, as the tree is.
pub fn occupant<V: View>(view: &V, name: &FileName) -> Result<Option<FileId>, Stop<V::Error>> {
    match look(view, name).map_err(Stop::Failed)? {
        Place::Free => Ok(None),
        Place::File { file, .. } => Ok(Some(file)),
        Place::BelowFile | Place::Directory { .. } => Err(Refusal::NameConflict.into()),
    }
}

/// Gives a file a name that is free or that it takes over, and answers the directory that it is in.
pub fn link<V: View>(draft: &mut Draft<'_, V>, name: &FileName, file: FileId) -> Result<DirectoryId, Stop<V::Error>> {
    let parent = enter(draft, name, name.as_str().len())?;
    draft.put(key::file_entry(parent, name.base()), &file);
    Ok(parent)
}

/// Gives a directory a name that is free. The caller has seen that no name below it becomes too long.
pub fn link_directory<V: View>(
    draft: &mut Draft<'_, V>,
    name: &FileName,
    directory: DirectoryId,
    longest: u16,
) -> Result<(), Stop<V::Error>> {
    let parent = enter(draft, name, name.as_str().len() + 1 + usize::from(longest))?;
    draft.put(key::directory_entry(parent, name.base()), &directory);
    let record = DirectoryRecord { parent, component: name.base().to_owned(), longest };
    draft.put(key::directory(directory), &record);
    Ok(())
}

/// The directory that a name is in, made with its parents where they are missing. All of them learn that there is a
/// name of so many bytes there.
fn enter<V: View>(draft: &mut Draft<'_, V>, name: &FileName, bytes: usize) -> Result<DirectoryId, Stop<V::Error>> {
    let mut components = name.components();
    components.next_back();
    let mut parent = DirectoryId::ROOT;
    let mut below = bytes;
    for component in components {
        below = below.saturating_sub(component.len() + 1);
        let longest = u16::try_from(below).unwrap_or(u16::MAX);
        let entry = key::directory_entry(parent, component);
        parent = match draft.get(&entry)? {
            Some(directory) => {
                let own = key::directory(directory);
                let record: DirectoryRecord = read_referred(&draft.state, &own).map_err(Stop::Failed)?;
                if record.longest < longest {
                    draft.put(own, &DirectoryRecord { longest, ..record });
                }
                directory
            }
            None => {
                let directory = draft.draw_directory();
                draft.put(entry, &directory);
                let record = DirectoryRecord { parent, component: component.to_owned(), longest };
                draft.put(key::directory(directory), &record);
                directory
            }
        };
    }
    Ok(parent)
}

/// Takes a file's name away, and the directories that it leaves empty.
pub fn unlink<V: View>(
    draft: &mut Draft<'_, V>,
    directory: DirectoryId,
    component: &str,
) -> Result<(), Stop<V::Error>> {
    draft.delete(key::file_entry(directory, component));
    prune(draft, directory)
}

/// Takes a directory's name away, and the directories that it leaves empty; its record stays.
pub fn unlink_directory<V: View>(
    draft: &mut Draft<'_, V>,
    parent: DirectoryId,
    component: &str,
) -> Result<(), Stop<V::Error>> {
    draft.delete(key::directory_entry(parent, component));
    prune(draft, parent)
}

/// Removes a directory and its parents as far as they are empty.
fn prune<V: View>(draft: &mut Draft<'_, V>, mut directory: DirectoryId) -> Result<(), Stop<V::Error>> {
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
