//! Settings of one node process: what there is, where it comes from, and what is wrong with it.
//!
//! Owns the list of all settings ([`SETTINGS`], one page for the help text and the operator's manual), their order of
//! precedence (defaults, then a TOML file, then `DFS_…` environment variables, then flags) and the checks of how they
//! relate. Every error names the key, where its value came from, and the fix.
//!
//! Deliberately absent: reading files and the process environment (the caller hands both in), what the whole cluster
//! agrees on (`dfs_core::settings`), and anything that initialises a cluster: that is a verb, never a setting.

mod error;
mod layer;
mod log_filter;
mod value;

pub use error::{Origin, SettingsError};
pub use layer::{SettingsFile, Sources};
pub use log_filter::{InvalidLogFilter, LogFilter};

use dfs_core::id::{NodeId, Role};
use dfs_core::unit::ByteCount;
use layer::Layers;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One setting, as its documentation says.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its key in the settings file. The flag is the key with dashes, the variable is `DFS_` and the key in capitals.
    pub key: &'static str,
    /// The roles that have it.
    pub roles: &'static [Role],
    /// Its default, as people write it.
    pub default: &'static str,
    /// What it may be.
    pub bounds: &'static str,
    /// What it does.
    pub about: &'static str,
}

const NODES: &[Role] = &[Role::Metadata, Role::Storage];
const STORAGE: &[Role] = &[Role::Storage];
const METADATA: &[Role] = &[Role::Metadata];

/// Bytes of the smallest UDP payload that QUIC allows.
pub const UDP_PAYLOAD_BYTES_MIN: u16 = 1200;
/// Bytes of a UDP payload where nothing else is set: ten of them fit one send call of the kernel.
pub const UDP_PAYLOAD_BYTES_DEFAULT: u16 = 6500;
/// Bytes of the largest UDP payload of which ten still fit one send call of the kernel.
pub const UDP_PAYLOAD_BYTES_MAX: u16 = 6550;

/// The fewest entries of the metadata log after which a snapshot may be taken.
pub const SNAPSHOT_ENTRIES_MIN: u64 = 100;
/// Entries of the metadata log after which a snapshot is taken where nothing else is set.
pub const SNAPSHOT_ENTRIES_DEFAULT: u64 = 20_000;
/// The most entries of the metadata log after which a snapshot is taken.
pub const SNAPSHOT_ENTRIES_MAX: u64 = 1_000_000;

/// Every setting of a node, in the order in which people meet them.
pub const SETTINGS: &[Setting] = &[
    Setting {
        key: "node",
        roles: NODES,
        default: "none; must be set",
        bounds: "1 to 2^64 - 1",
        about: "number of this node within its role; the certificate must carry the same",
    },
    Setting {
        key: "listen",
        roles: NODES,
        default: "none; must be set",
        bounds: "IP address and UDP port, such as 0.0.0.0:7001",
        about: "address to listen on",
    },
    Setting {
        key: "advertise",
        roles: NODES,
        default: "the listen address",
        bounds: "IP address and UDP port; not a wildcard address, not port 0",
        about: "address under which other nodes and clients reach this node",
    },
    Setting {
        key: "data",
        roles: NODES,
        default: "none; must be set",
        bounds: "path of a directory; made if it is not there",
        about: "data directory, owned by one process at a time",
    },
    Setting {
        key: "ca",
        roles: NODES,
        default: "none; must be set",
        bounds: "path of a PEM file",
        about: "certificate of the authority that all nodes and clients of the cluster share",
    },
    Setting {
        key: "certificate",
        roles: NODES,
        default: "none; must be set",
        bounds: "path of a PEM file",
        about: "certificate of this node",
    },
    Setting {
        key: "key",
        roles: NODES,
        default: "none; must be set",
        bounds: "path of a PEM file of mode 0600",
        about: "private key of this node's certificate",
    },
    Setting {
        key: "metadata",
        roles: STORAGE,
        default: "none; must be set",
        bounds: "one or more addresses; a list in the file, separated by commas elsewhere",
        about: "metadata nodes to ask first; one that answers is enough",
    },
    Setting {
        key: "reserve_bytes",
        roles: STORAGE,
        default: "1GiB or 5 % of the file system, whichever is more",
        bounds: "size such as 512MiB or 20GiB; 0 keeps nothing free",
        about: "room on the file system that chunks leave free, for the index and for deletes",
    },
    Setting {
        key: "snapshot_entries",
        roles: METADATA,
        default: "20000",
        bounds: "100 to 1000000",
        about: "log entries after which a snapshot is taken and the log is cut; a fifth of them stays for late nodes",
    },
    Setting {
        key: "max_udp_payload_bytes",
        roles: NODES,
        default: "6500",
        bounds: "1200 to 6550",
        about: "largest UDP payload to try; paths that carry less are found out by themselves",
    },
    Setting {
        key: "metrics_listen",
        roles: NODES,
        default: "loopback and the number of the listen port; none if that is taken",
        bounds: "IP address and TCP port, such as 10.0.0.1:9100; or off",
        about: "where metrics are told to whoever asks, in plain text; keep it on loopback or a network of your own",
    },
    Setting {
        key: "log_level",
        roles: NODES,
        default: "info",
        bounds: "error, warn, info, debug or trace; or a list such as info,dfs_actors=debug",
        about: "what is logged",
    },
    Setting {
        key: "log_format",
        roles: NODES,
        default: "text",
        bounds: "text or json",
        about: "how it is logged, one event a line on standard error",
    },
];

