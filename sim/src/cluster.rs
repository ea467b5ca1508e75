//! A cluster of production nodes, each on a machine of the simulated world, and its users.
//!
//! Nodes come to be as in production, by `dfs_nodes::start`; only their environment differs. Certificates are issued
//! once, by an authority on a machine of its own that is switched off afterwards.

use crate::disk::Crash;
use crate::scenario::check_tasks;
use crate::verdict::{AnyError, Verdict};
use crate::world::{Machine, SimWorld};
use dfs_actors::supervisor::GaveUp;
use dfs_client::{Client, ClientSettings};
use dfs_core::id::{ClusterId, NodeId, Role};
use dfs_core::settings::ClusterSettings;
use dfs_core::wire::Request;
use dfs_core::wire::metadata::DescribeNode;
use dfs_nodes::settings::{LogFilter, LogFormat, NodeSettings, RoleSettings, UDP_PAYLOAD_BYTES_DEFAULT};
use dfs_nodes::{Environment, InitialiseCluster, Node};
use dfs_transport::authority::Authority;
use dfs_transport::endpoint::{Endpoint, EndpointSettings};
use dfs_transport::exchange::CallError;
use dfs_transport::identity::Identity;
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::World;
use futures_util::FutureExt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Where every node listens on its machine.
const PORT: u16 = 7001;

/// Longer than any run.
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a cluster may take to do what it does without being asked.
const SETTLE: Duration = Duration::from_secs(60);

/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(100);

/// Tasks that were ended are gone by then.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// A node of the cluster: a machine with a certificate, which may run or not.
pub struct Member {
    machine: Machine,
    identity: Identity,
    settings: NodeSettings,
    node: Option<Node>,
}

/// What no fault of the world may bring about.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// A node gave up.
    #[error("{name} ended by itself: {reason}")]
    EndedByItself {
        /// The node.
        name: String,
        /// What it said.
        reason: GaveUp,
    },
    /// Actors of a node failed.
    #[error("{name} has restarted {restarts} of its actors")]
    Restarted {
        /// The node.
        name: String,
        /// How often.
        restarts: u64,
    },
    /// A cluster that nothing hurts did not become what it should.
    #[error("{what} did not come to pass within {SETTLE:?}")]
    NotInTime {
        /// What it should.
        what: &'static str,
    },
}

impl Member {
    /// Boots the machine and starts the node on what its disk has.
    ///
    /// # Errors
    /// The node does not start.
    ///
    /// # Panics
    /// If it runs.
    pub async fn start(&mut self) -> Result<(), dfs_nodes::StartError> {
        let life = self.machine.boot();
        let identity = self.identity.clone();
        let environment = Environment { world: life.world, identity, disk: life.disk, stores: life.stores };
        self.node = Some(dfs_nodes::start(self.settings.clone(), environment).await?);
        Ok(())
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
            Some(reason) => Err(Unhealthy::EndedByItself { name: self.machine.name().to_owned(), reason }),
        }
    }
}

/// Metadata nodes and storage nodes.
pub struct Cluster {
    /// The metadata nodes, by id.
    pub metadata: Vec<Member>,
    /// The storage nodes, by id.
    pub storage: Vec<Member>,
}

impl Cluster {
    /// Machines and certificates for a cluster and its users. No node runs yet.
    ///
    /// # Errors
    /// Certificates cannot be made.
    pub fn prepare(
        world: &mut SimWorld,
        metadata: u64,
        storage: u64,
        users: u64,
    ) -> Result<(Cluster, Vec<User>), AnyError> {
        let mut office = world.add_machine("authority");
        let life = office.boot();
        let authority = Authority::create(&life.world)?;
        let now = life.world.wall_clock.now();
        let issue = |role: Role, name: &str| -> Result<Identity, AnyError> {
            let issued = authority.issue(role, name, CERTIFICATE_VALIDITY, now)?;
            Ok(Identity::from_pem(authority.certificate_pem(), &issued.certificate_pem, &issued.key_pem)?)
        };
        let mut member = |role: RoleSettings, id: u64| -> Result<Member, AnyError> {
            let identity = issue(role.role(), &id.to_string())?;
            let machine = world.add_machine(&format!("{}-{id}", role.role()));
            let settings = settings(role, NodeId(id), machine.socket_address(PORT));
            Ok(Member { machine, identity, settings, node: None })
        };
        let metadata = (1..=metadata).map(|id| member(RoleSettings::Metadata, id)).collect::<Result<Vec<_>, _>>()?;
        let seeds: Vec<SocketAddr> = metadata.iter().map(|member| member.settings.listen).collect();
        let role = RoleSettings::Storage { metadata: seeds.clone(), reserve: None };
        let storage = (1..=storage).map(|id| member(role.clone(), id)).collect::<Result<Vec<_>, _>>()?;
        let mut user = |id: u64| -> Result<User, AnyError> {
            let name = format!("user-{id}");
            User::start(world.add_machine(&name), issue(Role::Client, &name)?, seeds.clone())
        };
        let users = (1..=users).map(&mut user).collect::<Result<Vec<_>, _>>()?;
        office.crash(Crash::Process, || {});
        Ok((Cluster { metadata, storage }, users))
    }

