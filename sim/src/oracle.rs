//! The oracle: what users were promised.
//!
//! Every upload has a content of its own, named by a number that travels as the file's modification time, so that any
//! answer of the system tells which content it speaks of, an empty file's too. A file is *kept* from the moment its
//! upload was acknowledged until somebody first asks for what may take it away: its deletion, an overwrite, or a move to
//! another name, under which it is kept once that is acknowledged. A write that failed promises nothing: it is unknown,
//! never absent.

use crate::content::Content;
use dfs_core::id::FileId;
use dfs_core::name::FileName;
use dfs_core::time::WallTime;
use dfs_core::wire::metadata::FileInfo;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Every content, and the names that it may have: that of its upload, and those it may have been moved to.
    contents: BTreeMap<ContentId, (BTreeSet<FileName>, Content)>,
    kept: BTreeMap<ContentId, Kept>,
    /// What may take away what has a name: deletions, overwrites, moves.
    deletions: BTreeMap<FileName, Deletions>,
}

/// What may take away what has a name.
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
    /// Whether it may take the place of another version.
    overwrites: bool,
}

/// A move that has begun.
#[derive(Clone, Debug)]
pub struct Moving {
    /// The old name.
    pub from: FileName,
    /// The new name.
    pub to: FileName,
    /// What was kept under the old name.
    pub kept: Option<Kept>,
    /// Every content that may have been there.
    pub contents: Vec<ContentId>,
    /// What may take away what has the new name.
    deletions: Deletions,
    /// What may take away what has the old name; the move is one of them.
    own: Deletions,
}

impl Attempt {
    /// The modification time that tells which content a file has.
    #[must_use]
    pub fn modified(&self) -> WallTime {
        WallTime(self.id)
    }
}

impl Kept {
    /// The file with this content, as metadata tells of it.
    #[must_use]
    pub fn of(content: ContentId, info: &FileInfo) -> Kept {
        Kept {
            file: info.file,
            name: info.name.clone(),
            content,
            chunks: info.chunk_size.chunk_count(info.size),
            // Said here once more: what production takes for a quorum is what is doubted.
            write_quorum: info.replication / 2 + 1,
        }
    }
}

impl State {
    fn deletions(&self, name: &FileName) -> Deletions {
        self.deletions.get(name).copied().unwrap_or_default()
    }
}

impl Oracle {
    /// An upload begins.
    pub fn begin(&self, name: &FileName, length: u64) -> Attempt {
        let mut state = self.0.borrow_mut();
        let id = state.contents.len() as ContentId + 1;
        let content = Content::new(id, length);
        state.contents.insert(id, (BTreeSet::from([name.clone()]), content));
        let deletions = state.deletions(name);
        Attempt { id, content, name: name.clone(), deletions, overwrites: false }
    }

    /// The source of the last upload under a name is uploaded once more.
    pub fn begin_again(&self, name: &FileName) -> Option<Attempt> {
        let state = self.0.borrow();
        let mut newest = state.contents.iter().rev();
        let (id, (_, content)) = newest.find(|(_, (names, _))| names.contains(name))?;
        let deletions = state.deletions(name);
        Some(Attempt { id: *id, content: *content, name: name.clone(), deletions, overwrites: false })
    }

    /// An upload begins that may take the place of what has the name.
    pub fn begin_over(&self, name: &FileName, length: u64) -> Attempt {
        self.deletes(name);
        Attempt { overwrites: true, ..self.begin(name, length) }
    }

    /// An upload was refused: it will never take effect.
    pub fn refused(&self, attempt: &Attempt) {
        if attempt.overwrites {
            self.deleted(&attempt.name);
        }
    }

    /// An upload was acknowledged.
    pub fn acknowledged(&self, attempt: &Attempt, info: &FileInfo) {
        let mut state = self.0.borrow_mut();
        // A deletion that was asked for since the upload began, or had not ended by then, may have come after it.
        let deletions = state.deletions(&attempt.name);
        let own = u64::from(attempt.overwrites);
        if deletions == attempt.deletions && deletions.pending == own {
            state.kept.insert(attempt.id, Kept { name: attempt.name.clone(), ..Kept::of(attempt.id, info) });
        }
        drop(state);
        self.refused(attempt);
    }

    /// A move begins.
    pub fn moves(&self, from: &FileName, to: &FileName) -> Moving {
        let kept = self.kept_as(from);
        self.deletes(from);
        let mut state = self.0.borrow_mut();
        let mut contents = Vec::new();
        for (id, (names, _)) in state.contents.iter_mut().filter(|(_, (names, _))| names.contains(from)) {
            names.insert(to.clone());
            contents.push(*id);
        }
        Moving {
            from: from.clone(),
            to: to.clone(),
            kept,
            contents,
            deletions: state.deletions(to),
            own: state.deletions(from),
        }
    }

    /// A move was acknowledged, of this file.
    pub fn moved(&self, moving: &Moving, kept: Kept) {
        self.deleted(&moving.from);
        let mut state = self.0.borrow_mut();
        let deletions = state.deletions(&moving.to);
        if deletions == moving.deletions && deletions.pending == 0 {
            state.kept.insert(kept.content, Kept { name: moving.to.clone(), ..kept });
        }
    }

