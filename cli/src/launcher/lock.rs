//! One change of a cluster directory at a time.

use super::{LauncherError, Layout};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a lock that somebody has is asked for.
const RETRY: Duration = Duration::from_millis(100);

/// The right to change a cluster directory, for as long as this value lives. The operating system ends it with the
/// process at the latest.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Waits for the lock of a directory that exists, for `patience` at most.
    ///
    /// # Errors
    /// Somebody else has it for longer, or there is no such directory.
    pub async fn acquire(layout: &Layout, patience: Duration) -> Result<DirectoryLock, LauncherError> {
        let deadline = Instant::now() + patience;
        let path = layout.lock();
        loop {
            let file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(|error| LauncherError::file("lock", &path, error))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // Who held it may have removed the directory: a lock on a file that is gone locks nothing.
                Ok(()) if is_same(&file, &path) => return Ok(DirectoryLock { _file: file }),
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(error) => return Err(LauncherError::file("lock", &path, error.into())),
            }
            if Instant::now() >= deadline {
                return Err(LauncherError::Locked { directory: layout.root().to_owned() });
            }
            sleep(RETRY).await;
        }
    }
}

fn is_same(file: &File, path: &std::path::Path) -> bool {
    let identity = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), path.metadata()), (Ok(held), Ok(named)) if identity(&held) == identity(&named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_is_changed_by_one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::of(directory.path()).unwrap();
        let first = DirectoryLock::acquire(&layout, Duration::ZERO).await.unwrap();
        let second = DirectoryLock::acquire(&layout, Duration::ZERO).await;
        assert!(matches!(second, Err(LauncherError::Locked { .. })));
        drop(first);
        DirectoryLock::acquire(&layout, Duration::ZERO).await.unwrap();
    }
}
