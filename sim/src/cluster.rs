//! A cluster of production nodes, each on a machine of the simulated world, and its users.
//!
//! Nodes come to be as in production, by `dfs_nodes::start`; only their environment differs. Certificates are issued
//! once, by an authority on a machine of its own that is switched off afterwards.

mod member;
mod shape;
mod user;

pub use member::{Member, NodeName};
pub use shape::ClusterShape;
pub use user::User;

use crate::disk::Crash;
use crate::scenario::check_tasks;
use crate::stage::ACTORS_STAY;
use crate::verdict::{AnyError, Failure, Verdict};
use crate::world::SimWorld;
use dfs_actors::supervisor::GaveUp;
use dfs_core::id::{ClusterId, NodeId, Role};
use dfs_core::settings::ClusterSettings;
use dfs_core::wire::metadata::{DescribeNode, Health, WhoLeads};
use dfs_nodes::InitialiseCluster;
use dfs_nodes::settings::{LogFilter, LogFormat, MetricsListen, NodeSettings, RoleSettings, UDP_PAYLOAD_BYTES_DEFAULT};
use dfs_transport::authority::Authority;
use dfs_transport::identity::Identity;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Where every node listens on its machine.
const PORT: u16 = 7001;

/// Longer than any run.
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a cluster may take to do what it does without being asked.
pub const SETTLE: Duration = Duration::from_secs(60);

/// How often it is asked meanwhile.
const POLL: Duration = Duration::from_millis(100);

/// Tasks that were ended are gone by then.
const ABORT_WAIT: Duration = Duration::from_secs(1);

/// How a cluster ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its nodes lose their power.
    AtOnce,
    /// Its nodes stop in order, one after the other.
    InOrder,
}

/// What no fault of the world may bring about.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    /// A node gave up.
    #[error("{name} ended by itself: {reason}")]
    EndedByItself {
        /// The node.
        name: NodeName,
        /// What it said.
        reason: GaveUp,
    },
    /// Actors of a node failed.
    #[error("{name} has restarted {restarts} of its actors")]
    Restarted {
        /// The node.
        name: NodeName,
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
    pub fn prepare(world: &mut SimWorld, shape: ClusterShape) -> Result<(Cluster, Vec<User>), AnyError> {
        Cluster::prepare_knowing(world, shape, &[])
    }

    /// As [`Cluster::prepare`], and after those users one for each of `knowing`, who knows only these metadata nodes.
    ///
    /// # Errors
    /// Certificates cannot be made.
    pub fn prepare_knowing(
        world: &mut SimWorld,
        shape: ClusterShape,
        knowing: &[&[u64]],
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
            Ok(Member::new(machine, identity, settings))
        };
        let ClusterShape { metadata, storage, users, snapshot_entries } = shape;
        let role = RoleSettings::Metadata { snapshot_entries };
        let metadata = (1..=metadata).map(|id| member(role.clone(), id)).collect::<Result<Vec<_>, _>>()?;
        let seeds: Vec<SocketAddr> = metadata.iter().map(|member| member.settings.listen).collect();
        let role = RoleSettings::Storage { metadata: seeds, reserve: None };
        let storage = (1..=storage).map(|id| member(role.clone(), id)).collect::<Result<Vec<_>, _>>()?;
        let mut user = |(known, id): (Option<&[u64]>, u64)| -> Result<User, AnyError> {
            let name = format!("user-{id}");
            let knows = |member: &&Member| known.is_none_or(|known| known.contains(&member.id().0));
            let seeds = metadata.iter().filter(knows).map(|member| member.settings.listen).collect();
            User::start(world.add_machine(&name), issue(Role::Client, &name)?, seeds)
        };
        let known = (0..users).map(|_| None).chain(knowing.iter().copied().map(Some));
        let users = known.zip(1..).map(&mut user).collect::<Result<Vec<_>, _>>()?;
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

    /// What the nodes are called.
    #[must_use]
    pub fn names(&self) -> Vec<NodeName> {
        self.members().map(Member::name).collect()
    }

    /// One node.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn member(&self, name: NodeName) -> Result<&Member, AnyError> {
        self.members().find(|member| member.name() == name).ok_or_else(|| format!("there is no {name}").into())
    }

    /// One node.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn member_mut(&mut self, name: NodeName) -> Result<&mut Member, AnyError> {
        self.members_mut().find(|member| member.name() == name).ok_or_else(|| format!("there is no {name}").into())
    }

    /// What a cluster lacks to be whole: every node serves and is known to, every metadata node has applied the same,
    /// and no copy is owed any more.
    pub async fn unlike_whole(&self, user: &User) -> Option<String> {
        let status = match user.client().status().await {
            Ok(status) => status,
            Err(error) => return Some(format!("no leader answers: {error}")),
        };
        let (alive, storage) = (status.storage_alive as usize, self.storage.len());
        if alive != storage {
            return Some(format!("{alive} of {storage} storage nodes are alive"));
        }
        let (responding, metadata) = (status.metadata_responding as usize, self.metadata.len());
        if responding != metadata {
            return Some(format!("{responding} of {metadata} metadata nodes respond"));
        }
        for member in &self.metadata {
            match user.ask(member, &WhoLeads {}).await {
                Ok(leadership) if leadership.applied >= status.applied => {}
                Ok(leadership) => {
                    let (applied, newest) = (leadership.applied, status.applied);
                    return Some(format!("{} has applied {applied} of {newest} entries", member.name()));
                }
                Err(error) => return Some(format!("{} does not answer: {error}", member.name())),
            }
        }
        let nodes = match user.client().nodes().await {
            Ok(nodes) => nodes,
            Err(error) => return Some(format!("no leader answers: {error}")),
        };
        nodes.storage.iter().find_map(|node| match node.load {
            _ if node.health != Health::Alive => Some(format!("storage-{} is {:?}", node.address.node, node.health)),
            None => Some(format!("nothing is known of storage-{}", node.address.node)),
            Some(load) if load.pending_copies > 0 => {
                Some(format!("storage-{} owes {} copies", node.address.node, load.pending_copies))
            }
            Some(_) => None,
        })
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
                return Err(Unhealthy::Restarted { name: member.name(), restarts });
            }
        }
        Ok(())
    }

    /// Checks that no actor failed, ends every node and then every user, and checks that no more than `tasks_before`
    /// tasks are left.
    ///
    /// # Errors
    /// An actor failed, or tasks are left.
    pub async fn end(mut self, mut users: Vec<User>, tasks_before: usize, ending: Ending) -> Verdict {
        if let Some(user) = users.first() {
            self.no_actor_failed(user).await.map_err(|error| Failure::crash(ACTORS_STAY, error))?;
        }
        for member in self.members_mut() {
            match ending {
                Ending::AtOnce => member.crash(Crash::Power),
                Ending::InOrder => member.stop().await,
            }
        }
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
        metrics_listen: MetricsListen::Off,
        log_level: LogFilter::default(),
        log_format: LogFormat::default(),
    }
}
