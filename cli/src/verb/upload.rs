//! `upload`: a file, standard input or a directory into the cluster.

mod tree;

use crate::connect::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::local_file::{Links, to_read};
use crate::output::Lines;
use crate::progress::Display;
use crate::runtime;
use crate::transfer::{Done, Ended, Moved};
use clap::Args;
use dfs_client::client::{PARALLEL_DEFAULT, PARALLEL_MAX};
use dfs_client::{Client, ClientError, FileSource, PipeSource, Resume, Source, UploadRequest};
use dfs_core::limit::REPLICATION_MAX;
use dfs_core::name::FileName;
use dfs_core::refusal::Refusal;
use dfs_core::time::WallTime;
use dfs_core::unit::{ByteCount, ChunkSize};
use dfs_core::wire::metadata::{FileInfo, FileTarget};
use dfs_transport::world::World;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tree::Tree;

const EXAMPLES: &str = "\
Examples:
  dfs-cli upload --file photo.jpg
  dfs-cli upload -f photo.jpg -n photos/2026/cat.jpg --replication 2
  dfs-cli upload -f photo.jpg --overwrite
  dfs-cli upload -r photos --name backup/photos
  tar c /etc | dfs-cli upload -f - -n backups/etc.tar --chunk-size 16MiB

The file appears under its name when all of it is durable on enough nodes, and not before.

An upload that was interrupted goes on where it was when the same command is run again: what is stored is not sent
again. It is the same if the file has the size and modification time that it had; with --checksum its bytes are compared
instead of its time.
Standard input always begins anew, and so does a file that was not stored whole with --no-resume.

With -r, a file that is stored already with the same size and modification time is let alone, also with --overwrite;
with --checksum, one that is stored already with the same bytes. Another file of that name fails, or is replaced with
--overwrite. A file that cannot be stored is named, and the rest goes on; the exit code is that of the failures, or 1
if they differ.

With --json: a line for each file with the fields outcome (uploaded, there or failed), name, path, id, bytes,
resumed_bytes (stored by an earlier run and not sent again) and error, null where there is none; with -r, a last line
with done, there, failed, bytes, resumed_bytes and error (null unless it was cut short).";

/// Store a file
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct UploadArgs {
    /// The file to store; - is standard input
    #[arg(short, long, value_name = "PATH", required_unless_present = "recursive")]
    file: Option<PathBuf>,
    /// A directory to store with all that is below it; links and special files are named and passed over
    #[arg(short, long, value_name = "DIR", conflicts_with = "file")]
    recursive: Option<PathBuf>,
    /// The name to store it under, or the prefix for the files of a directory [default: its base name]
    #[arg(short, long)]
    name: Option<FileName>,
    /// Copies of each chunk, 1 to 8 [default: the cluster's setting]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(REPLICATION_MAX)))]
    replication: Option<u8>,
    /// Size of its chunks: a multiple of 64KiB from 64KiB to 64MiB
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = chunk_size)]
    chunk_size: ChunkSize,
    /// Chunks on their way at once
    #[arg(long, value_name = "N", default_value_t = PARALLEL_DEFAULT as u16,
          value_parser = clap::value_parser!(u16).range(1..=PARALLEL_MAX as i64))]
    parallel: u16,
    /// Go on with an interrupted upload only where the bytes are the same, not only size and time
    #[arg(long)]
    checksum: bool,
    /// Begin anew, whatever an interrupted upload has left
    #[arg(long, conflicts_with = "checksum")]
    no_resume: bool,
    /// Write JSON lines, and no progress
    #[arg(long)]
    json: bool,
    /// Replace the file that has the name now; until all is durable, readers get the old one
    #[arg(long)]
    overwrite: bool,
    /// Show neither progress nor success
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

fn chunk_size(text: &str) -> Result<ChunkSize, String> {
    let bytes: ByteCount = text.parse().map_err(|error: dfs_core::unit::InvalidByteCount| error.to_string())?;
    ChunkSize::try_from(bytes.0).map_err(|error| error.to_string())
}

