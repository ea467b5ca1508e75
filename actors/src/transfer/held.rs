//! What this node holds of one group under one epoch: durable records only. An upload that goes on after an
//! interruption asks it, to learn which chunks became durable without anybody being told.

use super::Transfers;
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{HeldChunks, HeldList};
use dfs_transport::endpoint::Inbound;

/// Serves one [`HeldChunks`].
pub async fn serve(transfers: Transfers, inbound: Inbound) {
    let answered = match inbound.decode::<HeldChunks>() {
        Ok(HeldChunks { file, group, epoch }) => transfers.store.held(file, group, epoch).await.map_err(Refusal::from),
        Err(refusal) => Err(refusal),
    };
    let _ = match answered {
        Ok(chunks) => inbound.exchange.reply(&HeldList { chunks }).await,
        Err(refusal) => inbound.exchange.refuse(refusal).await,
    };
}
