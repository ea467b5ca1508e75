//! The chunk store keeps its promises on simulated disks and stores too, and what it called durable survives power
//! cuts.

use dfs_actors::chunk_store::conformance::{self, Place, Wanted};
use dfs_core::id::Epoch;
use dfs_sim::disk::{Crash, DiskSettings, SimDisk};
use dfs_sim::key_value::ModelStores;
use dfs_sim::offload::{SimOffload, WorkDelays};
use dfs_sim::random::{Seed, SeededEntropy};
use dfs_transport::world::{Entropy, Scope};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A disk and its index, and the seed of everything that happens to them.
struct Site {
    seed: Seed,
    disk: SimDisk,
    stores: ModelStores,
}

impl Site {
    fn new(seed: Seed) -> Site {
        Site { seed, disk: SimDisk::new(DiskSettings::default()), stores: ModelStores::new() }
    }

    /// What a store is opened with. The scope is one life's.
    fn place(&self) -> Place {
        let offload = SimOffload::new(self.seed.fork("work"), WorkDelays::default());
        Place {
            scope: Scope::new("store", Arc::new(offload)),
            disk: self.disk.mount(),
            index: self.stores.mount().open("chunks").expect("the index is not open yet"),
            entropy: Entropy::new(SeededEntropy::new(self.seed.fork("entropy"))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_chunk_store_conforms_on_simulated_disks() {
    let mut site = Site::new(Seed::new(1));
    conformance::run(move |wanted| {
        match wanted {
            Wanted::Fresh => site = Site::new(Seed::new(1)),
            Wanted::Same => {}
            Wanted::WithoutIndex => site.stores = ModelStores::new(),
        }
        site.place()
    })
    .await;
}

/// Writes chunks, several at once, until the power is cut at some moment; then every chunk that was sealed is there,
/// and the others are there as a whole or not at all.
async fn write_until_the_power_is_cut(seed: Seed, site: &Site, first: u64) -> Vec<u64> {
    const WRITERS: u64 = 6;
    const CHUNKS: u64 = 24;
    let mut random = seed.random();
    let place = site.place();
    let scope = place.scope.clone();
    let store = conformance::open(place).await;
    let sealed: Arc<Mutex<Vec<u64>>> = Arc::default();
    for writer in 0..WRITERS {
        let (store, sealed) = (store.clone(), sealed.clone());
        scope.spawn(async move {
            for number in (first + writer..first + CHUNKS).step_by(WRITERS as usize) {
                let bytes = conformance::content(number, length(number));
                conformance::put(&store, conformance::chunk(number), Epoch(1), &bytes).await.unwrap();
                sealed.lock().unwrap().push(number);
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(random.within(1..=60))).await;
    site.disk.crash(Crash::Power, &mut random);
    site.stores.crash(Crash::Power, &mut random);
    scope.kill();
    drop(store);
    tokio::time::sleep(Duration::from_millis(100)).await;
    std::mem::take(&mut *sealed.lock().unwrap())
}

fn length(number: u64) -> u32 {
    (number as u32 * 37_813) % 400_000 + 1
}

#[tokio::test(start_paused = true)]
async fn sealed_chunks_survive_power_cuts() {
    const CUTS: u64 = 3;
    let (mut survived, mut lost) = (0, 0);
    for number in 0..20 {
        let seed = Seed::new(number);
        let site = Site::new(seed);
        let mut sealed = Vec::new();
        for cut in 0..CUTS {
            sealed.extend(write_until_the_power_is_cut(seed.fork(&format!("cut {cut}")), &site, cut * 100).await);
            let store = conformance::open(site.place()).await;
            for chunk in (0..=cut).flat_map(|cut| cut * 100..cut * 100 + 24) {
                match conformance::get(&store, conformance::chunk(chunk), Epoch(1)).await {
                    Ok(bytes) => assert!(bytes == conformance::content(chunk, length(chunk)), "seed {number}: {chunk}"),
                    Err(error) => {
                        assert!(!sealed.contains(&chunk), "seed {number}: sealed chunk {chunk} is lost: {error}");
                        lost += 1;
                    }
                }
            }
            store.close().await;
        }
        survived += sealed.len();
    }
    assert!(survived > 0 && lost > 0, "{survived} survived, {lost} were lost");
}
