//! A chunk's bytes to whoever may read them. Every block is checked against its CRC as it leaves the disk; no
//! unverified byte is sent. A block that fails in the middle of a transfer resets the stream, which the reader sees
//! as a failed transfer and never as a short one.

use super::{TransferError, Transfers};
use dfs_core::checksum::block_count;
use dfs_core::limit::{BLOCK_BYTES, READ_PIECE_BYTES};
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{ReadAnswer, ReadChunk, ReadTrailer};
use dfs_transport::endpoint::Inbound;
use dfs_transport::exchange::Exchange;

const PIECE_BLOCKS: usize = READ_PIECE_BYTES / BLOCK_BYTES as usize;

/// Serves one [`ReadChunk`].
pub async fn serve(transfers: Transfers, inbound: Inbound) {
    let request = match inbound.decode::<ReadChunk>() {
        Ok(request) => request,
        Err(refusal) => return drop(inbound.exchange.refuse(refusal).await),
    };
    let mut exchange = inbound.exchange;
    match read(&transfers, &request, &mut exchange).await {
        Ok(trailer) => drop(exchange.reply(&trailer).await),
        Err(TransferError::Refused(refusal)) => {
            if refusal == Refusal::ChunkDamaged {
                tracing::error!(chunk = %request.chunk, epoch = %request.epoch, "a stored copy is damaged and is not served");
            }
            let _ = exchange.refuse(refusal).await;
        }
        Err(TransferError::Lost(error)) => {
            tracing::debug!(chunk = %request.chunk, epoch = %request.epoch, %error, "a read ended early");
        }
    }
}

async fn read(
    transfers: &Transfers,
    request: &ReadChunk,
    exchange: &mut Exchange,
) -> Result<ReadTrailer, TransferError> {
    let reader = transfers.store.read(request.chunk, request.epoch).await.map_err(Refusal::from)?;
    let chunk_length = reader.sums().length;
    let end = u64::from(request.offset) + u64::from(request.length);
    if request.length == 0 || u64::from(request.offset) >= u64::from(chunk_length) {
        return Err(Refusal::Malformed.into());
    }
    let end = u32::try_from(end.min(u64::from(chunk_length))).unwrap_or(chunk_length);
    let first_block = (request.offset / BLOCK_BYTES) as usize;
    let end_block = block_count(end);
    let offset = request.offset - request.offset % BLOCK_BYTES;
    let length = (block_count(end) as u64 * u64::from(BLOCK_BYTES)).min(u64::from(chunk_length)) - u64::from(offset);
    let length = u32::try_from(length).unwrap_or(u32::MAX);

    // The first piece is read before anything is promised, so that damage there is told as such.
    let piece = |block: usize| PIECE_BLOCKS.min(end_block - block);
    let mut block = first_block;
    let mut payload = reader.next_blocks(block, piece(block)).await.map_err(Refusal::from)?;
    exchange.send_message(&ReadAnswer { sums: reader.sums().clone(), offset, length }).await?;
    loop {
        block += piece(block);
        if block >= end_block {
            exchange.send_payload(payload).await?;
            return Ok(ReadTrailer { length });
        }
        // The next piece is read while this one is sent.
        let (sent, next) = tokio::join!(exchange.send_payload(payload), reader.next_blocks(block, piece(block)));
        sent?;
        payload = match next {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(chunk = %request.chunk, epoch = %request.epoch, %error, "a stored copy is damaged and is not served");
                return Err(TransferError::Lost(dfs_transport::exchange::CallError::Broken));
            }
        };
    }
}
