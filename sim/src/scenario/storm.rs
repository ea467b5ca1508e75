//! Users write, read and delete files while nodes lose their power, processes end and the network is cut, over and over.
//!
//! What must hold, whatever happens meanwhile: every request ends; what was acknowledged stays, byte for byte, and what
//! was deleted stays away; a request that failed has happened as a whole or not at all. Once the faults are over,
//! everything serves again without help, no node has ended by itself, no actor has failed, and no task outlives its
//! node.

use super::alive_tasks;
use super::written::{ReadError, Written};
use crate::cluster::{Cluster, Member, User};
use crate::disk::Crash;
use crate::network::SimNetwork;
use crate::random::Random;
use crate::trace::Trace;
use crate::verdict::{AnyError, Verdict};
use crate::world::SimWorld;
use dfs_client::ClientError;
use dfs_core::name::FileName;
use dfs_core::settings::ClusterSettings;
use dfs_core::wire::metadata::{FileTarget, WhoLeads};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const METADATA_NODES: u64 = 3;
/// One more than copies, so that placements can go round a node.
const STORAGE_NODES: u64 = 4;
const ROUNDS: u64 = 8;
const USERS: u64 = 3;
const FILE_BYTES_MAX: u64 = 1_500_000;
/// Files that count as new.
const NEWEST: usize = 3;
/// Longer than all patience of a client together.
const REQUEST_WITHIN: Duration = Duration::from_secs(180);

/// What did not hold.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{what} of {name} did not end within {REQUEST_WITHIN:?}")]
    Stuck { what: &'static str, name: FileName },
    #[error("{name} was acknowledged, but is not there")]
    Lost { name: FileName },
    #[error("the deletion of {name} was acknowledged, but it is there")]
    Undead { name: FileName },
    #[error("{name} is listed, but nobody wrote it")]
    Unknown { name: FileName },
    #[error("a new file cannot be named {name}: the name is taken")]
    Taken { name: FileName },
}

/// What the users know of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its upload failed: it is there as a whole, or not at all.
    Attempted,
    /// It is there.
    Acknowledged,
    /// Its deletion failed: it is there, or not.
    Doubtful,
    /// It is not there.
    Deleted,
}

#[derive(Default)]
struct Ledger {
    files: RefCell<Vec<(Written, State)>>,
    over: Cell<bool>,
}

pub(super) async fn play(world: &mut SimWorld) -> Verdict {
    let before = alive_tasks();
    let (trace, network) = (world.trace().clone(), world.network().clone());
    let (mut cluster, users) = Cluster::prepare(world, METADATA_NODES, STORAGE_NODES, USERS)?;
    cluster.start().await?;
    cluster.initialise(0, ClusterSettings::default()).await?;
    until_whole(&cluster, &users[0]).await?;

    let ledger = Ledger::default();
    let work = users.iter().zip(1_u64..).map(|(user, number)| {
        let random = world.random(&format!("user {number}"));
        work(number, user, random, &ledger, &trace)
    });
    let faults = async {
        let outcome = hurt(&mut cluster, &network, world.random("faults")).await;
        ledger.over.set(true);
        outcome
    };
    tokio::try_join!(futures_util::future::try_join_all(work), faults)?;

    until_whole(&cluster, &users[0]).await?;
    trace.record("whole", format_args!("{} files", ledger.files.borrow().len()));
    check_all(&users[0], &ledger).await?;
    cluster.end(users, before).await
}

/// Waits until every node serves and every metadata node has applied the same.
async fn until_whole(cluster: &Cluster, user: &User) -> Verdict {
    let whole = async || {
        let status = user.client().status().await.ok()?;
        let mut applied = true;
        for member in &cluster.metadata {
            applied &= user.ask(member, &WhoLeads {}).await.ok()?.applied >= status.applied;
        }
        let beating = u64::from(status.storage_alive) == STORAGE_NODES;
        (applied && beating && u64::from(status.metadata_responding) == METADATA_NODES).then_some(())
    };
    Ok(cluster.until("a cluster that is whole", whole).await?)
}

