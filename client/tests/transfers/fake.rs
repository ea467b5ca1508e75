//! A cluster in memory: real endpoints on loopback, behind which are a few maps and switches for what goes wrong.

use crate::metadata::Metadata;
use crate::storage::{Fault, Storage};
use bytes::Bytes;
use dfs_client::{Client, ClientSettings};
use dfs_core::id::{NodeId, Role};
use dfs_core::wire::NodeAddress;
use dfs_transport::authority::Authority;
use dfs_transport::endpoint::{Endpoint, EndpointSettings};
use dfs_transport::identity::Identity;
use dfs_transport::world::World;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Three metadata nodes that share one state, and some storage nodes.
pub struct Cluster {
    pub world: World,
    pub metadata: Arc<Metadata>,
    pub storage: Vec<Arc<Storage>>,
    authority: Authority,
    endpoints: Vec<Endpoint>,
}

impl Cluster {
    /// A cluster with three storage nodes. The first metadata node leads.
    pub fn start() -> Cluster {
        Cluster::with_storage_nodes(3)
    }

    pub fn with_storage_nodes(count: u64) -> Cluster {
        let world = World::production("test");
        let authority = Authority::create(&world).unwrap();
        let bind = |role, id: u64| {
            let issued = authority.issue(role, &id.to_string(), YEAR, world.wall_clock.now()).unwrap();
            let identity = identity(&authority, &issued.certificate_pem, &issued.key_pem);
            let listen = (Ipv4Addr::LOCALHOST, 0).into();
            Endpoint::bind(&world, identity, EndpointSettings { listen, ..EndpointSettings::default() }).unwrap()
        };
        let address =
            |endpoint: &Endpoint, id| NodeAddress { node: NodeId(id), address: endpoint.local_address().unwrap() };
        let voters: Vec<Endpoint> = (1..=3).map(|id| bind(Role::Metadata, id)).collect();
        let members = voters.iter().zip(1..).map(|(endpoint, id)| address(endpoint, id)).collect();
        let keepers: Vec<Endpoint> = (1..=count).map(|id| bind(Role::Storage, id)).collect();
        let nodes: Vec<NodeAddress> = keepers.iter().zip(1..).map(|(endpoint, id)| address(endpoint, id)).collect();
        let storage: Vec<Arc<Storage>> = nodes.iter().map(|node| Arc::new(Storage::new(node.node))).collect();
        let metadata = Arc::new(Metadata::new(members, nodes));
        for (endpoint, id) in voters.iter().zip(1..) {
            endpoint.serve(metadata.member(&world, NodeId(id)));
        }
        for (endpoint, node) in keepers.iter().zip(&storage) {
            endpoint.serve(node.dispatch(&world, &storage));
        }
        let endpoints = voters.into_iter().chain(keepers).collect();
        Cluster { world, metadata, storage, authority, endpoints }
    }

    /// A client that is patient enough for a busy machine, but not for more.
    pub fn client(&self) -> Client {
        self.client_with(
            self.metadata.addresses(),
            ClientSettings {
                stall_timeout: Duration::from_secs(2),
                write_patience: Duration::from_secs(2),
                ..ClientSettings::default()
            },
        )
    }

    pub fn client_with(&self, seeds: Vec<SocketAddr>, settings: ClientSettings) -> Client {
        let issued = self.authority.issue(Role::Client, "test", YEAR, self.world.wall_clock.now()).unwrap();
        let identity = identity(&self.authority, &issued.certificate_pem, &issued.key_pem);
        let listen = Some((Ipv4Addr::LOCALHOST, 0).into());
        Client::new(&self.world, identity, seeds, ClientSettings { listen, ..settings }).unwrap()
    }

    /// An address where nothing answers.
    pub async fn dead_address(&self) -> SocketAddr {
        let issued = self.authority.issue(Role::Metadata, "9", YEAR, self.world.wall_clock.now()).unwrap();
        let identity = identity(&self.authority, &issued.certificate_pem, &issued.key_pem);
        let listen = (Ipv4Addr::LOCALHOST, 0).into();
        let settings = EndpointSettings { listen, ..EndpointSettings::default() };
        let endpoint = Endpoint::bind(&self.world, identity, settings).unwrap();
        let address = endpoint.local_address().unwrap();
        endpoint.close().await;
        address
    }

    /// Ends a storage node.
    pub async fn kill(&self, node: NodeId) {
        let position = self.endpoints.len() - self.storage.len() + self.position(node);
        self.storage[self.position(node)].set_fault(Fault::Dead);
        self.endpoints[position].close().await;
    }

    pub fn set_fault(&self, node: NodeId, fault: Fault) {
        self.storage[self.position(node)].set_fault(fault);
    }

    fn position(&self, node: NodeId) -> usize {
        self.storage.iter().position(|storage| storage.node() == node).unwrap()
    }

    /// Bytes of all chunks on all nodes.
    pub fn stored_bytes(&self) -> u64 {
        self.storage.iter().map(|node| node.stored_bytes()).sum()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.world.scope.kill();
    }
}

fn identity(authority: &Authority, certificate: &str, key: &str) -> Identity {
    Identity::from_pem(authority.certificate_pem(), certificate, key).unwrap()
}

/// Bytes that differ everywhere.
pub fn content(length: usize) -> Bytes {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect::<Vec<u8>>().into()
}
