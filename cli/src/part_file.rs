//! Local files that appear whole or not at all, and downloads of them that go on where an earlier one was cut off.
//!
//! A download is written to a temporary file beside its target, and takes the target's name when it is complete and
//! on stable storage. Until then an existing file is untouched.
//!
//! A resumable one has a temporary name of its own for each target and version, so that two versions never meet in one
//! file; dropped early, it stays if it has at least one whole chunk. Whoever goes on with it checks every byte again
//! and holds its lock; a file of that name that is not plainly one's own is left alone.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::local_file::directory_of;
use dfs_core::checksum::Digest;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::FileInfo;
use dfs_transport::world::Entropy;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What the names of temporary files end with.
const SUFFIX: &str = ".part";
/// Directories whose temporary files are remembered. One that is forgotten is looked at again.
const DIRECTORIES_MAX: usize = 64;
/// Temporary files of a directory that are remembered. Those beyond stay where they are.
const LEFTOVERS_MAX: usize = 4096;

/// A file that is being written and does not have its name yet.
#[derive(Debug)]
pub struct PartFile {
    temporary: PathBuf,
    target: PathBuf,
    file: File,
    /// Where it is told that it stays, and the fewest bytes that are worth it; it never stays where absent.
    keep: Option<(Kept, u64)>,
}

/// Bytes that stay on disk for the next run. Clones are the same count.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<AtomicU64>);

/// The temporary files that earlier runs have left in the directories that were looked at last, oldest first, as they
/// were then.
#[derive(Debug, Default)]
pub struct Leftovers(Mutex<VecDeque<(PathBuf, Vec<OsString>)>>);

impl Kept {
    /// Adds to a failure what stays, if anything does, and how to go on with it.
    #[must_use]
    pub fn explain(&self, failure: Failure) -> Failure {
        match self.0.load(Ordering::Relaxed) {
            0 => failure,
            bytes => {
                let advice = format!("{} are kept: the same command goes on from there", ByteCount(bytes));
                let advice = match &failure.hint {
                    Some(hint) => format!("{hint}; {advice}"),
                    None => advice,
                };
                failure.hint(advice)
            }
        }
    }
}

impl PartFile {
    /// Begins a file that will be called `target`, readable by whom the process's umask allows. Dropped early, it leaves
    /// nothing. Blocks.
    ///
    /// # Errors
    /// The target is something other than a regular file, or nothing can be made in its directory.
    pub fn create(target: &Path, entropy: &Entropy) -> Result<PartFile, Failure> {
        let temporary = check_target(target)?.temporary(&format!("{:016x}", entropy.number()));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .map_err(|cause| Failure::local_file("write to directory", directory_of(target), &cause))?;
        Ok(PartFile { temporary, target: target.to_owned(), file, keep: None })
    }

    /// Begins a file for this version that stays if it is dropped early, or goes on with one that did; what was left of
    /// other versions is removed. If another process is at it, begins one as [`PartFile::create`] does. Blocks.
    ///
    /// # Errors
    /// As [`PartFile::create`].
    pub fn resume(
        target: &Path,
        version: &FileInfo,
        leftovers: &Leftovers,
        kept: &Kept,
        entropy: &Entropy,
    ) -> Result<PartFile, Failure> {
        let place = check_target(target)?;
        let temporary = place.temporary(&version.file.to_string());
        leftovers.remove_others(&place, &temporary);
        match claim(&temporary) {
            Some(file) => {
                let keep = Some((kept.clone(), u64::from(version.chunk_size.bytes())));
                Ok(PartFile { temporary, target: target.to_owned(), file, keep })
            }
            None => PartFile::create(target, entropy),
        }
    }

