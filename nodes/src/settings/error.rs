//! What can be wrong with settings. Each message is one line: the key, where its value came from, the fix.

use super::Setting;
use dfs_core::id::{NodeId, Role};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A settings file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(path) => write!(f, "in {}", path.display()),
            Origin::Variable(name) => write!(f, "in the environment ({name})"),
            Origin::Flag(flag) => write!(f, "on the command line ({flag})"),
        }
    }
}

/// Why a node does not start with these settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The file is not TOML.
    #[error("{} is not valid TOML: {reason}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, on one line.
        reason: String,
    },
    /// No setting has this key.
    #[error("unknown setting {key:?} {origin}; {}", unknown_fix(*.near))]
    Unknown {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The key that was probably meant.
        near: Option<&'static str>,
    },
    /// The key belongs to another role.
    #[error("{key:?} {origin} is not a setting of {role} nodes; remove it")]
    OtherRole {
        /// The key.
        key: &'static str,
        /// Where it stands.
        origin: Origin,
        /// The role of this node.
        role: Role,
    },
    /// The setting cannot have this value.
    #[error("{key} = {value:?} {origin} is not valid; expected {}", bounds(.key))]
    Invalid {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// Where it stands.
        origin: Origin,
    },
    /// The setting has no default.
    #[error("{key:?} is not set; give {}, {} or `{key} = …` in the settings file", flag(.key), variable(.key))]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// Clients have no node settings.
    #[error("a node is metadata or storage; a client is no node")]
    NotANode,
    /// Others cannot connect to a wildcard address.
    #[error("listen = {listen} is a wildcard address; set \"advertise\" to the address that others reach this node at")]
    AdvertiseNeeded {
        /// The address it listens on.
        listen: SocketAddr,
    },
    /// Others cannot connect to what is advertised.
    #[error("advertise = {advertise} cannot be reached; set it to a real IP address and port")]
    AdvertiseUnreachable {
        /// The address advertised.
        advertise: SocketAddr,
    },
    /// A storage node that asks itself.
    #[error("metadata = {seed} is this node's own listen address; name the metadata nodes there")]
    SeedIsSelf {
        /// The address that both have.
        seed: SocketAddr,
    },
    /// The certificate is another node's.
    #[error(
        "{} is the certificate of {found_role} {found_name}, but this is {role} {node}; \
         set \"certificate\" and \"key\" to this node's, or \"node\" to the certificate's number",
        certificate.display()
    )]
    OtherIdentity {
        /// The certificate's path.
        certificate: PathBuf,
        /// The role that it carries.
        found_role: Role,
        /// The name that it carries.
        found_name: String,
        /// The role of this node.
        role: Role,
        /// The number of this node.
        node: NodeId,
    },
}

fn bounds(key: &str) -> &'static str {
    Setting::find(key).map_or("another value", |setting| setting.bounds)
}

fn flag(key: &str) -> String {
    Setting::find(key).map(Setting::flag).unwrap_or_default()
}

fn variable(key: &str) -> String {
    Setting::find(key).map(Setting::variable).unwrap_or_default()
}

fn unknown_fix(near: Option<&'static str>) -> String {
    match near {
        Some(key) => format!("did you mean {key:?}?"),
        None => "remove it, or see `dfs-cli node --help` for all settings".to_owned(),
    }
}
