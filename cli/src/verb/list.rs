//! `list`: the files of the cluster, by name, page by page.

use crate::connect::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::moment;
use crate::output::print;
use crate::runtime;
use crate::table::{Align, Table};
use clap::Args;
use dfs_client::Client;
use dfs_core::limit::{LIST_PAGE_MAX, NAME_BYTES_MAX};
use dfs_core::name::FileName;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::{FileInfo, ListFiles};

const EXAMPLES: &str = "\
Examples:
  dfs-cli list
  dfs-cli list --prefix photos/2026/ --limit 20
  dfs-cli list --json | jq '.files[].name'

With --json: an object with files, an array of objects with the fields id, name, size_bytes, chunk_size_bytes,
chunks, replicas and modified (RFC 3339, UTC); and more, whether --limit left files out.";

/// List files
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    /// Only names that begin with this text
    #[arg(short, long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Files to show at most [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl ListArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.prefix.len() > NAME_BYTES_MAX {
            let message = format!("the prefix is longer than any name, which has {NAME_BYTES_MAX} bytes at most");
            return Err(Failure::new(Exit::Usage, message).hint("choose a shorter prefix"));
        }
        runtime::run_interruptible("list", async |world| {
            let client = self.cluster.client(&world)?;
            self.list(&client).await?;
            client.close().await;
            Ok(())
        })
    }

    /// Shows the pages as they come: no listing is too long for memory.
    async fn list(&self, client: &Client) -> Result<(), Failure> {
        let mut after: Option<FileName> = None;
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut shown: u64 = 0;
        let mut more = true;
        while left > 0 && more {
            let limit = u32::try_from(left.min(LIST_PAGE_MAX as u64)).unwrap_or(u32::MAX);
            let page =
                client.list_page(&ListFiles { prefix: self.prefix.clone(), after: after.clone(), limit }).await?;
            self.show(&page.files, shown)?;
            shown += page.files.len() as u64;
            left = left.saturating_sub(page.files.len() as u64);
            after = page.files.last().map(|file| file.name.clone()).or(after);
            // A page without files that promises more would never end.
            more = page.more && !page.files.is_empty();
        }
        match (self.json, shown) {
            (true, 0) => print(format_args!("{{\"files\":[],\"more\":{more}}}\n")),
            (true, _) => print(format_args!("\n],\"more\":{more}}}\n")),
            (false, 0) => print(format_args!("no files\n")),
            (false, _) => Ok(()),
        }
    }

    /// Shows a page, after `before` files.
    fn show(&self, files: &[FileInfo], before: u64) -> Result<(), Failure> {
        if files.is_empty() {
            return Ok(());
        }
        if self.json {
            let objects: Vec<String> = files.iter().map(|file| json::line(&json::File::of(file))).collect();
            let opening = if before == 0 { "{\"files\":[\n" } else { ",\n" };
            return print(format_args!("{opening}{}", objects.join(",\n")));
        }
        let table = table(files);
        print(format_args!("{}", if before == 0 { table } else { table.without_heading() }))
    }
}

/// Files as a table.
pub(super) fn table(files: &[FileInfo]) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Right),
        ("NAME", Align::Left),
        ("SIZE", Align::Right),
        ("CHUNKS", Align::Right),
        ("REPLICAS", Align::Right),
        ("MODIFIED (UTC)", Align::Left),
    ]);
    for file in files {
        table.row([
            file.file.to_string(),
            file.name.to_string(),
            ByteCount(file.size).to_string(),
            file.chunk_size.chunk_count(file.size).to_string(),
            file.replication.to_string(),
            moment::for_people(file.modified),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::id::FileId;
    use dfs_core::time::WallTime;
    use dfs_core::unit::ChunkSize;

    #[test]
    fn a_file_is_one_row() {
        let file = FileInfo {
            file: FileId(7),
            name: FileName::new("photos/cat.jpg").unwrap(),
            size: (4 << 20) + 1,
            chunk_size: ChunkSize::default(),
            replication: 3,
            modified: WallTime(1_795_336_565_000),
        };
        let shown = table(std::slice::from_ref(&file)).to_string();
        assert_eq!(
            shown,
            "ID  NAME               SIZE  CHUNKS  REPLICAS  MODIFIED (UTC)\n \
              7  photos/cat.jpg  4.0 MiB       2         3  2026-11-22 08:36:05\n"
        );
        assert_eq!(
            json::line(&json::File::of(&file)),
            "{\"id\":7,\"name\":\"photos/cat.jpg\",\"size_bytes\":4194305,\"chunk_size_bytes\":4194304,\
             \"chunks\":2,\"replicas\":3,\"modified\":\"2026-11-22T08:36:05Z\"}"
        );
    }
}
