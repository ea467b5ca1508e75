//! Downloading everything below a directory of the cluster: many files at once, in bounded memory, into local
//! directories that are made on the way.
//!
//! A file that fails is named, and the rest goes on; only a cluster that does not answer ends it. Nothing is ever written
//! outside the chosen directory: names were checked when they were made and are checked again, and links in local
//! directories are not followed.

use super::Run;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::local_file::directory_of;
use crate::output::note;
use crate::progress::Many;
use crate::transfer::{Moved, Tally};
use dfs_client::{ClientError, DownloadRequest, Progress, TransferMemory};
use dfs_core::limit::DOWNLOADS_AT_ONCE;
use dfs_core::name::FileName;
use dfs_core::wire::metadata::FileInfo;
use futures_util::stream::{self, Stream, StreamExt};
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::pin;

impl Run<'_> {
    /// All files below a directory of the cluster.
    pub(super) async fn tree(&self, directory: &str) -> Result<(), Failure> {
        let arguments = self.arguments;
        let directory = Directory::named(directory)?;
        let into = arguments.out.clone().unwrap_or_else(|| PathBuf::from(directory.base()));
        let progress = Many::new(arguments.doing(), directory.shown(), arguments.is_quiet());
        let request = DownloadRequest { memory: Some(TransferMemory::default()), ..arguments.request() };
        let mut tally = Tally::new(arguments.aim(), arguments.json);
        let listing = self.client.list(directory.prefix.as_str());
        let files = stream::unfold(Some(listing), async |listing| {
            let mut listing = listing?;
            match listing.next().await {
                Ok(file) => Some((Ok(file?), Some(listing))),
                Err(error) => Some((Err(error), None)),
            }
        });
        let download = async |file| match file {
            Ok(file) => Ok(self.one_of_many(file, &directory, &into, request.clone(), &progress.one()).await),
            Err(error) => Err(error),
        };
        let ends = pin!(files.map(download).buffer_unordered(DOWNLOADS_AT_ONCE));
        let tell = |file: &FileInfo, path: Option<&Path>, outcome: &Result<Moved, Failure>| {
            if let Err(failure) = outcome {
                note(format_args!("not {}: {}: {}", arguments.aim().word(), file.name, failure.message));
            }
            tally.add(&self.ended(&file.name, Some(file), path, outcome));
        };
        let mut cut_short = each(ends, tell).await;
        if tally.done() > 0 {
            progress.finish(&format!("{} {} files of", arguments.aim().word(), tally.done()));
        }
        if tally.there() > 0 && !arguments.is_quiet() {
            note(format_args!("{} files were here already and right", tally.there()));
        }
        if tally.is_empty() && cut_short.is_none() {
            let nothing = Failure::new(Exit::NotFound, format_args!("there is no file below {}", directory.shown()));
            cut_short = Some(nothing.hint("see `list` for the names that exist, and --name for a single file"));
        }
        tally.conclude(cut_short)
    }

    async fn one_of_many(
        &self,
        file: FileInfo,
        directory: &Directory,
        into: &Path,
        request: DownloadRequest,
        progress: &dyn Progress,
    ) -> (FileInfo, Option<PathBuf>, Result<Moved, Failure>) {
        if self.arguments.verify_only {
            let outcome = self.verify(&file, request, progress).await;
            return (file, None, outcome);
        }
        match self.place(directory, &file.name, into).await {
            Ok(path) => {
                let outcome = self.save(&file, &path, request, progress).await;
                (file, Some(path), outcome)
            }
            Err(failure) => (file, None, Err(failure)),
        }
    }

    /// Where a file goes; the directories on the way are there afterwards.
    async fn place(&self, directory: &Directory, name: &FileName, into: &Path) -> Result<PathBuf, Failure> {
        let below = directory.local(name)?;
        let path = into.join(&below);
        let into = into.to_owned();
        let make = move || make_directories(&into, below.parent().unwrap_or(Path::new("")));
        self.blocking(make).await??;
        Ok(path)
    }
}

