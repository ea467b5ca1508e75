//! The simulated world: a network and machines, all from one seed.
//!
//! A [`Machine`] outlives its processes: its address, wall clock, disk and key-value stores stay. Each boot gives it a
//! [`Life`], the seams that a node runs on. A crash ends the life: fence first, so that destructors can neither send
//! nor write, then kill.

use crate::clock::SimWallClock;
use crate::disk::{Crash, DiskSettings, SimDisk};
use crate::key_value::ModelStores;
use crate::network::{Host, Link, SimNetwork};
use crate::offload::{SimOffload, WorkDelays};
use crate::random::{Random, Seed, SeededEntropy};
use crate::trace::Trace;
use crate::verdict::Tally;
use dfs_actors::disk::Disk;
use dfs_actors::key_value::KeyValueStores;
use dfs_transport::world::{Entropy, Scope, World};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What a world is like, but for its seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorldSettings {
    /// Every link that has no setting of its own.
    pub link: Link,
    /// Every machine's disk.
    pub disk: DiskSettings,
    /// How long every machine's blocking work takes.
    pub work: WorkDelays,
    /// How long a scenario that could go on for ever goes on; its own length if none is given.
    pub length: Option<Duration>,
}

/// A network and the machines on it.
#[derive(Debug)]
pub struct SimWorld {
    seed: Seed,
    settings: WorldSettings,
    trace: Trace,
    scope: Scope,
    network: SimNetwork,
    tally: Tally,
    machines: u32,
}

impl SimWorld {
    /// A world without machines. It must be made inside a runtime with paused time.
    #[must_use]
    pub fn new(seed: u64, settings: WorldSettings, trace: Trace) -> SimWorld {
        let seed = Seed::new(seed);
        let scope = Scope::new("simulation", Arc::new(SimOffload::new(seed.fork("simulation"), settings.work)));
        let network = SimNetwork::new(&scope, seed.fork("network"), settings.link, trace.clone());
        SimWorld { seed, settings, trace, scope, network, tally: Tally::default(), machines: 0 }
    }

    /// Adds a machine that is switched off.
    ///
    /// # Panics
    /// If the network has no address left.
    pub fn add_machine(&mut self, name: &str) -> Machine {
        self.machines += 1;
        let [_, second, third, fourth] = self.machines.to_be_bytes();
        assert!(self.machines < 1 << 24, "the network has an address for each machine");
        let seed = self.seed.fork(name);
        Machine {
            name: name.to_owned(),
            address: IpAddr::V4(Ipv4Addr::new(10, second, third, fourth)),
            seed,
            lives: 0,
            random: seed.fork("crashes").random(),
            wall_clock: SimWallClock::new(self.trace.start()),
            disk: SimDisk::new(self.settings.disk),
            stores: ModelStores::new(),
            offload: SimOffload::new(seed.fork("work"), self.settings.work),
            network: self.network.clone(),
            trace: self.trace.clone(),
            running: None,
        }
    }

    /// A stream for the decisions of a scenario.
    #[must_use]
    pub fn random(&self, label: &str) -> Random {
        self.seed.fork("scenario").fork(label).random()
    }

    /// How long a scenario that could go on for ever shall go on, if somebody has said so.
    #[must_use]
    pub fn length(&self) -> Option<Duration> {
        self.settings.length
    }

    /// The network.
    #[must_use]
    pub fn network(&self) -> &SimNetwork {
        &self.network
    }

