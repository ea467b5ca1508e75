//! A local cluster of real processes: started, watched, stopped.
//!
//! Owns a cluster directory ([`Layout`]) and the processes that its pid files name. `up` makes what is missing
//! (certificates, ports, settings), starts what does not run, has the cluster initialised on its first start, and
//! waits until its leader hears every node. Everything that changes the directory holds its lock.
//!
//! Decides: where the default directory is, which ports are used, how long starting and stopping may take.
//!
//! Deliberately absent: anything that only works for processes that this very process has started. A node is known by
//! its pid file, so any launcher can stop what another one has started; and anything that prints.

mod error;
mod layout;
mod lock;
mod log_tail;
mod node_name;
mod port;
mod process;
mod record;
mod serving;
mod shape;
mod spawn;
mod stop;

pub use error::{LauncherError, LogTail, NotServing};
pub use layout::Layout;
pub use lock::DirectoryLock;
pub use node_name::{InvalidNodeName, NodeName};
pub use process::Process;
pub use record::ClusterRecord;
pub use shape::{InvalidShape, METADATA_NODES_MAX, STORAGE_NODES_MAX, Shape};

use crate::certificate::CertificateDirectory;
use crate::connect::{self, ConnectError};
use crate::local_file;
use dfs_client::{Client, ClientSettings};
use dfs_core::id::Role;
use dfs_transport::world::World;
use serving::Starts;
use spawn::Start;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a cluster has until it serves.
pub const SERVE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a node has to end after SIGTERM.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the kernel has to end a process after SIGKILL.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the lock of a directory is waited for: another `up` may wait for its cluster to serve.
const LOCK_TIMEOUT: Duration = Duration::from_secs(45);

/// How a launcher works.
#[derive(Clone, Debug)]
pub struct LauncherSettings {
    /// The cluster directory.
    pub directory: PathBuf,
    /// The program that is `dfs-cli`; this very program where absent.
    pub executable: Option<PathBuf>,
    /// Whether nodes are ended by the operating system when the thread that started them ends.
    pub end_with_parent: bool,
}

impl LauncherSettings {
    /// A launcher whose nodes outlive it.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> LauncherSettings {
        LauncherSettings { directory: directory.into(), executable: None, end_with_parent: false }
    }
}

/// One node of a local cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNode {
    /// Its name.
    pub name: NodeName,
    /// Its UDP port on 127.0.0.1.
    pub port: u16,
    /// The pid of its process, if it runs.
    pub pid: Option<i32>,
    /// Where it logs.
    pub log: PathBuf,
}

/// What `up` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Up {
    /// How many nodes the cluster has.
    pub shape: Shape,
    /// The nodes that were started; the others ran already.
    pub started: Vec<NodeName>,
    /// Whether this was the cluster's first start.
    pub is_new: bool,
}

/// The launcher of one cluster directory.
#[derive(Debug)]
pub struct Launcher {
    world: World,
    layout: Layout,
    executable: PathBuf,
    end_with_parent: bool,
    /// Processes that this one has started, to be waited for when they end.
    children: Mutex<Vec<(NodeName, Child)>>,
}

impl Launcher {
    /// A launcher for a directory, which need not exist yet.
    ///
    /// # Errors
    /// The directory or this program's own file cannot be found.
    pub fn new(world: &World, settings: LauncherSettings) -> Result<Launcher, LauncherError> {
        let executable = match settings.executable {
            Some(executable) => executable,
            None => std::env::current_exe()
                .map_err(|cause| LauncherError::file("find", Path::new("/proc/self/exe"), cause))?,
        };
        Ok(Launcher {
            world: world.clone(),
            layout: Layout::of(&settings.directory)?,
            executable,
            end_with_parent: settings.end_with_parent,
            children: Mutex::default(),
        })
    }

    /// Where everything lies.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Starts what does not run and waits until all of it serves. Numbers of nodes that are not given are those of the
    /// directory, or three in a new one. If it fails or is dropped, nodes may be left running: see
    /// [`Launcher::down`].
    ///
    /// # Errors
    /// The shape makes no sense or is another than the directory's, the directory cannot be used, or a node does not
    /// serve in time.
    pub async fn up(&self, metadata: Option<u16>, storage: Option<u16>) -> Result<Up, LauncherError> {
        let asked =
            |present: Shape| Shape::new(metadata.unwrap_or(present.metadata()), storage.unwrap_or(present.storage()));
        // A shape that makes no sense must not leave a directory behind.
        asked(Shape::default())?;
        self.layout.create()?;
        let _lock = DirectoryLock::acquire(&self.layout, LOCK_TIMEOUT).await?;
        let mut record = match ClusterRecord::read(&self.layout.record())? {
            Some(record) if asked(record.shape)? == record.shape => record,
            Some(record) => {
                let directory = self.layout.root().to_owned();
                return Err(LauncherError::OtherShape {
                    directory,
                    present: record.shape,
                    asked: asked(record.shape)?,
                });
            }
            None => self.found(asked(Shape::default())?)?,
        };
        self.make_certificates(&record)?;

        let is_new = record.cluster.is_none();
        let mut starts = Starts::new();
        for name in record.shape.names().filter(|name| self.running(*name).is_none()).collect::<Vec<_>>() {
            // The first metadata node initialises the cluster, until it was once seen to serve. Doing so again is
            // harmless; not doing so when the cluster is known keeps a node with a lost disk from founding another.
            let initialises = is_new && name.role == Role::Metadata && name.node.0 == 1;
            let start = if initialises { Start::Initialising } else { Start::Ordinary };
            let child = spawn::spawn(self, &record, name, start)?;
            self.children.lock().unwrap_or_else(PoisonError::into_inner).push((name, child));
            starts.insert(name, Instant::now());
        }
        let client = self.client(serving::client_settings())?;
        let names: Vec<NodeName> = record.shape.names().collect();
        serving::wait(self, &client, &names, &starts, SERVE_TIMEOUT).await?;
        if is_new {
            record.cluster = Some(client.status().await.map_err(ConnectError::Client)?.cluster);
            record.write(&self.layout.record())?;
        }
        Ok(Up { shape: record.shape, started: starts.into_keys().collect(), is_new })
    }

