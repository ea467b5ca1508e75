//! The client against a cluster in memory, over real endpoints: what it promises when all is well, and when it is not.

mod fake;
mod finding;
mod hedging;
mod local_copy;
mod metadata;
mod ranges;
mod reading;
mod resuming;
mod storage;
mod writing;
