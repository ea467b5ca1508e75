//! What is promised to users, kept on real processes, real disks and real sockets.
//!
//! The table of contents is the list of modules; each test is a sentence of a promise, with the number of the
//! promise (`docs/PROMISES.md`) in its doc comment.

mod caller;
mod cluster;
mod disks;
mod downloads;
mod failures;
mod files;
mod health;
mod house;
mod limits;
mod metadata;
mod metrics;
mod names;
mod operation;
mod permissions;
mod repair;
mod security;
mod slow;
mod stopping;
mod trees;
mod uploads;