    /// Starts every node that does not run.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn start(&mut self) -> Result<(), dfs_nodes::StartError> {
        for member in self.members_mut().filter(|member| !member.runs()) {
            member.start().await?;
        }
        Ok(())
    }

    /// Makes the metadata nodes a cluster, through the one at `place`.
    ///
    /// # Errors
    /// They do not agree.
    ///
    /// # Panics
    /// If that node does not run.
    pub async fn initialise(
        &self,
        place: usize,
        settings: ClusterSettings,
    ) -> Result<ClusterId, dfs_nodes::InitialiseError> {
        let members = self.metadata.iter().map(|member| (member.settings.node, member.settings.listen)).collect();
        let node = self.metadata[place].node.as_ref().expect("a cluster is initialised through a node that runs");
        node.initialise(InitialiseCluster { members, settings }).await
    }

    /// All nodes.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.metadata.iter().chain(&self.storage)
    }

    /// All nodes.
    pub fn members_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.metadata.iter_mut().chain(&mut self.storage)
    }

    /// Says if a node should run but has given up.
    ///
    /// # Errors
    /// One has.
    pub fn check(&self) -> Result<(), Unhealthy> {
        self.members().try_for_each(Member::check)
    }

    /// Asks again and again until there is an answer, while no node gives up.
    ///
    /// # Errors
    /// A node gave up, or there was no answer for a minute.
    pub async fn until<T>(&self, what: &'static str, mut ask: impl AsyncFnMut() -> Option<T>) -> Result<T, Unhealthy> {
        let deadline = Instant::now() + SETTLE;
        while Instant::now() < deadline {
            self.check()?;
            if let Some(answer) = ask().await {
                return Ok(answer);
            }
            sleep(POLL).await;
        }
        Err(Unhealthy::NotInTime { what })
    }

    /// Asks every node whether actors of it failed since it was started.
    ///
    /// # Errors
    /// Some did, or a node does not answer.
    pub async fn no_actor_failed(&self, user: &User) -> Result<(), Unhealthy> {
        for member in self.members() {
            let describe = async || user.ask(member, &DescribeNode {}).await.ok();
            let restarts = self.until("a node that describes itself", describe).await?.actor_restarts;
            if restarts > 0 {
                return Err(Unhealthy::Restarted { name: member.machine.name().to_owned(), restarts });
            }
        }
        Ok(())
    }

    /// Checks that no actor failed, ends every node and user at once, and checks that no more than `tasks_before` tasks
    /// are left.
    ///
    /// # Errors
    /// An actor failed, or tasks are left.
    pub async fn end(mut self, mut users: Vec<User>, tasks_before: usize) -> Verdict {
        if let Some(user) = users.first() {
            self.no_actor_failed(user).await?;
        }
        self.members_mut().for_each(|member| member.crash(Crash::Power));
        drop(self);
        users.iter_mut().for_each(User::crash);
        drop(users);
        sleep(ABORT_WAIT).await;
        check_tasks(tasks_before)
    }
}

/// The settings of a node, as if read from a file. Its paths lead nowhere: its environment has everything.
fn settings(role: RoleSettings, node: NodeId, listen: SocketAddr) -> NodeSettings {
    NodeSettings {
        role,
        node,
        listen,
        advertise: None,
        data: PathBuf::new(),
        ca: PathBuf::new(),
        certificate: PathBuf::new(),
        key: PathBuf::new(),
        max_udp_payload: UDP_PAYLOAD_BYTES_DEFAULT,
        log_level: LogFilter::default(),
        log_format: LogFormat::default(),
    }
}

/// Somebody who uses the cluster from a machine of their own.
pub struct User {
    machine: Machine,
    world: World,
    client: Client,
    /// Calls to nodes of the user's choice, where the client chooses itself.
    peers: Peers,
}

impl User {
    fn start(mut machine: Machine, identity: Identity, seeds: Vec<SocketAddr>) -> Result<User, AnyError> {
        let world = machine.boot().world;
        let client = Client::new(&world, identity.clone(), seeds, ClientSettings::default())?;
        let listen = machine.socket_address(0);
        let peers =
            Endpoint::bind(&world, identity, EndpointSettings { listen, ..EndpointSettings::default() })?.peers();
        Ok(User { machine, world, client, peers })
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
