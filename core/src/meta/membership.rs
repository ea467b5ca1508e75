//! The cluster itself, and the storage nodes in it.

use super::draft::{Draft, Stop};
use super::record::{Answer, ClusterRecord, NodeRecord};
use super::view::View;
use super::{Outcome, key, request};
use crate::id::{BootId, ClusterId, Incarnation, NodeId, StoreId};
use crate::refusal::Refusal;
use crate::settings::{ClusterSettings, SettingKey};
use crate::wire::metadata::ChangeSettings;
use std::collections::BTreeSet;
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
    settings.check().map_err(Refusal::from)?;
    draft.put(key::CLUSTER.to_vec(), &ClusterRecord { cluster, settings: settings.clone() });
    Ok(Outcome::Done)
}

/// Changes settings, once for each request id. More copies than there are storage nodes are refused as they are for an
/// upload.
pub fn change_settings<V: View>(draft: &mut Draft<'_, V>, change: &ChangeSettings) -> Result<Outcome, Stop<V::Error>> {
    let cluster = draft.cluster()?;
    match request::kept(draft, change.request, change.first_tried)? {
        Some(Answer::SettingsChanged(settings)) => return Ok(Outcome::SettingsChanged(settings)),
        Some(_) => return Err(Refusal::Malformed.into()),
        None => {}
    }
    let keys: BTreeSet<SettingKey> = change.changes.iter().map(|change| change.key).collect();
    if keys.is_empty() || keys.len() != change.changes.len() {
        return Err(Refusal::Malformed.into());
    }
    let settings = cluster.settings.changed(&change.changes).map_err(Refusal::from)?;
    let (asked, nodes) = (settings.replication, draft.counters.storage_nodes);
    if keys.contains(&SettingKey::Replication) && u64::from(asked) > nodes {
        return Err(Refusal::TooManyCopies { asked, nodes: u32::try_from(nodes).unwrap_or(u32::MAX) }.into());
    }
    draft.put(key::CLUSTER.to_vec(), &ClusterRecord { settings: settings.clone(), ..cluster });
    request::keep(draft, change.request, Answer::SettingsChanged(settings.clone()))?;
    Ok(Outcome::SettingsChanged(settings))
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
        Some(known) => {
            let is_another = known.store != store;
            draft.counters.losses += u64::from(is_another);
            (known.incarnation.0 + 1, known.generation + u32::from(is_another))
        }
        None => {
            draft.counters.storage_nodes += 1;
            (1, 0)
        }
    };
    let incarnation = Incarnation(incarnation);
    draft.put(key::node(node), &NodeRecord { node, incarnation, store, boot, address, generation });
    Ok(Outcome::Registered { incarnation })
}
