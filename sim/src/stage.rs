//! The stage: a running cluster, and the hand that hurts and mends it.
//!
//! Every fault is done by [`Stage::hurt`] and undone by [`Stage::mend`]; [`Stage::heal`] undoes them all. What a fault
//! brings about by right (a node whose disk failed ends by itself) is expected; what no fault explains is a failure.

use crate::cluster::{Cluster, Ending, Member, NodeName, SETTLE, User};
use crate::disk::{Crash, DiskSettings};
use crate::fault::{Fault, FaultKind};
use crate::inspect::{Depth, Site, payload_place, whole_records};
use crate::invariant::losses::Losses;
use crate::invariant::{AcknowledgedFile, Invariants, Load, Told};
use crate::network::{Link, SimNetwork};
use crate::offload::WorkDelays;
use crate::oracle::{Kept, Oracle};
use crate::random::Random;
use crate::scenario::NO_TASK_IS_LEFT;
use crate::trace::Trace;
use crate::verdict::{AnyError, Failure, Tally, Verdict};
use crate::world::{MachineSnapshot, SimWorld};
use dfs_actors::chunk_store::inspect::owner;
use dfs_actors::raft::inspect::LOG_STORE;
use dfs_core::id::{ChunkId, ChunkIndex, FileId, Role};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A node ends by itself only if its disk or its store failed.
pub const NODES_STAY: &str = "nodes-stay";

/// No actor fails that no fault excuses.
pub const ACTORS_STAY: &str = "actors-stay";

/// Once the faults are over, everything serves again, without help.
pub const RECOVERS: &str = "recovers";

/// A node that is asked to stop has stopped within a minute.
pub const STOPS: &str = "stops-in-order";

/// How long a node may take to stop in order.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// How far a wall clock jumps at most, in milliseconds: six hours.
const CLOCK_JUMP_MS_MAX: u64 = 6 * 3600 * 1000;

/// What a full disk holds.
const FULL_DISK_BYTES: u64 = 0;

/// How many of a million reads fail on a disk whose reads fail.
const FAILING_READS_PPM: u32 = 20_000;

/// How many of a million reads come in pieces on a disk whose reads do.
const SHORT_READS_PPM: u32 = 300_000;

/// Bits that flip at once.
const ROTTEN_BITS_MAX: u64 = 12;

/// A running cluster that is hurt and mended.
pub struct Stage {
    /// The nodes.
    pub cluster: Cluster,
    network: SimNetwork,
    trace: Trace,
    tally: Tally,
    random: Random,
    /// Faults that were done and not undone.
    present: Vec<Fault>,
    /// Nodes that may have ended by themselves since they were last started.
    excused: BTreeSet<NodeName>,
    /// The data of storage nodes as it was some time ago.
    copies: BTreeMap<NodeName, MachineSnapshot>,
    /// Where users are.
    users: Vec<IpAddr>,
    invariants: Invariants,
    /// What was destroyed.
    losses: Losses,
}

impl Stage {
    /// Sets the stage for a cluster.
    #[must_use]
    pub fn new(world: &SimWorld, cluster: Cluster, users: &[User]) -> Stage {
        let users = users.iter().map(|user| user.machine().address()).collect();
        let (network, trace) = (world.network().clone(), world.trace().clone());
        let (tally, random) = (world.tally().clone(), world.random("stage"));
        Stage {
            cluster,
            network,
            trace,
            tally,
            random,
            present: Vec::new(),
            excused: BTreeSet::new(),
            copies: BTreeMap::new(),
            users,
            invariants: Invariants::new(),
            losses: Losses::new(),
        }
    }

    /// What the world has destroyed.
    #[must_use]
    pub fn losses(&self) -> &Losses {
        &self.losses
    }

