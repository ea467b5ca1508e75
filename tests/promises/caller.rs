//! Peers of a real cluster that speak the protocol by hand, with a certificate of its authority.

use crate::cluster::{Cluster, Ran, executable};
use dfs_core::id::{NodeId, Role};
use dfs_core::wire::Request;
use dfs_transport::endpoint::{Endpoint, EndpointSettings};
use dfs_transport::exchange::CallError;
use dfs_transport::identity::Identity;
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::World;
use std::time::Duration;
use tokio::time::Instant;

/// A peer with a certificate of its own.
pub struct Caller {
    /// Its calls.
    pub peers: Peers,
    #[allow(dead_code, reason = "held: its tasks end with it")]
    world: World,
}

impl Caller {
    /// A peer that carries the certificate of this role and name, which is issued if it is not there.
    pub fn new(cluster: &Cluster, role: Role, name: &str) -> Caller {
        let world = World::production("caller");
        let settings = EndpointSettings { listen: "127.0.0.1:0".parse().unwrap(), ..EndpointSettings::default() };
        let endpoint = Endpoint::bind(&world, identity(cluster, role, name), settings).expect("a socket");
        Caller { peers: endpoint.peers(), world }
    }

    /// Calls a node on its control connection.
    pub async fn call<R: Request>(&self, to: &Destination, request: &R) -> Result<R::Reply, CallError> {
        self.peers.call(to, Class::Control, request, soon()).await
    }
}

fn identity(cluster: &Cluster, role: Role, name: &str) -> Identity {
    let directory = cluster.path().join("certs");
    let stem = format!("{}-{name}", role.word());
    if !directory.join(format!("{stem}.pem")).exists() {
        let mut issue = executable();
        issue.args(["certs", "issue", "--role", role.word(), "--name", name, "--dir"]).arg(&directory);
        Ran::of(issue).succeeds();
    }
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).expect("a PEM file");
    let (certificate, key) = (read(&format!("{stem}.pem")), read(&format!("{stem}.key")));
    Identity::from_pem(&read("ca.pem"), &certificate, &key).expect("an identity")
}

/// A node of a cluster, by the launcher's name.
pub fn destination(cluster: &Cluster, name: &str) -> Destination {
    let (role, node) = name.split_once('-').expect("a role and a number");
    let role = Role::ALL.into_iter().find(|other| other.word() == role).expect("a role");
    let node = NodeId(node.parse().expect("a number"));
    Destination { address: cluster.address(name).parse().expect("an address"), role, node: Some(node) }
}

/// A deadline that a node on a busy machine keeps.
pub fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}