    /// The trace.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What is done and seen.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The owner of tasks that are no machine's.
    #[must_use]
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

/// A machine, running or not.
#[derive(Debug)]
pub struct Machine {
    name: String,
    address: IpAddr,
    seed: Seed,
    lives: u64,
    random: Random,
    wall_clock: SimWallClock,
    disk: SimDisk,
    stores: ModelStores,
    offload: SimOffload,
    network: SimNetwork,
    trace: Trace,
    running: Option<(Host, Scope)>,
}

/// What a node runs on between a boot of its machine and the end of that life.
#[derive(Clone)]
pub struct Life {
    /// Its tasks, clock, randomness and sockets.
    pub world: World,
    /// Its data directory.
    pub disk: Arc<dyn Disk>,
    /// Its key-value stores.
    pub stores: Arc<dyn KeyValueStores>,
}

impl Machine {
    /// Starts it.
    ///
    /// # Panics
    /// If it is running.
    pub fn boot(&mut self) -> Life {
        assert!(self.running.is_none(), "{} is running", self.name);
        self.lives += 1;
        self.trace.record("boot", format_args!("{} life {}", self.name, self.lives));
        let host = self.network.host(self.address);
        let scope = Scope::new(self.name.as_str(), Arc::new(self.offload.clone()));
        self.running = Some((host.clone(), scope.clone()));
        let entropy = SeededEntropy::new(self.seed.fork("entropy").fork(&self.lives.to_string()));
        Life {
            world: World {
                scope,
                wall_clock: Arc::new(self.wall_clock.clone()),
                entropy: Entropy::new(entropy),
                network: Arc::new(host),
            },
            disk: self.disk.mount(),
            stores: self.stores.mount(),
        }
    }

    /// Ends its life. `kill_root` ends what its scope does not own, such as a root actor; it runs once nothing can be
    /// sent or written any more. The tasks are gone when the runtime has next had its turn.
    ///
    /// A machine that is not running can still lose its power.
    pub fn crash(&mut self, crash: Crash, kill_root: impl FnOnce()) {
        self.trace.record("crash", format_args!("{} {crash:?}", self.name));
        let running = self.running.take();
        if let Some((host, _)) = &running {
            host.fence();
        }
        self.disk.crash(crash, &mut self.random);
        self.stores.crash(crash, &mut self.random);
        kill_root();
        if let Some((_, scope)) = running {
            scope.kill();
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// A port of it.
    #[must_use]
    pub fn socket_address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.address, port)
    }

    /// Its wall clock, to make it wrong.
    #[must_use]
    pub fn wall_clock(&self) -> &SimWallClock {
        &self.wall_clock
    }

    /// Its disk, to hurt it.
    #[must_use]
    pub fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// Its key-value stores, to hurt them.
    #[must_use]
    pub fn stores(&self) -> &ModelStores {
        &self.stores
    }

    /// Its workers, to slow them down.
    #[must_use]
    pub fn offload(&self) -> &SimOffload {
        &self.offload
    }
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life").field("world", &self.world).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_actors::key_value::{Batch, Durability};

    #[tokio::test(start_paused = true)]
    async fn a_machine_keeps_its_data_and_loses_its_tasks() {
        let mut world = SimWorld::new(1, WorldSettings::default(), Trace::new(None));
        let mut machine = world.add_machine("m");
        let life = machine.boot();
        life.disk.open("file", true).unwrap();
        life.disk.sync_directory("").unwrap();
        let store = life.stores.open("s").unwrap();
        let mut batch = Batch::new();
        batch.put("key", "value");
        store.commit(batch, Durability::Synced).unwrap();
        let task = life.world.scope.spawn(std::future::pending::<()>());
        life.world.network.bind(machine.socket_address(9)).unwrap();

        let mut order = Vec::new();
        machine.crash(Crash::Power, || {
            order.push(
                life.disk.open("late", true).is_err() && life.world.network.bind(([0, 0, 0, 0], 0).into()).is_err(),
            );
        });
        assert_eq!(order, [true], "the fence stands before the kill");
        assert!(task.await.is_err());
        assert_eq!(life.world.scope.task_count(), 0);

        let again = machine.boot();
        assert_eq!(again.disk.list("").unwrap(), ["file"]);
        assert_eq!(again.stores.open("s").unwrap().get(b"key").unwrap().unwrap(), b"value");
        assert_ne!(again.world.entropy.number(), life.world.entropy.number());
        again.world.network.bind(machine.socket_address(9)).unwrap();
    }
}
