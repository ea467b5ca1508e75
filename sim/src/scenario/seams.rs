//! Draws on everything that could differ from run to run: packets under loss, lanes, disks and stores that lose their
//! power, hash maps, `select!`, and the randomness of the TLS library.
//!
//! All of it lands in the trace. What must hold is that what a machine was told to be durable is there after a crash.

use crate::disk::Crash;
use crate::verdict::{AnyError, Verdict};
use crate::world::{Life, Machine, SimWorld};
use dfs_actors::key_value::{Batch, Durability};
use dfs_transport::world::Killed;
use quinn::udp::{RecvMeta, Transmit};
use std::collections::HashSet;
use std::io::{IoSlice, IoSliceMut};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const MACHINES: usize = 3;
const CRASHES: u64 = 20;
const PORT: u16 = 9;
const PACKET_BYTES: usize = 1000;

/// A promise was broken.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{machine} lost a number that was durable: {durable} were, {found} are there")]
    Lost { machine: String, durable: u64, found: u64 },
}

pub(super) async fn play(world: &mut SimWorld) -> Verdict {
    let mut random = world.random("crashes");
    let mut machines: Vec<Machine> = (0..MACHINES).map(|number| world.add_machine(&format!("m{number}"))).collect();
    let addresses: Vec<SocketAddr> = machines.iter().map(|machine| machine.socket_address(PORT)).collect();
    let durable: Vec<Arc<AtomicU64>> = (0..MACHINES).map(|_| Arc::default()).collect();
    for (machine, durable) in machines.iter_mut().zip(&durable) {
        start(world, machine, &addresses, durable)?;
    }
    draw_on_libraries(world).await?;
    for _ in 0..CRASHES {
        tokio::time::sleep(Duration::from_millis(random.within(1..=500))).await;
        let number = usize::try_from(random.within(0..=MACHINES as u64 - 1))?;
        let machine = &mut machines[number];
        machine.crash(if random.chance(700_000) { Crash::Power } else { Crash::Process }, || {});
        tokio::time::sleep(Duration::from_millis(random.within(1..=500))).await;
        start(world, machine, &addresses, &durable[number])?;
    }
    Ok(())
}

/// Hash maps, `select!` and the TLS library draw from the operating system.
async fn draw_on_libraries(world: &SimWorld) -> Verdict {
    #[allow(clippy::disallowed_methods, reason = "the order is what is asked for")]
    let order: Vec<u64> = (0..100).collect::<HashSet<u64>>().iter().copied().collect();
    world.trace().record("hash", format_args!("{order:?}"));
    let mut bytes = [0; 16];
    rustls::crypto::ring::default_provider().secure_random.fill(&mut bytes).map_err(|_| Killed)?;
    world.trace().record("ring", format_args!("{bytes:02x?}"));
    let mut left = 0;
    for _ in 0..100 {
        tokio::select! {
            () = std::future::ready(()) => left += 1,
            () = std::future::ready(()) => {}
        }
    }
    world.trace().record("select", format_args!("{left}"));
    Ok(())
}

/// Boots a machine, checks what it kept, and sets it to work.
fn start(world: &SimWorld, machine: &mut Machine, peers: &[SocketAddr], durable: &Arc<AtomicU64>) -> Verdict {
    let life = machine.boot();
    let found = check(machine.name(), &life, durable.load(Ordering::Relaxed))?;
    world.trace().record("found", format_args!("{} {found}", machine.name()));
    life.world.scope.spawn(chatter(life.clone(), machine.socket_address(PORT), peers.to_vec(), world.trace().clone()));
    life.world.scope.spawn(write(life.clone(), found, durable.clone()));
    Ok(())
}

/// How many numbers the machine kept in both its file and its store.
fn check(machine: &str, life: &Life, durable: u64) -> Result<u64, AnyError> {
    let file = life.disk.open("numbers", true)?;
    let store = life.stores.open("numbers")?;
    let mut found = 0;
    let mut bytes = [0; 8];
    while file.read_at(found * 8, &mut bytes)? == bytes.len()
        && u64::from_le_bytes(bytes) == found + 1
        && store.get(&(found + 1).to_be_bytes())?.is_some()
    {
        found += 1;
    }
    if found < durable {
        return Err(Broken::Lost { machine: machine.to_owned(), durable, found }.into());
    }
    Ok(found)
}

/// Writes one number after the other, to the file and to the store, and says what is durable.
async fn write(life: Life, first: u64, durable: Arc<AtomicU64>) {
    let lane = life.world.scope.lane("numbers");
    let store = life.stores.open("numbers").map(Arc::new);
    let Ok(store) = store else { return };
    for number in first.. {
        let (disk, store) = (life.disk.clone(), store.clone());
        let step = lane.run(move || -> Result<(), AnyError> {
            let file = disk.open("numbers", true)?;
            file.write_at(number * 8, &[IoSlice::new(&(number + 1).to_le_bytes())])?;
            let mut batch = Batch::new();
            batch.put((number + 1).to_be_bytes(), "");
            store.commit(batch, Durability::Buffered)?;
            if number % 4 == 3 {
                file.sync_data()?;
                disk.sync_directory("")?;
                store.persist()?;
            }
            Ok(())
        });
        match step.await {
            Ok(Ok(())) if number % 4 == 3 => durable.store(number + 1, Ordering::Relaxed),
            Ok(Ok(())) => {}
            _ => return,
        }
        tokio::time::sleep(life.world.entropy.jitter(Duration::from_millis(20))).await;
    }
}

/// Sends random packets to random peers, and notes what comes.
async fn chatter(life: Life, address: SocketAddr, peers: Vec<SocketAddr>, trace: crate::trace::Trace) {
    let Ok(socket) = life.world.network.bind(address) else { return };
    let mut tick = tokio::time::interval(Duration::from_millis(10));
    let mut buffer = vec![0; 2 * PACKET_BYTES];
    loop {
        let mut metas = [RecvMeta::default()];
        let receive = std::future::poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut metas));
        tokio::select! {
            _ = tick.tick() => {
                let mut contents = vec![0; PACKET_BYTES];
                contents[..8].copy_from_slice(&life.world.entropy.number().to_le_bytes());
                let destination = peers[usize::from(contents[0]) % peers.len()];
                let packet = Transmit { destination, ecn: None, contents: &contents, segment_size: None, src_ip: None };
                let _ = socket.try_send(&packet);
            }
            _ = receive => trace.record("heard", format_args!("{address} {}", metas[0].addr)),
        }
    }
}
