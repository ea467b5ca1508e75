//! A forwarded or copied chunk at a replica: stored while it arrives, with its CRCs checked.
//!
//! The sender (the primary, or the source of a copy) has checked the whole tree; this hop checks the CRC of every
//! block against the trailer, and that the trailer is one tree.

use super::intake::Intake;
use super::{TransferError, Transfers};
use crate::chunk_store::BeginWrite;
use dfs_core::checksum::BlockCrcs;
use dfs_core::limit::{CHUNK_BYTES_MAX, WRITE_PIECE_BYTES};
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{ReplicaWritten, WriteAnswer, WriteReplica, WriteTrailer};
use dfs_transport::endpoint::Inbound;
use dfs_transport::exchange::Exchange;

/// Serves one [`WriteReplica`].
pub async fn serve(transfers: Transfers, inbound: Inbound) {
    let request = match inbound.decode::<WriteReplica>() {
        Ok(request) if (1..=CHUNK_BYTES_MAX).contains(&request.length) => request,
        Ok(_) => return drop(inbound.exchange.refuse(Refusal::Malformed).await),
        Err(refusal) => return drop(inbound.exchange.refuse(refusal).await),
    };
    let mut exchange = inbound.exchange;
    match write(&transfers, &request, &mut exchange).await {
        // If the primary is gone, it counts this copy as missing, and offers it again later: it is found held then.
        Ok(written) => drop(exchange.reply(&written).await),
        Err(TransferError::Refused(refusal)) => {
            tracing::info!(chunk = %request.chunk, epoch = %request.epoch, %refusal, "replica write refused");
            let _ = exchange.refuse(refusal).await;
        }
        Err(TransferError::Lost(error)) => {
            tracing::debug!(chunk = %request.chunk, epoch = %request.epoch, %error, "replica write lost its primary");
        }
    }
}

async fn write(
    transfers: &Transfers,
    request: &WriteReplica,
    exchange: &mut Exchange,
) -> Result<ReplicaWritten, TransferError> {
    let begun = transfers.store.begin_write(request.chunk, request.epoch, request.length).await;
    let writer = match begun.map_err(Refusal::from)? {
        BeginWrite::Held(checksum) => {
            exchange.send_message(&WriteAnswer::Held { checksum }).await?;
            return Ok(ReplicaWritten { checksum });
        }
        BeginWrite::Write(writer) => writer,
    };
    exchange.send_message(&WriteAnswer::Send).await?;
    let mut crcs = BlockCrcs::new();
    let mut intake = Intake::new(writer);
    exchange.expect_payload(u64::from(request.length));
    while let Some(payload) = exchange.receive_payload(WRITE_PIECE_BYTES).await? {
        crcs.update(&payload);
        intake.push(payload).await.map_err(Refusal::from)?;
    }
    let WriteTrailer { sums } = exchange.receive_message().await?;
    sums.check_shape().map_err(|_| Refusal::Malformed)?;
    if crcs.finish() != (sums.length, sums.crcs.clone()) {
        return Err(Refusal::ChecksumMismatch.into());
    }
    intake.seal(&sums).await.map_err(Refusal::from)?;
    Ok(ReplicaWritten { checksum: sums.checksum() })
}