impl UploadArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let name = self.stored_name()?;
        let outcome = runtime::run_interruptible("upload", async |world| self.upload(&world, name).await);
        outcome.map_err(|failure| match failure.exit {
            Exit::Interrupted if !self.is_piped() => failure.hint(self.advice()),
            _ => failure,
        })
    }

    /// What to do after it was cut short.
    fn advice(&self) -> &'static str {
        match (self.no_resume, &self.recursive) {
            (false, _) => "run the same command again to go on; what is stored is not sent again",
            (true, Some(_)) => "run the same command again to go on; files that are stored whole are not sent again",
            (true, None) => "run the same command again; with --no-resume it begins anew",
        }
    }

    fn resume(&self) -> Resume {
        match (self.no_resume, self.checksum) {
            (true, _) => Resume::Never,
            (false, true) => Resume::Compare,
            (false, false) => Resume::Trust,
        }
    }

    /// The name to store under: as given, else the file's base name.
    fn stored_name(&self) -> Result<FileName, Failure> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        if self.is_piped() {
            return Err(Failure::new(Exit::Usage, "standard input has no name")
                .hint("say under which name to store it, with --name"));
        }
        match &self.recursive {
            Some(root) => base_name(&tree::tidy(root)),
            None => base_name(self.path()),
        }
    }

    /// The file to store. One is given where no directory is.
    fn path(&self) -> &Path {
        self.file.as_deref().unwrap_or(Path::new("-"))
    }

    fn is_piped(&self) -> bool {
        self.recursive.is_none() && self.path().as_os_str() == "-"
    }

    async fn upload(&self, world: &World, name: FileName) -> Result<(), Failure> {
        let request = UploadRequest {
            replication: self.replication,
            chunk_size: self.chunk_size,
            parallel: usize::from(self.parallel),
            replace: self.overwrite,
            ..UploadRequest::new(name.clone(), world.wall_clock.now())
        };
        let request = if self.is_piped() { request } else { UploadRequest { resume: self.resume(), ..request } };
        if let Some(root) = &self.recursive {
            let client = self.cluster.client(world)?;
            let (json, quiet, advice) = (self.json, self.quiet, self.advice());
            let outcome = Tree { world, client: &client, request, json, quiet, advice }.upload(root).await;
            client.close().await;
            return outcome;
        }
        let progress = Display::new("uploading", name.as_str(), self.quiet || self.json);
        let stored = self.store(world, request, &progress).await;
        if stored.is_ok() {
            progress.finish("uploaded");
        }
        let (id, bytes) = stored.as_ref().map_or((None, None), |info| (Some(info.file), Some(info.size)));
        let outcome = stored.map(|_| Moved { done: Done::Uploaded, resumed_bytes: progress.resumed_bytes() });
        let mut lines = Lines::default();
        if self.json {
            let path = (!self.is_piped()).then_some(self.path());
            lines.print(&Ended { name: Some(&name), path, id, bytes, outcome: &outcome }.line());
        }
        lines.conclude(outcome.map(drop))
    }

    /// One file, or standard input.
    async fn store(&self, world: &World, request: UploadRequest, progress: &Display) -> Result<FileInfo, Failure> {
        if self.is_piped() {
            let (client, name) = (self.cluster.client(world)?, request.name.clone());
            let source = PipeSource::new(&world.scope, std::io::stdin());
            let stored = client.upload(source, request, progress).await;
            client.close().await;
            return stored.map_err(|error| explain(error, &name));
        }
        // A file that cannot be read is an error before anything is asked.
        let source = open(world, self.path()).await?;
        let client = self.cluster.client(world)?;
        let stored = self.store_file(world, &client, source, request, progress).await;
        client.close().await;
        stored
    }

    /// One file. If it is stored already, as after a run whose last answer was lost, it is refused and told so.
    async fn store_file(
        &self,
        world: &World,
        client: &Client,
        source: FileSource,
        request: UploadRequest,
        progress: &Display,
    ) -> Result<FileInfo, Failure> {
        let request = with_time_of(&source, request);
        let size = source.size().unwrap_or(0);
        let error = match client.upload(source, request.clone(), progress).await {
            Ok(info) => return Ok(info),
            Err(error) => error,
        };
        let asked = Asked { request: &request, size, path: self.path(), links: Links::Followed };
        if let ClientError::NameExists { .. } = &error
            && let Ok(Some(info)) = there(world, client, &asked).await
        {
            let alike = if self.checksum { "bytes" } else { "size and modification time" };
            let hint = format!("it is stored already: file {} has the same {alike}", info.file);
            return Err(explain(error, &request.name).hint(hint));
        }
        Err(explain(error, &request.name))
    }
}

/// A local file, and what it is to be stored as.
struct Asked<'a> {
    request: &'a UploadRequest,
    size: u64,
    path: &'a Path,
    /// Whether the path may be a link.
    links: Links,
}

