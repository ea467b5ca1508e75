//! One direction of a link: when a packet arrives, if it does.
//!
//! Links are first in, first out, with a delay and a bandwidth: jitter per packet would be mass reordering, and without
//! a bandwidth congestion windows grow without bound. Reordering is an explicit, rare fault.

use crate::random::Random;
use std::time::Duration;

/// The grain of arrivals. Tokio's timers are no finer.
const QUANTUM: Duration = Duration::from_millis(1);

/// What IP and UDP add to each packet, in bytes.
const HEADER_BYTES: usize = 28;

/// How a link behaves, in one direction.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// How long a packet travels, besides waiting and sending; at least a millisecond.
    pub delay: Duration,
    /// Bytes a second.
    pub bandwidth: u64,
    /// Bytes that may wait for sending; more are dropped.
    pub queue_bytes: usize,
    /// The largest UDP payload; larger packets are dropped.
    pub udp_payload_max: usize,
    /// How many of a million packets are lost.
    pub loss_ppm: u32,
    /// How many of a million packets arrive twice.
    pub duplicate_ppm: u32,
    /// How many of a million packets are overtaken by later ones.
    pub reorder_ppm: u32,
}

impl Default for Link {
    /// A switched gigabit network without faults.
    fn default() -> Link {
        Link {
            delay: QUANTUM,
            bandwidth: 125_000_000,
            queue_bytes: 1024 * 1024,
            udp_payload_max: 1452,
            loss_ppm: 0,
            duplicate_ppm: 0,
            reorder_ppm: 0,
        }
    }
}

impl Link {
    /// A network that loses, repeats and reorders a little.
    #[must_use]
    pub fn lossy() -> Link {
        Link { loss_ppm: 10_000, duplicate_ppm: 2_000, reorder_ppm: 1_000, ..Link::default() }
    }

    /// A line across a country: far and narrow, without faults.
    #[must_use]
    pub fn slow() -> Link {
        Link { delay: Duration::from_millis(30), bandwidth: 2_000_000, ..Link::default() }
    }

    /// A network that hardly works: one packet in twenty is lost, and many come twice or late.
    #[must_use]
    pub fn bad() -> Link {
        Link {
            delay: Duration::from_millis(5),
            loss_ppm: 50_000,
            duplicate_ppm: 20_000,
            reorder_ppm: 10_000,
            ..Link::default()
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives, and maybe once more. Times count from the start of the simulation.
    Arrives { at: Duration, again: Option<Duration> },
    /// It arrives, but later ones may overtake it.
    Overtaken { at: Duration },
    /// It is larger than the link takes.
    TooLarge,
    /// Too many bytes wait already.
    QueueFull,
    /// The link loses it.
    Lost,
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// When everything that waits has been sent.
    free_at: Duration,
    /// When the latest packet arrives: none may arrive before it.
    last_arrival: Duration,
}

impl Wire {
    /// Sends `bytes` of payload at the time `now`.
    pub fn carry(&mut self, link: &Link, now: Duration, bytes: usize, random: &mut Random) -> Fate {
        if bytes > link.udp_payload_max {
            return Fate::TooLarge;
        }
        let transmission = |bytes: usize| Duration::from_secs_f64(bytes as f64 / link.bandwidth.max(1) as f64);
        let backlog = self.free_at.saturating_sub(now);
        if backlog > transmission(link.queue_bytes) {
            return Fate::QueueFull;
        }
        self.free_at = now + backlog + transmission(bytes + HEADER_BYTES);
        // All draws are made whatever comes of them, so that switching a fault on shifts nothing else.
        let (lost, repeated, overtaken) =
            (random.chance(link.loss_ppm), random.chance(link.duplicate_ppm), random.chance(link.reorder_ppm));
        if lost {
            return Fate::Lost;
        }
        let arrival = round_up(self.free_at + link.delay.max(QUANTUM)).max(self.last_arrival);
        if overtaken {
            return Fate::Overtaken { at: arrival + 3 * QUANTUM };
        }
        self.last_arrival = arrival;
        Fate::Arrives { at: arrival, again: repeated.then(|| arrival + QUANTUM) }
    }
}

fn round_up(time: Duration) -> Duration {
    let quanta = time.as_nanos().div_ceil(QUANTUM.as_nanos());
    Duration::from_nanos_u128(quanta.saturating_mul(QUANTUM.as_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Seed;

    fn arrivals(link: &Link, packets: usize, bytes: usize) -> Vec<Fate> {
        let (mut wire, mut random) = (Wire::default(), Seed::new(1).random());
        (0..packets).map(|_| wire.carry(link, Duration::ZERO, bytes, &mut random)).collect()
    }

    #[test]
    fn a_link_is_first_in_first_out_at_its_bandwidth() {
        let link = Link { queue_bytes: usize::MAX / 2, ..Link::default() };
        let times: Vec<Duration> = arrivals(&link, 1000, 1222)
            .into_iter()
            .map(|fate| match fate {
                Fate::Arrives { at, again: None } => at,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(times.is_sorted());
        // 1.25 MB at 125 MB/s take 10 ms, and 1 ms to travel.
        assert_eq!(*times.first().unwrap(), Duration::from_millis(2));
        assert_eq!(*times.last().unwrap(), Duration::from_millis(11));
    }

    #[test]
    fn what_does_not_fit_is_dropped() {
        assert_eq!(arrivals(&Link::default(), 1, 1453), [Fate::TooLarge]);
        let fates = arrivals(&Link { queue_bytes: 10_000, ..Link::default() }, 100, 1222);
        assert!(matches!(fates[8], Fate::Arrives { .. }));
        assert_eq!(fates[20], Fate::QueueFull);
    }

    #[test]
    fn faults_come_about_as_often_as_asked() {
        let link = Link { queue_bytes: usize::MAX / 2, ..Link::lossy() };
        let fates = arrivals(&link, 100_000, 100);
        let count = |wanted: fn(&Fate) -> bool| fates.iter().filter(|fate| wanted(fate)).count();
        assert!((800..1200).contains(&count(|fate| *fate == Fate::Lost)));
        assert!((150..250).contains(&count(|fate| matches!(fate, Fate::Arrives { again: Some(_), .. }))));
        assert!((60..140).contains(&count(|fate| matches!(fate, Fate::Overtaken { .. }))));
    }

    #[test]
    fn virtual_years_do_not_stop_a_link() {
        let (mut wire, mut random) = (Wire::default(), Seed::new(1).random());
        let now = Duration::from_secs(3 * 365 * 24 * 3600);
        let fate = wire.carry(&Link::default(), now, 100, &mut random);
        assert_eq!(fate, Fate::Arrives { at: now + Duration::from_millis(2), again: None });
    }
}