    /// What it will be called.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Its bytes from the first on, to be checked, if it has any.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn written(&self) -> io::Result<Option<File>> {
        if self.keep.is_none() || self.file.metadata()?.len() == 0 {
            return Ok(None);
        }
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Some(file))
    }

    /// The file, to be written from that byte on; what was behind it is cut off.
    ///
    /// # Errors
    /// The disk failed, or the process has too many files open.
    pub fn writer_from(&self, offset: u64) -> io::Result<File> {
        self.file.set_len(offset)?;
        let mut file = self.file.try_clone()?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(file)
    }

    /// Puts the bytes on stable storage and gives the file its name, in place of whatever had it. Blocks.
    ///
    /// # Errors
    /// The disk failed or is full; an existing file is untouched. Nothing is kept of bytes that did not reach the disk:
    /// they can still be read from memory and seem right, and a sync that failed is not to be believed later.
    pub fn finish(mut self) -> io::Result<()> {
        if let Err(cause) = self.file.sync_all() {
            self.keep = None;
            return Err(cause);
        }
        std::fs::rename(&self.temporary, &self.target)?;
        // What has this name from now on is another's.
        self.keep = None;
        self.temporary = PathBuf::new();
        File::open(directory_of(&self.target))?.sync_all()
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if let Some((kept, least)) = &self.keep {
            let length = self.file.metadata().map_or(0, |metadata| metadata.len());
            if length >= *least {
                kept.0.fetch_add(length, Ordering::Relaxed);
                return;
            }
        }
        let _ = std::fs::remove_file(&self.temporary);
    }
}

impl Leftovers {
    /// Removes what was left of other versions of a target, unless somebody is at it.
    fn remove_others(&self, place: &Place<'_>, own: &Path) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = seen.iter().position(|(directory, _)| directory == place.directory);
        let known = known.and_then(|position| seen.remove(position));
        let (directory, mut names) =
            known.unwrap_or_else(|| (place.directory.to_owned(), parts_in(place.directory, LEFTOVERS_MAX)));
        names.retain(|name| {
            let path = place.directory.join(name);
            let other = name.to_str().is_some_and(|name| place.is_leftover(name)) && path != own;
            if other && let Some(_locked) = claim(&path) {
                let _ = std::fs::remove_file(&path);
            }
            !other
        });
        if seen.len() == DIRECTORIES_MAX {
            seen.pop_front();
        }
        seen.push_back((directory, names));
    }
}

/// The names of temporary files in a directory, `max` of them at most.
fn parts_in(directory: &Path, max: usize) -> Vec<OsString> {
    let names = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.as_bytes().ends_with(SUFFIX.as_bytes())).take(max).collect()
}

/// Where a target is, and what its temporary files are called.
struct Place<'a> {
    directory: &'a Path,
    /// What their names begin with: some of the target's name, and a digest of all of it.
    prefix: String,
}

impl Place<'_> {
    fn temporary(&self, which: &str) -> PathBuf {
        self.directory.join(format!("{}{which}{SUFFIX}", self.prefix))
    }

    /// Whether this is the name of a temporary file of a version.
    fn is_leftover(&self, name: &str) -> bool {
        let version = name.strip_prefix(&self.prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
        version.is_some_and(|version| version.parse::<u64>().is_ok_and(|id| id.to_string() == version))
    }
}

/// Refuses targets that cannot become a file.
fn check_target(target: &Path) -> Result<Place<'_>, Failure> {
    let Some(name) = target.file_name() else {
        return Err(Failure::new(Exit::LocalFile, format_args!("{} does not name a file", target.display())));
    };
    if let Ok(metadata) = target.symlink_metadata() {
        if metadata.is_dir() || target.is_dir() {
            let message = format!("{} is a directory", target.display());
            return Err(Failure::new(Exit::LocalFile, message).hint("name a file in it"));
        }
        // A link is replaced, unless it leads to something like a pipe or a terminal, which is meant to be written to.
        let special = |metadata: &Metadata| !metadata.is_file() && !metadata.is_symlink();
        if special(&metadata) || target.metadata().is_ok_and(|found| special(&found)) {
            let message = format!("{} is not a regular file", target.display());
            return Err(Failure::new(Exit::LocalFile, message).hint("write to standard output with --out -"));
        }
    }
    // A name may be as long as the file system allows; the temporary one must not be longer.
    let shown: String = name.to_string_lossy().chars().take(40).collect();
    let digest: String = Digest::of(name.as_bytes()).to_string().chars().take(12).collect();
    Ok(Place { directory: directory_of(target), prefix: format!(".{shown}.{digest}.") })
}