impl Setting {
    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("{}{}", layer::VARIABLE_PREFIX, self.key.to_ascii_uppercase())
    }

    /// The flag that sets it.
    #[must_use]
    pub fn flag(&self) -> String {
        format!("--{}", self.key.replace('_', "-"))
    }

    /// The setting with this key.
    #[must_use]
    pub fn find(key: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.key == key)
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// Where a node tells metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MetricsListen {
    /// On loopback, at the TCP port with the number of the node's own; if another program has that, nowhere.
    #[default]
    Usual,
    /// There, or the node does not start.
    At(SocketAddr),
    /// Nowhere.
    Off,
}

/// What only one role has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleSettings {
    /// A member of the metadata cluster. Who the members are is part of the replicated state, not a setting.
    Metadata {
        /// Entries of the log after which a snapshot is taken and the log is cut.
        snapshot_entries: u64,
    },
    /// A keeper of chunks.
    Storage {
        /// Metadata nodes to ask first; at least one.
        metadata: Vec<SocketAddr>,
        /// Room that chunks leave free; the greater of 1 GiB and 5 % where absent.
        reserve: Option<ByteCount>,
    },
}

impl RoleSettings {
    /// The role.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            RoleSettings::Metadata { .. } => Role::Metadata,
            RoleSettings::Storage { .. } => Role::Storage,
        }
    }
}

/// The settings of one node process, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSettings {
    /// What the node is.
    pub role: RoleSettings,
    /// Its number within the role.
    pub node: NodeId,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where others reach it; the address it listens on where absent.
    pub advertise: Option<SocketAddr>,
    /// Its data directory.
    pub data: PathBuf,
    /// The authority's certificate (PEM).
    pub ca: PathBuf,
    /// Its certificate (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// The largest UDP payload to try, in bytes.
    pub max_udp_payload: u16,
    /// Where it tells metrics.
    pub metrics_listen: MetricsListen,
    /// What is logged.
    pub log_level: LogFilter,
    /// How it is logged.
    pub log_format: LogFormat,
}

impl NodeSettings {
    /// Puts the sources together, later ones over earlier ones, and checks the result.
    ///
    /// # Errors
    /// An unknown key, a value that its setting cannot have, a setting that is missing, or settings that contradict
    /// each other.
    pub fn load(role: Role, sources: &Sources<'_>) -> Result<NodeSettings, SettingsError> {
        let layers = Layers::read(role, sources)?;
        // The first of the list is asked for first, so that an empty file is answered with the list's first key.
        let node = layers.required("node", value::node_id)?;
        let settings = NodeSettings {
            role: match role {
                Role::Storage => RoleSettings::Storage {
                    metadata: layers.required("metadata", value::addresses)?,
                    reserve: layers.optional("reserve_bytes", value::byte_count)?,
                },
                Role::Metadata => RoleSettings::Metadata {
                    snapshot_entries: layers
                        .optional("snapshot_entries", value::snapshot_entries)?
                        .unwrap_or(SNAPSHOT_ENTRIES_DEFAULT),
                },
                Role::Client => return Err(SettingsError::NotANode),
            },
            node,
            listen: layers.required("listen", value::address)?,
            advertise: layers.optional("advertise", value::address)?,
            data: layers.required_path("data")?,
            ca: layers.required_path("ca")?,
            certificate: layers.required_path("certificate")?,
            key: layers.required_path("key")?,
            max_udp_payload: layers
                .optional("max_udp_payload_bytes", value::udp_payload)?
                .unwrap_or(UDP_PAYLOAD_BYTES_DEFAULT),
            metrics_listen: layers.optional("metrics_listen", value::metrics_listen)?.unwrap_or_default(),
            log_level: layers.optional("log_level", value::log_filter)?.unwrap_or_default(),
            log_format: layers.optional("log_format", value::log_format)?.unwrap_or_default(),
        };
        settings.check()?;
        Ok(settings)
    }

    /// Refuses settings that contradict each other.
    ///
    /// # Errors
    /// Says which keys, and what to do.
    pub fn check(&self) -> Result<(), SettingsError> {
        match self.advertise {
            Some(advertise) if advertise.ip().is_unspecified() || advertise.port() == 0 => {
                return Err(SettingsError::AdvertiseUnreachable { advertise });
            }
            None if self.listen.ip().is_unspecified() => {
                return Err(SettingsError::AdvertiseNeeded { listen: self.listen });
            }
            _ => {}
        }
        if let RoleSettings::Storage { metadata, .. } = &self.role {
            if metadata.is_empty() {
                return Err(SettingsError::Missing { key: "metadata" });
            }
            if let Some(own) = metadata.iter().find(|seed| **seed == self.listen && seed.port() != 0) {
                return Err(SettingsError::SeedIsSelf { seed: *own });
            }
        }
        Ok(())
    }

    /// Refuses a certificate that is not this node's: one that carries another role or another name.
    ///
    /// # Errors
    /// Says what the certificate carries, and what to do.
    pub fn check_identity(&self, role: Role, name: &str) -> Result<(), SettingsError> {
        if (role, name.parse()) == (self.role.role(), Ok(self.node)) {
            return Ok(());
        }
        Err(SettingsError::OtherIdentity {
            certificate: self.certificate.clone(),
            found_role: role,
            found_name: name.to_owned(),
            role: self.role.role(),
            node: self.node,
        })
    }
}

#[cfg(test)]
mod tests;
