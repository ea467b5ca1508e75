//! A chunk's bytes to whoever may read them. Every block is checked against its CRC as it leaves the disk; no
//! unverified byte is sent. A block that fails in the middle of a transfer resets the stream, which the reader sees
//! as a failed transfer and never as a short one.

use super::{TransferError, Transfers, blocks_of};
use crate::chunk_store::READ_BLOCKS_MAX;
use dfs_core::limit::{BLOCK_BYTES, SIGN_OF_LIFE_MS};
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{FoundBytes, ReadAnswer, ReadChunk, ReadTrailer};
use dfs_transport::endpoint::Inbound;
use dfs_transport::exchange::Exchange;
use std::time::Duration;
use tokio::time::{sleep, timeout_at};

/// Serves one [`ReadChunk`] once its turn has come, while it holds what that gives. It waits no longer than its deadline,
/// and no longer than there is somebody to wait for.
pub async fn serve<T>(transfers: Transfers, turn: impl Future<Output = T>, inbound: Inbound) {
    let request = match inbound.decode::<ReadChunk>() {
        Ok(request) => request,
        Err(refusal) => return drop(inbound.exchange.refuse(refusal).await),
    };
    let (deadline, mut exchange) = (inbound.deadline, inbound.exchange);
    let turn = tokio::select! {
        biased;
        turn = timeout_at(deadline, turn) => turn,
        () = until_gone(&mut exchange) => return,
    };
    let Ok(_permit) = turn else { return drop(exchange.refuse(Refusal::Overloaded).await) };
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

/// Gives a sign of life now and then, until the reader cannot be told any more.
async fn until_gone(exchange: &mut Exchange) {
    loop {
        sleep(Duration::from_millis(SIGN_OF_LIFE_MS)).await;
        if exchange.send_message(&ReadAnswer::Waiting).await.is_err() {
            return;
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
    let (first_block, end_block) = (request.offset / BLOCK_BYTES, blocks_of(end));
    let offset = first_block * BLOCK_BYTES;
    let length = end_block.saturating_mul(BLOCK_BYTES).min(chunk_length) - offset;

    // The first piece is read before anything is promised, so that damage there is told as such.
    let piece = |block: u32| READ_BLOCKS_MAX.min(end_block - block);
    let mut block = first_block;
    let mut payload = reader.next_blocks(block, piece(block)).await.map_err(Refusal::from)?;
    let found = FoundBytes { sums: reader.sums().clone(), offset, length };
    exchange.send_message(&ReadAnswer::Found(found)).await?;
    loop {
        block += piece(block);
        if block >= end_block {
            exchange.send_payload(payload).await?;
            tracing::debug!(chunk = %request.chunk, epoch = %request.epoch, offset, length, "a chunk was read");
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
