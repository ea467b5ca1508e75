//! The same command once more: uploading the same source again after it was broken off.

use super::{Ended, Manner, Work};
use crate::history::Operation;
use crate::verdict::AnyError;
use dfs_client::{LeftBehind, Progress};
use dfs_core::name::FileName;
use std::sync::atomic::{AtomicU64, Ordering};

/// What an upload has sent, and what it found there.
#[derive(Debug, Default)]
pub struct Share {
    total: AtomicU64,
    sent: AtomicU64,
    left: AtomicU64,
}

impl Share {
    /// Bytes of the whole file.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Bytes that it has sent and that became durable.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes that an earlier run had left, and that it did not send.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }
}

impl Progress for Share {
    fn started(&self, total: Option<u64>) {
        self.total.store(total.unwrap_or(0), Ordering::Relaxed);
    }

    fn advanced(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    fn resumed(&self, left: &LeftBehind) {
        self.left.fetch_add(left.bytes, Ordering::Relaxed);
    }
}

impl Work<'_> {
    /// Uploads the source of the last upload under that name once more, and goes on with what that has left.
    ///
    /// # Errors
    /// There was none, or it does not end.
    pub async fn upload_again(&self, name: &FileName) -> Result<(Ended, Share), AnyError> {
        let attempt = self.shared.oracle.begin_again(name).ok_or_else(|| format!("{name} was never uploaded"))?;
        let operation = Operation::Create { content: attempt.id };
        let share = Share::default();
        let ended = self.put("upload", attempt, name, Manner::Plain, operation, &share).await?;
        let (sent, left) = (share.sent(), share.left());
        self.shared.trace.record("again", format_args!("{name}: {left} bytes were left, {sent} were sent"));
        Ok((ended, share))
    }
}
