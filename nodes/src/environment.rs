//! What a node needs from outside: the only place where production and simulation differ.

use crate::process;
use crate::settings::{MetricsListen, NodeSettings, SettingsError};
use dfs_actors::disk::Disk;
use dfs_actors::disk::directory::DirectoryDisk;
use dfs_actors::key_value::KeyValueStores;
use dfs_actors::key_value::fjall::FjallStores;
use dfs_core::wire::metadata::ProcessUsage;
use dfs_transport::identity::{Identity, IdentityError};
use dfs_transport::world::World;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Everything outside a node.
#[derive(Clone)]
pub struct Environment {
    /// Tasks, time, randomness and sockets.
    pub world: World,
    /// Who the node is, and whom it trusts.
    pub identity: Identity,
    /// Its data directory.
    pub disk: Arc<dyn Disk>,
    /// Its key-value stores.
    pub stores: Arc<dyn KeyValueStores>,
    /// The machine that its process runs on; a simulated node has none to tell of.
    pub machine: Option<Machine>,
}

/// What a process has of its machine besides sockets and disks.
#[derive(Clone)]
pub struct Machine {
    /// Where metrics are asked for, if they are told.
    pub metrics: Option<Arc<TcpListener>>,
    /// What the process has used so far, where the operating system tells.
    pub usage: fn() -> Option<ProcessUsage>,
}

/// Why there is no environment for a node.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate is another node's.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The data directory cannot be used.
    #[error("cannot use the data directory {}: {source}", path.display())]
    Data {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The address for metrics cannot be used.
    #[error(
        "cannot listen on {address} (TCP) for metrics: {source}; set \"metrics_listen\" to another address, or off"
    )]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// The listener for metrics, as the settings say.
fn listen_for_metrics(settings: &NodeSettings) -> Result<Option<Arc<TcpListener>>, EnvironmentError> {
    let bind = |address: SocketAddr| -> io::Result<Arc<TcpListener>> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Arc::new(TcpListener::from_std(listener)?))
    };
    match settings.metrics_listen {
        MetricsListen::Off => Ok(None),
        MetricsListen::At(address) => {
            bind(address).map(Some).map_err(|source| EnvironmentError::Metrics { address, source })
        }
        MetricsListen::Usual => {
            let loopback = match settings.listen {
                SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            };
            let address = SocketAddr::new(loopback, settings.listen.port());
            match bind(address) {
                Ok(listener) => Ok(Some(listener)),
                Err(error) => {
                    tracing::warn!(%address, %error, "no metrics are told: the usual address is taken; set metrics_listen");
                    Ok(None)
                }
            }
        }
    }
}

impl Environment {
    /// The real one, as the settings say: certificates and data directory on this machine, real sockets and threads.
    /// It must be made inside a tokio runtime.
    ///
    /// # Errors
    /// Certificates that cannot be read or are another node's; a data directory that cannot be made; an address for
    /// metrics that was set and cannot be used.
    pub fn production(settings: &NodeSettings) -> Result<Environment, EnvironmentError> {
        let identity = Identity::load(&settings.ca, &settings.certificate, &settings.key)?;
        settings.check_identity(identity.peer().role, &identity.peer().name)?;
        let data = |source| EnvironmentError::Data { path: settings.data.clone(), source };
        let disk = DirectoryDisk::open(&settings.data).map_err(data)?;
        Ok(Environment {
            world: World::production(&format!("{}-{}", settings.role.role(), settings.node)),
            identity,
            disk: Arc::new(disk),
            stores: Arc::new(FjallStores::new(&settings.data.join("stores"))),
            machine: Some(Machine { metrics: listen_for_metrics(settings)?, usage: process::usage }),
        })
    }
}
