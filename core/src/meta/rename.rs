//! Moves: a file, or a directory with all below it, gets another name in one entry.
//!
//! Names are kept a component at a time, so moving a directory changes its own entry and record and no other, however
//! much is below it. That no name below it becomes too long is known from a bound that each directory keeps. Uploads
//! that are open keep the whole names with which they began.

use super::draft::{Draft, Stop};
use super::record::{Answer, CommittedFile, DirectoryRecord, FileRecord, FileState, damaged, read_referred};
use super::tree::{self, Place};
use super::view::View;
use super::{Outcome, key, request};
use crate::id::{DirectoryId, FileId};
use crate::limit::NAME_BYTES_MAX;
use crate::name::FileName;
use crate::refusal::Refusal;
use crate::wire::metadata::{FileInfo, MoveName, MovedName};

/// Moves what has the one name to the other, once for each request id.
pub fn move_name<V: View>(draft: &mut Draft<'_, V>, asked: &MoveName) -> Result<Outcome, Stop<V::Error>> {
    draft.cluster()?;
    match request::kept(draft, asked.request, asked.first_tried)? {
        Some(Answer::Moved(moved)) => return Ok(Outcome::Moved(moved)),
        Some(_) => return Err(Refusal::Malformed.into()),
        None => {}
    }
    let moved = match tree::look(&draft.state, &asked.from).map_err(Stop::Failed)? {
        Place::File { parent, file } => {
            check_target(draft, &asked.to)?;
            MovedName::File(move_file(draft, asked, parent, file)?)
        }
        Place::Directory { parent, directory } => {
            if is_below(&asked.to, &asked.from) {
                return Err(Refusal::NameConflict.into());
            }
            check_target(draft, &asked.to)?;
            move_directory(draft, asked, parent, directory)?;
            MovedName::Directory
        }
        Place::Free | Place::BelowFile => return Err(Refusal::NotFound.into()),
    };
    request::keep(draft, asked.request, Answer::Moved(moved.clone()))?;
    Ok(Outcome::Moved(moved))
}

/// Refuses a name that something has, or that nothing can have.
fn check_target<V: View>(draft: &Draft<'_, V>, to: &FileName) -> Result<(), Stop<V::Error>> {
    match tree::look(&draft.state, to).map_err(Stop::Failed)? {
        Place::Free => Ok(()),
        Place::BelowFile => Err(Refusal::NameConflict.into()),
        Place::File { .. } | Place::Directory { .. } => Err(Refusal::NameExists.into()),
    }
}

/// Whether a name lies below a directory.
fn is_below(name: &FileName, directory: &FileName) -> bool {
    name.as_str().strip_prefix(directory.as_str()).is_some_and(|rest| rest.starts_with('/'))
}

// The new name comes first: its directory may be one that the old name leaves empty.

fn move_file<V: View>(
    draft: &mut Draft<'_, V>,
    asked: &MoveName,
    parent: DirectoryId,
    file: FileId,
) -> Result<FileInfo, Stop<V::Error>> {
    let own = key::file(file);
    let record: FileRecord = read_referred(&draft.state, &own).map_err(Stop::Failed)?;
    let committed = record.committed().ok_or_else(|| Stop::Failed(damaged::<FileRecord>(&own).into()))?;
    let directory = tree::link(draft, &asked.to, file)?;
    let info = record.info(file, asked.to.clone(), committed.size);
    let committed = CommittedFile { directory, component: asked.to.base().to_owned(), ..committed.clone() };
    draft.put(own, &FileRecord { state: FileState::Committed(committed), ..record });
    tree::unlink(draft, parent, asked.from.base())?;
    Ok(info)
}

fn move_directory<V: View>(
    draft: &mut Draft<'_, V>,
    asked: &MoveName,
    parent: DirectoryId,
    directory: DirectoryId,
) -> Result<(), Stop<V::Error>> {
    let record: DirectoryRecord = read_referred(&draft.state, &key::directory(directory)).map_err(Stop::Failed)?;
    if asked.to.as_str().len() + 1 + usize::from(record.longest) > NAME_BYTES_MAX {
        return Err(Refusal::NameTooLong.into());
    }
    tree::link_directory(draft, &asked.to, directory, record.longest)?;
    tree::unlink_directory(draft, parent, asked.from.base())
}
