//! The file that tells a client where its cluster is and who the client is.
//!
//! It is a small TOML file. Paths in it are relative to its own directory:
//!
//! ```toml
//! addresses = ["10.0.0.1:7400", "10.0.0.2:7400", "10.0.0.3:7400"]
//! ca = "certs/ca.pem"
//! certificate = "certs/client.pem"
//! key = "certs/client.key"
//! ```
//!
//! Any metadata node will do as an address: a client finds the leader and the other nodes by itself. In a directory of
//! the launcher the file is `client.toml`.
//!
//! Deliberately absent: environment variables and flags. Who has them passes the path that they name.

use dfs_transport::identity::{Identity, IdentityError};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The name of the file within a directory.
pub const FILE_NAME: &str = "client.toml";

/// Where a cluster is, and with which identity to enter it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterFile {
    /// Metadata nodes; one that lives is enough.
    pub addresses: Vec<SocketAddr>,
    /// The certificate of the authority, as PEM.
    pub ca: PathBuf,
    /// The client's certificate, as PEM.
    pub certificate: PathBuf,
    /// The client's private key, as PEM.
    pub key: PathBuf,
}

/// Why there is no usable cluster file.
#[derive(Debug, thiserror::Error)]
pub enum ClusterFileError {
    /// There is no such file or directory.
    #[error(
        "no cluster found at {}; start one with `dfs-cli cluster up`, or name its directory or file with --cluster",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("cannot read the cluster file {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// It is not what it should be.
    #[error("{} is not a cluster file; it needs addresses, ca, certificate and key:\n{cause}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        cause: Box<toml::de::Error>,
    },
    /// It names no node.
    #[error("{} names no addresses; add those of the metadata nodes, such as addresses = [\"10.0.0.1:7400\"]", path.display())]
    NoAddresses {
        /// The file.
        path: PathBuf,
    },
}

impl ClusterFile {
    /// Finds and reads the file: `path` is the file itself, or a directory that has a `client.toml`. The paths
    /// of the result can be opened from the current directory.
    ///
    /// # Errors
    /// There is no such file, or it is not a cluster file.
    pub fn find(path: &Path) -> Result<ClusterFile, ClusterFileError> {
        let file = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
        let text = std::fs::read_to_string(&file).map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => ClusterFileError::Missing { path: path.to_owned() },
            _ => ClusterFileError::Unreadable { path: file.clone(), cause },
        })?;
        let mut found: ClusterFile = toml::from_str(&text)
            .map_err(|cause| ClusterFileError::Malformed { path: file.clone(), cause: Box::new(cause) })?;
        if found.addresses.is_empty() {
            return Err(ClusterFileError::NoAddresses { path: file });
        }
        let directory = file.parent().unwrap_or(Path::new(""));
        for path in [&mut found.ca, &mut found.certificate, &mut found.key] {
            *path = directory.join(&*path);
        }
        Ok(found)
    }

    /// Loads the identity that the file names.
    ///
    /// # Errors
    /// A certificate or key is missing or not usable.
    pub fn identity(&self) -> Result<Identity, IdentityError> {
        Identity::load(&self.ca, &self.certificate, &self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        addresses = ["127.0.0.1:7400", "[::1]:7400"]
        ca = "certs/ca.pem"
        certificate = "certs/client.pem"
        key = "/etc/dfs/client.key"
    "#;

    fn find_in(text: &str) -> Result<ClusterFile, ClusterFileError> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE_NAME), text).unwrap();
        let found = ClusterFile::find(directory.path());
        let by_file = ClusterFile::find(&directory.path().join(FILE_NAME));
        assert_eq!(found.as_ref().ok(), by_file.as_ref().ok());
        found.inspect(|found| assert!(found.ca.starts_with(directory.path())))
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let found = find_in(GOOD).unwrap();
        assert_eq!(found.addresses.len(), 2);
        assert!(found.certificate.ends_with("certs/client.pem"));
        assert_eq!(found.key, Path::new("/etc/dfs/client.key"));
    }

    #[test]
    fn an_unknown_key_is_refused_and_named() {
        let error = find_in(&format!("{GOOD}\nadresses = []")).unwrap_err().to_string();
        assert!(error.contains("adresses"), "{error}");
        assert!(error.contains(FILE_NAME), "{error}");
    }

    #[test]
    fn a_file_without_addresses_is_refused() {
        let text = GOOD.replace(r#""127.0.0.1:7400", "[::1]:7400""#, "");
        assert!(matches!(find_in(&text), Err(ClusterFileError::NoAddresses { .. })));
        let text = GOOD.replace("127.0.0.1:7400", "localhost");
        assert!(matches!(find_in(&text), Err(ClusterFileError::Malformed { .. })));
    }

    #[test]
    fn a_missing_file_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let error = ClusterFile::find(&directory.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("cluster up"), "{error}");
        assert!(matches!(ClusterFile::find(directory.path()), Err(ClusterFileError::Missing { .. })));
    }
}
