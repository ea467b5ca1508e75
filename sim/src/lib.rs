//! The whole cluster in one thread on virtual time, from a seed.
//!
//! This crate is the world that doubts the system: it stands behind the same seams as production (`World`, `Disk`,
//! `KeyValueStores`) and hurts whatever runs on it. Same seed, same trace, down to the bytes of every packet.
//!
//! Deliberately absent: production behaviour of any kind, and the seeding of the operating system's randomness, which
//! only the executable does.

pub mod build;
pub mod clock;
pub mod cluster;
pub mod command;
pub mod content;
pub mod disk;
pub mod fault;
pub mod history;
pub mod inspect;
pub mod invariant;
pub mod judgement;
pub mod key_value;
pub mod life;
pub mod linearizability;
pub mod network;
pub mod offload;
pub mod oracle;
pub mod random;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod stage;
pub mod story;
pub mod swarm;
pub mod sweep;
pub mod trace;
pub mod verdict;
pub mod work;
pub mod world;
