//! Somebody who uses a simulated cluster from a machine of their own.

use super::Member;
use crate::disk::Crash;
use crate::verdict::AnyError;
use crate::world::Machine;
use dfs_client::{Client, ClientSettings};
use dfs_core::wire::Request;
use dfs_transport::endpoint::{Endpoint, EndpointSettings};
use dfs_transport::exchange::CallError;
use dfs_transport::identity::Identity;
use dfs_transport::peers::{Class, Peers};
use dfs_transport::world::World;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::time::Instant;

/// Somebody who uses the cluster from a machine of their own.
pub struct User {
    machine: Machine,
    world: World,
    client: Client,
    /// Calls to nodes of the user's choice, where the client chooses itself.
    peers: Peers,
}

impl User {
    pub(super) fn start(mut machine: Machine, identity: Identity, seeds: Vec<SocketAddr>) -> Result<User, AnyError> {
        let world = machine.boot().world;
        let client = Client::new(&world, identity.clone(), seeds, ClientSettings::default())?;
        let listen = machine.socket_address(0);
        let peers =
            Endpoint::bind(&world, identity, EndpointSettings { listen, ..EndpointSettings::default() })?.peers();
        Ok(User { machine, world, client, peers })
    }

    /// The user's machine.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The world that the user lives in.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The address of the user's machine.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.machine.address()
    }

    /// Asks one node, once.
    ///
    /// # Errors
    /// It refuses, or does not answer within a second.
    pub async fn ask<R: Request>(&self, member: &Member, request: &R) -> Result<R::Reply, CallError> {
        let deadline = Instant::now() + Duration::from_secs(1);
        self.peers.call(&member.destination(), Class::Control, request, deadline).await
    }

    /// Stops the user's machine.
    pub fn crash(&mut self) {
        self.machine.crash(Crash::Process, || {});
    }
}
