//! The removal of names. A deleted file's record and groups stay until later work has freed its bytes.

use super::draft::{Draft, Stop};
use super::record::{Answer, FileRecord, FileState};
use super::view::View;
use super::{Outcome, key, request, tree};
use crate::refusal::Refusal;
use crate::wire::metadata::{DeleteFile, FileTarget};

/// Removes the name of a committed file, once for each request id.
pub fn delete<V: View>(draft: &mut Draft<'_, V>, delete: &DeleteFile) -> Result<Outcome, Stop<V::Error>> {
    draft.cluster()?;
    match request::kept(draft, delete.request, delete.first_tried)? {
        Some(Answer::Deleted(info)) => return Ok(Outcome::Deleted(info)),
        Some(_) => return Err(Refusal::Malformed.into()),
        None => {}
    }
    let file = match &delete.target {
        FileTarget::Name(name) => tree::find(&draft.state, name).map_err(Stop::Failed)?,
        FileTarget::Id(file) => Some(*file),
    };
    let file = file.ok_or(Refusal::NotFound)?;
    let record: FileRecord = draft.get(&key::file(file))?.ok_or(Refusal::NotFound)?;
    let committed = record.committed().ok_or(Refusal::NotFound)?;
    let name = tree::name(&draft.state, committed.directory, &committed.component).map_err(Stop::Failed)?;
    if delete.named.as_ref().is_some_and(|named| *named != name) {
        return Err(Refusal::NotFound.into());
    }
    let info = record.info(file, name, committed.size);
    tree::unlink(draft, committed.directory, &committed.component)?;
    draft.counters.files = draft.counters.files.saturating_sub(1);
    draft.counters.file_bytes = draft.counters.file_bytes.saturating_sub(committed.size);
    let state = FileState::Deleted { at: draft.counters.time };
    draft.put(key::file(file), &FileRecord { state, ..record.clone() });
    request::keep(draft, delete.request, Answer::Deleted(info.clone()))?;
    Ok(Outcome::Deleted(info))
}