/// A file whose turn is over, or why there are no more of them.
type End = Result<(FileInfo, Option<PathBuf>, Result<Moved, Failure>), ClientError>;

/// Tells of each file. Answers why not all had their turn, if they had not.
async fn each(
    mut ends: impl Stream<Item = End> + Unpin,
    mut tell: impl FnMut(&FileInfo, Option<&Path>, &Result<Moved, Failure>),
) -> Option<Failure> {
    let mut cut_short = None;
    while let Some(end) = ends.next().await {
        match end {
            Ok((file, path, outcome)) => {
                tell(&file, path.as_deref(), &outcome);
                if let Err(failure) = outcome
                    && failure.exit == Exit::Unavailable
                {
                    // The cluster does not answer; nothing else would succeed.
                    return Some(failure);
                }
            }
            // Those that run go on to their end.
            Err(error) => cut_short = Some(error.into()),
        }
    }
    cut_short
}

/// A directory of the cluster.
#[derive(Debug)]
struct Directory {
    /// What the names of all files below it begin with; it is empty, or ends with a slash.
    prefix: String,
}

impl Directory {
    /// The directory of that name, with or without a slash at its end; an empty one is above all others.
    fn named(text: &str) -> Result<Directory, Failure> {
        let name = text.strip_suffix('/').unwrap_or(text);
        if name.is_empty() {
            return Ok(Directory { prefix: String::new() });
        }
        let checked = FileName::new(name).map_err(|error| {
            Failure::new(Exit::Usage, format_args!("{text:?} is not a directory of the cluster: {error}"))
        })?;
        Ok(Directory { prefix: format!("{checked}/") })
    }

    /// The last component of its name; the present directory for the one above all others.
    fn base(&self) -> &str {
        match self.prefix.trim_end_matches('/').rsplit('/').next() {
            Some(base) if !base.is_empty() => base,
            _ => ".",
        }
    }

    fn shown(&self) -> &str {
        if self.prefix.is_empty() { "/" } else { &self.prefix }
    }

    /// Where a file below it goes, below the chosen local directory.
    fn local(&self, name: &FileName) -> Result<PathBuf, Failure> {
        let outside = || Failure::new(Exit::Refused, "its name leads out of the chosen directory");
        let below = Path::new(name.as_str().strip_prefix(&self.prefix).ok_or_else(outside)?);
        // What a local file system makes of a name counts, not what the cluster does.
        let plain = below.components().all(|component| matches!(component, Component::Normal(_)));
        if plain && below.file_name().is_some() { Ok(below.to_owned()) } else { Err(outside()) }
    }
}

/// Makes the directories of `below` in `into`, and `into` itself with those above it, on stable storage. Links below
/// `into` are not followed. Blocks.
fn make_directories(into: &Path, below: &Path) -> Result<(), Failure> {
    // A point at its end would be one that is made.
    let into: PathBuf = into.components().collect();
    let missing = |path: &&Path| !path.as_os_str().is_empty() && !path.is_dir();
    let chosen: Vec<&Path> = into.ancestors().take_while(missing).collect();
    for path in chosen.into_iter().rev() {
        make_directory(path, Path::is_dir)?;
    }
    let mut path = into.clone();
    for component in below.components() {
        path.push(component);
        make_directory(&path, |path| path.symlink_metadata().is_ok_and(|found| found.is_dir()))?;
    }
    Ok(())
}

