//! A forwarded or copied chunk at a replica: stored while it arrives, with its CRCs checked.
//!
//! A primary that forwards has checked the whole tree; this hop checks the CRC of every block against the trailer, and
//! that the trailer is one tree. A copy that repair makes says what its checksum must be: then the whole tree is
//! computed here too, and the copy is read back before it is told of, also where it was held already. One that is held and
//! proves to be damaged is taken anew at once.

use super::intake::Intake;
use super::read_back::read_back;
use super::{TransferError, Transfers};
use crate::chunk_store::BeginWrite;
use dfs_core::checksum::{BlockCrcs, ChunkHasher, ChunkSums, Digest};
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
    let writer = match begin(transfers, request).await? {
        BeginWrite::Held(checksum) => {
            exchange.send_message(&WriteAnswer::Held { checksum }).await?;
            return Ok(ReplicaWritten { checksum });
        }
        BeginWrite::Write(writer) => writer,
    };
    exchange.send_message(&WriteAnswer::Send).await?;
    let mut passing = Passing::new(request.expected);
    let mut intake = Intake::new(writer);
    exchange.expect_payload(u64::from(request.length));
    while let Some(payload) = exchange.receive_payload(WRITE_PIECE_BYTES).await? {
        passing.update(&payload);
        intake.push(payload).await.map_err(Refusal::from)?;
    }
    let WriteTrailer { sums } = exchange.receive_message().await?;
    sums.check_shape().map_err(|_| Refusal::Malformed)?;
    if !passing.agrees(&sums) {
        return Err(Refusal::ChecksumMismatch.into());
    }
    intake.seal(&sums).await.map_err(Refusal::from)?;
    tracing::debug!(chunk = %request.chunk, epoch = %request.epoch, length = request.length, "a replica is durable");
    if let Some(expected) = request.expected {
        check_stored(transfers, request, expected).await?;
    }
    Ok(ReplicaWritten { checksum: sums.checksum() })
}

/// Begins to take the chunk, unless it is held; for repair, held and whole.
async fn begin(transfers: &Transfers, request: &WriteReplica) -> Result<BeginWrite, Refusal> {
    let begin = || transfers.store.begin_write(request.chunk, request.epoch, request.length);
    let begun = begin().await?;
    let BeginWrite::Held(_) = begun else { return Ok(begun) };
    let Some(expected) = request.expected else { return Ok(begun) };
    match check_stored(transfers, request, expected).await {
        Ok(()) => Ok(begun),
        // The store knows it now, and takes the same bytes once more.
        Err(Refusal::ChunkDamaged) => match begin().await? {
            BeginWrite::Held(_) => Err(Refusal::ChunkDamaged),
            writing @ BeginWrite::Write(_) => Ok(writing),
        },
        Err(refusal) => Err(refusal),
    }
}

/// Reads back what is stored of the chunk.
async fn check_stored(transfers: &Transfers, request: &WriteReplica, expected: Digest) -> Result<(), Refusal> {
    read_back(transfers, request.chunk, request.epoch, expected).await.map(|_| ())
}

/// What is computed while the bytes pass.
enum Passing {
    /// Only what a hop checks.
    Crcs(BlockCrcs),
    /// The whole tree, whose checksum must be this one.
    Tree(ChunkHasher, Digest),
}

impl Passing {
    fn new(expected: Option<Digest>) -> Passing {
        match expected {
            None => Passing::Crcs(BlockCrcs::new()),
            Some(expected) => Passing::Tree(ChunkHasher::new(), expected),
        }
    }

    fn update(&mut self, payload: &[u8]) {
        match self {
            Passing::Crcs(crcs) => crcs.update(payload),
            Passing::Tree(hasher, _) => hasher.update(payload),
        }
    }

    fn agrees(self, sums: &ChunkSums) -> bool {
        match self {
            Passing::Crcs(crcs) => crcs.finish() == (sums.length, sums.crcs.clone()),
            Passing::Tree(hasher, expected) => hasher.finish() == *sums && sums.checksum() == expected,
        }
    }
}
