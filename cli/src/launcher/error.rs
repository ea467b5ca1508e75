//! What can go wrong with a local cluster.

use super::{NodeName, Shape, shape::InvalidShape};
use crate::certificate::CertificateError;
use crate::connect::ConnectError;
use crate::exit::Exit;
use crate::failure::{Failure, plain};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a local cluster was not started, stopped or found. The second line of each is what to do.
#[derive(Debug, thiserror::Error)]
pub enum LauncherError {
    /// There is no default directory.
    #[error("neither HOME nor XDG_STATE_HOME is set\nname a directory with --dir")]
    NoHome,
    /// The directory has no cluster.
    #[error("there is no cluster in {}\nstart one with `dfs-cli cluster up`, or name its directory with --dir", directory.display())]
    NoCluster {
        /// The directory.
        directory: PathBuf,
    },
    /// The directory has something else.
    #[error("{} is not empty and has no cluster in it\nname another directory with --dir", directory.display())]
    ForeignDirectory {
        /// The directory.
        directory: PathBuf,
    },
    /// The record is damaged.
    #[error("{} is damaged\nstart afresh in another directory, or remove this one if its files are not needed", path.display())]
    MalformedRecord {
        /// The record.
        path: PathBuf,
    },
    /// The record is another version's.
    #[error("{} has format {format}, which this version does not know\nuse the version that made it", path.display())]
    UnknownFormat {
        /// The record.
        path: PathBuf,
        /// The format that it has.
        format: i64,
    },
    /// A shape that makes no sense.
    #[error(transparent)]
    Shape(#[from] InvalidShape),
    /// The cluster has another shape.
    #[error(
        "the cluster in {} has {present}, not {asked}\nuse -m {m} -s {s} or leave both out, or choose another directory with --dir",
        directory.display(),
        m = present.metadata(),
        s = present.storage()
    )]
    OtherShape {
        /// The directory.
        directory: PathBuf,
        /// What it has.
        present: Shape,
        /// What was asked for.
        asked: Shape,
    },
    /// Somebody else is changing the directory.
    #[error("another command is changing the cluster in {}\ntry again when it has ended", directory.display())]
    Locked {
        /// The directory.
        directory: PathBuf,
    },
    /// A file of the directory cannot be used.
    #[error("cannot {doing} {}: {}", path.display(), plain(cause))]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The certificates cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No UDP port is free.
    #[error("no free UDP port was found for {name}")]
    NoPort {
        /// The node.
        name: NodeName,
    },
    /// There is no such node.
    #[error("the cluster has no node {name}; it has {shape}\nsee `dfs-cli cluster status`")]
    NoNode {
        /// The name.
        name: NodeName,
        /// What there is.
        shape: Shape,
    },
    /// A process could not be started.
    #[error("cannot start {name} as {}: {}", executable.display(), plain(cause))]
    Spawn {
        /// The node.
        name: NodeName,
        /// The program.
        executable: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// A process could not be signalled.
    #[error("cannot signal {name}: {}", plain(cause))]
    Signal {
        /// The node.
        name: NodeName,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The node does not run.
    #[error("{name} is not running\nstart it with `dfs-cli cluster restart {name}`")]
    NotRunning {
        /// The node.
        name: NodeName,
    },
    /// The node did not stop in time.
    #[error("{name} has not ended within {} s\nend it with `dfs-cli cluster kill {name}`", waited.as_secs())]
    StillRunning {
        /// The node.
        name: NodeName,
        /// How long it had.
        waited: Duration,
    },
    /// A node ended while the cluster was starting.
    #[error("{name} ended while it was starting; {tail}\nits log is {}", log.display())]
    Ended {
        /// The node.
        name: NodeName,
        /// What it logged last.
        tail: LogTail,
        /// Where it logs.
        log: PathBuf,
    },
    /// The cluster does not serve.
    #[error("{name} does not serve after {} s ({reason}); {tail}\nits log is {}", waited.as_secs(), log.display())]
    NotServing {
        /// The node that is missing.
        name: NodeName,
        /// Why it counts as missing.
        reason: NotServing,
        /// How long it had.
        waited: Duration,
        /// What it logged last.
        tail: LogTail,
        /// Where it logs.
        log: PathBuf,
    },
    /// A client cannot be made from the cluster's client file.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

/// Why a node counts as not serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotServing {
    /// Nobody leads.
    #[error("the metadata nodes have no leader")]
    NoLeader,
    /// The leader does not hear it.
    #[error("the leader does not hear from it")]
    Silent,
    /// The leader does not know it.
    #[error("it has not registered")]
    NotRegistered,
}

/// The end of a node's log, on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTail(pub Option<String>);

impl std::fmt::Display for LogTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Some(line) => write!(f, "it logged last: {line}"),
            None => f.write_str("it logged nothing"),
        }
    }
}

impl LauncherError {
    pub(super) fn file(doing: &'static str, path: &Path, cause: io::Error) -> LauncherError {
        LauncherError::File { doing, path: path.to_owned(), cause }
    }
}

impl From<LauncherError> for Failure {
    fn from(error: LauncherError) -> Failure {
        let exit = match error {
            LauncherError::Certificate(error) => return error.into(),
            LauncherError::Connect(error) => return error.into(),
            LauncherError::NoHome | LauncherError::Shape(_) | LauncherError::OtherShape { .. } => Exit::Usage,
            LauncherError::NoCluster { .. } | LauncherError::NoNode { .. } | LauncherError::NotRunning { .. } => {
                Exit::NotFound
            }
            LauncherError::ForeignDirectory { .. } => Exit::AlreadyExists,
            LauncherError::MalformedRecord { .. }
            | LauncherError::UnknownFormat { .. }
            | LauncherError::File { .. } => Exit::LocalFile,
            LauncherError::NotServing { .. } => Exit::Unavailable,
            LauncherError::Locked { .. }
            | LauncherError::NoPort { .. }
            | LauncherError::Spawn { .. }
            | LauncherError::Signal { .. }
            | LauncherError::StillRunning { .. }
            | LauncherError::Ended { .. } => Exit::Failure,
        };
        Failure::new(exit, error)
    }
}