/// The file that has the name already, if it is the one that is asked for.
async fn there(world: &World, client: &Client, asked: &Asked<'_>) -> Result<Option<FileInfo>, Failure> {
    let Asked { request, size, path, links } = *asked;
    let info = match client.stat(FileTarget::Name(request.name.clone())).await {
        Ok(info) => info,
        Err(ClientError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let other_shape = info.chunk_size != request.chunk_size
        || request.replication.is_some_and(|replication| replication != info.replication);
    if info.size != size || request.replace && other_shape {
        return Ok(None);
    }
    let same = if request.resume == Resume::Compare {
        let opening = path.to_owned();
        let opened = world.scope.blocking(move || to_read(links).open(opening)).await.map_err(|_| stopped())?;
        let copy = opened.map_err(|cause| Failure::local_file("read", path, &cause))?;
        client.verified_prefix(&info, copy, &()).await? == size
    } else {
        info.modified == request.modified
    };
    Ok(same.then_some(info))
}

fn stopped() -> Failure {
    Failure::new(Exit::Failure, "the upload was stopped")
}

/// The request for a source, with the modification time that it has.
fn with_time_of(source: &FileSource, request: UploadRequest) -> UploadRequest {
    UploadRequest { modified: modified(source).unwrap_or(request.modified), ..request }
}

/// Uploads an open file with the modification time that it has.
pub(super) async fn upload_file(
    client: &Client,
    source: FileSource,
    request: UploadRequest,
    progress: &Display,
) -> Result<FileInfo, Failure> {
    let request = with_time_of(&source, request);
    let name = request.name.clone();
    client.upload(source, request, progress).await.map_err(|error| explain(error, &name))
}

/// When a file was modified, where its file system knows.
fn modified(source: &FileSource) -> Option<WallTime> {
    let since = source.modified()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(WallTime)
}

/// What an error means for an upload under this name.
fn explain(error: ClientError, name: &FileName) -> Failure {
    match error {
        ClientError::Refused(Refusal::NameConflict) => {
            let message = format!("{name} cannot be a file: a part of the name is a file, or the name is a directory");
            Failure::new(Exit::AlreadyExists, message).hint("choose another name; see `dfs-cli list`")
        }
        other => other.into(),
    }
}

/// Opens a regular file.
pub(super) async fn open(world: &World, path: &Path) -> Result<FileSource, Failure> {
    match path.metadata() {
        Err(cause) => Err(Failure::local_file("read", path, &cause)),
        Ok(metadata) if metadata.is_dir() => {
            Err(Failure::new(Exit::LocalFile, format_args!("{} is a directory", path.display()))
                .hint("upload all that is below it with -r DIR, or pipe an archive of it: tar c DIR | dfs-cli upload -f - -n NAME"))
        }
        Ok(metadata) if !metadata.is_file() => {
            Err(Failure::new(Exit::LocalFile, format_args!("{} is not a regular file", path.display()))
                .hint("pipe what it gives into: dfs-cli upload -f - -n NAME"))
        }
        Ok(_) => {
            let opened = FileSource::open_with(&world.scope, path, to_read(Links::Followed)).await;
            opened.map_err(|cause| Failure::local_file("read", path, &cause))
        }
    }
}

/// The base name of a local file, if it can be a name in the cluster.
pub(super) fn base_name(path: &Path) -> Result<FileName, Failure> {
    let unusable = |why: &str| {
        Failure::new(Exit::Usage, format_args!("{} cannot be stored under its own name: {why}", path.display()))
            .hint("say under which name to store it, with --name")
    };
    let base = path.file_name().ok_or_else(|| unusable("it has none"))?;
    let base = base.to_str().ok_or_else(|| unusable("a name must be valid UTF-8"))?;
    FileName::new(base).map_err(|error| unusable(&error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_file_is_stored_under_its_base_name() {
        assert_eq!(base_name(Path::new("/a/b c.txt")).unwrap().as_str(), "b c.txt");
        for path in [OsStr::new("/"), OsStr::new(".."), OsStr::from_bytes(b"a/\xff"), OsStr::new("a/b\nc")] {
            let failure = base_name(Path::new(path)).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.hint.unwrap().contains("--name"));
        }
    }

    /// A command line of this verb alone.
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: UploadArgs,
    }

    #[test]
    fn the_advice_after_an_interruption_is_true_with_every_flag() {
        let advice = |flags: &[&str]| {
            let line = <Line as clap::Parser>::try_parse_from([&["upload"], flags].concat()).unwrap();
            line.arguments.advice()
        };
        for flags in [&["-f", "a"][..], &["-f", "a", "--checksum"], &["-r", "a"], &["-r", "a", "--overwrite"]] {
            assert!(advice(flags).ends_with("what is stored is not sent again"), "{flags:?}");
        }
        assert!(advice(&["-f", "a", "--no-resume"]).ends_with("it begins anew"));
        assert!(advice(&["-r", "a", "--no-resume"]).ends_with("files that are stored whole are not sent again"));
    }

    #[tokio::test]
    async fn what_is_not_a_file_is_refused_with_another_way() {
        let world = World::production("test");
        let directory = tempfile::tempdir().unwrap();
        let refused = async |path: &Path| open(&world, path).await.unwrap_err();
        assert_eq!(refused(&directory.path().join("none")).await.exit, Exit::LocalFile);
        assert!(refused(directory.path()).await.hint.unwrap().contains("tar"));
        assert!(refused(Path::new("/dev/null")).await.hint.unwrap().contains("-f -"));
    }
}
