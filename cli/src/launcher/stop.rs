//! Ending the processes of a local cluster, and removing it.

use super::record::ClusterRecord;
use super::{DirectoryLock, KILL_TIMEOUT, LOCK_TIMEOUT, Launcher, LauncherError, NodeName, Process, STOP_TIMEOUT};
use rustix::process::Signal;
use std::io;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often a process that should end is looked at.
const END_POLL: Duration = Duration::from_millis(20);

impl Launcher {
    /// Ends a node as a power cut would (SIGKILL), and waits until it has.
    ///
    /// # Errors
    /// There is no such node, or it does not run.
    pub async fn kill(&self, name: NodeName) -> Result<(), LauncherError> {
        self.check(name)?;
        let process = self.running(name).ok_or(LauncherError::NotRunning { name })?;
        signal(name, &process, Signal::KILL)?;
        self.ended(name, &process, KILL_TIMEOUT).await
    }

    /// Asks a node to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// There is no such node, it does not run, or it has not ended in time.
    pub async fn stop(&self, name: NodeName) -> Result<(), LauncherError> {
        self.check(name)?;
        let _lock = DirectoryLock::acquire(&self.layout, LOCK_TIMEOUT).await?;
        let process = self.running(name).ok_or(LauncherError::NotRunning { name })?;
        self.terminate(name, &process).await
    }

    pub(super) async fn terminate(&self, name: NodeName, process: &Process) -> Result<(), LauncherError> {
        signal(name, process, Signal::TERM)?;
        self.ended(name, process, STOP_TIMEOUT).await
    }

    /// Stops every node: SIGTERM, a bounded wait, SIGKILL for those that still run. Gives the nodes that it stopped.
    ///
    /// # Errors
    /// There is no cluster, or a process cannot be ended.
    pub async fn down(&self) -> Result<Vec<NodeName>, LauncherError> {
        let record = self.record()?;
        let _lock = DirectoryLock::acquire(&self.layout, LOCK_TIMEOUT).await?;
        self.stop_all(&record).await
    }

    /// Stops those nodes that this launcher has started itself.
    ///
    /// # Errors
    /// A process cannot be ended.
    pub async fn stop_started(&self) -> Result<(), LauncherError> {
        let own: Vec<_> = {
            let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
            children.iter().filter_map(|(name, child)| Some((*name, Process::with_pid(child.id())?))).collect()
        };
        self.stop_processes(&own).await
    }

    /// Ends every node at once (SIGKILL).
    ///
    /// # Errors
    /// There is no cluster, or a process cannot be ended.
    pub async fn kill_all(&self) -> Result<(), LauncherError> {
        let processes = self.processes(&self.record()?);
        for (name, process) in &processes {
            signal(*name, process, Signal::KILL)?;
        }
        for (name, process) in &processes {
            self.ended(*name, process, KILL_TIMEOUT).await?;
        }
        Ok(())
    }

    /// Stops every node and removes the directory with all data.
    ///
    /// # Errors
    /// There is no cluster in it, a process cannot be ended, or something cannot be removed.
    pub async fn purge(&self) -> Result<Vec<NodeName>, LauncherError> {
        let record = self.record()?;
        let _lock = DirectoryLock::acquire(&self.layout, LOCK_TIMEOUT).await?;
        let stopped = self.stop_all(&record).await?;
        self.remove_directory()?;
        Ok(stopped)
    }

    /// Ends every node at once (SIGKILL) and removes the directory, without waiting for anything that could hang. For
    /// the clean-up of a cluster that only this process uses.
    pub fn destroy(&self) {
        let Ok(record) = self.record() else { return };
        for (_, process) in self.processes(&record) {
            let _ = process.signal(Signal::KILL);
        }
        for (_, mut child) in self.children.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = self.remove_directory();
    }

    fn processes(&self, record: &ClusterRecord) -> Vec<(NodeName, Process)> {
        record.shape.names().filter_map(|name| Some((name, self.running(name)?))).collect()
    }

    async fn stop_all(&self, record: &ClusterRecord) -> Result<Vec<NodeName>, LauncherError> {
        let processes = self.processes(record);
        self.stop_processes(&processes).await?;
        // Pid files of nodes that had ended by themselves.
        for name in record.shape.names() {
            let _ = std::fs::remove_file(self.layout.pid(name));
        }
        Ok(processes.into_iter().map(|(name, _)| name).collect())
    }

    async fn stop_processes(&self, processes: &[(NodeName, Process)]) -> Result<(), LauncherError> {
        for (name, process) in processes {
            signal(*name, process, Signal::TERM)?;
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        for (name, process) in processes {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.ended(*name, process, left).await.is_err() {
                signal(*name, process, Signal::KILL)?;
                self.ended(*name, process, KILL_TIMEOUT).await?;
            }
        }
        Ok(())
    }

    /// Removes everything, the record last but for the lock, so that what an interrupted removal leaves is known as a
    /// cluster.
    fn remove_directory(&self) -> Result<(), LauncherError> {
        let root = self.layout.root();
        let removed = |path: &Path, outcome: io::Result<()>| match outcome {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LauncherError::file("remove", path, error)),
            _ => Ok(()),
        };
        for part in [root.join("nodes"), self.layout.certificates()] {
            removed(&part, std::fs::remove_dir_all(&part))?;
        }
        for file in [self.layout.client(), self.layout.record(), self.layout.lock()] {
            removed(&file, std::fs::remove_file(&file))?;
        }
        // What is not the launcher's stays, and then the directory too.
        match std::fs::remove_dir(root) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            outcome => removed(root, outcome),
        }
    }

    /// Waits until a process has ended, and then forgets its pid.
    async fn ended(&self, name: NodeName, process: &Process, patience: Duration) -> Result<(), LauncherError> {
        let deadline = Instant::now() + patience;
        while process.is_running() {
            if Instant::now() >= deadline {
                return Err(LauncherError::StillRunning { name, waited: patience });
            }
            sleep(END_POLL).await;
        }
        let path = self.layout.pid(name);
        if Process::read(&path).as_ref() == Some(process) {
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }
}

fn signal(name: NodeName, process: &Process, signal: Signal) -> Result<(), LauncherError> {
    process.signal(signal).map(drop).map_err(|cause| LauncherError::Signal { name, cause })
}
