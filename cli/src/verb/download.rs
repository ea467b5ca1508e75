//! `download`: a file of the cluster, or all below a directory, into local files or to standard output.

mod tree;

use crate::connect::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Lines, note, print};
use crate::part_file::{Kept, Leftovers, PartFile};
use crate::progress::Display;
use crate::runtime;
use crate::transfer::{Done, Ended, Moved};
use clap::{ArgGroup, Args};
use dfs_client::client::{PARALLEL_DEFAULT, PARALLEL_MAX};
use dfs_client::{Client, ClientError, DownloadRequest, Progress, WriterSink};
use dfs_core::name::FileName;
use dfs_core::range::ByteRange;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::{FileInfo, FileTarget};
use dfs_transport::world::World;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  dfs-cli download --name photos/2026/cat.jpg             writes ./cat.jpg
  dfs-cli download -n photos/2026/cat.jpg -o /tmp/cat.jpg
  dfs-cli download -n backups/etc.tar -o - | tar t
  dfs-cli download -n logs/today -o - --range -4096       the last 4096 bytes
  dfs-cli download -r photos/2026 -o pictures             all below it, into ./pictures
  dfs-cli download -r photos --verify-only                writes nothing

The file appears under its local name when all of it was checked and is on stable storage. Until then an
existing file stays as it is. What an interrupted download has got stays beside it, under a hidden name that ends
with .part; the same command checks it and goes on from there. A file that is there already and right is left alone;
--no-resume writes it anew.

With -r, a file that cannot be downloaded is named, and the rest goes on; the exit code is that of the failures, or
1 if they differ.

With --verify-only, every byte that is asked for is read from one replica of its chunk and checked, or from another
where that fails: it says that the file can be read, not that all of its copies are good.

With --json: a line for each file with the fields outcome (downloaded, there, verified or failed), name, path, id,
bytes, resumed_bytes (found in what an earlier run had got) and error, null where there is none; with -r, a last line
with done, there, failed, bytes, resumed_bytes and error (null unless it was cut short).";

/// Get files back
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
#[command(group(ArgGroup::new("what").required(true).args(["name", "recursive"])))]
pub struct DownloadArgs {
    /// The file's name in the cluster
    #[arg(short, long)]
    name: Option<FileName>,
    /// All files below this directory of the cluster; an empty one means all files
    #[arg(short, long, value_name = "DIR")]
    recursive: Option<String>,
    /// The local file to write, or with -r the directory; - is standard output [default: the base name, in the
    /// current directory]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Only these bytes, as in HTTP: FIRST-LAST (both inclusive, from 0), FIRST- or -COUNT for the last ones
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true, conflicts_with = "recursive")]
    range: Option<ByteRange>,
    /// Read and check every byte, and write nothing
    #[arg(long, conflicts_with = "out")]
    verify_only: bool,
    /// Begin afresh, and keep nothing if it is interrupted
    #[arg(long)]
    no_resume: bool,
    /// Chunks on their way at once, of each file
    #[arg(long, value_name = "N", default_value_t = PARALLEL_DEFAULT as u16,
          value_parser = clap::value_parser!(u16).range(1..=PARALLEL_MAX as i64))]
    parallel: u16,
    /// Show neither progress nor success
    #[arg(short, long)]
    quiet: bool,
    /// Write JSON lines, and no progress
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What one run of the verb shares.
struct Run<'a> {
    world: &'a World,
    client: &'a Client,
    arguments: &'a DownloadArgs,
    kept: &'a Kept,
    leftovers: Arc<Leftovers>,
}