/// Hurts the cluster and lets it heal, round after round; in the end it is whole.
async fn hurt(cluster: &mut Cluster, network: &SimNetwork, mut random: Random) -> Verdict {
    for _ in 0..ROUNDS {
        sleep(Duration::from_millis(random.within(0..=6_000))).await;
        let crash = if random.chance(600_000) { Crash::Power } else { Crash::Process };
        let (kind, count) = (random.within(0..=5), random.within(1..=2));
        match kind {
            0 => crash_some(&mut cluster.metadata, count, crash, &mut random)?,
            1 => crash_some(&mut cluster.storage, count, crash, &mut random)?,
            2 => cluster.members_mut().for_each(|member| member.crash(crash)),
            3 => {
                crash_some(&mut cluster.metadata, 1, crash, &mut random)?;
                crash_some(&mut cluster.storage, 1, crash, &mut random)?;
            }
            4 => {
                // Users still reach it: an old leader must not answer them as if it led.
                let members = if random.chance(500_000) { METADATA_NODES } else { METADATA_NODES + STORAGE_NODES };
                let place = usize::try_from(random.within(0..=members - 1))?;
                let alone = addresses(cluster).nth(place).ok_or("an address for each node")?;
                let others: Vec<IpAddr> = addresses(cluster).filter(|address| *address != alone).collect();
                network.partition(&[alone], &others);
            }
            _ => network.cut(any(cluster, &mut random)?, any(cluster, &mut random)?),
        }
        sleep(Duration::from_millis(random.within(0..=15_000))).await;
        cluster.check()?;
        network.heal();
        cluster.start().await?;
    }
    Ok(())
}

fn crash_some(members: &mut [Member], count: u64, crash: Crash, random: &mut Random) -> Verdict {
    for _ in 0..count {
        let unlucky = usize::try_from(random.within(0..=members.len() as u64 - 1))?;
        members[unlucky].crash(crash);
    }
    Ok(())
}

fn addresses(cluster: &Cluster) -> impl Iterator<Item = IpAddr> {
    cluster.members().map(|member| member.machine().address())
}

fn any(cluster: &Cluster, random: &mut Random) -> Result<IpAddr, AnyError> {
    let addresses: Vec<IpAddr> = addresses(cluster).collect();
    Ok(addresses[usize::try_from(random.within(0..=addresses.len() as u64 - 1))?])
}

/// Works with files until the faults are over. The first user only reads: no failed write tells it of a new leader.
async fn work(worker: u64, user: &User, mut random: Random, ledger: &Ledger, trace: &Trace) -> Verdict {
    for number in 0.. {
        if ledger.over.get() {
            break;
        }
        match random.within(0..=5) {
            _ if worker == 1 => read(user, &mut random, ledger, trace).await?,
            0 | 1 => {
                let name = FileName::new(format!("user-{worker}/{number}"))?;
                let length = usize::try_from(random.within(0..=FILE_BYTES_MAX))?;
                write(user, Written::new(name, length, &mut random), ledger, trace).await?;
            }
            2 => delete(user, &mut random, ledger, trace).await?,
            _ => read(user, &mut random, ledger, trace).await?,
        }
        sleep(Duration::from_millis(random.within(0..=1_000))).await;
    }
    Ok(())
}

async fn write(user: &User, file: Written, ledger: &Ledger, trace: &Trace) -> Verdict {
    let stuck = || Broken::Stuck { what: "the upload", name: file.name.clone() };
    let outcome = timeout(REQUEST_WITHIN, file.upload(user)).await.map_err(|_| stuck())?;
    let state = match &outcome {
        Ok(_) => State::Acknowledged,
        Err(ClientError::NameExists { .. }) => return Err(Broken::Taken { name: file.name }.into()),
        Err(_) => State::Attempted,
    };
    trace.record("upload", format_args!("{} {} bytes: {}", file.name, file.bytes.len(), words(&outcome)));
    ledger.files.borrow_mut().push((file, state));
    Ok(())
}