    /// Looks at every machine, and judges what it holds by all invariants.
    ///
    /// # Errors
    /// One does not hold, or a node has ended that should not.
    pub fn judge(&mut self, oracle: &Oracle, depth: Depth) -> Verdict {
        self.check()?;
        let acknowledged: Vec<AcknowledgedFile> = oracle.kept().iter().map(acknowledged).collect();
        let sites: Vec<Site> = self.cluster.members().map(Site::of).collect();
        let peers = (sites.len() + self.users.len()) as u64;
        let running = self.cluster.members().filter(|member| member.runs());
        let loads: Vec<Load> = running.map(|member| load(member, peers)).collect();
        let told = Told { acknowledged: &acknowledged, losses: &self.losses, loads: &loads };
        Ok(self.invariants.check(&sites, depth, told, &self.tally)?)
    }

    /// Keeps a copy of a node's data, for [`FaultKind::OlderDisk`].
    pub fn keep_copy(&mut self, node: NodeName) -> Verdict {
        let data = self.cluster.member(node)?.machine().snapshot();
        self.copies.insert(node, data);
        Ok(())
    }

    /// Does a fault.
    ///
    /// # Errors
    /// What follows from it that should not.
    pub async fn hurt(&mut self, fault: Fault) -> Verdict {
        self.trace.record("fault", format_args!("{fault}"));
        self.tally.fault(fault.kind.name());
        self.present.push(fault);
        let (network, trace) = (self.network.clone(), self.trace.clone());
        let address = self.cluster.member(fault.node)?.machine().address();
        match fault.kind {
            FaultKind::Crash => self.member(fault.node)?.crash(Crash::Process),
            FaultKind::PowerCut => self.member(fault.node)?.crash(Crash::Power),
            FaultKind::Blackout => self.cluster.members_mut().for_each(|member| member.crash(Crash::Power)),
            FaultKind::Stop => self.stop(fault.node).await?,
            FaultKind::Pause => {
                let member = self.member(fault.node)?;
                if member.runs() {
                    member.machine().pause();
                }
            }
            FaultKind::Isolate => network.partition(&[address], &self.others(fault.node)),
            FaultKind::CutOff => network.partition(&[address], &self.others_of_its_role(fault.node)),
            FaultKind::Unplug => network.unplug(address),
            FaultKind::Mute => network.cut(address, self.cluster.member(fault.other)?.machine().address()),
            FaultKind::LostReplies => self.users.iter().for_each(|user| network.cut(address, *user)),
            FaultKind::SlowLink => network.set_links_of(address, Some(Link::slow())),
            FaultKind::BadLink => network.set_links_of(address, Some(Link::bad())),
            FaultKind::SlowDisk => self.member(fault.node)?.machine().set_work(WorkDelays::slow()),
            FaultKind::StallingDisk => self.member(fault.node)?.machine().set_work(WorkDelays::stalling()),
            FaultKind::FullDisk => self.member(fault.node)?.machine().disk().set_capacity(FULL_DISK_BYTES),
            FaultKind::FailingSync => {
                self.excused.insert(fault.node);
                let count = u32::try_from(self.random.within(1..=3))?;
                let member = self.cluster.member(fault.node)?;
                match fault.node.role {
                    Role::Metadata if member.runs() => member.machine().stores().fail(LOG_STORE),
                    Role::Metadata => {}
                    _ => member.machine().disk().fail_syncs(count),
                }
            }
            FaultKind::FailingReads => {
                self.excused.insert(fault.node);
                self.member(fault.node)?.machine().disk().fail_reads(FAILING_READS_PPM);
            }
            FaultKind::ShortReads => {
                self.member(fault.node)?.machine().disk().set_short_reads(SHORT_READS_PPM);
            }
            FaultKind::Rot => {
                let bits = u32::try_from(self.random.within(1..=ROTTEN_BITS_MAX))?;
                let disk = self.cluster.member(fault.node)?.machine().disk().clone();
                let before = whole_records(&disk, true)?;
                for place in disk.rot("segments/", &mut self.random, bits) {
                    trace.record("rot", format_args!("{} {} byte {}", fault.node, place.path, place.offset));
                }
                self.losses.note(fault.node.id, &before, &whole_records(&disk, false)?);
            }
            FaultKind::ClockJump => {
                let jump = i64::try_from(self.random.within(0..=2 * CLOCK_JUMP_MS_MAX))?;
                let machine = self.cluster.member(fault.node)?.machine();
                machine.jump_clock(jump - i64::try_from(CLOCK_JUMP_MS_MAX)?);
            }
            FaultKind::OlderDisk | FaultKind::EmptyDisk => {
                self.member(fault.node)?.crash(Crash::Power);
                let disk = self.cluster.member(fault.node)?.machine().disk().clone();
                let before = whole_records(&disk, true)?;
                let older = self.copies.get(&fault.node).cloned();
                let machine = self.member(fault.node)?.machine_mut();
                match older.filter(|_| fault.kind == FaultKind::OlderDisk) {
                    Some(data) => machine.restore(&data),
                    None => machine.wipe(),
                }
                let taken = self.losses.note(fault.node.id, &before, &whole_records(&disk, true)?);
                trace.record("destroyed", format_args!("{} loses {taken} chunks", fault.node));
            }
        }
        Ok(())
    }

