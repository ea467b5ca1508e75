//! The oracle: what users were promised.
//!
//! Every upload has a content of its own, named by a number that travels as the file's modification time, so that any
//! answer of the system tells which content it speaks of, an empty file's too. A file is *kept* from the moment its
//! upload was acknowledged until somebody first asks for its deletion. A write that failed promises nothing: it is
//! unknown, never absent.

use crate::content::Content;
use dfs_core::id::FileId;
use dfs_core::name::FileName;
use dfs_core::time::WallTime;
use dfs_core::wire::metadata::FileInfo;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Which content: the number of an upload.
pub type ContentId = u64;

/// An acknowledged file that nobody has asked to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its version.
    pub file: FileId,
    /// Its name.
    pub name: FileName,
    /// What it holds.
    pub content: ContentId,
    /// How many chunks it has.
    pub chunks: u64,
    /// The durable copies that each of them had at least.
    pub write_quorum: u8,
}

/// What users were promised.
#[derive(Debug, Default)]
pub struct Oracle(RefCell<State>);

#[derive(Debug, Default)]
struct State {
    contents: BTreeMap<ContentId, (FileName, Content)>,
    kept: BTreeMap<ContentId, Kept>,
    /// The deletions of a name that were asked for.
    deletions: BTreeMap<FileName, Deletions>,
}

/// The deletions of a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Deletions {
    /// How many were asked for.
    begun: u64,
    /// How many of them may still take effect: they have not been answered, or nobody knows how they ended.
    pending: u64,
}

/// An upload that has begun.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its number.
    pub id: ContentId,
    /// Its bytes.
    pub content: Content,
    name: FileName,
    deletions: Deletions,
}

impl Attempt {
    /// The modification time that tells which content a file has.
    #[must_use]
    pub fn modified(&self) -> WallTime {
        WallTime(self.id)
    }
}

impl Oracle {
    /// An upload begins.
    pub fn begin(&self, name: &FileName, length: u64) -> Attempt {
        let mut state = self.0.borrow_mut();
        let id = state.contents.len() as ContentId + 1;
        let content = Content::new(id, length);
        state.contents.insert(id, (name.clone(), content));
        let deletions = state.deletions.get(name).copied().unwrap_or_default();
        Attempt { id, content, name: name.clone(), deletions }
    }

    /// An upload was acknowledged.
    pub fn acknowledged(&self, attempt: &Attempt, info: &FileInfo) {
        let mut state = self.0.borrow_mut();
        // A deletion that was asked for since the upload began, or had not ended by then, may have come after it.
        let deletions = state.deletions.get(&attempt.name).copied().unwrap_or_default();
        if deletions != attempt.deletions || deletions.pending > 0 {
            return;
        }
        let kept = Kept {
            file: info.file,
            name: attempt.name.clone(),
            content: attempt.id,
            chunks: info.chunk_size.chunk_count(info.size),
            // Said here once more: what production takes for a quorum is what is doubted.
            write_quorum: info.replication / 2 + 1,
        };
        state.kept.insert(attempt.id, kept);
    }

    /// The deletion of a name is asked for.
    pub fn deletes(&self, name: &FileName) {
        let mut state = self.0.borrow_mut();
        let deletions = state.deletions.entry(name.clone()).or_default();
        deletions.begun += 1;
        deletions.pending += 1;
        state.kept.retain(|_, kept| kept.name != *name);
    }

    /// A deletion was answered: it has taken effect by now, or never will. One whose end is unknown is never told here.
    pub fn deleted(&self, name: &FileName) {
        if let Some(deletions) = self.0.borrow_mut().deletions.get_mut(name) {
            deletions.pending -= 1;
        }
    }

    /// The content that a file has, by what metadata says of it.
    ///
    /// # Errors
    /// Nobody ever uploaded such a file: what is wrong with it.
    pub fn content_of(&self, info: &FileInfo) -> Result<(ContentId, Content), String> {
        let id = info.modified.0;
        match self.0.borrow().contents.get(&id) {
            None => Err(format!("{} is there as file {}, but nobody uploaded it", info.name, info.file)),
            Some((name, _)) if *name != info.name => {
                Err(format!("file {} is called {}, but was uploaded as {name}", info.file, info.name))
            }
            Some((_, content)) if content.length != info.size => {
                Err(format!("{} has {} bytes instead of {}", info.name, info.size, content.length))
            }
            Some((_, content)) => Ok((id, *content)),
        }
    }

    /// The files that are kept.
    #[must_use]
    pub fn kept(&self) -> Vec<Kept> {
        self.0.borrow().kept.values().cloned().collect()
    }

    /// The kept file of that name, if it is known.
    #[must_use]
    pub fn kept_as(&self, name: &FileName) -> Option<Kept> {
        self.0.borrow().kept.values().find(|kept| kept.name == *name).cloned()
    }

    /// Every name that was ever written.
    #[must_use]
    pub fn names(&self) -> Vec<FileName> {
        let state = self.0.borrow();
        let names: std::collections::BTreeSet<&FileName> = state.contents.values().map(|(name, _)| name).collect();
        names.into_iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::unit::ChunkSize;

    fn name(text: &str) -> FileName {
        FileName::new(text).unwrap()
    }

    fn info(attempt: &Attempt, file: u64) -> FileInfo {
        FileInfo {
            file: FileId(file),
            name: attempt.name.clone(),
            size: attempt.content.length,
            chunk_size: ChunkSize::default(),
            replication: 3,
            modified: attempt.modified(),
        }
    }

    #[test]
    fn a_file_is_kept_until_its_deletion_is_asked_for() {
        let oracle = Oracle::default();
        let (a, b) = (oracle.begin(&name("a"), 0), oracle.begin(&name("b"), 5));
        oracle.acknowledged(&a, &info(&a, 1));
        oracle.deletes(&name("b"));
        oracle.acknowledged(&b, &info(&b, 2));
        assert_eq!(oracle.kept_as(&name("a")).map(|kept| (kept.chunks, kept.write_quorum)), Some((0, 2)));
        assert_eq!(oracle.kept_as(&name("b")), None, "the deletion may have come after the upload");
        oracle.deletes(&name("a"));
        assert!(oracle.kept().is_empty());
        oracle.deleted(&name("a"));
        let again = oracle.begin(&name("a"), 1);
        oracle.acknowledged(&again, &info(&again, 3));
        assert_eq!(oracle.kept().len(), 1);
        assert_eq!(oracle.names(), [name("a"), name("b")]);
    }

    #[test]
    fn a_deletion_that_has_not_ended_may_come_after_an_upload_that_began_later() {
        let oracle = Oracle::default();
        oracle.deletes(&name("a"));
        let attempt = oracle.begin(&name("a"), 0);
        oracle.acknowledged(&attempt, &info(&attempt, 1));
        assert!(oracle.kept().is_empty());
    }

    #[test]
    fn what_nobody_wrote_is_noticed() {
        let oracle = Oracle::default();
        let attempt = oracle.begin(&name("a"), 5);
        let good = info(&attempt, 1);
        assert_eq!(oracle.content_of(&good), Ok((attempt.id, attempt.content)));
        assert!(oracle.content_of(&FileInfo { size: 4, ..good.clone() }).is_err());
        assert!(oracle.content_of(&FileInfo { name: name("b"), ..good.clone() }).is_err());
        assert!(oracle.content_of(&FileInfo { modified: WallTime(9), ..good }).is_err());
    }
}
