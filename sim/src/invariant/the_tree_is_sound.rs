//! The tree of names is one: each name leads to one visible file, and each visible file has one name.
//!
//! Source: DESIGN §5: "A tree of directories and files, … parents made on demand …. Content is immutable per version; a
//! commit makes a version visible atomically; nothing is visible before." Directories go with their last entry
//! (`core/src/meta/tree.rs`), and each knows a bound of how long the names below it are, by which a move is refused
//! without looking at them: too low a bound would let a name become longer than any name may be.
//!
//! A visible file has all of its chunks and no others; the groups of a file that was deleted stay until they are freed.

use super::{Evidence, Invariant};
use crate::inspect::State;
use crate::verdict::Failure;
use dfs_core::id::{ChunkIndex, DirectoryId, FileId, GroupIndex};
use dfs_core::limit::NAME_BYTES_MAX;
use dfs_core::meta::inspect::{CommittedFile, FileState, OpenFile};
use dfs_core::unit::ChunkSize;
use std::collections::BTreeSet;

/// Needs no memory.
#[derive(Debug, Default)]
pub(super) struct TheTreeIsSound;

/// Every directory has its one entry, and every entry its directory.
fn check_directories(state: &State) -> Result<u64, String> {
    for ((parent, component), directory) in &state.directory_entries {
        let record = state.directories.get(directory);
        if record.is_none_or(|record| record.parent != *parent || record.component != *component) {
            return Err(format!("{component:?} in directory {parent} is directory {directory}, which is {record:?}"));
        }
        if state.file_entries.contains_key(&(*parent, component.clone())) {
            return Err(format!("{component:?} in directory {parent} is both a file and a directory"));
        }
    }
    // As many entries as directories, each with its own: none is without one.
    if state.directory_entries.len() != state.directories.len() {
        let (entries, directories) = (state.directory_entries.len(), state.directories.len());
        return Err(format!("{directories} directories have {entries} entries"));
    }
    let parents = state.file_entries.keys().chain(state.directory_entries.keys()).map(|(parent, _)| *parent);
    let full: BTreeSet<DirectoryId> = parents.collect();
    if let Some(lost) = full.iter().find(|parent| !is_directory(state, **parent)) {
        return Err(format!("there are names in directory {lost}, which is not there"));
    }
    if let Some(empty) = state.directories.keys().find(|directory| !full.contains(directory)) {
        return Err(format!("directory {empty} is empty, and there all the same"));
    }
    Ok(state.directories.len() as u64)
}

fn is_directory(state: &State, directory: DirectoryId) -> bool {
    directory == DirectoryId::ROOT || state.directories.contains_key(&directory)
}

/// Every name of a file is that of a visible one, and every visible file has just the name that it says.
fn check_files(state: &State) -> Result<u64, String> {
    let mut visible = 0;
    for (file, record) in &state.files {
        let FileState::Committed(committed) = &record.state else { continue };
        let place = (committed.directory, committed.component.clone());
        if state.file_entries.get(&place) != Some(file) {
            return Err(format!("file {file} is visible, and its name {place:?} is not its own"));
        }
        check_length(state, *file, committed)?;
        visible += 1;
    }
    // Each visible file has one entry: there are no others.
    if state.file_entries.len() != visible {
        return Err(format!("{visible} visible files have {} names", state.file_entries.len()));
    }
    Ok(visible as u64)
}

/// The whole name of a file is no longer than a name may be, and each directory above it knows of its length.
fn check_length(state: &State, file: FileId, committed: &CommittedFile) -> Result<(), String> {
    let (mut below, mut directory) = (committed.component.len(), committed.directory);
    while directory != DirectoryId::ROOT {
        let record = state.directories.get(&directory);
        let record = record.ok_or_else(|| format!("file {file} is in directory {directory}, which is not there"))?;
        if usize::from(record.longest) < below {
            let longest = record.longest;
            return Err(format!("a name of {below} bytes is below directory {directory}, which knows of {longest}"));
        }
        below += 1 + record.component.len();
        // A loop of directories ends here too.
        if below > NAME_BYTES_MAX {
            return Err(format!("file {file} has a name of more than {NAME_BYTES_MAX} bytes"));
        }
        directory = record.parent;
    }
    Ok(())
}

/// Every file has the chunks that its state says.
fn check_chunks(state: &State) -> Result<u64, String> {
    for (file, record) in &state.files {
        match &record.state {
            FileState::Committed(committed) => check_whole(state, *file, record.chunk_size, committed.size)?,
            FileState::Replaced(replaced) => check_whole(state, *file, record.chunk_size, replaced.size)?,
            FileState::Open(open) => check_open(state, *file, open)?,
            FileState::Deleted { .. } => {}
        }
    }
    Ok(state.files.len() as u64)
}