impl DownloadArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.check()?;
        let kept = Kept::default();
        let outcome = runtime::run_interruptible("download", async |world| {
            let client = self.cluster.client(&world)?;
            let (arguments, leftovers) = (&self, Arc::default());
            let run = Run { world: &world, client: &client, arguments, kept: &kept, leftovers };
            let outcome = match (&self.name, &self.recursive) {
                (Some(name), _) => run.one(name).await,
                (None, directory) => run.tree(directory.as_deref().unwrap_or_default()).await,
            };
            client.close().await;
            outcome
        });
        outcome.map_err(|failure| kept.explain(failure))
    }

    /// Refuses what makes no sense together, before anything is asked.
    fn check(&self) -> Result<(), Failure> {
        if !self.goes_to_standard_output() {
            return Ok(());
        }
        let refused = |what: &str| Failure::new(Exit::Usage, format_args!("{what} and --out - do not go together"));
        match (&self.recursive, self.json) {
            (Some(_), _) => Err(refused("--recursive").hint("name a directory")),
            (None, true) => Err(refused("--json").hint("write to a file")),
            (None, false) => Ok(()),
        }
    }

    fn goes_to_standard_output(&self) -> bool {
        self.out.as_ref().is_some_and(|out| out.as_os_str() == "-")
    }

    fn request(&self) -> DownloadRequest {
        DownloadRequest { parallel: usize::from(self.parallel), range: self.range, ..DownloadRequest::default() }
    }

    /// What is to be done for a file.
    fn aim(&self) -> Done {
        if self.verify_only { Done::Verified } else { Done::Downloaded }
    }

    fn doing(&self) -> &'static str {
        if self.verify_only { "verifying" } else { "downloading" }
    }

    /// Whether people are told nothing of how it goes.
    fn is_quiet(&self) -> bool {
        self.quiet || self.json
    }

    /// The bytes of a file that are asked for; nothing if it does not have them.
    fn bytes_of(&self, file: &FileInfo) -> Option<u64> {
        self.range.map_or(Some(file.size), |range| range.resolve(file.size).ok().map(|span| span.length))
    }
}

impl Run<'_> {
    /// One file.
    async fn one(&self, name: &FileName) -> Result<(), Failure> {
        let arguments = self.arguments;
        let quiet = arguments.is_quiet();
        let progress = Display::new(arguments.doing(), name.as_str(), quiet);
        // A checked component of a name has no slash and is not `..`: it stays in this directory.
        let out = arguments.out.as_deref().unwrap_or(Path::new(name.base()));
        let out = (!arguments.verify_only && !arguments.goes_to_standard_output()).then_some(out);
        let found = self.client.stat(FileTarget::Name(name.clone())).await.map_err(Failure::from);
        let outcome = match &found {
            Ok(file) => self.fetch(file, out, &progress).await,
            Err(failure) => Err(failure.clone()),
        };
        let file = found.as_ref().ok();
        if arguments.json {
            let mut lines = Lines::default();
            lines.print(&self.ended(name, file, out, &outcome).line());
            return lines.conclude(outcome.map(drop));
        }
        match (outcome?.done, out) {
            (Done::There, Some(out)) if !quiet => {
                drop(progress);
                note(format_args!("{} is here already and right; nothing was downloaded", out.display()));
            }
            (done, _) => progress.finish(done.word()),
        }
        match file {
            Some(file) if arguments.verify_only && !quiet => {
                let bytes = ByteCount(arguments.bytes_of(file).unwrap_or(0));
                print(format_args!("{name}: {bytes} can be read and are right (file {})\n", file.file))
            }
            _ => Ok(()),
        }
    }

    /// Does for one file what is asked for.
    async fn fetch(&self, file: &FileInfo, out: Option<&Path>, progress: &dyn Progress) -> Result<Moved, Failure> {
        let request = self.arguments.request();
        match out {
            Some(out) => self.save(file, out, request, progress).await,
            None if self.arguments.verify_only => self.verify(file, request, progress).await,
            None => {
                let mut sink = WriterSink::new(&self.world.scope, std::io::stdout());
                let written = match self.client.download_version(file, &mut sink, request, progress).await {
                    Ok(()) => sink.flush().await.map_err(ClientError::Sink),
                    failed => failed,
                };
                match written {
                    Ok(()) => Ok(Moved { done: Done::Downloaded, resumed_bytes: 0 }),
                    // Among others, the reader has enough.
                    Err(ClientError::Sink(cause)) => Err(Failure::output(&cause)),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// Downloads one file into a local one, going on where an earlier run was cut off. One that is there already and right
    /// is left as it is.
    async fn save(
        &self,
        file: &FileInfo,
        out: &Path,
        request: DownloadRequest,
        progress: &dyn Progress,
    ) -> Result<Moved, Failure> {
        if self.arguments.no_resume || request.range.is_some() {
            let part = PartFile::create(out, &self.world.entropy)?;
            download_file(self.world, self.client, file, part, request, progress).await?;
            return Ok(Moved { done: Done::Downloaded, resumed_bytes: 0 });
        }
        let (target, size) = (out.to_owned(), file.size);
        if let Some(copy) = self.blocking(move || open_of_size(&target, size)).await?
            && self.right(file, copy).await? == file.size
        {
            return Ok(Moved { done: Done::There, resumed_bytes: 0 });
        }
        let (target, version, entropy) = (out.to_owned(), file.clone(), self.world.entropy.clone());
        let (leftovers, kept) = (Arc::clone(&self.leftovers), self.kept.clone());
        let begin = move || {
            let part = PartFile::resume(&target, &version, &leftovers, &kept, &entropy)?;
            let written = part.written().map_err(|cause| Failure::local_file("read", &target, &cause))?;
            Ok::<_, Failure>((part, written))
        };
        let (part, written) = self.blocking(begin).await??;
        let right = match written {
            Some(written) => self.right(file, written).await?,
            None => 0,
        };
        if right > 0 && !self.arguments.is_quiet() {
            let (right, size) = (ByteCount(right), ByteCount(file.size));
            note(format_args!("{}: {right} of {size} are here already and right; going on from there", file.name));
        }
        go_on(self.world, self.client, file, (part, right), request, progress).await?;
        Ok(Moved { done: Done::Downloaded, resumed_bytes: right })
    }

    /// How many bytes at the beginning of a local copy are right.
    async fn right(&self, file: &FileInfo, copy: File) -> Result<u64, Failure> {
        // Many files at once have one display together, which counts what comes.
        let quiet = self.arguments.is_quiet() || self.arguments.recursive.is_some();
        let checking = Display::new("checking", file.name.as_str(), quiet);
        Ok(self.client.verified_prefix(file, copy, &checking).await?)
    }

    /// Reads every byte that is asked for.
    async fn verify(
        &self,
        file: &FileInfo,
        request: DownloadRequest,
        progress: &dyn Progress,
    ) -> Result<Moved, Failure> {
        let nowhere = WriterSink::new(&self.world.scope, std::io::sink());
        self.client.download_version(file, nowhere, request, progress).await?;
        Ok(Moved { done: Done::Verified, resumed_bytes: 0 })
    }

    /// What became of a file, to be told.
    fn ended<'b>(
        &self,
        name: &'b FileName,
        file: Option<&FileInfo>,
        path: Option<&'b Path>,
        outcome: &'b Result<Moved, Failure>,
    ) -> Ended<'b> {
        let bytes = file.and_then(|file| self.arguments.bytes_of(file));
        Ended { name: Some(name), path, id: file.map(|file| file.file), bytes, outcome }
    }

    /// Does something that blocks.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        self.world.scope.blocking(work).await.map_err(|_| stopped())
    }
}

