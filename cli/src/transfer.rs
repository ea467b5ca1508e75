//! What becomes of files that are uploaded or downloaded: told to programs, counted, and made into one exit code.
//!
//! Both verbs speak of a file in the same words here. A program that stops reading does not stop the work.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::Lines;
use dfs_core::id::FileId;
use dfs_core::name::FileName;
use std::collections::BTreeSet;
use std::path::Path;

/// What was done for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was stored.
    Uploaded,
    /// It was written to a local file, or to standard output.
    Downloaded,
    /// Every byte was read, and nothing written.
    Verified,
    /// Nothing: it was there already, and right.
    There,
}

impl Done {
    /// In a word, for people and programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Done::Uploaded => "uploaded",
            Done::Downloaded => "downloaded",
            Done::Verified => "verified",
            Done::There => "there",
        }
    }
}

/// A file for which all was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// What it was.
    pub done: Done,
    /// Bytes that an earlier run had moved.
    pub resumed_bytes: u64,
}

/// A file whose turn is over.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Its name in the cluster, if it can have one.
    pub name: Option<&'a FileName>,
    /// The local file, if there is one.
    pub path: Option<&'a Path>,
    /// The id of its version, where that is known.
    pub id: Option<FileId>,
    /// The bytes that were asked for, where that is known.
    pub bytes: Option<u64>,
    /// What was done, or why not.
    pub outcome: &'a Result<Moved, Failure>,
}

impl Ended<'_> {
    /// For programs.
    #[must_use]
    pub fn line(&self) -> String {
        json::line(&json::Transfer {
            outcome: self.outcome.as_ref().map_or("failed", |moved| moved.done.word()),
            name: self.name.map(FileName::as_str),
            path: self.path.map(|path| path.to_string_lossy().into_owned()),
            id: self.id.map(|id| id.0),
            bytes: self.bytes,
            resumed_bytes: self.outcome.as_ref().map_or(0, |moved| moved.resumed_bytes),
            error: self.outcome.as_ref().err().map(|failure| failure.message.as_str()),
        })
    }
}

/// What came of many files. Dropped early, it tells programs that the work was interrupted.
#[derive(Debug)]
pub struct Tally {
    /// What is to be done for each.
    aim: Done,
    /// Where each is told, if programs are to be told.
    lines: Option<Lines>,
    done: u64,
    there: u64,
    failed: u64,
    bytes: u64,
    resumed_bytes: u64,
    exits: BTreeSet<Exit>,
}

impl Tally {
    /// Nothing was done yet. Programs are told with `json`.
    #[must_use]
    pub fn new(aim: Done, json: bool) -> Tally {
        let lines = json.then(Lines::default);
        let (done, there, failed, bytes, resumed_bytes) = (0, 0, 0, 0, 0);
        Tally { aim, lines, done, there, failed, bytes, resumed_bytes, exits: BTreeSet::new() }
    }

    /// A file's turn is over.
    pub fn add(&mut self, ended: &Ended<'_>) {
        match ended.outcome {
            Ok(Moved { done: Done::There, .. }) => self.there += 1,
            Ok(moved) => {
                self.done += 1;
                self.bytes += ended.bytes.unwrap_or(0);
                self.resumed_bytes += moved.resumed_bytes;
            }
            Err(failure) => {
                self.failed += 1;
                self.exits.insert(failure.exit);
            }
        }
        if let Some(lines) = &mut self.lines {
            lines.print(&ended.line());
        }
    }

    /// Files that were done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Files that were there and right already.
    #[must_use]
    pub fn there(&self) -> u64 {
        self.there
    }

    /// Whether no file has had its turn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.done + self.there + self.failed == 0
    }

    /// Tells what the whole came to. It was `cut_short` if not every file had its turn.
    ///
    /// # Errors
    /// Not everything was done, or programs could not be told.
    pub fn conclude(mut self, cut_short: Option<Failure>) -> Result<(), Failure> {
        let lines = self.tell_all(cut_short.as_ref()).unwrap_or_default();
        let ended = cut_short.map_or_else(|| self.verdict(), Err);
        lines.conclude(ended)
    }

    /// Writes the last line for programs, once.
    fn tell_all(&mut self, cut_short: Option<&Failure>) -> Option<Lines> {
        let mut lines = self.lines.take()?;
        lines.print(&json::line(&json::Transfers {
            done: self.done,
            there: self.there,
            failed: self.failed,
            bytes: self.bytes,
            resumed_bytes: self.resumed_bytes,
            error: cut_short.map(|failure| failure.message.clone()),
        }));
        Some(lines)
    }

    fn verdict(&self) -> Result<(), Failure> {
        let exit = match (self.exits.first(), self.exits.len()) {
            (None, _) => return Ok(()),
            (Some(exit), 1) => *exit,
            _ => Exit::Failure,
        };
        let all = self.done + self.there + self.failed;
        let message = format!("{} of {all} files were not {}", self.failed, self.aim.word());
        Err(Failure::new(exit, message).hint("each is named above with its reason; the others are whole"))
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.tell_all(Some(&Failure::interrupted()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(exits: &[Exit]) -> Tally {
        let mut tally = Tally::new(Done::Downloaded, false);
        let mut add = |outcome: Result<Moved, Failure>| {
            tally.add(&Ended { name: None, path: None, id: None, bytes: Some(7), outcome: &outcome });
        };
        add(Ok(Moved { done: Done::Downloaded, resumed_bytes: 2 }));
        add(Ok(Moved { done: Done::There, resumed_bytes: 0 }));
        exits.iter().for_each(|exit| add(Err(Failure::new(*exit, "broken"))));
        tally
    }

    #[test]
    fn the_exit_code_is_that_of_the_failures_if_they_are_alike() {
        let verdict = |exits: &[Exit]| tally(exits).conclude(None);
        assert_eq!(verdict(&[]), Ok(()));
        let alike = verdict(&[Exit::Integrity, Exit::Integrity]).unwrap_err();
        assert_eq!((alike.exit, alike.message.as_str()), (Exit::Integrity, "2 of 4 files were not downloaded"));
        assert_eq!(verdict(&[Exit::Integrity, Exit::LocalFile]).unwrap_err().exit, Exit::Failure);
        let cut_short = tally(&[Exit::Integrity]).conclude(Some(Failure::new(Exit::Unavailable, "gone")));
        assert_eq!(cut_short.unwrap_err().exit, Exit::Unavailable);
        assert!(Tally::new(Done::Uploaded, false).is_empty() && !tally(&[]).is_empty());
    }

    #[test]
    fn a_file_is_told_with_the_same_fields_whatever_became_of_it() {
        let name = FileName::new("a/b").unwrap();
        let fields = |outcome: &Result<Moved, Failure>| {
            let line = Ended { name: Some(&name), path: None, id: None, bytes: None, outcome }.line();
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            (value["outcome"].clone(), value["error"].clone(), value.as_object().unwrap().len())
        };
        let (done, error, count) = fields(&Ok(Moved { done: Done::Uploaded, resumed_bytes: 1 }));
        assert_eq!((done, error), ("uploaded".into(), serde_json::Value::Null));
        let failed = fields(&Err(Failure::new(Exit::NotFound, "none")));
        assert_eq!(failed, ("failed".into(), "none".into(), count));
    }
}
