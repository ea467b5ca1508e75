//! The log of a sweep: a line of JSON for each seed, appended when it has ended.
//!
//! A sweep that is interrupted goes on where its log ends. Results of other builds stay in the file and count for
//! nothing; so does a line that was cut off.

use crate::build::BUILD;
use crate::report::{Subject, Summary};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// What a seed came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its run, the first if there were two.
    #[serde(flatten)]
    pub summary: Summary,
    /// What a second run was like, if there was one.
    pub repetition: Option<Repetition>,
}

/// What a second run of the same seed was like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repetition {
    /// Its trace was the same.
    Same,
    /// Its trace was another.
    Differs,
}

/// The results of this build, in memory and, if there is one, in a file.
#[derive(Debug, Default)]
pub struct Log {
    file: Option<File>,
    entries: Vec<Entry>,
    known: BTreeSet<String>,
}

impl Log {
    /// Reads the log at `path`, which need not exist, and appends to it from now on.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: &Path) -> io::Result<Log> {
        let mut file = File::options().read(true).append(true).create(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        let mut log = Log { file: Some(file), ..Log::default() };
        let entries = text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok());
        for entry in entries.filter(|entry| entry.summary.build == BUILD) {
            if log.known.insert(key(&entry.summary.subject)) {
                log.entries.push(entry);
            }
        }
        Ok(log)
    }

    /// Every result that was there from the beginning.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Whether there is a result of it.
    #[must_use]
    pub fn has(&self, subject: &Subject) -> bool {
        self.known.contains(&key(subject))
    }

    /// Adds a result, and has it in the file when it returns.
    pub(super) fn append(&mut self, entry: &Entry) -> io::Result<()> {
        self.known.insert(key(&entry.summary.subject));
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        file.write_all(line.as_bytes())
    }
}

fn key(subject: &Subject) -> String {
    format!("{subject:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_again_without_lines_that_are_cut_off_or_of_other_builds() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let subject = |seed| Subject { scenario: "life".to_owned(), seed, hours: None };
        let entry = |seed| Entry { summary: Summary::empty(subject(seed)), repetition: Some(Repetition::Same) };
        let mut log = Log::open(&path).unwrap();
        log.append(&entry(1)).unwrap();
        log.append(&entry(u64::MAX)).unwrap();
        let other = Summary { build: "another".to_owned(), ..Summary::empty(subject(3)) };
        log.append(&Entry { summary: other, repetition: None }).unwrap();
        drop(log);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{}", &text[..40])).unwrap();

        let mut log = Log::open(&path).unwrap();
        assert_eq!(log.entries().cloned().collect::<Vec<_>>(), [entry(1), entry(u64::MAX)]);
        assert!(log.has(&subject(1)) && !log.has(&subject(2)) && !log.has(&subject(3)));
        assert!(!log.has(&Subject { hours: Some(2.0), ..subject(1) }));
        log.append(&entry(4)).unwrap();
        drop(log);
        assert!(Log::open(&path).unwrap().has(&subject(4)), "what comes after a line that is cut off is read");
    }
}