/// Opens a temporary file and locks it, if it is there or can be made, is plainly our own, and nobody else is at it.
fn claim(path: &Path) -> Option<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).ok()?;
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path).ok()?;
    let opened = file.metadata().ok()?;
    let own = opened.is_file() && opened.uid() == geteuid().as_raw() && opened.nlink() == 1;
    if !own || file.try_lock().is_err() {
        return None;
    }
    // Between opening and locking, its owner may have given it its target's name.
    let named = path.symlink_metadata().ok()?;
    ((named.dev(), named.ino()) == (opened.dev(), opened.ino())).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local_file::tests::names;
    use dfs_core::id::FileId;
    use dfs_core::name::FileName;
    use dfs_core::time::WallTime;
    use dfs_core::unit::ChunkSize;
    use dfs_transport::world::World;
    use std::io::{Read, Write};

    #[tokio::test]
    async fn a_file_appears_whole_by_rename() {
        let entropy = World::production("test").entropy;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out");
        std::fs::write(&target, "old").unwrap();
        let part = PartFile::create(&target, &entropy).unwrap();
        part.writer_from(0).unwrap().write_all(b"new").unwrap();
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
        part.writer_from(0).unwrap().write_all(b"ne").unwrap();
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
        let link = |name: &str, to: &str| {
            let link = directory.path().join(name);
            std::os::unix::fs::symlink(to, &link).unwrap();
            link
        };
        assert!(refused(&link("special", "/dev/null")).hint.unwrap().contains("--out -"));
        for (name, to) in [("dangling", "none"), ("regular", "file")] {
            std::fs::write(directory.path().join("file"), "x").unwrap();
            drop(PartFile::create(&link(name, to), &entropy).unwrap());
        }
    }

    fn version(id: u64) -> FileInfo {
        FileInfo {
            file: FileId(id),
            name: FileName::new("out").unwrap(),
            size: 200_000,
            chunk_size: ChunkSize::try_from(65_536_u64).unwrap(),
            replication: 3,
            modified: WallTime(0),
        }
    }

    /// Goes on with a version; answers the file and the bytes that are there.
    fn resume(target: &Path, id: u64, kept: &Kept) -> (PartFile, Vec<u8>) {
        let entropy = World::production("test").entropy;
        let part = PartFile::resume(target, &version(id), &Leftovers::default(), kept, &entropy).unwrap();
        let mut bytes = Vec::new();
        if let Some(mut file) = part.written().unwrap() {
            file.read_to_end(&mut bytes).unwrap();
        }
        (part, bytes)
    }

    #[tokio::test]
    async fn what_was_cut_off_stays_for_the_same_version_and_target_only() {
        let directory = tempfile::tempdir().unwrap();
        let (target, other) = (directory.path().join("out"), directory.path().join("other"));
        let kept = Kept::default();
        let (part, bytes) = resume(&target, 7, &kept);
        assert!(bytes.is_empty());
        part.writer_from(0).unwrap().write_all(&[7; 100_000]).unwrap();
        drop(part);
        let failure = kept.explain(Failure::interrupted());
        assert!(failure.hint.unwrap().contains("97.6 KiB are kept"));
        assert_eq!(names(directory.path()).len(), 1);

        let (part, bytes) = resume(&target, 7, &kept);
        assert_eq!(bytes, [7; 100_000]);
        let mut writer = part.writer_from(65_536).unwrap();
        writer.write_all(&[8; 10]).unwrap();
        drop((writer, part));
        assert!(resume(&other, 7, &kept).1.is_empty(), "another target");
        let (part, bytes) = resume(&target, 7, &kept);
        assert_eq!(bytes, [&[7; 65_536][..], &[8; 10]].concat());
        part.finish().unwrap();
        assert_eq!(names(directory.path()), ["out"]);
        assert!(resume(&target, 7, &kept).1.is_empty(), "it has become the target");
    }

    #[tokio::test]
    async fn what_is_left_of_another_version_is_removed_and_a_bit_of_a_chunk_does_not_stay() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out");
        let kept = Kept::default();
        let (part, _) = resume(&target, 7, &kept);
        part.writer_from(0).unwrap().write_all(&[7; 65_536]).unwrap();
        drop(part);
        let (part, bytes) = resume(&target, 8, &kept);
        assert!(bytes.is_empty());
        assert_eq!(names(directory.path()).len(), 1, "that of the version 7 is gone");
        part.writer_from(0).unwrap().write_all(&[8; 65_535]).unwrap();
        drop(part);
        assert!(names(directory.path()).is_empty());
    }

    #[tokio::test]
    async fn what_did_not_reach_the_disk_is_not_kept_although_it_can_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out");
        std::fs::write(&target, "old").unwrap();
        let kept = Kept::default();
        let (mut part, _) = resume(&target, 7, &kept);
        part.writer_from(0).unwrap().write_all(&[7; 200_000]).unwrap();
        // A file that was opened so knows its length and cannot be synced.
        let flags = i32::try_from(OFlags::PATH.bits()).unwrap();
        part.file = OpenOptions::new().read(true).custom_flags(flags).open(&part.temporary).unwrap();
        part.finish().unwrap_err();
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(std::fs::read(&target).unwrap(), b"old");
        assert_eq!(kept.explain(Failure::interrupted()).hint, None);
    }

    #[tokio::test]
    async fn what_is_remembered_of_directories_is_bounded_and_looked_up_again() {
        let root = tempfile::tempdir().unwrap();
        let (leftovers, kept) = (Leftovers::default(), Kept::default());
        let entropy = World::production("test").entropy;
        let target = |number: usize| root.path().join(number.to_string()).join("out");
        let begin = |number: usize, id| PartFile::resume(&target(number), &version(id), &leftovers, &kept, &entropy);
        for number in 0..=DIRECTORIES_MAX {
            std::fs::create_dir(root.path().join(number.to_string())).unwrap();
            begin(number, 7).unwrap().writer_from(0).unwrap().write_all(&[7; 65_536]).unwrap();
        }
        assert_eq!(leftovers.0.lock().unwrap().len(), DIRECTORIES_MAX);
        // The first was forgotten, and so is looked at again: what was left in it meanwhile is found.
        drop(begin(0, 8).unwrap());
        assert!(names(&root.path().join("0")).is_empty());
        assert_eq!(leftovers.0.lock().unwrap().len(), DIRECTORIES_MAX);
        std::fs::write(root.path().join("1/a.part"), "").unwrap();
        std::fs::write(root.path().join("1/b.part"), "").unwrap();
        assert_eq!(parts_in(&root.path().join("1"), 2).len(), 2);
    }

    #[tokio::test]
    async fn a_file_that_somebody_else_is_at_or_has_put_there_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("out");
        let kept = Kept::default();
        let (first, _) = resume(&target, 7, &kept);
        first.writer_from(0).unwrap().write_all(&[1; 70_000]).unwrap();
        let (second, bytes) = resume(&target, 7, &kept);
        assert!(bytes.is_empty());
        assert_ne!(first.temporary, second.temporary);
        let temporary = first.temporary.clone();
        drop((first, second));
        std::fs::remove_file(&temporary).unwrap();

        let precious = directory.path().join("precious");
        std::fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &temporary).unwrap();
        let (third, _) = resume(&target, 7, &kept);
        assert_ne!(third.temporary, temporary);
        std::fs::remove_file(&temporary).unwrap();
        std::fs::hard_link(&precious, &temporary).unwrap();
        let (fourth, _) = resume(&target, 7, &kept);
        assert_ne!(fourth.temporary, temporary);
        drop((third, fourth));
        assert_eq!(std::fs::read(&precious).unwrap(), b"precious");
    }
}