    /// Undoes a fault, as far as no other one stands in the way.
    ///
    /// # Errors
    /// A node does not start that should.
    pub async fn mend(&mut self, fault: Fault) -> Verdict {
        let Some(place) = self.present.iter().position(|present| *present == fault) else { return Ok(()) };
        self.present.remove(place);
        self.trace.record("mend", format_args!("{fault}"));
        let address = self.cluster.member(fault.node)?.machine().address();
        match fault.kind {
            FaultKind::Crash | FaultKind::PowerCut | FaultKind::Stop | FaultKind::OlderDisk | FaultKind::EmptyDisk => {
                self.start(fault.node).await?
            }
            FaultKind::Blackout => {
                for name in self.cluster.names() {
                    self.start(name).await?;
                }
            }
            FaultKind::Pause => self.member(fault.node)?.machine().resume(),
            FaultKind::Isolate | FaultKind::CutOff | FaultKind::Unplug | FaultKind::Mute | FaultKind::LostReplies => {
                self.reconnect()
            }
            FaultKind::SlowLink | FaultKind::BadLink => self.network.set_links_of(address, None),
            FaultKind::SlowDisk | FaultKind::StallingDisk => {
                self.member(fault.node)?.machine().set_work(WorkDelays::default());
            }
            FaultKind::FullDisk => {
                self.member(fault.node)?.machine().disk().set_capacity(DiskSettings::default().capacity_bytes);
                self.start(fault.node).await?;
            }
            FaultKind::FailingSync => {
                self.member(fault.node)?.machine().disk().fail_syncs(0);
                self.replace_if_ended(fault.node).await?;
            }
            FaultKind::FailingReads => {
                self.member(fault.node)?.machine().disk().fail_reads(0);
                self.replace_if_ended(fault.node).await?;
            }
            FaultKind::ShortReads => self.member(fault.node)?.machine().disk().set_short_reads(0),
            FaultKind::Rot | FaultKind::ClockJump => {}
        }
        Ok(())
    }

    /// Undoes every fault of a node, and starts it.
    ///
    /// # Errors
    /// It does not start.
    pub async fn mend_all(&mut self, node: NodeName) -> Verdict {
        let present: Vec<Fault> = self.present.clone();
        for fault in present.into_iter().filter(|fault| fault.node == node) {
            self.mend(fault).await?;
        }
        self.start(node).await
    }

    /// Expects a node to end by itself.
    pub fn excuse(&mut self, node: NodeName) {
        self.excused.insert(node);
    }

    /// Flips a bit in a node's copy of a chunk.
    ///
    /// # Errors
    /// It has none.
    pub fn rot_chunk(&mut self, node: NodeName, file: FileId, index: ChunkIndex) -> Verdict {
        let disk = self.cluster.member(node)?.machine().disk().clone();
        let chunk = ChunkId { file, index };
        let before = whole_records(&disk, true)?;
        let place = payload_place(&disk, chunk)?.ok_or_else(|| format!("{node} has no copy of chunk {chunk}"))?;
        disk.flip_bit(&place.0, place.1, 3)?;
        self.tally.fault(FaultKind::Rot.name());
        self.trace.record("rot", format_args!("{node} chunk {chunk} at {} byte {}", place.0, place.1));
        self.losses.note(node.id, &before, &whole_records(&disk, false)?);
        Ok(())
    }

