//! `demo`: a real cluster takes a real file in, loses its leader and a storage node, and gives the file back intact.
//!
//! It is the launcher and the client as any other user has them. Whatever happens (an error, Ctrl-C, a panic), its
//! processes end and its files are removed; its processes end even if it is killed.

mod journal;

use super::download::download_file;
use super::upload::{base_name, open, upload_file};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::launcher::{Launcher, LauncherSettings, NodeName};
use crate::output::note;
use crate::part_file::PartFile;
use crate::progress::{self, Display};
use crate::runtime;
use clap::Args;
use dfs_client::{Client, ClientSettings, DownloadRequest, UploadRequest};
use dfs_core::checksum::Digest;
use dfs_core::id::{NodeId, Role};
use dfs_core::name::FileName;
use dfs_core::wire::metadata::{FileTarget, ListFiles};
use dfs_transport::world::World;
use journal::Journal;
use sha2::{Digest as _, Sha256};
use std::fs::DirBuilder;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tokio::time::Instant;

const EXAMPLES: &str = "\
Examples:
  dfs-cli demo                 with this program itself as the file
  dfs-cli demo film.mkv
  dfs-cli demo film.mkv --keep

It works in a directory of its own under $TMPDIR (else /tmp), which needs room for about eight times the file, and
1 GiB. The exit code is 0 only if all bytes came back identical.";

/// See a cluster lose its leader and a storage node, and give a file back intact
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// The file to use [default: this program's own]
    file: Option<PathBuf>,
    /// Leave the cluster running, and say how to use and remove it
    #[arg(long)]
    keep: bool,
}

impl DemoArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime::run_interruptible("demo", async |world| self.demo(&world).await)
    }

    async fn demo(&self, world: &World) -> Result<(), Failure> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => std::env::current_exe()
                .map_err(|cause| Failure::local_file("find", Path::new("/proc/self/exe"), &cause))?,
        };
        // What is wrong with the file is said before anything is started.
        open(world, &file).await?;
        let name =
            base_name(&file).or_else(|_| FileName::new("file").map_err(|error| Failure::new(Exit::Failure, error)))?;

        let place = Place::make(world, self.keep)?;
        let mut journal = Journal::begin();
        let outcome = play(world, &place, &file, &name, &mut journal).await;
        // The table is shown whatever happened, up to where it happened.
        if outcome.is_ok() && !self.keep {
            let began = Instant::now();
            place.launcher.purge().await?;
            journal.step("stop", "all processes have ended; everything is removed", began);
        }
        journal.show()?;
        outcome?;
        if self.keep {
            let directory = place.launcher.layout().root().display();
            note(format_args!(
                "the cluster still runs: dfs-cli list --cluster {directory}\n\
                 stop and remove it: dfs-cli cluster down --purge --dir {directory}"
            ));
        }
        Ok(())
    }
}

/// The demo's directory and its cluster, gone when it is dropped unless they are to be kept.
struct Place {
    directory: PathBuf,
    launcher: Launcher,
    keep: bool,
}

impl Place {
    fn make(world: &World, keep: bool) -> Result<Place, Failure> {
        let directory = std::env::temp_dir().join(format!("dfs-demo-{:016x}", world.entropy.number()));
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(|cause| Failure::local_file("make directory", &directory, &cause))?;
        let settings = LauncherSettings { end_with_parent: !keep, ..LauncherSettings::new(directory.join("cluster")) };
        let launcher = Launcher::new(world, settings)?;
        Ok(Place { directory, launcher, keep })
    }

