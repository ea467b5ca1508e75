//! `download`: a file of the cluster into a local file or to standard output.

use crate::connect::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::local_file::PartFile;
use crate::progress::Display;
use crate::runtime;
use clap::Args;
use dfs_client::client::{PARALLEL_DEFAULT, PARALLEL_MAX};
use dfs_client::{Client, DownloadRequest, WriterSink};
use dfs_core::name::FileName;
use dfs_core::range::ByteRange;
use dfs_core::wire::metadata::FileTarget;
use dfs_transport::world::World;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  dfs-cli download --name photos/2026/cat.jpg             writes ./cat.jpg
  dfs-cli download -n photos/2026/cat.jpg -o /tmp/cat.jpg
  dfs-cli download -n backups/etc.tar -o - | tar t
  dfs-cli download -n logs/today -o - --range -4096       the last 4096 bytes

The file appears under its local name when all of it was checked and is on stable storage. Until then an
existing file stays as it is.";

/// Get a file back
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DownloadArgs {
    /// The file's name in the cluster
    #[arg(short, long)]
    name: FileName,
    /// The local file to write; - is standard output [default: the base name, in the current directory]
    #[arg(short, long, value_name = "PATH")]
    out: Option<PathBuf>,
    /// Only these bytes, as in HTTP: FIRST-LAST (both inclusive, from 0), FIRST- or -COUNT for the last ones
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    range: Option<ByteRange>,
    /// Chunks on their way at once
    #[arg(long, value_name = "N", default_value_t = PARALLEL_DEFAULT as u16,
          value_parser = clap::value_parser!(u16).range(1..=PARALLEL_MAX as i64))]
    parallel: u16,
    /// Show neither progress nor success
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl DownloadArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime::run_interruptible("download", async |world| self.download(&world).await)
    }

    async fn download(&self, world: &World) -> Result<(), Failure> {
        let client = self.cluster.client(world)?;
        let progress = Display::new("downloading", self.name.as_str(), self.quiet);
        let request = DownloadRequest { parallel: usize::from(self.parallel), range: self.range };
        let target = FileTarget::Name(self.name.clone());
        match &self.out {
            Some(out) if out.as_os_str() == "-" => {
                let sink = WriterSink::new(&world.scope, std::io::stdout());
                client.download(target, sink, request, &progress).await?;
            }
            Some(out) => download_file(world, &client, target, out, request, &progress).await?,
            // A checked component of a name has no slash and is not `..`: it stays in this directory.
            None => download_file(world, &client, target, Path::new(self.name.base()), request, &progress).await?,
        }
        client.close().await;
        progress.finish("downloaded");
        Ok(())
    }
}

/// Downloads into a local file, which appears whole or not at all.
pub(super) async fn download_file(
    world: &World,
    client: &Client,
    target: FileTarget,
    out: &Path,
    request: DownloadRequest,
    progress: &Display,
) -> Result<(), Failure> {
    let part = PartFile::create(out, &world.entropy)?;
    let failed = |cause: &std::io::Error| Failure::local_file("write", out, cause);
    let writer = part.writer().map_err(|cause| failed(&cause))?;
    client.download(target, WriterSink::new(&world.scope, writer), request, progress).await?;
    let finished = world.scope.blocking(move || part.finish()).await;
    finished.map_err(|_| Failure::new(Exit::Failure, "the download was stopped"))?.map_err(|cause| failed(&cause))
}