/// The chunks of a file that have a checksum, and how many groups it has.
fn chunks_of(state: &State, file: FileId) -> Result<(BTreeSet<ChunkIndex>, u32), String> {
    let (mut chunks, mut next) = (BTreeSet::new(), 0);
    for ((_, index), group) in state.groups.range((file, GroupIndex(0))..=(file, GroupIndex(u32::MAX))) {
        if index.0 != next {
            return Err(format!("file {file} has a group {index}, and no group {next}"));
        }
        next += 1;
        chunks.extend(group.known().slots().map(|slot| index.chunk(slot)));
    }
    Ok((chunks, next))
}

fn check_whole(state: &State, file: FileId, chunk_size: ChunkSize, size: u64) -> Result<(), String> {
    let (chunks, groups) = chunks_of(state, file)?;
    let expected = chunk_size.chunk_count(size);
    let last = chunks.last().map(|last| u64::from(last.0));
    let reached = chunks.last().map_or(0, |last| last.group().0 + 1);
    if chunks.len() as u64 != expected || last != expected.checked_sub(1) || groups != reached {
        let known = chunks.len();
        return Err(format!(
            "file {file} has {size} bytes in {expected} chunks; {known} are known, in {groups} groups"
        ));
    }
    Ok(())
}

fn check_open(state: &State, file: FileId, open: &OpenFile) -> Result<(), String> {
    let (chunks, groups) = chunks_of(state, file)?;
    let short = open.short.is_none_or(|short| chunks.contains(&short.index));
    if chunks.len() as u64 != open.reported || chunks.last() != open.highest.as_ref() || groups != open.groups || !short
    {
        let known = chunks.len();
        return Err(format!("upload {file} has {known} known chunks in {groups} groups, and says {open:?}"));
    }
    Ok(())
}

impl Invariant for TheTreeIsSound {
    const NAME: &'static str = "the tree is sound";
    const STATEMENT: &'static str =
        "each name leads to one visible file, which is whole and has no other name, and no directory is empty";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let Some(known) = &evidence.sight.known else { return Ok(0) };
        let mut facts = 0;
        for check in [check_directories, check_files, check_chunks] {
            facts += check(&known.state).map_err(|detail| Failure::correctness(Self::NAME, detail))?;
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, committed};
    use super::*;
    use dfs_core::meta::inspect::{DirectoryRecord, FileRecord};

    fn fails<R>(change: impl FnOnce(&mut State) -> R) -> bool {
        let mut scene = Scene::sound();
        assert!(TheTreeIsSound.check(&scene.evidence()).unwrap() > 0);
        scene.state(change);
        TheTreeIsSound.check(&scene.evidence()).is_err()
    }

    #[test]
    fn a_name_is_that_of_one_visible_file() {
        let place = (DirectoryId(1), "b".to_owned());
        assert!(fails(|state| state.file_entries.insert(place.clone(), FileId(1))), "two names");
        assert!(fails(|state| state.file_entries.insert(place.clone(), FileId(2))), "an upload");
        assert!(fails(|state| state.file_entries.insert(place, FileId(99))), "nothing");
        assert!(fails(|state| state.file_entries.clear()), "no name");
    }

    #[test]
    fn a_directory_is_in_the_tree_and_not_empty() {
        let record = |parent| DirectoryRecord { parent: DirectoryId(parent), component: "e".to_owned(), longest: 9 };
        let entry = |parent| (DirectoryId(parent), "e".to_owned());
        assert!(fails(|state| state.directories.insert(DirectoryId(7), record(0))), "no entry");
        assert!(fails(|state| state.directory_entries.insert(entry(0), DirectoryId(7))), "no record");
        assert!(
            fails(|state| {
                state.directories.insert(DirectoryId(7), record(0));
                state.directory_entries.insert(entry(0), DirectoryId(7));
            }),
            "empty"
        );
        assert!(
            fails(|state| {
                state.directories.insert(DirectoryId(7), record(7));
                state.directory_entries.insert(entry(7), DirectoryId(7));
                state.files.insert(FileId(9), committed(9, 7, "c", 0));
                state.file_entries.insert((DirectoryId(7), "c".to_owned()), FileId(9));
            }),
            "in itself"
        );
    }

    #[test]
    fn a_directory_knows_how_long_the_names_below_it_are() {
        let longest = |length| {
            move |state: &mut State| {
                state.directories.get_mut(&DirectoryId(1)).unwrap().longest = length;
            }
        };
        assert!(!fails(longest(1)));
        assert!(fails(longest(0)));
    }

    #[test]
    fn a_file_has_all_of_its_chunks() {
        assert!(fails(|state| state.files.insert(FileId(1), committed(1, 1, "a", 70_000))), "longer");
        assert!(fails(|state| state.files.insert(FileId(1), committed(1, 1, "a", 0))), "shorter");
        assert!(fails(|state| state.groups.remove(&(FileId(1), GroupIndex(0)))), "without its group");
        assert!(
            fails(|state| {
                let record = state.files[&FileId(2)].clone();
                let FileState::Open(open) = record.state else { panic!("it is open") };
                let state_of = FileState::Open(OpenFile { reported: 2, ..open });
                state.files.insert(FileId(2), FileRecord { state: state_of, ..record });
            }),
            "an upload that has counted wrong"
        );
    }
}
