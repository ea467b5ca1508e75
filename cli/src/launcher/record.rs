//! `cluster.toml`: what a cluster directory holds, written once and kept.

use super::{LauncherError, NodeName, Shape};
use crate::local_file;
use dfs_core::id::{ClusterId, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

/// The format that this build writes, and the only one that it reads.
const FORMAT: u32 = 1;

const HEADING: &str = "# A local cluster of dfs-cli. Written by `dfs-cli cluster up`; not to be edited.\n";

/// What a cluster directory holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRecord {
    /// How many nodes.
    pub shape: Shape,
    /// The UDP port of each node on 127.0.0.1.
    pub ports: BTreeMap<NodeName, u16>,
    /// The cluster's id, once the cluster was seen to serve. From then on it is never initialised again.
    pub cluster: Option<ClusterId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    format: u32,
    metadata_nodes: u16,
    storage_nodes: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    ports: BTreeMap<String, u16>,
}

impl ClusterRecord {
    /// Reads the record at `path`; none if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is not such a record.
    pub fn read(path: &Path) -> Result<Option<ClusterRecord>, LauncherError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(LauncherError::file("read", path, error)),
        };
        let malformed = || LauncherError::MalformedRecord { path: path.to_owned() };
        // An unknown format is named as such even if its fields differ.
        let table: toml::Table = toml::from_str(&text).map_err(|_| malformed())?;
        match table.get("format").and_then(toml::Value::as_integer) {
            Some(format) if format == i64::from(FORMAT) => {}
            Some(format) => return Err(LauncherError::UnknownFormat { path: path.to_owned(), format }),
            None => return Err(malformed()),
        }
        let form: Form = table.try_into().map_err(|_| malformed())?;
        let shape = Shape::new(form.metadata_nodes, form.storage_nodes).map_err(|_| malformed())?;
        let mut ports = BTreeMap::new();
        for name in shape.names() {
            let port = form.ports.get(&name.to_string()).copied().filter(|port| *port > 0).ok_or_else(malformed)?;
            ports.insert(name, port);
        }
        let cluster = form.cluster.map(|text| text.parse().map_err(|_| malformed())).transpose()?;
        Ok(Some(ClusterRecord { shape, ports, cluster }))
    }

    /// Writes the record to `path`, whole or not at all.
    ///
    /// # Errors
    /// The disk failed or is full.
    pub fn write(&self, path: &Path) -> Result<(), LauncherError> {
        let form = Form {
            format: FORMAT,
            metadata_nodes: self.shape.metadata(),
            storage_nodes: self.shape.storage(),
            cluster: self.cluster.map(|cluster| cluster.to_string()),
            ports: self.ports.iter().map(|(name, port)| (name.to_string(), *port)).collect(),
        };
        let text = toml::to_string(&form).map_err(|_| LauncherError::MalformedRecord { path: path.to_owned() })?;
        local_file::replace(path, format!("{HEADING}{text}").as_bytes(), 0o644)
            .map_err(|error| LauncherError::file("write", path, error))
    }

    /// The address of a node.
    #[must_use]
    pub fn address(&self, name: NodeName) -> Option<SocketAddr> {
        self.ports.get(&name).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, *port)))
    }

    /// The metadata nodes and their addresses.
    pub fn metadata(&self) -> impl Iterator<Item = (NodeName, SocketAddr)> {
        self.ports
            .iter()
            .filter(|(name, _)| name.role == Role::Metadata)
            .map(|(name, port)| (*name, SocketAddr::from((Ipv4Addr::LOCALHOST, *port))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> ClusterRecord {
        let shape = Shape::new(1, 2).unwrap();
        let ports = shape.names().zip(20_001..).collect();
        ClusterRecord { shape, ports, cluster: None }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.toml");
        assert!(matches!(ClusterRecord::read(&path), Ok(None)));
        for cluster in [None, Some(ClusterId(7))] {
            let record = ClusterRecord { cluster, ..record() };
            record.write(&path).unwrap();
            assert_eq!(ClusterRecord::read(&path).unwrap(), Some(record));
        }
    }

    #[test]
    fn a_foreign_record_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            ClusterRecord::read(&path).unwrap_err()
        };
        assert!(matches!(read("format = 2\nnodes = 7"), LauncherError::UnknownFormat { format: 2, .. }));
        record().write(&path).unwrap();
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in ["", "not toml", &good.replace("storage-2", "storage-3"), &good.replace("20001", "0")] {
            assert!(matches!(read(bad), LauncherError::MalformedRecord { .. }), "{bad}");
        }
    }
}
