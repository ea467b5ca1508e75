//! A node of a simulated cluster: a machine with a certificate, which may run or not.

use super::Unhealthy;
use crate::disk::Crash;
use crate::world::Machine;
use dfs_core::id::{NodeId, Role};
use dfs_nodes::settings::NodeSettings;
use dfs_nodes::{Environment, Node};
use dfs_transport::identity::Identity;
use dfs_transport::peers::Destination;
use futures_util::FutureExt;
use std::fmt;

/// Names a node of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeName {
    /// Its role.
    pub role: Role,
    /// Its id within the role.
    pub id: NodeId,
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.role, self.id)
    }
}

/// A node of the cluster: a machine with a certificate, which may run or not.
pub struct Member {
    machine: Machine,
    identity: Identity,
    pub(super) settings: NodeSettings,
    pub(super) node: Option<Node>,
}

impl Member {
    pub(super) fn new(machine: Machine, identity: Identity, settings: NodeSettings) -> Member {
        Member { machine, identity, settings, node: None }
    }

    /// Boots the machine and starts the node on what its disk has.
    ///
    /// # Errors
    /// The node does not start. Its machine is off again then.
    ///
    /// # Panics
    /// If it runs.
    pub async fn start(&mut self) -> Result<(), dfs_nodes::StartError> {
        let life = self.machine.boot();
        let identity = self.identity.clone();
        let environment =
            Environment { world: life.world, identity, disk: life.disk, stores: life.stores, machine: None };
        match dfs_nodes::start(self.settings.clone(), environment).await {
            Ok(node) => {
                self.node = Some(node);
                Ok(())
            }
            Err(error) => {
                self.machine.crash(Crash::Process, || {});
                Err(error)
            }
        }
    }

    /// Stops its machine at once, however it stands.
    pub fn crash(&mut self, crash: Crash) {
        let node = self.node.take();
        self.machine.crash(crash, || {
            if let Some(node) = node {
                node.kill();
            }
        });
    }

    /// Lets the node finish what it does, as SIGTERM does; then its machine is off.
    pub async fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop().await;
            self.machine.crash(Crash::Process, || {});
        }
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> NodeName {
        NodeName { role: self.settings.role.role(), id: self.settings.node }
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.settings.node
    }

    /// How to call it.
    #[must_use]
    pub fn destination(&self) -> Destination {
        Destination { address: self.settings.listen, role: self.settings.role.role(), node: Some(self.settings.node) }
    }

    /// Its machine, to hurt it.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Its machine, to hurt it.
    #[must_use]
    pub fn machine_mut(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Whether it was started and not crashed since.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.node.is_some()
    }

    /// Says if it should run but has given up.
    ///
    /// # Errors
    /// It has.
    pub fn check(&self) -> Result<(), Unhealthy> {
        match self.node.as_ref().and_then(|node| node.ended().now_or_never()) {
            None => Ok(()),
            Some(reason) => Err(Unhealthy::EndedByItself { name: self.name(), reason }),
        }
    }
}
