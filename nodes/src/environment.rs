//! What a node needs from outside: the only place where production and simulation differ.

use crate::settings::{NodeSettings, SettingsError};
use dfs_actors::disk::Disk;
use dfs_actors::disk::directory::DirectoryDisk;
use dfs_actors::key_value::KeyValueStores;
use dfs_actors::key_value::fjall::FjallStores;
use dfs_transport::identity::{Identity, IdentityError};
use dfs_transport::world::World;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

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
}

impl Environment {
    /// The real one, as the settings say: certificates and data directory on this machine, real sockets and threads.
    /// It must be made inside a tokio runtime.
    ///
    /// # Errors
    /// Certificates that cannot be read or are another node's; a data directory that cannot be made.
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
        })
    }
}
