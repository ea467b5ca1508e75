//! The cluster itself, and the storage nodes in it.

use super::draft::{Draft, Stop};
use super::record::{ClusterRecord, NodeRecord};
use super::view::View;
use super::{Outcome, key};
use crate::id::{BootId, ClusterId, Incarnation, NodeId, StoreId};
use crate::refusal::Refusal;
use crate::settings::ClusterSettings;
use std::net::SocketAddr;

/// Makes the cluster, once.
pub fn initialise<V: View>(
    draft: &mut Draft<'_, V>,
    cluster: ClusterId,
    settings: &ClusterSettings,
) -> Result<Outcome, Stop<V::Error>> {
    if let Some(record) = draft.get::<ClusterRecord>(&key::CLUSTER)? {
        return if record.cluster == cluster { Ok(Outcome::Done) } else { Err(Refusal::WrongCluster.into()) };
    }
    settings.check().map_err(|_| Refusal::Malformed)?;
    draft.put(key::CLUSTER.to_vec(), &ClusterRecord { cluster, settings: settings.clone() });
    Ok(Outcome::Done)
}

/// Begins an incarnation of a storage node. Another store begins a new generation too, which uncounts every copy of
/// the old store without touching it.
pub fn register<V: View>(
    draft: &mut Draft<'_, V>,
    node: NodeId,
    boot: BootId,
    store: StoreId,
    address: SocketAddr,
) -> Result<Outcome, Stop<V::Error>> {
    draft.cluster()?;
    let known = draft.node(node)?;
    if let Some(known) = known.as_ref().filter(|known| known.boot == boot) {
        return Ok(Outcome::Registered { incarnation: known.incarnation });
    }
    let (incarnation, generation) = match &known {
        Some(known) => (known.incarnation.0 + 1, known.generation + u32::from(known.store != store)),
        None => {
            draft.counters.storage_nodes += 1;
            (1, 0)
        }
    };
    let incarnation = Incarnation(incarnation);
    draft.put(key::node(node), &NodeRecord { node, incarnation, store, boot, address, generation });
    Ok(Outcome::Registered { incarnation })
}