fn stopped() -> Failure {
    Failure::new(Exit::Failure, "the download was stopped")
}

/// The regular file at this path, if it has so many bytes, and any.
fn open_of_size(path: &Path, size: u64) -> Option<File> {
    let is_regular = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    let file = is_regular.then(|| File::open(path).ok())??;
    (size > 0 && file.metadata().ok()?.len() == size).then_some(file)
}

/// Downloads into a local file, which appears whole or not at all.
pub(super) async fn download_file(
    world: &World,
    client: &Client,
    file: &FileInfo,
    part: PartFile,
    request: DownloadRequest,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    go_on(world, client, file, (part, 0), request, progress).await
}

/// The same, where so many bytes at the beginning are there and right.
async fn go_on(
    world: &World,
    client: &Client,
    file: &FileInfo,
    (part, right): (PartFile, u64),
    mut request: DownloadRequest,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    let out = part.target().to_owned();
    let failed = |cause: &std::io::Error| Failure::local_file("write", &out, cause);
    let writer = part.writer_from(right).map_err(|cause| failed(&cause))?;
    if right > 0 {
        request.range = Some(ByteRange::From { first: right, last: None });
    }
    if right == 0 || right < file.size {
        client.download_version(file, WriterSink::new(&world.scope, writer), request, progress).await?;
    }
    let finished = world.scope.blocking(move || part.finish()).await;
    finished.map_err(|_| stopped())?.map_err(|cause| failed(&cause))
}
