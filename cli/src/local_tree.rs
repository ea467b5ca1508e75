//! A local directory with all that is below it, entry by entry, in the order in which the file system gives them.
//!
//! Regular files are found; links, special files, names that cannot be names in the cluster and what cannot be read
//! are passed over, each with its reason. Links are never followed, so a walk ends. Memory: one open directory for each
//! level, whatever the directories hold.

use crate::failure::plain;
use dfs_core::limit::NAME_BYTES_MAX;
use dfs_core::name::{FileName, InvalidName};
use std::fmt;
use std::fs::{DirEntry, FileType, ReadDir};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// One entry of a tree.
#[derive(Debug)]
pub enum Entry {
    /// A regular file, and the name under which it is stored.
    File(PathBuf, FileName),
    /// Something that is not stored.
    PassedOver(PathBuf, Reason),
}

/// Why an entry is not stored.
#[derive(Debug)]
pub enum Reason {
    /// It is a symbolic link.
    Link,
    /// It is a device, a pipe or a socket.
    Special(&'static str),
    /// Its name is not text.
    NotText,
    /// Its name cannot be a name in the cluster.
    Unusable(InvalidName),
    /// Names below it would be too long.
    TooDeep,
    /// It, or the directory that it is in, cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Link => f.write_str("it is a symbolic link, and links are not followed"),
            Reason::Special(what) => write!(f, "it is {what}"),
            Reason::NotText => f.write_str("its name is not valid UTF-8"),
            Reason::Unusable(invalid) => invalid.fmt(f),
            Reason::TooDeep => write!(f, "names below it would be longer than {NAME_BYTES_MAX} bytes"),
            Reason::Unreadable(cause) => write!(f, "cannot read it: {}", plain(cause)),
        }
    }
}

/// A walk through a tree. It blocks.
#[derive(Debug)]
pub struct Walk {
    /// The open directories from the root to here, each with its path and the name that it stands for.
    open: Vec<(ReadDir, PathBuf, String)>,
}

impl Walk {
    /// Begins at a directory, whose entries are stored below `prefix`.
    ///
    /// # Errors
    /// It is not a directory, or cannot be read.
    pub fn begin(root: &Path, prefix: &FileName) -> io::Result<Walk> {
        Ok(Walk { open: vec![(root.read_dir()?, root.to_owned(), prefix.to_string())] })
    }

    /// The next entries, `count` at most; none at the end.
    pub fn next_entries(&mut self, count: usize) -> Vec<Entry> {
        self.by_ref().take(count).collect()
    }

    /// Judges an entry; goes into a directory.
    fn judge(&mut self, entry: &DirEntry, parent: &str) -> Option<Entry> {
        let path = entry.path();
        let passed = |reason| Some(Entry::PassedOver(path.clone(), reason));
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(cause) => return passed(Reason::Unreadable(cause)),
        };
        if let Some(reason) = unsuitable(kind) {
            return passed(reason);
        }
        let base = entry.file_name();
        let Some(base) = base.to_str() else { return passed(Reason::NotText) };
        let text = format!("{parent}/{base}");
        if kind.is_file() {
            return match FileName::new(text) {
                Ok(name) => Some(Entry::File(path, name)),
                Err(invalid) => passed(Reason::Unusable(invalid)),
            };
        }
        if text.len() + 2 > NAME_BYTES_MAX {
            return passed(Reason::TooDeep);
        }
        match path.read_dir() {
            Ok(directory) => {
                self.open.push((directory, path, text));
                None
            }
            Err(cause) => passed(Reason::Unreadable(cause)),
        }
    }
}

impl Iterator for Walk {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            let (directory, path, name) = self.open.last_mut()?;
            match directory.next() {
                None => {
                    self.open.pop();
                }
                Some(Err(cause)) => {
                    let path = path.clone();
                    // What else is in the directory cannot be known.
                    self.open.pop();
                    return Some(Entry::PassedOver(path, Reason::Unreadable(cause)));
                }
                Some(Ok(entry)) => {
                    let name = name.clone();
                    if let Some(found) = self.judge(&entry, &name) {
                        return Some(found);
                    }
                }
            }
        }
    }
}

/// Why an entry of this type is not stored, if it is neither a file nor a directory.
fn unsuitable(kind: FileType) -> Option<Reason> {
    if kind.is_file() || kind.is_dir() {
        None
    } else if kind.is_symlink() {
        Some(Reason::Link)
    } else if kind.is_fifo() {
        Some(Reason::Special("a named pipe"))
    } else if kind.is_socket() {
        Some(Reason::Special("a socket"))
    } else {
        Some(Reason::Special("a device"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn walk(root: &Path, prefix: &str) -> (Vec<String>, Vec<String>) {
        let walk = Walk::begin(root, &FileName::new(prefix).unwrap()).unwrap();
        let (mut files, mut passed) = (Vec::new(), Vec::new());
        for entry in walk {
            match entry {
                Entry::File(path, name) => {
                    assert!(path.starts_with(root));
                    files.push(name.to_string());
                }
                Entry::PassedOver(path, reason) => {
                    passed.push(format!("{}: {reason}", path.strip_prefix(root).unwrap().to_string_lossy()));
                }
            }
        }
        files.sort();
        passed.sort();
        (files, passed)
    }

    #[test]
    fn files_are_found_and_everything_else_is_passed_over_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::create_dir(root.join("empty")).unwrap();
        for file in ["top", "a/one", "a/b/two"] {
            std::fs::write(root.join(file), file).unwrap();
        }
        std::os::unix::fs::symlink(root, root.join("a/loop")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        std::fs::write(root.join(OsStr::from_bytes(b"bad\xff")), "x").unwrap();
        std::fs::write(root.join("new\nline"), "x").unwrap();
        let (files, passed) = walk(root, "backup/today");
        assert_eq!(files, ["backup/today/a/b/two", "backup/today/a/one", "backup/today/top"]);
        assert_eq!(passed.len(), 4, "{passed:?}");
        assert_eq!(passed[0], "a/loop: it is a symbolic link, and links are not followed");
        assert!(passed[1].ends_with("its name is not valid UTF-8"), "{passed:?}");
        assert!(passed[2].ends_with("a name must not have control characters"), "{passed:?}");
        assert_eq!(passed[3], "socket: it is a socket");
    }

    #[test]
    fn a_tree_that_is_too_deep_is_passed_over_where_names_become_too_long() {
        let directory = tempfile::tempdir().unwrap();
        let mut deep = directory.path().to_owned();
        for _ in 0..6 {
            deep.push("d".repeat(200));
            std::fs::create_dir(&deep).unwrap();
        }
        std::fs::write(deep.join("file"), "x").unwrap();
        let (files, passed) = walk(directory.path(), "p");
        assert!(files.is_empty());
        assert_eq!(passed.len(), 1);
        assert!(passed[0].ends_with("longer than 1024 bytes"), "{passed:?}");
    }

    #[test]
    fn few_entries_are_taken_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        (0..10).for_each(|file| std::fs::write(directory.path().join(file.to_string()), "x").unwrap());
        let mut walk = Walk::begin(directory.path(), &FileName::new("p").unwrap()).unwrap();
        let sizes: Vec<usize> = std::iter::repeat_with(|| walk.next_entries(4).len()).take(4).collect();
        assert_eq!(sizes, [4, 4, 2, 0]);
    }
}
