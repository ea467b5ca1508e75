//! From where a cluster is to a client of it.

use crate::certificate::{self, CertificateError};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::launcher::Layout;
use crate::moment;
use clap::Args;
use dfs_client::cluster::{ClusterFile, ClusterFileError};
use dfs_client::{Client, ClientError, ClientSettings, ErrorKind};
use dfs_transport::identity::IdentityError;
use dfs_transport::world::World;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that names the cluster where no flag does.
pub const CLUSTER_VARIABLE: &str = "DFS_CLUSTER";

/// How a verb finds its cluster.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// The cluster: a directory of `cluster up`, or a TOML file with addresses, ca, certificate and key
    /// [default: $DFS_CLUSTER, or the directory that `cluster up` uses]
    #[arg(long, value_name = "DIR|FILE")]
    pub cluster: Option<PathBuf>,
    /// How long to try before giving up on a cluster that does not answer, such as 500ms, 30s or 2min
    /// [default: 5s until it first answers, 30s after; 5s for status and nodes]
    #[arg(long, value_name = "TIME", value_parser = moment::parse_span)]
    pub timeout: Option<Duration>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no cluster file, or it is not one.
    #[error(transparent)]
    ClusterFile(#[from] ClusterFileError),
    /// The certificate or key is not usable.
    #[error("{cause}\nthe cluster file {} names it", file.display())]
    Identity {
        /// The cluster file.
        file: PathBuf,
        /// What is wrong.
        cause: IdentityError,
    },
    /// The key is for others to read.
    #[error(transparent)]
    Key(#[from] CertificateError),
    /// The client cannot begin.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl ClusterArgs {
    /// The directory or file of the cluster: from the flag, else from the environment, else the launcher's default.
    ///
    /// # Errors
    /// Neither is given, and there is no home directory.
    pub fn path(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = &self.cluster {
            return Ok(path.clone());
        }
        match std::env::var_os(CLUSTER_VARIABLE).filter(|value| !value.is_empty()) {
            Some(path) => Ok(path.into()),
            None => Ok(Layout::default_directory(|name| std::env::var_os(name))?),
        }
    }

    /// A client of the cluster. Nothing is sent yet.
    ///
    /// # Errors
    /// The cluster is not found, or its client certificate cannot be used.
    pub fn client(&self, world: &World) -> Result<Client, Failure> {
        Ok(open(world, &self.path()?, self.settings())?)
    }

    /// A client for verbs that only look: they wait no longer for a leader than for a first answer, and then show what is
    /// known without one.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn looking_client(&self, world: &World) -> Result<Client, Failure> {
        let timeout = self.timeout.unwrap_or(ClientSettings::default().connect_timeout);
        ClusterArgs { timeout: Some(timeout), ..self.clone() }.client(world)
    }

    fn settings(&self) -> ClientSettings {
        let usual = ClientSettings::default();
        let Some(timeout) = self.timeout else { return usual };
        ClientSettings {
            connect_timeout: timeout,
            operation_timeout: timeout,
            too_few_nodes_timeout: usual.too_few_nodes_timeout.min(timeout),
            read_timeout: timeout,
            ..usual
        }
    }
}

/// A client of the cluster that a directory or file tells of. Nothing is sent yet.
///
/// # Errors
/// There is no cluster file, or its client certificate cannot be used.
pub fn open(world: &World, path: &Path, settings: ClientSettings) -> Result<Client, ConnectError> {
    let file = ClusterFile::find(path)?;
    certificate::refuse_exposed_key(&file.key)?;
    let identity = file.identity().map_err(|cause| ConnectError::Identity { file: path.to_owned(), cause })?;
    Ok(Client::new(world, identity, file.addresses, settings)?)
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        let exit = match error {
            ConnectError::Client(error) => return error.into(),
            ConnectError::Key(error) => return error.into(),
            ConnectError::ClusterFile(ClusterFileError::Missing { .. }) => Exit::NotFound,
            ConnectError::ClusterFile(_) | ConnectError::Identity { .. } => Exit::LocalFile,
        };
        Failure::new(exit, error)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let exit = match &error {
            ClientError::ChunkUnreadable { .. } => Exit::Integrity,
            ClientError::Source(_) | ClientError::Sink(_) => Exit::LocalFile,
            ClientError::Settings { .. } => Exit::Usage,
            ClientError::Bind(_) | ClientError::Stopped => Exit::Failure,
            other => match other.kind() {
                ErrorKind::Unavailable => Exit::Unavailable,
                ErrorKind::NotFound => Exit::NotFound,
                ErrorKind::AlreadyExists => Exit::AlreadyExists,
                ErrorKind::Refused | ErrorKind::Storage => Exit::Refused,
                ErrorKind::Local => Exit::Failure,
                ErrorKind::Changed => Exit::SourceChanged,
            },
        };
        Failure::new(exit, error)
    }
}
