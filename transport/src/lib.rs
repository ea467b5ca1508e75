//! How peers talk: QUIC with mutual TLS, typed calls and byte streams, and the world they run in.
//!
//! Deliberately absent: the words of the file system (file, chunk, replica), and any plaintext or anonymous mode.

pub mod authority;
pub mod endpoint;
pub mod exchange;
#[cfg(test)]
mod fixture;
mod frame;
mod hello;
pub mod identity;
pub mod peers;
mod tls;
pub mod world;