    /// Where a download goes.
    fn copy(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            self.launcher.destroy();
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// Everything that happens between start and stop.
async fn play(
    world: &World,
    place: &Place,
    file: &Path,
    name: &FileName,
    journal: &mut Journal,
) -> Result<(), Failure> {
    let launcher = &place.launcher;
    let began = Instant::now();
    let up = launcher.up(None, None).await?;
    journal.step("start", format!("{} in processes of their own", up.shape), began);

    let client = launcher.client(ClientSettings::default())?;
    let expected = sha256(world, file).await?;
    upload(world, &client, file, name, "upload", journal).await?;

    let began = Instant::now();
    let page = client.list_page(&ListFiles { prefix: String::new(), after: None, limit: 10 }).await?;
    let listed = page.files.iter().find(|file| file.name == *name);
    let listed = listed.ok_or_else(|| Failure::new(Exit::Integrity, format_args!("{name} is not in the listing")))?;
    let chunks = listed.chunk_size.chunk_count(listed.size);
    journal.step(
        "list",
        format!("{name}: id {}, {chunks} chunks, {} replicas", listed.file, listed.replication),
        began,
    );

    let leader = NodeName { role: Role::Metadata, node: client.status().await?.leader.node };
    let storage = NodeName { role: Role::Storage, node: busiest(&client, up.shape.storage()).await? };
    for (name, what) in [(leader, "the metadata leader"), (storage, "a storage node that holds the file")] {
        let began = Instant::now();
        launcher.kill(name).await?;
        journal.step("kill", format!("{name}, {what} (SIGKILL)"), began);
    }
    let began = Instant::now();
    let leader = client.status().await?.leader.node;
    journal.step("elect", format!("metadata-{leader} leads now"), began);

    download(world, place, &client, name, expected, "download", journal).await?;
    let second =
        FileName::new(format!("degraded/{}", name.base())).map_err(|error| Failure::new(Exit::Failure, error))?;
    upload(world, &client, file, &second, "upload", journal).await?;
    download(world, place, &client, &second, expected, "download", journal).await?;
    client.close().await;
    Ok(())
}

/// The storage node that holds the most chunks.
async fn busiest(client: &Client, storage_nodes: u16) -> Result<NodeId, Failure> {
    let nodes = client.nodes().await?.storage;
    let chunks = |load: Option<dfs_core::wire::metadata::StorageLoad>| load.map_or(0, |load| load.chunk_count);
    let most = nodes.iter().max_by_key(|node| chunks(node.load));
    Ok(most.map_or(NodeId(u64::from(storage_nodes)), |node| node.address.node))
}

async fn upload(
    world: &World,
    client: &Client,
    file: &Path,
    name: &FileName,
    step: &'static str,
    journal: &mut Journal,
) -> Result<(), Failure> {
    let began = Instant::now();
    let source = open(world, file).await?;
    let request = UploadRequest::new(name.clone(), world.wall_clock.now());
    let progress = Display::new("uploading", name.as_str(), false);
    let info = upload_file(client, source, request, &progress).await?;
    journal.step(step, format!("{name}: {}", progress::summary(info.size, began.elapsed())), began);
    Ok(())
}

async fn download(
    world: &World,
    place: &Place,
    client: &Client,
    name: &FileName,
    expected: Digest,
    step: &'static str,
    journal: &mut Journal,
) -> Result<(), Failure> {
    let began = Instant::now();
    let copy = place.copy("copy");
    let progress = Display::new("downloading", name.as_str(), false);
    let file = client.stat(FileTarget::Name(name.clone())).await?;
    let part = PartFile::create(&copy, &world.entropy)?;
    download_file(world, client, &file, part, DownloadRequest::default(), &progress).await?;
    let took = began.elapsed();
    let found = sha256(world, &copy).await?;
    let size = copy.metadata().map_or(0, |metadata| metadata.len());
    std::fs::remove_file(&copy).map_err(|cause| Failure::local_file("remove", &copy, &cause))?;
    if found != expected {
        return Err(Failure::new(Exit::Integrity, format_args!("{name} came back with other bytes")));
    }
    let shown: String = found.to_string().chars().take(12).collect();
    journal.step(step, format!("{name}: {}; SHA-256 {shown}… is identical", progress::summary(size, took)), began);
    Ok(())
}

/// The SHA-256 of a local file.
async fn sha256(world: &World, path: &Path) -> Result<Digest, Failure> {
    let owned = path.to_owned();
    let hashed = world.scope.blocking(move || {
        let mut file = std::fs::File::open(owned)?;
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1024 * 1024];
        loop {
            match file.read(&mut buffer)? {
                0 => return std::io::Result::Ok(Digest(hasher.finalize().into())),
                length => hasher.update(&buffer[..length]),
            }
        }
    });
    let hashed = hashed.await.map_err(|_| Failure::new(Exit::Failure, "the demo was stopped"))?;
    hashed.map_err(|cause| Failure::local_file("read", path, &cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_demo_leaves_nothing_behind() {
        let world = World::production("test");
        let place = Place::make(&world, false).unwrap();
        let directory = place.directory.clone();
        std::fs::write(place.copy("copy"), "half").unwrap();
        assert!(directory.exists());
        drop(place);
        assert!(!directory.exists());
    }

    #[tokio::test]
    async fn a_file_is_hashed_as_a_whole() {
        let world = World::production("test");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let content = vec![7; 3_000_000];
        std::fs::write(&path, &content).unwrap();
        assert_eq!(sha256(&world, &path).await.unwrap(), Digest::of(&content));
    }
}
