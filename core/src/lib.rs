//! What the file system decides.
//!
//! This crate owns the identities, units, limits, names, checksums and wire messages of the system, the metadata
//! state machine, placement, liveness and repair. Everything in it is a pure value or function: time and randomness
//! come in as arguments, effects come out as values.
//!
//! Deliberately absent: tokio, `async`, clocks, operating system randomness, files and sockets. The manifest keeps
//! it so.

pub mod checksum;
pub mod id;
pub mod leader;
pub mod limit;
pub mod liveness;
pub mod mask;
pub mod meta;
pub mod name;
pub mod placement;
pub mod range;
pub mod refusal;
pub mod repair;
pub mod resume;
pub mod settings;
pub mod slowness;
pub mod time;
pub mod unit;
pub mod wire;
