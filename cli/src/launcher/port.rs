//! Free ports for the nodes of a local cluster.

use super::{LauncherError, NodeName, Shape};
use dfs_transport::world::World;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

/// Where ports are chosen: below the ports that Linux gives to clients (from 32768), so that a stopped node's port is
/// still free when it starts again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Attempts for each node at most.
const ATTEMPTS: usize = 1000;

/// Chooses a free UDP port on 127.0.0.1 for each node of `shape`, avoiding what other programs have now.
///
/// # Errors
/// There are none.
pub fn choose(world: &World, shape: Shape) -> Result<BTreeMap<NodeName, u16>, LauncherError> {
    let mut chosen = BTreeMap::new();
    // All stay bound until the last is chosen, so that no port is chosen twice.
    let mut held = Vec::new();
    for name in shape.names() {
        let candidates = (0..ATTEMPTS).map(|_| {
            let offset = world.entropy.number() % u64::from(PORTS.end - PORTS.start);
            PORTS.start + u16::try_from(offset).unwrap_or_default()
        });
        let free = candidates.into_iter().find_map(|port| {
            let socket = world.network.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).ok()?;
            Some((port, socket))
        });
        let (port, socket) = free.ok_or(LauncherError::NoPort { name })?;
        held.push(socket);
        chosen.insert(name, port);
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_node_has_a_port_of_its_own() {
        let world = World::production("test");
        let shape = Shape::new(3, 20).unwrap();
        let mut ports: Vec<u16> = choose(&world, shape).unwrap().into_values().collect();
        assert!(ports.iter().all(|port| PORTS.contains(port)));
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 23);
    }
}