    /// A move was refused: what was kept is where it was, unless somebody else has asked for it meanwhile.
    pub fn not_moved(&self, moving: &Moving) {
        let mut state = self.0.borrow_mut();
        let deletions = state.deletions(&moving.from);
        if deletions == moving.own && deletions.pending == 1 {
            state.kept.extend(moving.kept.iter().map(|kept| (kept.content, kept.clone())));
        }
        drop(state);
        self.deleted(&moving.from);
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
            Some((names, _)) if !names.contains(&info.name) => {
                Err(format!("file {} is called {}, which nobody called it", info.file, info.name))
            }
            Some((_, content)) if content.length != info.size => {
                Err(format!("{} has {} bytes instead of {}", info.name, info.size, content.length))
            }
            Some((_, content)) => Ok((id, *content)),
        }
    }

    /// Whether somebody began to upload, under that name, a source of that size if it is known.
    #[must_use]
    pub fn was_begun(&self, name: &FileName, size: Option<u64>) -> bool {
        let state = self.0.borrow();
        let mut begun = state.contents.values().filter(|(names, _)| names.contains(name));
        begun.any(|(_, content)| size.is_none_or(|size| size == content.length))
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

    /// The names below a directory that files are kept under.
    #[must_use]
    pub fn kept_below(&self, directory: &FileName) -> Vec<FileName> {
        let below = format!("{directory}/");
        let kept = self.kept().into_iter().map(|kept| kept.name);
        kept.filter(|name| name.as_str().starts_with(&below)).collect()
    }

    /// Every name that was ever written, or moved to.
    #[must_use]
    pub fn names(&self) -> Vec<FileName> {
        let state = self.0.borrow();
        let names: BTreeSet<&FileName> = state.contents.values().flat_map(|(names, _)| names).collect();
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
    fn an_overwrite_is_kept_in_the_place_of_what_it_may_have_replaced() {
        let oracle = Oracle::default();
        let first = oracle.begin(&name("a"), 0);
        oracle.acknowledged(&first, &info(&first, 1));
        let (second, third) = (oracle.begin_over(&name("a"), 1), oracle.begin_over(&name("a"), 2));
        assert_eq!(oracle.kept_as(&name("a")), None, "either may have replaced it by now");
        oracle.acknowledged(&second, &info(&second, 2));
        assert_eq!(oracle.kept_as(&name("a")), None, "the third may come after it");
        oracle.refused(&third);
        assert_eq!(oracle.kept_as(&name("a")), None);
        let fourth = oracle.begin_over(&name("a"), 3);
        oracle.acknowledged(&fourth, &info(&fourth, 4));
        assert_eq!(oracle.kept_as(&name("a")).map(|kept| kept.content), Some(fourth.id));
        let unknown = oracle.begin_over(&name("a"), 4);
        let fifth = oracle.begin_over(&name("a"), 5);
        oracle.acknowledged(&fifth, &info(&fifth, 5));
        assert_eq!(
            (oracle.kept_as(&name("a")), unknown.id),
            (None, 5),
            "one whose end is unknown may come at any time"
        );
    }

    #[test]
    fn a_moved_file_is_kept_under_its_new_name() {
        let oracle = Oracle::default();
        let attempt = oracle.begin(&name("a"), 5);
        oracle.acknowledged(&attempt, &info(&attempt, 1));
        let moving = oracle.moves(&name("a"), &name("b"));
        assert_eq!((moving.contents.as_slice(), oracle.kept().len()), (&[attempt.id][..], 0));
        let seen = FileInfo { name: name("b"), ..info(&attempt, 1) };
        assert!(oracle.content_of(&seen).is_ok() && oracle.content_of(&info(&attempt, 1)).is_ok());
        oracle.moved(&moving, Kept::of(attempt.id, &seen));
        assert_eq!(oracle.kept_as(&name("b")).map(|kept| kept.content), Some(attempt.id));
        let moving = oracle.moves(&name("b"), &name("c"));
        oracle.not_moved(&moving);
        assert!(oracle.kept_as(&name("b")).is_some(), "it is where it was");
        let moving = oracle.moves(&name("b"), &name("c"));
        oracle.deletes(&name("c"));
        oracle.moved(&moving, Kept::of(attempt.id, &FileInfo { name: name("c"), ..seen }));
        assert!(oracle.kept().is_empty(), "the deletion may have come after the move");
        assert_eq!(oracle.names(), [name("a"), name("b"), name("c")]);
    }

    #[test]
    fn what_nobody_wrote_is_noticed() {
        let oracle = Oracle::default();
        let attempt = oracle.begin(&name("a"), 5);
        let good = info(&attempt, 1);
        assert!(oracle.was_begun(&name("a"), None) && oracle.was_begun(&name("a"), Some(5)));
        assert!(!oracle.was_begun(&name("a"), Some(4)) && !oracle.was_begun(&name("b"), None));
        assert_eq!(oracle.content_of(&good), Ok((attempt.id, attempt.content)));
        assert!(oracle.content_of(&FileInfo { size: 4, ..good.clone() }).is_err());
        assert!(oracle.content_of(&FileInfo { name: name("b"), ..good.clone() }).is_err());
        assert!(oracle.content_of(&FileInfo { modified: WallTime(9), ..good }).is_err());
    }
}