/// Makes a directory on stable storage, unless what is there `will_do`.
fn make_directory(path: &Path, will_do: fn(&Path) -> bool) -> Result<(), Failure> {
    let made = match std::fs::create_dir(path) {
        Ok(()) => File::open(directory_of(path)).and_then(|above| above.sync_all()),
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => {
            if will_do(path) {
                return Ok(());
            }
            let message = format!("{} is not a directory, or is a link to one", path.display());
            return Err(Failure::new(Exit::LocalFile, message));
        }
        Err(cause) => Err(cause),
    };
    made.map_err(|cause| Failure::local_file("make the directory", path, &cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Done;
    use dfs_core::id::FileId;
    use dfs_core::time::WallTime;
    use dfs_core::unit::ChunkSize;

    fn end(id: u64, outcome: Result<Moved, Failure>) -> End {
        let name = FileName::new(format!("a/{id}")).unwrap();
        let (size, chunk_size) = (1, ChunkSize::default());
        let file = FileInfo { file: FileId(id), name, size, chunk_size, replication: 3, modified: WallTime(0) };
        Ok((file, None, outcome))
    }

    #[tokio::test]
    async fn only_a_cluster_that_does_not_answer_ends_it() {
        let fails = |id, exit| end(id, Err(Failure::new(exit, "broken")));
        let right = |id| end(id, Ok(Moved { done: Done::Downloaded, resumed_bytes: 0 }));
        let run = async |ends: Vec<End>| {
            let mut told = Vec::new();
            let cut_short = each(stream::iter(ends), |file, _, _| told.push(file.file.0)).await;
            (told, cut_short.map(|failure| failure.exit))
        };
        assert_eq!(run(vec![fails(1, Exit::Integrity), right(2)]).await, (vec![1, 2], None));
        assert_eq!(
            run(vec![right(1), fails(2, Exit::Unavailable), right(3)]).await,
            (vec![1, 2], Some(Exit::Unavailable))
        );
        assert_eq!(run(vec![Err(ClientError::NoSeeds), right(2)]).await, (vec![2], Some(Exit::Refused)));
    }

    fn local(directory: &str, name: &str) -> PathBuf {
        Directory::named(directory).unwrap().local(&FileName::new(name).unwrap()).unwrap()
    }

    #[test]
    fn a_name_below_a_directory_becomes_a_path_below_another() {
        assert_eq!(local("photos", "photos/2026/cat.jpg"), Path::new("2026/cat.jpg"));
        assert_eq!(local("photos/", "photos/cat.jpg"), Path::new("cat.jpg"));
        assert_eq!(local("", "a/b"), Path::new("a/b"));
        let photos = Directory::named("a/photos").unwrap();
        assert_eq!((photos.base(), photos.shown()), ("photos", "a/photos/"));
        let all = Directory::named("/").unwrap();
        assert_eq!((all.base(), all.shown()), (".", "/"));
    }

    #[test]
    fn nothing_leads_out_of_the_chosen_directory() {
        for wrong in ["..", "a/..", "/etc", "a//b", "./a"] {
            assert_eq!(Directory::named(wrong).unwrap_err().exit, Exit::Usage, "{wrong}");
        }
        let photos = Directory::named("photos").unwrap();
        for other in ["photos", "photosynthesis/a", "other/photos/a"] {
            assert!(photos.local(&FileName::new(other).unwrap()).is_err(), "{other}");
        }
    }

    #[test]
    fn the_chosen_directory_is_made_with_those_above_it_and_may_be_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/../a/b/.");
        make_directories(&deep, Path::new("c")).unwrap();
        assert!(directory.path().join("a/b/c").is_dir());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("a", &link).unwrap();
        make_directories(&link, Path::new("d")).unwrap();
        make_directories(&link.join("e/f"), Path::new("")).unwrap();
        assert!(directory.path().join("a/d").is_dir() && directory.path().join("a/e/f").is_dir());
        std::fs::write(directory.path().join("file"), "x").unwrap();
        for wrong in ["file", "file/a"] {
            let failure = make_directories(&directory.path().join(wrong), Path::new("")).unwrap_err();
            assert_eq!(failure.exit, Exit::LocalFile, "{wrong}");
        }
    }

    #[test]
    fn links_and_files_in_the_way_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (into, outside) = (directory.path().join("into"), directory.path().join("outside"));
        make_directories(&into, Path::new("a/b")).unwrap();
        make_directories(&into, Path::new("a/b")).unwrap();
        assert!(into.join("a/b").is_dir());
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, into.join("link")).unwrap();
        std::fs::write(into.join("file"), "x").unwrap();
        for way in ["link/c", "link", "file/c"] {
            assert_eq!(make_directories(&into, Path::new(way)).unwrap_err().exit, Exit::LocalFile, "{way}");
        }
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    }
}
