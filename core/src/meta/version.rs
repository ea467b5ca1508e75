//! Versions of a file: what an upload may do with its name, and what becomes of the version that it replaces.
//!
//! A commit that replaces is a compare-and-swap. The open upload remembers the version that had its name when it was
//! opened; the commit takes the name if it is free or still that version's, in one entry, and is refused otherwise. So
//! of two uploads that would replace the same version one is told to look again, and no version is lost unseen.
//!
//! A replaced version stays readable by its id for [`VERSION_GRACE_MS`](crate::limit::VERSION_GRACE_MS) of cluster
//! time: a reader that began before ends undisturbed. Deliberately absent: a way back to an older version, and the
//! freeing of its bytes, which is later work as with a deleted file.

use super::draft::{Draft, Stop};
use super::record::{Claim, FileRecord, FileState, ReplacedFile, damaged, read_referred};
use super::view::View;
use super::{key, tree};
use crate::id::FileId;
use crate::name::FileName;
use crate::refusal::Refusal;

/// What an upload that is opened now may do with this name; refuses a name that it cannot have.
pub fn claim<V: View>(view: &V, name: &FileName, replace: bool) -> Result<Claim, Stop<V::Error>> {
    match tree::occupant(view, name)? {
        seen if replace => Ok(Claim::Replace { seen }),
        None => Ok(Claim::New),
        Some(_) => Err(Refusal::NameExists.into()),
    }
}

/// The version that a commit with this claim replaces, or none if the name is free; refuses one that the claim does
/// not reach.
pub fn check<V: View>(view: &V, name: &FileName, claim: Claim) -> Result<Option<FileId>, Stop<V::Error>> {
    match (tree::occupant(view, name)?, claim) {
        (None, _) => Ok(None),
        (Some(present), Claim::Replace { seen: Some(seen) }) if present == seen => Ok(Some(present)),
        (Some(_), Claim::Replace { .. }) => Err(Refusal::Replaced.into()),
        (Some(_), Claim::New) => Err(Refusal::NameExists.into()),
    }
}

/// Takes a version out of sight; its name goes over to another in the same entry.
pub fn retire<V: View>(draft: &mut Draft<'_, V>, file: FileId, name: &FileName) -> Result<(), Stop<V::Error>> {
    let own = key::file(file);
    let record: FileRecord = read_referred(&draft.state, &own).map_err(Stop::Failed)?;
    let committed = record.committed().ok_or_else(|| Stop::Failed(damaged::<FileRecord>(&own).into()))?;
    let (size, nonce) = (committed.size, committed.nonce);
    let replaced = ReplacedFile { at: draft.counters.time, name: name.clone(), size, nonce };
    draft.counters.files = draft.counters.files.saturating_sub(1);
    draft.counters.file_bytes = draft.counters.file_bytes.saturating_sub(size);
    draft.counters.graces_end = draft.counters.graces_end.max(replaced.grace_ends());
    draft.put(own, &FileRecord { state: FileState::Replaced(replaced), ..record });
    Ok(())
}