    /// Undoes every fault, and starts what does not run.
    ///
    /// # Errors
    /// A node does not start, or has ended without reason.
    pub async fn heal(&mut self) -> Verdict {
        self.trace.record("heal", format_args!("{} faults", self.present.len()));
        let present = std::mem::take(&mut self.present);
        self.network.heal();
        for name in self.cluster.names() {
            let machine = self.member(name)?.machine();
            if machine.is_paused() {
                machine.resume();
            }
            if present.iter().any(|fault| fault.node == name && slows(fault.kind)) {
                machine.set_work(WorkDelays::default());
            }
            machine.disk().set_capacity(DiskSettings::default().capacity_bytes);
            if machine.wall_clock().skew_ms() != 0 {
                machine.jump_clock(-machine.wall_clock().skew_ms());
            }
            self.sound(name)?;
            self.replace_if_ended(name).await?;
            self.start(name).await?;
        }
        self.excused.clear();
        Ok(())
    }

    /// The last step: ends everything, as [`Cluster::end`] does.
    ///
    /// # Errors
    /// An actor failed, or tasks are left.
    pub async fn end(self, users: Vec<User>, tasks_before: usize, ending: Ending) -> Verdict {
        let Stage { cluster, tally, .. } = self;
        tally.checked(ACTORS_STAY, 1);
        tally.checked(NO_TASK_IS_LEFT, 1);
        cluster.end(users, tasks_before, ending).await
    }

    /// Says if a node has ended that no fault excuses.
    ///
    /// # Errors
    /// One has.
    pub fn check(&self) -> Verdict {
        self.tally.checked(NODES_STAY, 1);
        for member in self.cluster.members().filter(|member| !self.excused.contains(&member.name())) {
            member.check().map_err(|error| Failure::crash(NODES_STAY, error))?;
        }
        Ok(())
    }

    /// Waits until the cluster is whole, and says how long that took.
    ///
    /// # Errors
    /// It does not become whole in time, or a node ends.
    pub async fn until_whole(&self, user: &User) -> Result<Duration, AnyError> {
        let began = Instant::now();
        loop {
            self.check()?;
            match self.cluster.unlike_whole(user).await {
                None => {
                    self.tally.checked(RECOVERS, 1);
                    return Ok(began.elapsed());
                }
                Some(lack) if began.elapsed() > SETTLE => {
                    return Err(Failure::liveness(RECOVERS, format!("after {SETTLE:?}: {lack}")).into());
                }
                Some(_) => tokio::time::sleep(Duration::from_millis(250)).await,
            }
        }
    }

    async fn stop(&mut self, node: NodeName) -> Verdict {
        let paused = self.present.iter().any(|present| present.kind == FaultKind::Pause && present.node == node);
        let member = self.cluster.member_mut(node)?;
        if paused {
            // Who stands still cannot stop in order.
            member.crash(Crash::Process);
            return Ok(());
        }
        let stopping = member.stop();
        self.tally.checked(STOPS, 1);
        timeout(STOP_WITHIN, stopping)
            .await
            .map_err(|_| Failure::liveness(STOPS, format!("{node} did not stop within {STOP_WITHIN:?}")))?;
        Ok(())
    }

