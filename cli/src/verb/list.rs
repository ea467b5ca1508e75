//! `list`: the files of the cluster, by name, page by page; one level of the tree; open uploads.

use crate::connect::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::json;
use crate::moment;
use crate::output::print;
use crate::runtime;
use crate::table::{Align, Table};
use clap::Args;
use dfs_client::{Client, ClientError};
use dfs_core::id::FileId;
use dfs_core::limit::{LIST_PAGE_MAX, NAME_BYTES_MAX};
use dfs_core::name::FileName;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::{FileInfo, LevelEntry, ListFiles, ListLevel, ListUploads, OpenUpload};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  dfs-cli list
  dfs-cli list --prefix photos/2026/ --limit 20
  dfs-cli list --prefix photos/ --delimiter /        one level: files, and directories once
  dfs-cli list --all                                 also uploads that are not finished
  dfs-cli list --json | jq '.files[].name'

With --json: an object with files, an array of objects with the fields id, name, size_bytes, chunk_size_bytes,
chunks, replicas and modified (RFC 3339, UTC); and more, whether --limit left files out. With --delimiter it has
entries instead of files: each has a type (file or directory) and a name, a file also the other fields. With --all
it has also open_uploads, an array of objects with the fields id, name, chunk_size_bytes, chunks (that are durable),
size_bytes (null if unknown) and idle_ms; and more_open_uploads.";

/// List files
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    /// Only names that begin with this text
    #[arg(short, long, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Show directories once, with a slash, instead of what is below them
    #[arg(long, value_name = "/", value_parser = ["/"])]
    delimiter: Option<String>,
    /// Show open uploads too
    #[arg(long)]
    all: bool,
    /// Files (and directories, and open uploads) to show at most [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Write JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// What is listed, one to a row.
trait Row: Sized {
    /// Where the next page begins.
    type Place;

    fn place(&self) -> Self::Place;

    /// As JSON, on one line.
    fn json(&self) -> String;

    fn table(rows: &[Self]) -> Table;
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

    async fn list(&self, client: &Client) -> Result<(), Failure> {
        let prefix = || self.prefix.clone();
        let shown = match &self.delimiter {
            None => {
                let page = async |after, limit| {
                    let page = client.list_page(&ListFiles { prefix: prefix(), after, limit }).await?;
                    Ok((page.files, page.more))
                };
                self.show_pages::<FileInfo>(("{\"files\"", "more"), page).await?
            }
            Some(_) => {
                let page = async |after, limit| {
                    let page = client.list_level_page(&ListLevel { prefix: prefix(), after, limit }).await?;
                    Ok((page.entries, page.more))
                };
                self.show_pages::<LevelEntry>(("{\"entries\"", "more"), page).await?
            }
        };
        if !self.json && shown == 0 {
            print(format_args!("no files\n"))?;
        }
        if self.all {
            if !self.json {
                print(format_args!("\n"))?;
            }
            let page = async |after, limit| {
                let page = client.list_uploads_page(&ListUploads { prefix: prefix(), after, limit }).await?;
                Ok((page.uploads, page.more))
            };
            let shown = self.show_pages::<OpenUpload>((",\n\"open_uploads\"", "more_open_uploads"), page).await?;
            if !self.json && shown == 0 {
                print(format_args!("no open uploads\n"))?;
            }
        }
        if self.json { print(format_args!("}}\n")) } else { Ok(()) }
    }

    /// Shows pages as they come, so that no listing is too long for memory: a table, or two fields of a JSON object.
    /// Nothing is shown before the first page is there. Answers how many rows there were.
    async fn show_pages<R: Row>(
        &self,
        (opening, more_rows): (&str, &str),
        mut page: impl AsyncFnMut(Option<R::Place>, u32) -> Result<(Vec<R>, bool), ClientError>,
    ) -> Result<u64, Failure> {
        let mut after = None;
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut shown: u64 = 0;
        let mut more = true;
        while left > 0 && more {
            let limit = u32::try_from(left.min(LIST_PAGE_MAX as u64)).unwrap_or(u32::MAX);
            let (page, has_more) = page(after.take(), limit).await?;
            if !page.is_empty() && self.json {
                let before = if shown == 0 { format!("{opening}:[\n") } else { ",\n".to_owned() };
                let objects: Vec<String> = page.iter().map(Row::json).collect();
                print(format_args!("{before}{}", objects.join(",\n")))?;
            } else if !page.is_empty() {
                let table = R::table(&page);
                print(format_args!("{}", if shown == 0 { table } else { table.without_heading() }))?;
            }
            shown += page.len() as u64;
            left = left.saturating_sub(page.len() as u64);
            after = page.last().map(Row::place);
            // A page without rows that promises more would never end.
            more = has_more && !page.is_empty();
        }
        if self.json {
            let before = if shown == 0 { format!("{opening}:[") } else { "\n".to_owned() };
            print(format_args!("{before}],\"{more_rows}\":{more}"))?;
        }
        Ok(shown)
    }
}

impl Row for FileInfo {
    type Place = FileName;

    fn place(&self) -> FileName {
        self.name.clone()
    }

    fn json(&self) -> String {
        json::line(&json::File::of(self))
    }

    fn table(rows: &[FileInfo]) -> Table {
        table(rows)
    }
}

impl Row for LevelEntry {
    type Place = String;

    fn place(&self) -> String {
        self.text()
    }