    /// Writes down a new cluster in an empty directory.
    fn found(&self, shape: Shape) -> Result<ClusterRecord, LauncherError> {
        if !self.layout.is_empty()? {
            return Err(LauncherError::ForeignDirectory { directory: self.layout.root().to_owned() });
        }
        let record = ClusterRecord { shape, ports: port::choose(&self.world, shape)?, cluster: None };
        record.write(&self.layout.record())?;
        Ok(record)
    }

    /// Makes the certificates that are missing or about to expire, and the clients' file.
    fn make_certificates(&self, record: &ClusterRecord) -> Result<(), LauncherError> {
        let certificates = CertificateDirectory::new(&self.layout.certificates());
        let nodes = record.shape.names().map(|name| (name.role, name.node.to_string()));
        certificates.complete(&self.world, nodes)?;
        let path = self.layout.client();
        if path.exists() {
            return Ok(());
        }
        let client = CertificateDirectory::new(Path::new("certs")).client_files();
        let addresses: Vec<String> = record.metadata().map(|(_, address)| format!("\"{address}\"")).collect();
        let text = format!(
            "# Where clients find this cluster: `dfs-cli … --cluster {}`.\n\
             addresses = [{}]\nca = \"certs/ca.pem\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
            self.layout.root().display(),
            addresses.join(", "),
            client.certificate.display(),
            client.key.display()
        );
        local_file::replace(&path, text.as_bytes(), 0o644).map_err(|error| LauncherError::file("write", &path, error))
    }

    /// A client of this cluster.
    ///
    /// # Errors
    /// There is no cluster, or its client certificate cannot be used.
    pub fn client(&self, settings: ClientSettings) -> Result<Client, LauncherError> {
        Ok(connect::open(&self.world, &self.layout.client(), settings)?)
    }

    /// The nodes of the cluster, metadata first.
    ///
    /// # Errors
    /// There is no cluster.
    pub fn nodes(&self) -> Result<Vec<LocalNode>, LauncherError> {
        let record = self.record()?;
        let node = |(name, port): (&NodeName, &u16)| LocalNode {
            name: *name,
            port: *port,
            pid: self.running(*name).map(|process| process.pid()),
            log: self.layout.log(*name),
        };
        Ok(record.ports.iter().map(node).collect())
    }

    /// What the directory holds.
    ///
    /// # Errors
    /// There is no cluster, or its record is damaged.
    pub fn record(&self) -> Result<ClusterRecord, LauncherError> {
        ClusterRecord::read(&self.layout.record())?
            .ok_or_else(|| LauncherError::NoCluster { directory: self.layout.root().to_owned() })
    }

    /// The last `count` lines of a node's log.
    ///
    /// # Errors
    /// There is no such node, or its log cannot be read.
    pub fn log_tail(&self, name: NodeName, count: usize) -> Result<Vec<String>, LauncherError> {
        self.check(name)?;
        let path = self.layout.log(name);
        log_tail::lines(&path, count).map_err(|error| LauncherError::file("read", &path, error))
    }

    /// What a node's log says last of its present or last life: the error that ended it, or its last line.
    #[must_use]
    pub fn last_words(&self, name: NodeName) -> Option<String> {
        log_tail::last_words(&self.layout.log(name))
    }

    /// Whether a node's pid file is there although its process is not: it ended by itself, or by a signal that no
    /// launcher sent.
    #[must_use]
    pub fn ended_by_itself(&self, name: NodeName) -> bool {
        self.layout.pid(name).exists() && self.running(name).is_none()
    }

    /// Stops a node if it runs, starts it, and waits until the cluster's leader hears it.
    ///
    /// # Errors
    /// There is no such node, it has not ended in time, or it does not serve in time.
    pub async fn restart(&self, name: NodeName) -> Result<(), LauncherError> {
        let record = self.check(name)?;
        let _lock = DirectoryLock::acquire(&self.layout, LOCK_TIMEOUT).await?;
        if let Some(process) = self.running(name) {
            self.terminate(name, &process).await?;
        }
        self.make_certificates(&record)?;
        let child = spawn::spawn(self, &record, name, Start::Ordinary)?;
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push((name, child));
        let starts = Starts::from([(name, Instant::now())]);
        let client = self.client(serving::client_settings())?;
        serving::wait(self, &client, &[name], &starts, SERVE_TIMEOUT).await
    }

    fn check(&self, name: NodeName) -> Result<ClusterRecord, LauncherError> {
        let record = self.record()?;
        if record.ports.contains_key(&name) {
            Ok(record)
        } else {
            Err(LauncherError::NoNode { name, shape: record.shape })
        }
    }

    /// The process of a node, if it runs.
    #[must_use]
    pub fn running(&self, name: NodeName) -> Option<Process> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner).retain_mut(|(_, child)| {
            // One that has ended is waited for and forgotten.
            matches!(child.try_wait(), Ok(None))
        });
        Process::read(&self.layout.pid(name)).filter(Process::is_running)
    }

    /// The nodes whose process runs.
    ///
    /// # Errors
    /// There is no cluster.
    pub fn running_nodes(&self) -> Result<BTreeSet<NodeName>, LauncherError> {
        Ok(self.record()?.shape.names().filter(|name| self.running(*name).is_some()).collect())
    }
}

#[cfg(test)]
mod tests;
