//! How a transfer tells how far it is.

/// Is told of the progress of one transfer. Calls come from one task at a time and must not block.
pub trait Progress: Send + Sync {
    /// The transfer begins; `total` is its bytes where they are known.
    fn started(&self, total: Option<u64>);
    /// `bytes` more are safe: durable on enough nodes in an upload, checked and handed to the sink in a download,
    /// found right in a local copy.
    fn advanced(&self, bytes: u64);
}

/// Nobody listens.
impl Progress for () {
    fn started(&self, _: Option<u64>) {}
    fn advanced(&self, _: u64) {}
}
