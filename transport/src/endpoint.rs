//! An endpoint: one UDP socket, with one identity, that calls peers and serves them.
//!
//! Owns the QUIC endpoint, what the hello says of this side, and the counters of what was refused. Calls go through
//! [`Endpoint::peers`]; requests of others go to the [`Dispatch`] that [`Endpoint::serve`] is given.
//!
//! Deliberately absent: what requests mean, and who may send which; that is the dispatch's to decide.

mod config;
mod counters;
mod inbound;
mod server;
mod socket;

pub use counters::{Refused, Traffic};
pub use inbound::{Dispatch, Inbound};

use crate::hello::Hello;
use crate::identity::{Identity, PeerIdentity};
use crate::peers::{Class, Peers};
use crate::world::{Task, World};
use config::Configs;
use counters::{Counters, Served, TrafficCounters};
use dfs_core::id::{ClusterId, Incarnation, Role};
use socket::SplittingSocket;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long closing waits for peers to hear of it.
const CLOSE_WAIT: Duration = Duration::from_millis(100);

/// How an endpoint is set up.
#[derive(Clone, Debug)]
pub struct EndpointSettings {
    /// The UDP address to bind; port zero asks for any free one.
    pub listen: SocketAddr,
    /// Bytes of the largest UDP payload that is sent and taken. Must be the same everywhere for packets to grow to it.
    pub max_udp_payload: u16,
    /// Connections from peers that are served at once at most.
    pub connections_max: usize,
    /// Of them, connections from clients at most.
    pub client_connections_max: usize,
    /// Connections from peers that are being set up at once at most.
    pub handshakes_max: usize,
    /// Bytes of request messages that are held at once at most, over all connections.
    pub request_bytes_max: usize,
    /// Connections for bulk data that are kept to each peer.
    pub bulk_connections: usize,
}

impl Default for EndpointSettings {
    fn default() -> EndpointSettings {
        EndpointSettings {
            listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            max_udp_payload: 6500,
            connections_max: 4096,
            client_connections_max: 3072,
            handshakes_max: 256,
            request_bytes_max: 64 * 1024 * 1024,
            bulk_connections: 1,
        }
    }
}

/// Why an endpoint cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The socket cannot be bound.
    #[error("cannot listen on {address}: {source}")]
    Socket {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The largest UDP payload is out of range.
    #[error("the largest UDP payload must be between 1200 and 65527 bytes")]
    PayloadSize,
    /// The authority's certificate cannot be used.
    #[error("the authority's certificate cannot be used to check peers")]
    Authority,
}

/// What an endpoint and its peers share.
pub(crate) struct Shared {
    quinn: quinn::Endpoint,
    world: World,
    identity: Identity,
    settings: EndpointSettings,
    configs: Configs,
    counters: Counters,
    traffic: Arc<TrafficCounters>,
    served: Arc<Served>,
    /// What the hello says, as far as it changes.
    standing: Mutex<(Option<ClusterId>, Option<Incarnation>)>,
}

impl Shared {
    pub(crate) fn quinn(&self) -> &quinn::Endpoint {
        &self.quinn
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(crate) fn settings(&self) -> &EndpointSettings {
        &self.settings
    }

    pub(crate) fn client_config(&self, class: Class) -> quinn::ClientConfig {
        self.configs.client(class)
    }

    pub(crate) fn hello(&self, class: Class) -> Hello {
        let (cluster, incarnation) = *self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        Hello::new(self.identity.peer(), cluster, incarnation, class)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shared({})", self.identity.peer())
    }
}

/// One UDP socket that calls peers and serves them. Clones are the same endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    shared: Arc<Shared>,
    peers: Peers,
}

impl Endpoint {
    /// Binds a socket. It serves nobody before [`Endpoint::serve`]. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`] says which setting cannot be used.
    pub fn bind(world: &World, identity: Identity, settings: EndpointSettings) -> Result<Endpoint, BindError> {
        let configs = Configs::new(world, &identity, &settings)?;
        let failed = |source| BindError::Socket { address: settings.listen, source };
        let traffic = Arc::new(TrafficCounters::default());
        let socket = world.network.bind(settings.listen).map_err(failed)?;
        let socket = Arc::new(SplittingSocket::new(socket, traffic.clone()));
        let runtime = Arc::new(world.scope.clone());
        let quinn =
            quinn::Endpoint::new_with_abstract_socket(configs.endpoint(), None, socket, runtime).map_err(failed)?;
        let shared = Arc::new(Shared {
            quinn,
            world: world.clone(),
            identity,
            settings,
            configs,
            counters: Counters::default(),
            traffic,
            served: Arc::default(),
            standing: Mutex::default(),
        });
        Ok(Endpoint { peers: Peers::new(shared.clone()), shared })
    }

    /// The bound address.
    ///
    /// # Errors
    /// The operating system does not tell.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.shared.quinn.local_addr()
    }

    /// Who this side is.
    #[must_use]
    pub fn identity(&self) -> &PeerIdentity {
        self.shared.identity.peer()
    }

    /// From now on, peers of another cluster are refused.
    pub fn set_cluster(&self, cluster: ClusterId) {
        self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(cluster);
    }

    /// The cluster that this side belongs to, once it knows.
    #[must_use]
    pub fn cluster(&self) -> Option<ClusterId> {
        self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// The life of this process, which the hello tells from now on.
    pub fn set_incarnation(&self, incarnation: Incarnation) {
        self.shared.standing.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(incarnation);
    }

    /// Calls to other nodes.
    #[must_use]
    pub fn peers(&self) -> Peers {
        self.peers.clone()
    }

    /// Accepts connections, and hands each request to `dispatch`. The task ends when the endpoint is closed; aborting
    /// it stops new connections only.
    pub fn serve(&self, dispatch: Arc<dyn Dispatch>) -> Task<()> {
        self.shared.quinn.set_server_config(Some(self.shared.configs.server()));
        self.shared.world.scope.spawn(server::serve(self.shared.clone(), dispatch))
    }

    #[cfg(test)]
    pub(crate) fn shared_quinn(&self) -> &quinn::Endpoint {
        &self.shared.quinn
    }

    #[cfg(test)]
    pub(crate) fn config(&self) -> quinn::ClientConfig {
        self.shared.client_config(Class::Control)
    }

    /// What was refused since the endpoint was bound.
    #[must_use]
    pub fn refused(&self) -> Refused {
        self.shared.counters.snapshot()
    }

    /// What went through its socket since it was bound.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.traffic.snapshot()
    }

    /// Connections of peers of this role that are served now.
    #[must_use]
    pub fn served(&self, role: Role) -> u64 {
        self.shared.served.count(role)
    }

    /// Takes no more connections, closes those there are, and waits a moment for peers to hear of it.
    pub async fn close(&self) {
        self.shared.quinn.set_server_config(None);
        self.shared.quinn.close(quinn::VarInt::from_u32(0), b"");
        // Peers that do not hear of it notice by themselves.
        let _ = tokio::time::timeout(CLOSE_WAIT, self.shared.quinn.wait_idle()).await;
    }
}

#[cfg(test)]
mod tests;
