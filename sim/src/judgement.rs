//! The last day: every file is read, and the history of everything that users saw is judged.

use crate::history::Outcome;
use crate::life::SERVES_AGAIN;
use crate::linearizability;
use crate::scenario::NO_TASK_IS_LEFT;
use crate::stage::{ACTORS_STAY, NODES_STAY, RECOVERS, STOPS, Stage};
use crate::verdict::{Failure, Verdict};
use crate::work::{
    LISTINGS_IN_ORDER, NOTHING_FROM_NOWHERE, OPERATIONS_END, RIGHT_BYTES, SETTINGS_WHOLE, UNMIXED, Work,
};
use dfs_client::ClientError;
use dfs_core::id::{ChunkId, GroupIndex};
use dfs_core::limit::CHUNKS_PER_GROUP;
use dfs_core::name::FileName;
use dfs_core::wire::metadata::{FileTarget, GroupLocations};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What must hold besides the invariants, each with a sentence.
pub const PROMISES: [(&str, &str); 15] = [
    (KEPT, "Every acknowledged file that nobody asked to delete is there, and can be read."),
    (LINEARIZABLE, "What users saw of each name is what a single copy of it would have shown."),
    (RIGHT_BYTES, "Every byte that a user is given is the one that was written."),
    (UNMIXED, "A reader is never given bytes of two versions, whatever happens to the name between its requests."),
    (NOTHING_FROM_NOWHERE, "Whatever is seen was written by somebody."),
    (LISTINGS_IN_ORDER, "Listings are given page by page, in their order, and each thing once."),
    (SETTINGS_WHOLE, "Settings that are changed together are seen together."),
    (OPERATIONS_END, "Every operation of a user ends, in success or failure, in time."),
    (RECOVERS, "Once the faults are over everything serves again, without help, and nothing is owed."),
    (REPLICATED, "Once the faults are over every chunk comes to have as many copies as are wanted, without help."),
    (SERVES_AGAIN, "Once the faults are over a write succeeds, and is read."),
    (NODES_STAY, "A node ends by itself only if its disk or its store failed."),
    (ACTORS_STAY, "No actor fails that no fault excuses."),
    (NO_TASK_IS_LEFT, "Once every node and user has ended, none of their tasks is left."),
    (STOPS, "A node that is asked to stop stops within a minute."),
];

/// Every acknowledged file that nobody asked to delete is there, and can be read.
pub const KEPT: &str = "acknowledged-files-are-kept";

/// What users saw of each name is what a single copy of it would have shown (Herlihy and Wing 1990).
pub const LINEARIZABLE: &str = "linearizable";

/// Once the faults are over every chunk comes to have as many copies as are wanted.
pub const REPLICATED: &str = "replicated-again";

/// What that may take: a leader that has just begun listens for half a minute, copies may be their primary's for as
/// long, and what failed at a node is left alone for a minute.
const REPLICATED_WITHIN: Duration = Duration::from_secs(240);

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Waits until every chunk of every file has as many copies as are wanted, also where the world has destroyed some.
///
/// # Errors
/// Copies are missing for too long.
pub async fn until_replicated(stage: &Stage, judge: Work<'_>) -> Verdict {
    let began = Instant::now();
    for name in judge.shared.oracle.names() {
        loop {
            stage.check()?;
            match lacks_copies(judge, &name).await {
                Ok(None) => break,
                Ok(Some(lack)) if began.elapsed() > REPLICATED_WITHIN => {
                    return Err(Failure::liveness(REPLICATED, format!("after {REPLICATED_WITHIN:?}: {lack}")).into());
                }
                Ok(Some(_)) => sleep(LOOK).await,
                Err(error) => return Err(Failure::liveness(REPLICATED, format!("{name}: {error}")).into()),
            }
        }
        judge.shared.tally.checked(REPLICATED, 1);
    }
    Ok(())
}

/// The first chunk of a file that has too few copies.
async fn lacks_copies(judge: Work<'_>, name: &FileName) -> Result<Option<String>, ClientError> {
    let client = judge.user.client();
    let info = match client.stat(FileTarget::Name(name.clone())).await {
        Err(ClientError::NotFound { .. }) => return Ok(None),
        info => info?,
    };
    let groups = info.chunk_size.chunk_count(info.size).div_ceil(u64::from(CHUNKS_PER_GROUP));
    let mut next = 0;
    while u64::from(next) < groups {
        let page = client.locate_page(info.file, GroupIndex(next)).await?.groups;
        let slots = |group: &GroupLocations| 0..u32::try_from(group.chunks.len()).unwrap_or(0);
        for (slot, group) in page.iter().flat_map(|group| slots(group).map(move |slot| (slot, group))) {
            let id = ChunkId { file: info.file, index: group.group.chunk(slot) };
            let copies = group.holders.iter().filter(|holder| holder.held.has(slot)).count();
            if copies < usize::from(info.replication) {
                return Ok(Some(format!("chunk {id} of {name} has {copies} copies")));
            }
        }
        next += u32::try_from(page.len().max(1)).unwrap_or(1);
    }
    Ok(None)
}

/// Reads every name, and judges the whole history.
///
/// # Errors
/// What does not hold.
pub async fn look_at_everything(judge: Work<'_>) -> Verdict {
    let oracle = &judge.shared.oracle;
    for name in oracle.names() {
        let outcome = judge.read(&name, true).await?.outcome;
        if let Some(kept) = oracle.kept_as(&name) {
            judge.shared.tally.checked(KEPT, 1);
            if outcome != Outcome::Found(kept.content) {
                let detail = format!("{name} holds content {}, and was read as {outcome:?}", kept.content);
                return Err(Failure::correctness(KEPT, detail).into());
            }
        }
    }
    match linearizability::check(&judge.shared.history) {
        Ok(checked) => judge.shared.tally.checked(LINEARIZABLE, checked.operations),
        Err(error) => return Err(Failure::correctness(LINEARIZABLE, error).into()),
    }
    Ok(())
}