    fn json(&self) -> String {
        json::line(&json::LevelEntry::of(self))
    }

    fn table(rows: &[LevelEntry]) -> Table {
        let mut table = Table::new(&FILE_COLUMNS);
        for entry in rows {
            match entry {
                LevelEntry::File(file) => table.row(file_row(file)),
                LevelEntry::Directory(_) => {
                    let mut cells = FILE_COLUMNS.map(|_| "-".to_owned());
                    cells[1] = entry.text();
                    table.row(cells);
                }
            }
        }
        table
    }
}

impl Row for OpenUpload {
    type Place = (FileName, FileId);

    fn place(&self) -> (FileName, FileId) {
        (self.name.clone(), self.file)
    }

    fn json(&self) -> String {
        json::line(&json::OpenUpload::of(self))
    }

    fn table(rows: &[OpenUpload]) -> Table {
        let mut table = Table::new(&[
            ("ID", Align::Right),
            ("OPEN UPLOAD", Align::Left),
            ("SIZE", Align::Right),
            ("CHUNKS", Align::Right),
            ("IDLE", Align::Right),
        ]);
        for upload in rows {
            let size = upload.size_hint.map_or("unknown".to_owned(), |size| ByteCount(size).to_string());
            let chunks = match upload.size_hint {
                Some(size) => format!("{} of {}", upload.chunks, upload.chunk_size.chunk_count(size)),
                None => upload.chunks.to_string(),
            };
            let idle = moment::span(Duration::from_millis(upload.idle_ms));
            table.row([upload.file.to_string(), upload.name.to_string(), size, chunks, idle]);
        }
        table
    }
}

const FILE_COLUMNS: [(&str, Align); 6] = [
    ("ID", Align::Right),
    ("NAME", Align::Left),
    ("SIZE", Align::Right),
    ("CHUNKS", Align::Right),
    ("REPLICAS", Align::Right),
    ("MODIFIED (UTC)", Align::Left),
];

/// Files as a table.
pub(super) fn table(files: &[FileInfo]) -> Table {
    let mut table = Table::new(&FILE_COLUMNS);
    for file in files {
        table.row(file_row(file));
    }
    table
}

fn file_row(file: &FileInfo) -> [String; 6] {
    [
        file.file.to_string(),
        file.name.to_string(),
        ByteCount(file.size).to_string(),
        file.chunk_size.chunk_count(file.size).to_string(),
        file.replication.to_string(),
        moment::for_people(file.modified),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_core::time::WallTime;
    use dfs_core::unit::ChunkSize;

    fn file() -> FileInfo {
        FileInfo {
            file: FileId(7),
            name: FileName::new("photos/cat.jpg").unwrap(),
            size: (4 << 20) + 1,
            chunk_size: ChunkSize::default(),
            replication: 3,
            modified: WallTime(1_795_336_565_000),
        }
    }

    #[test]
    fn a_file_is_one_row() {
        let file = file();
        assert_eq!(
            table(std::slice::from_ref(&file)).to_string(),
            "ID  NAME               SIZE  CHUNKS  REPLICAS  MODIFIED (UTC)\n \
              7  photos/cat.jpg  4.0 MiB       2         3  2026-11-22 08:36:05\n"
        );
        assert_eq!(
            file.json(),
            "{\"id\":7,\"name\":\"photos/cat.jpg\",\"size_bytes\":4194305,\"chunk_size_bytes\":4194304,\
             \"chunks\":2,\"replicas\":3,\"modified\":\"2026-11-22T08:36:05Z\"}"
        );
    }

    #[test]
    fn a_directory_is_one_row_with_its_slash() {
        let directory = LevelEntry::Directory(FileName::new("photos/2026").unwrap());
        let entries = [directory, LevelEntry::File(file())];
        assert_eq!(
            LevelEntry::table(&entries).to_string(),
            "ID  NAME               SIZE  CHUNKS  REPLICAS  MODIFIED (UTC)\n \
              -  photos/2026/          -       -         -  -\n \
              7  photos/cat.jpg  4.0 MiB       2         3  2026-11-22 08:36:05\n"
        );
        assert_eq!(entries[0].json(), "{\"type\":\"directory\",\"name\":\"photos/2026/\"}");
        assert!(entries[1].json().starts_with("{\"type\":\"file\",\"id\":7,\"name\":\"photos/cat.jpg\","));
    }

    #[test]
    fn an_open_upload_shows_how_far_it_is_and_since_when_nothing_happens() {
        let sized = OpenUpload {
            file: FileId(9),
            name: FileName::new("a").unwrap(),
            chunk_size: ChunkSize::default(),
            chunks: 3,
            size_hint: Some(40 << 20),
            idle_ms: 250_000,
        };
        let unsized_ = OpenUpload { size_hint: None, ..sized.clone() };
        assert_eq!(
            OpenUpload::table(&[sized.clone(), unsized_.clone()]).to_string(),
            "ID  OPEN UPLOAD     SIZE   CHUNKS        IDLE\n \
              9  a             40 MiB  3 of 10  4 min 10 s\n \
              9  a            unknown        3  4 min 10 s\n"
        );
        assert_eq!(
            unsized_.json(),
            "{\"id\":9,\"name\":\"a\",\"chunk_size_bytes\":4194304,\"chunks\":3,\"size_bytes\":null,\
             \"idle_ms\":250000}"
        );
    }
}
