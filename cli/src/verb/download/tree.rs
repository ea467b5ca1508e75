//! Downloading everything below a directory of the cluster: many files at once, in bounded memory, into local
//! directories that are made on the way.
//!
//! A file that fails is named, and the rest goes on. Nothing is ever written outside the chosen directory: names were
//! checked when they were made and are checked again, and links in local directories are not followed.

use super::{Done, Run};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::output::{note, print};
use crate::progress::Display;
use dfs_client::{DownloadRequest, Progress, TransferMemory};
use dfs_core::limit::DOWNLOADS_AT_ONCE;
use dfs_core::name::FileName;
use dfs_core::wire::metadata::FileInfo;
use futures_util::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::pin;

/// What came of many files.
#[derive(Debug, Default)]
struct Total {
    done: u64,
    there: u64,
    bytes: u64,
    failed: u64,
    exits: BTreeSet<Exit>,
}

/// Adds the progress of many files up. How many there will be is not known.
struct Sum<'a>(&'a Display);

impl Progress for Sum<'_> {
    fn started(&self, _: Option<u64>) {}

    fn advanced(&self, bytes: u64) {
        self.0.advanced(bytes);
    }
}

impl Run<'_> {
    /// All files below a directory of the cluster.
    pub(super) async fn tree(&self, directory: &str) -> Result<(), Failure> {
        let arguments = self.arguments;
        let directory = Directory::named(directory)?;
        let into = arguments.out.clone().unwrap_or_else(|| PathBuf::from(directory.base()));
        let shown = Display::new(arguments.doing(), directory.shown(), arguments.quiet);
        shown.started(None);
        let request = DownloadRequest { memory: Some(TransferMemory::default()), ..arguments.request() };
        let progress = Sum(&shown);
        let mut total = Total::default();
        let listing = self.client.list(directory.prefix.as_str());
        let files = stream::unfold(Some(listing), async |listing| {
            let mut listing = listing?;
            match listing.next().await {
                Ok(file) => Some((Ok(file?), Some(listing))),
                Err(error) => Some((Err(error), None)),
            }
        });
        let download = async |file| match file {
            Ok(file) => Ok(self.one_of_many(file, &directory, &into, request.clone(), &progress).await),
            Err(error) => Err(error),
        };
        let mut ends = pin!(files.map(download).buffer_unordered(DOWNLOADS_AT_ONCE));
        let mut cut_short = None;
        while let Some(end) = ends.next().await {
            match end {
                Ok((file, path, outcome)) => {
                    total.add(&file, &outcome);
                    if let Err(failure) = &outcome {
                        note(format_args!("error: {}: {}", file.name, failure.message));
                    }
                    if arguments.json {
                        self.tell(&file, path.as_deref(), &outcome)?;
                    }
                }
                // Those that run go on to their end.
                Err(error) => cut_short = Some(error),
            }
        }
        if arguments.json {
            let all = total.told();
            print(format_args!("{}\n", json::line(&all)))?;
        }
        let done = arguments.aim().word();
        if total.done > 0 {
            shown.finish(&format!("{done} {} files of", total.done));
        }
        if total.there > 0 && !arguments.quiet {
            note(format_args!("{} files were here already and right", total.there));
        }
        match cut_short {
            Some(error) => Err(error.into()),
            None => total.verdict(directory.shown(), done),
        }
    }

    async fn one_of_many(
        &self,
        file: FileInfo,
        directory: &Directory,
        into: &Path,
        request: DownloadRequest,
        progress: &dyn Progress,
    ) -> (FileInfo, Option<PathBuf>, Result<Done, Failure>) {
        if self.arguments.verify_only {
            let outcome = self.verify(&file, request, progress).await;
            return (file, None, outcome);
        }
        let prepared = directory.local(&file.name).and_then(|below| {
            make_directories(into, below.parent().unwrap_or(Path::new("")))?;
            Ok(into.join(below))
        });
        match prepared {
            Ok(path) => {
                let outcome = self.save(&file, &path, request, progress).await;
                (file, Some(path), outcome)
            }
            Err(failure) => (file, None, Err(failure)),
        }
    }
}

impl Total {
    fn add(&mut self, file: &FileInfo, outcome: &Result<Done, Failure>) {
        match outcome {
            Ok(Done::There) => self.there += 1,
            Ok(Done::Downloaded | Done::Verified) => {
                self.done += 1;
                self.bytes += file.size;
            }
            Err(failure) => {
                self.failed += 1;
                self.exits.insert(failure.exit);
            }
        }
    }

    /// For programs.
    fn told(&self) -> json::Downloads {
        json::Downloads { done: self.done, there: self.there, failed: self.failed, bytes: self.bytes }
    }

    /// What the whole came to.
    fn verdict(&self, directory: &str, done: &str) -> Result<(), Failure> {
        let all = self.done + self.there + self.failed;
        if all == 0 {
            return Err(Failure::new(Exit::NotFound, format_args!("there is no file below {directory}"))
                .hint("see `list` for the names that exist, and --name for a single file"));
        }
        if self.failed == 0 {
            return Ok(());
        }
        let exit = match (self.exits.first(), self.exits.len()) {
            (Some(exit), 1) => *exit,
            _ => Exit::Failure,
        };
        let message = format!("{} of {all} files were not {done}", self.failed);
        Err(Failure::new(exit, message).hint("each is named above; the others are whole"))
    }
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

/// Makes the directories of `below` in `into`, and `into` itself, on stable storage. Links below `into` are not followed.
fn make_directories(into: &Path, below: &Path) -> Result<(), Failure> {
    let mut path = into.to_owned();
    let chosen = std::fs::create_dir_all(into);
    chosen.map_err(|cause| Failure::local_file("make the directory", into, &cause))?;
    for component in below.components() {
        let above = path.clone();
        path.push(component);
        let made = match std::fs::create_dir(&path) {
            Ok(()) => File::open(&above).and_then(|above| above.sync_all()),
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => match path.symlink_metadata() {
                Ok(found) if found.is_dir() => Ok(()),
                Ok(_) => {
                    let message = format!("{} is not a directory, or is a link to one", path.display());
                    return Err(Failure::new(Exit::LocalFile, message));
                }
                Err(cause) => Err(cause),
            },
            Err(cause) => Err(cause),
        };
        made.map_err(|cause| Failure::local_file("make the directory", &path, &cause))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn the_exit_code_is_that_of_the_failures_if_they_are_alike() {
        let total = |exits: &[Exit]| Total {
            done: 1,
            there: 0,
            bytes: 0,
            failed: exits.len() as u64,
            exits: exits.iter().copied().collect(),
        };
        assert_eq!(total(&[]).verdict("a/", "downloaded"), Ok(()));
        let alike = total(&[Exit::Integrity, Exit::Integrity]).verdict("a/", "downloaded").unwrap_err();
        assert_eq!((alike.exit, alike.message.as_str()), (Exit::Integrity, "2 of 3 files were not downloaded"));
        assert_eq!(total(&[Exit::Integrity, Exit::LocalFile]).verdict("a/", "x").unwrap_err().exit, Exit::Failure);
        assert_eq!(Total::default().verdict("a/", "x").unwrap_err().exit, Exit::NotFound);
    }
}
