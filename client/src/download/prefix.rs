//! How much of a local copy is right already.
//!
//! A copy that an interrupted download left is read again, chunk by chunk, and each is compared with the checksum that
//! metadata has for it: what was written before is believed for no other reason.

use super::locations::Locations;
use super::{CHUNKS_PER_PAGE, chunk_index};
use crate::client::Inner;
use crate::error::ClientError;
use crate::progress::Progress;
use dfs_core::checksum::{ChunkHasher, Digest};
use dfs_core::limit::CHUNKS_PER_GROUP;
use dfs_core::range::Span;
use dfs_core::wire::metadata::FileInfo;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// See [`Client::verified_prefix`](crate::Client::verified_prefix).
pub(crate) async fn verified_prefix<R: Read + Send + 'static>(
    client: &Inner,
    file: &FileInfo,
    mut copy: R,
    progress: &dyn Progress,
) -> Result<u64, ClientError> {
    progress.started(None);
    let mut verified = 0;
    let mut page: Option<(u32, Locations)> = None;
    for part in (Span { offset: 0, length: file.size }).parts(file.chunk_size) {
        let read = client.world.scope.blocking(move || (hash(&mut copy, part.length), copy)).await?;
        let (Some(checksum), rest) = read else { break };
        copy = rest;
        let index = chunk_index(part.index)?;
        let number = index.0 / CHUNKS_PER_PAGE;
        let locations = match page.take() {
            Some((known, locations)) if known == number => locations,
            _ => {
                let chunks = file.chunk_size.chunk_count(file.size) - part.index;
                let groups = chunks.div_ceil(u64::from(CHUNKS_PER_GROUP));
                let count = u32::try_from(groups).unwrap_or(u32::MAX).min(CHUNKS_PER_PAGE / CHUNKS_PER_GROUP);
                Locations::of(client, file.file, index.group(), count).await?
            }
        };
        let known = locations.find(index, &BTreeMap::new());
        page = Some((number, locations));
        if known.is_none_or(|known| known.checksum != checksum) {
            break;
        }
        verified += u64::from(part.length);
        progress.advanced(u64::from(part.length));
    }
    Ok(verified)
}

/// The checksum of the next chunk, of `length` bytes; nothing if they are not there, or cannot be read.
fn hash(copy: &mut impl Read, length: u32) -> Option<Digest> {
    let mut hasher = ChunkHasher::new();
    let mut piece = vec![0; PIECE_BYTES.min(length as usize)];
    while hasher.length() < length {
        let wanted = piece.len().min((length - hasher.length()) as usize);
        let read = match copy.read(&mut piece[..wanted]) {
            Ok(0) => return None,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return None,
        };
        hasher.update(&piece[..read]);
    }
    Some(hasher.finish().checksum())
}