    /// Starts a node that does not run, unless another fault keeps it down.
    async fn start(&mut self, node: NodeName) -> Verdict {
        let keeps_down = |fault: &Fault| match fault.kind {
            FaultKind::Blackout => true,
            FaultKind::Crash
            | FaultKind::PowerCut
            | FaultKind::Stop
            | FaultKind::OlderDisk
            | FaultKind::EmptyDisk
            | FaultKind::FailingSync
            | FaultKind::FailingReads => fault.node == node,
            _ => false,
        };
        let full = self.present.iter().any(|fault| fault.kind == FaultKind::FullDisk && fault.node == node);
        let disk = self.cluster.member(node)?.machine().disk().durable();
        // On a full disk no new store can be made.
        let storeless = node.role == Role::Storage && matches!(owner(&disk), Ok(None));
        if self.present.iter().any(keeps_down) || (full && storeless) {
            return Ok(());
        }
        let member = self.cluster.member_mut(node)?;
        if !member.runs() {
            self.trace.record("start", format_args!("{node}"));
            self.excused.remove(&node);
            let started = member.start().await;
            started.map_err(|error| Failure::crash(NODES_STAY, format!("{node} does not start: {error}")))?;
        }
        Ok(())
    }

    /// Ends the faults of a node's disk and stores.
    fn sound(&mut self, node: NodeName) -> Verdict {
        let disk = self.member(node)?.machine().disk();
        disk.fail_syncs(0);
        disk.fail_reads(0);
        disk.set_short_reads(0);
        Ok(())
    }

    /// Starts a node again that has ended because its disk failed; now and then its machine has been switched off
    /// meanwhile.
    async fn replace_if_ended(&mut self, node: NodeName) -> Verdict {
        if !self.excused.contains(&node) {
            return Ok(());
        }
        let power = self.random.chance(500_000);
        let member = self.cluster.member_mut(node)?;
        if let Err(ended) = member.check() {
            self.trace.record("ended", format_args!("{ended}"));
            member.crash(if power { Crash::Power } else { Crash::Process });
        } else if member.runs() && node.role == Role::Metadata {
            // Its store has failed, whether or not it has noticed yet.
            member.crash(Crash::Process);
        }
        self.start(node).await
    }

    /// Cuts again what present faults still cut, after another one has been mended.
    fn reconnect(&mut self) {
        self.network.reconnect();
        for fault in self.present.clone() {
            let Ok(member) = self.cluster.member(fault.node) else { continue };
            let address = member.machine().address();
            match fault.kind {
                FaultKind::Isolate => self.network.partition(&[address], &self.others(fault.node)),
                FaultKind::CutOff => self.network.partition(&[address], &self.others_of_its_role(fault.node)),
                FaultKind::Unplug => self.network.unplug(address),
                FaultKind::LostReplies => self.users.iter().for_each(|user| self.network.cut(address, *user)),
                FaultKind::Mute => {
                    if let Ok(other) = self.cluster.member(fault.other) {
                        self.network.cut(address, other.machine().address());
                    }
                }
                _ => {}
            }
        }
    }

    fn others_of_its_role(&self, node: NodeName) -> Vec<IpAddr> {
        let others = self.cluster.members().filter(|member| member.name() != node && member.name().role == node.role);
        others.map(|member| member.machine().address()).collect()
    }

    fn others(&self, node: NodeName) -> Vec<IpAddr> {
        let others = self.cluster.members().filter(|member| member.name() != node);
        others.map(|member| member.machine().address()).collect()
    }

    fn member(&mut self, node: NodeName) -> Result<&mut Member, AnyError> {
        self.cluster.member_mut(node)
    }
}

fn acknowledged(kept: &Kept) -> AcknowledgedFile {
    let chunks = u32::try_from(kept.chunks).unwrap_or(u32::MAX);
    AcknowledgedFile { file: kept.file, chunks, write_quorum: kept.write_quorum }
}

fn load(member: &Member, peers: u64) -> Load {
    let machine = member.machine();
    Load {
        name: machine.name().to_owned(),
        role: member.name().role,
        peers,
        tasks: machine.task_count() as u64,
        queued_jobs: machine.offload().most_queued(),
    }
}

/// Whether a fault makes blocking work slow.
fn slows(kind: FaultKind) -> bool {
    matches!(kind, FaultKind::SlowDisk | FaultKind::StallingDisk)
}
