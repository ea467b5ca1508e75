//! `stat`: one file with its groups, its chunks and who holds them.

use crate::connect::ClusterArgs;
use crate::failure::Failure;
use crate::json;
use crate::moment;
use crate::output::print;
use crate::runtime;
use clap::Args;
use dfs_client::Client;
use dfs_core::id::GroupIndex;
use dfs_core::name::FileName;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::{FileInfo, FileTarget, GroupLocations};
use std::fmt::Write;

const EXAMPLES: &str = "\
Examples:
  dfs-cli stat --name photos/2026/cat.jpg
  dfs-cli stat -n photos/2026/cat.jpg --json | jq '.groups[].chunks[].holders'

With --json: the fields of `list --json`, and groups: an array of group, epoch and chunks, which have chunk,
epoch, length_bytes, checksum, holders and verified (numbers of storage nodes).";

/// Show one file: its groups, its chunks and who holds them
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StatArgs {
    /// The file's name
    #[arg(short, long)]
    name: FileName,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl StatArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        runtime::run_interruptible("stat", async |world| {
            let client = self.cluster.client(&world)?;
            let file = client.stat(FileTarget::Name(self.name.clone())).await?;
            if self.json {
                print_json(&client, &file).await?;
            } else {
                print(format_args!("{}", heading(&file)))?;
                each_page(&client, &file, |group, _| print(format_args!("{}", lines(&file, group)))).await?;
            }
            client.close().await;
            Ok(())
        })
    }
}

/// Writes the groups as they come: no file is too long for memory.
async fn print_json(client: &Client, file: &FileInfo) -> Result<(), Failure> {
    let whole = json::line(&json::FileDetail { file: json::File::of(file), groups: Vec::new() });
    let open = whole.strip_suffix("]}").unwrap_or(&whole);
    print(format_args!("{open}"))?;
    each_page(client, file, |group, is_first| {
        let separator = if is_first { "\n" } else { ",\n" };
        print(format_args!("{separator}{}", json::line(&group_json(file, group))))
    })
    .await?;
    print(format_args!("]}}\n"))
}

/// Calls `show` with every group of a file, and with whether it is the first.
async fn each_page(
    client: &Client,
    file: &FileInfo,
    mut show: impl FnMut(&GroupLocations, bool) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let chunks = file.chunk_size.chunk_count(file.size);
    let groups = chunks.div_ceil(u64::from(dfs_core::limit::CHUNKS_PER_GROUP));
    let mut next: u64 = 0;
    while next < groups {
        let first = GroupIndex(u32::try_from(next).unwrap_or(u32::MAX));
        let page = client.locate_page(file.file, first).await?;
        if page.groups.is_empty() {
            break;
        }
        for group in &page.groups {
            show(group, next == 0)?;
            next += 1;
        }
    }
    Ok(())
}

fn heading(file: &FileInfo) -> String {
    format!(
        "name      {}\nid        {}\nsize      {} ({} bytes)\nchunks    {} of {}\nreplicas  {}\nmodified  {} UTC\n",
        file.name,
        file.file,
        ByteCount(file.size),
        file.size,
        file.chunk_size.chunk_count(file.size),
        ByteCount(u64::from(file.chunk_size.bytes())),
        file.replication,
        moment::for_people(file.modified)
    )
}

fn group_json(file: &FileInfo, group: &GroupLocations) -> json::Group {
    let slots = (0_u32..).zip(&group.chunks);
    let chunk = |(slot, location): (u32, &dfs_core::wire::metadata::ChunkLocation)| {
        let index = group.group.chunk(slot);
        let with = |verified: bool| {
            let holds = move |holder: &&dfs_core::wire::metadata::GroupHolder| {
                if verified { holder.verified.has(slot) } else { holder.held.has(slot) }
            };
            group.holders.iter().filter(holds).map(|holder| holder.node.0).collect()
        };
        json::Chunk {
            chunk: index.0,
            epoch: location.epoch.0,
            length_bytes: file.chunk_size.chunk_length(file.size, u64::from(index.0)),
            checksum: location.checksum.to_string(),
            holders: with(false),
            verified: with(true),
        }
    };
    json::Group { group: group.group.0, epoch: group.epoch.0, chunks: slots.map(chunk).collect() }
}

/// A group as text: a line for it, and a line for each of its chunks.
fn lines(file: &FileInfo, group: &GroupLocations) -> String {
    let group = group_json(file, group);
    let mut text = format!("group {} (epoch {})\n", group.group, group.epoch);
    for chunk in &group.chunks {
        let holders: Vec<String> = chunk.holders.iter().map(|node| format!("storage-{node}")).collect();
        let holders = if holders.is_empty() { "no node".to_owned() } else { holders.join(", ") };
        let length = ByteCount(u64::from(chunk.length_bytes)).to_string();
        let digest: String = chunk.checksum.chars().take(16).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {}:{:<6} {length:>9}  {digest}…  {holders}", file.file, chunk.chunk);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::checksum::Digest;
    use dfs_core::id::{Epoch, FileId, NodeId};
    use dfs_core::mask::ChunkMask;
    use dfs_core::time::WallTime;
    use dfs_core::unit::ChunkSize;
    use dfs_core::wire::metadata::{ChunkLocation, GroupHolder};

    #[test]
    fn a_group_shows_who_holds_which_chunk() {
        let file = FileInfo {
            file: FileId(7),
            name: FileName::new("a").unwrap(),
            size: (1 << 20) + (64 << 10),
            chunk_size: ChunkSize::try_from(65_536_u64).unwrap(),
            replication: 2,
            modified: WallTime(0),
        };
        let location = ChunkLocation { epoch: Epoch(2), checksum: Digest([0xab; 32]) };
        let holder = |node, held, verified| GroupHolder {
            node: NodeId(node),
            held: ChunkMask(held),
            verified: ChunkMask(verified),
        };
        let group = GroupLocations {
            group: GroupIndex(1),
            epoch: Epoch(2),
            chunks: vec![location],
            holders: vec![holder(1, 1, 1), holder(2, 0, 0), holder(3, 1, 0)],
        };
        assert_eq!(
            lines(&file, &group),
            "group 1 (epoch 2)\n  7:16        64 KiB  abababababababab…  storage-1, storage-3\n"
        );
        let shape = json::line(&group_json(&file, &group));
        assert!(shape.starts_with("{\"group\":1,\"epoch\":2,\"chunks\":[{\"chunk\":16,\"epoch\":2,"), "{shape}");
        assert!(shape.ends_with("\"holders\":[1,3],\"verified\":[1]}]}"), "{shape}");
    }
}
