//! Where everything lies in a cluster directory.
//!
//! ```text
//! DIR/cluster.toml             the shape, the ports, the cluster's id
//! DIR/client.toml              where clients find the cluster
//! DIR/certs/                   authority, node and client certificates with their keys
//! DIR/nodes/NAME/node.toml     the settings of a node
//! DIR/nodes/NAME/data/         its data
//! DIR/nodes/NAME/log           what it logs
//! DIR/nodes/NAME/pid           the process that runs it
//! DIR/lock                     held by who changes any of this
//! ```

use super::{LauncherError, NodeName};
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The directory of one local cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout(PathBuf);

impl Layout {
    /// The layout of a directory, which need not exist.
    ///
    /// # Errors
    /// The current directory, which a relative path refers to, is gone.
    pub fn of(directory: &Path) -> Result<Layout, LauncherError> {
        std::path::absolute(directory).map(Layout).map_err(|error| LauncherError::file("find", directory, error))
    }

    /// The directory where none is named: `$XDG_STATE_HOME/dfs/cluster`, or `~/.local/state/dfs/cluster`.
    ///
    /// # Errors
    /// Neither variable is set.
    pub fn default_directory(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, LauncherError> {
        // The XDG base directory specification wants relative paths to be ignored.
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|state| state.join("dfs/cluster"))
            .ok_or(LauncherError::NoHome)
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The record of what it holds.
    #[must_use]
    pub fn record(&self) -> PathBuf {
        self.0.join("cluster.toml")
    }

    /// The file by which clients find the cluster.
    #[must_use]
    pub fn client(&self) -> PathBuf {
        self.0.join(dfs_client::cluster::FILE_NAME)
    }

    /// The certificates.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.0.join("certs")
    }

    /// The lock file.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    /// The directory of a node.
    #[must_use]
    pub fn node(&self, name: NodeName) -> PathBuf {
        self.0.join("nodes").join(name.to_string())
    }

    /// The settings of a node.
    #[must_use]
    pub fn settings(&self, name: NodeName) -> PathBuf {
        self.node(name).join("node.toml")
    }

    /// The data of a node.
    #[must_use]
    pub fn data(&self, name: NodeName) -> PathBuf {
        self.node(name).join("data")
    }

    /// The log of a node.
    #[must_use]
    pub fn log(&self, name: NodeName) -> PathBuf {
        self.node(name).join("log")
    }

    /// The process of a node.
    #[must_use]
    pub fn pid(&self, name: NodeName) -> PathBuf {
        self.node(name).join("pid")
    }

    /// Makes the directory, for its owner alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self) -> Result<(), LauncherError> {
        make_private(&self.0)
    }

    /// Whether it has anything but a lock.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_empty(&self) -> Result<bool, LauncherError> {
        let failed = |error| LauncherError::file("read", &self.0, error);
        for entry in std::fs::read_dir(&self.0).map_err(failed)? {
            if entry.map_err(failed)?.file_name() != "lock" {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Makes a directory and those above it, for its owner alone. One that exists is left as it is.
pub(super) fn make_private(path: &Path) -> Result<(), LauncherError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        outcome => outcome.map_err(|error| LauncherError::file("make directory", path, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_default_directory_follows_the_xdg_specification() {
        let directory = |state: Option<&str>, home: Option<&str>| {
            Layout::default_directory(|name| match name {
                "XDG_STATE_HOME" => state.map(OsString::from),
                "HOME" => home.map(OsString::from),
                _ => None,
            })
        };
        assert_eq!(directory(Some("/state"), Some("/home/a")).unwrap(), Path::new("/state/dfs/cluster"));
        assert_eq!(directory(None, Some("/home/a")).unwrap(), Path::new("/home/a/.local/state/dfs/cluster"));
        assert_eq!(directory(Some("state"), Some("/h")).unwrap(), Path::new("/h/.local/state/dfs/cluster"));
        assert!(matches!(directory(None, None), Err(LauncherError::NoHome)));
    }

    #[test]
    fn a_new_directory_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let layout = Layout::of(&parent.path().join("a/b")).unwrap();
        layout.create().unwrap();
        assert_eq!(layout.root().metadata().unwrap().permissions().mode() & 0o777, 0o700);
        std::fs::write(layout.lock(), "").unwrap();
        assert!(layout.is_empty().unwrap());
        std::fs::write(layout.record(), "").unwrap();
        assert!(!layout.is_empty().unwrap());
    }
}