/// Some file of which so much is known; half of the time one of the newest, which an old leader would not know.
fn some_file(ledger: &Ledger, known: State, random: &mut Random) -> Option<(usize, Written)> {
    let files = ledger.files.borrow();
    let fitting: Vec<_> = files.iter().enumerate().filter(|(_, (_, state))| *state == known).collect();
    let newest = if random.chance(500_000) { fitting.len().saturating_sub(NEWEST) } else { 0 };
    let draw = random.within(newest as u64..=fitting.len().max(1) as u64 - 1);
    let (place, (file, _)) = fitting.get(usize::try_from(draw).ok()?)?;
    Some((*place, file.clone()))
}

async fn read(user: &User, random: &mut Random, ledger: &Ledger, trace: &Trace) -> Verdict {
    let known = if random.chance(200_000) { State::Deleted } else { State::Acknowledged };
    let Some((place, file)) = some_file(ledger, known, random) else { return Ok(()) };
    let stuck = || Broken::Stuck { what: "the download", name: file.name.clone() };
    let outcome = timeout(REQUEST_WITHIN, file.check(user)).await.map_err(|_| stuck())?;
    trace.record("download", format_args!("{}: {}", file.name, words(&outcome)));
    // Another user may have deleted it meanwhile.
    let known_now = ledger.files.borrow()[place].1;
    match outcome {
        Ok(_) if known == State::Deleted => Err(Broken::Undead { name: file.name }.into()),
        Err(ReadError::Client(ClientError::NotFound { .. })) if known_now == State::Acknowledged => {
            Err(Broken::Lost { name: file.name }.into())
        }
        Ok(_) | Err(ReadError::Client(_)) => Ok(()),
        Err(broken) => Err(broken.into()),
    }
}

async fn delete(user: &User, random: &mut Random, ledger: &Ledger, trace: &Trace) -> Verdict {
    let Some((place, file)) = some_file(ledger, State::Acknowledged, random) else { return Ok(()) };
    ledger.files.borrow_mut()[place].1 = State::Doubtful;
    let stuck = || Broken::Stuck { what: "the deletion", name: file.name.clone() };
    let deletion = user.client().delete(FileTarget::Name(file.name.clone()));
    let outcome = timeout(REQUEST_WITHIN, deletion).await.map_err(|_| stuck())?;
    trace.record("delete", format_args!("{}: {}", file.name, words(&outcome)));
    match outcome {
        Ok(_) => ledger.files.borrow_mut()[place].1 = State::Deleted,
        Err(ClientError::NotFound { .. }) => return Err(Broken::Lost { name: file.name }.into()),
        Err(_) => {}
    }
    Ok(())
}

fn words<T>(outcome: &Result<T, impl std::fmt::Display>) -> String {
    outcome.as_ref().map_or_else(|error| error.to_string().replace('\n', "; "), |_| "done".to_owned())
}

/// Reads every file, and the listing.
async fn check_all(user: &User, ledger: &Ledger) -> Verdict {
    let mut listed = BTreeSet::new();
    let mut listing = user.client().list("");
    while let Some(file) = listing.next().await? {
        listed.insert(file.name);
    }
    for (file, state) in ledger.files.take() {
        let name = file.name.clone();
        let is_listed = listed.remove(&name);
        let there = match file.check(user).await {
            Ok(_) => true,
            Err(ReadError::Client(ClientError::NotFound { .. })) => false,
            Err(error) => return Err(error.into()),
        };
        match state {
            State::Acknowledged if !(there && is_listed) => return Err(Broken::Lost { name }.into()),
            State::Deleted if there || is_listed => return Err(Broken::Undead { name }.into()),
            _ if there != is_listed => return Err(Broken::Unknown { name }.into()),
            _ => {}
        }
    }
    match listed.pop_first() {
        None => Ok(()),
        Some(name) => Err(Broken::Unknown { name }.into()),
    }
}
