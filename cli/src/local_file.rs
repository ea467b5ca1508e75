//! Local files that appear whole or not at all.
//!
//! A download is written to a temporary file beside its target, and takes the target's name when it is complete and
//! on stable storage. Dropped before that, it leaves nothing, and an existing file untouched.

use crate::exit::Exit;
use crate::failure::Failure;
use dfs_transport::world::Entropy;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is being written and does not have its name yet.
#[derive(Debug)]
pub struct PartFile {
    temporary: PathBuf,
    target: PathBuf,
    file: File,
}

impl PartFile {
    /// Begins a file that will be called `target`, readable by whom the process's umask allows.
    ///
    /// # Errors
    /// The target is something other than a regular file, or nothing can be made in its directory.
    pub fn create(target: &Path, entropy: &Entropy) -> Result<PartFile, Failure> {
        let directory = directory_of(target);
        let Some(name) = target.file_name() else {
            return Err(Failure::new(Exit::LocalFile, format_args!("{} does not name a file", target.display())));
        };
        if let Ok(metadata) = target.symlink_metadata() {
            if metadata.is_dir() || target.is_dir() {
                let message = format!("{} is a directory", target.display());
                return Err(Failure::new(Exit::LocalFile, message).hint("name a file in it"));
            }
            if !metadata.is_file() && !metadata.is_symlink() {
                let message = format!("{} is not a regular file", target.display());
                return Err(Failure::new(Exit::LocalFile, message).hint("write to standard output with --out -"));
            }
        }
        let mut hidden = std::ffi::OsString::from(".");
        // A name may be as long as the file system allows; the temporary one must not be longer.
        hidden.push(name.to_string_lossy().chars().take(40).collect::<String>());
        hidden.push(format!(".{:016x}.part", entropy.number()));
        let temporary = directory.join(hidden);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|cause| Failure::local_file("write to directory", directory, &cause))?;
        Ok(PartFile { temporary, target: target.to_owned(), file })
    }

    /// The file, to be written.
    ///
    /// # Errors
    /// The process has too many files open.
    pub fn writer(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Puts the bytes on stable storage and gives the file its name, in place of whatever had it. Blocks.
    ///
    /// # Errors
    /// The disk failed or is full; an existing file is untouched.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.temporary, &self.target)?;
        File::open(directory_of(&self.target))?.sync_all()
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        // After a finished rename there is nothing under this name any more.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Replaces a small file by one with these bytes and this mode, whole or not at all, on stable storage. Blocks.
///
/// # Errors
/// The disk failed or is full; an existing file is untouched.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(directory_of(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_transport::world::World;
    use std::os::unix::fs::PermissionsExt;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_file_appears_whole_by_rename() {
        let entropy = World::production("test").entropy;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out");
        std::fs::write(&target, "old").unwrap();
        let part = PartFile::create(&target, &entropy).unwrap();
        part.writer().unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        part.finish().unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["out"]);
    }

    #[tokio::test]
    async fn a_file_that_is_given_up_leaves_nothing() {
        let entropy = World::production("test").entropy;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out");
        std::fs::write(&target, "old").unwrap();
        let part = PartFile::create(&target, &entropy).unwrap();
        part.writer().unwrap().write_all(b"ne").unwrap();
        assert_eq!(names(directory.path()).len(), 2);
        drop(part);
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
    }

    #[tokio::test]
    async fn what_is_not_a_file_is_never_replaced() {
        let entropy = World::production("test").entropy;
        let directory = tempfile::tempdir().unwrap();
        let refused = |path: &Path| PartFile::create(path, &entropy).unwrap_err();
        assert!(refused(directory.path()).message.contains("is a directory"));
        assert!(refused(Path::new("/dev/null")).hint.unwrap().contains("--out -"));
        assert_eq!(refused(&directory.path().join("none/out")).exit, Exit::LocalFile);
    }

    #[test]
    fn a_replaced_file_has_the_mode_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        replace(&path, b"first", 0o600).unwrap();
        replace(&path, b"second", 0o600).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(names(directory.path()), ["key"]);
    }
}
