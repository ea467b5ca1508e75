//! `node`: the daemon, one node of a cluster.

mod daemon;
mod members;

use crate::certificate;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::logging;
use clap::{Args, Subcommand};
use daemon::Initialise;
use dfs_core::id::Role;
use dfs_core::settings::ClusterSettings;
use dfs_nodes::InitialiseCluster;
use dfs_nodes::settings::{NodeSettings, SETTINGS, SettingsError, SettingsFile, Sources};
use members::Members;
use std::path::PathBuf;

/// Run one node of a cluster
#[derive(Args, Debug)]
#[command(after_help = after_help())]
pub struct NodeArgs {
    #[command(subcommand)]
    role: NodeRole,
}

const METADATA_EXAMPLES: &str = "\
Examples:
  dfs-cli node metadata --config /etc/dfs/node.toml
  dfs-cli node metadata --config /etc/dfs/node.toml --init --members 1=10.0.0.1:7001,2=10.0.0.2:7001,3=10.0.0.3:7001

--init is done once in the life of a cluster, on one of its metadata nodes, which then goes on as a node. It has no
place in a unit file. All settings: dfs-cli node --help";

const STORAGE_EXAMPLES: &str = "\
Examples:
  dfs-cli node storage --config /etc/dfs/node.toml
  dfs-cli node storage --node 1 --listen 10.0.0.4:7002 --data /var/lib/dfs --metadata 10.0.0.1:7001,10.0.0.2:7001 \\
      --ca ca.pem --certificate storage-1.pem --key storage-1.key

It registers with the cluster by itself. All settings: dfs-cli node --help";

#[derive(Debug, Subcommand)]
enum NodeRole {
    /// Run a metadata node
    #[command(after_help = METADATA_EXAMPLES)]
    Metadata {
        #[command(flatten)]
        common: CommonArgs,
        /// Log entries after which a snapshot is taken and the log is cut
        #[arg(long, value_name = "N", allow_negative_numbers = true)]
        snapshot_entries: Option<String>,
        /// Initialise a new cluster with this node, once in the cluster's life
        #[arg(long, requires = "members")]
        init: bool,
        /// The metadata nodes that the cluster begins with, this one included, as NODE=ADDRESS
        #[arg(long, requires = "init", value_name = "1=ADDRESS,…")]
        members: Option<Members>,
        #[command(flatten)]
        agreed: AgreedArgs,
        /// Do not fail if the cluster is initialised already
        #[arg(long, requires = "init", hide = true)]
        unless_done: bool,
    },
    /// Run a storage node
    #[command(after_help = STORAGE_EXAMPLES)]
    Storage {
        #[command(flatten)]
        common: CommonArgs,
        /// Metadata nodes to ask first
        #[arg(long, value_name = "ADDRESS,…")]
        metadata: Option<String>,
        /// Room on the file system that chunks leave free
        #[arg(long, value_name = "SIZE")]
        reserve_bytes: Option<String>,
    },
}

/// What all nodes have. Values are checked with those of the other sources, so that all errors look alike.
#[derive(Args, Debug)]
struct CommonArgs {
    /// Settings file (TOML); paths in it are relative to it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of this node within its role
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    node: Option<String>,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Address under which others reach this node
    #[arg(long, value_name = "ADDRESS")]
    advertise: Option<String>,
    /// Data directory
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Certificate of the authority (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<String>,
    /// Certificate of this node (PEM)
    #[arg(long, value_name = "FILE")]
    certificate: Option<String>,
    /// Private key of this node (PEM, mode 0600)
    #[arg(long, value_name = "FILE")]
    key: Option<String>,
    /// Largest UDP payload to try
    #[arg(long, value_name = "BYTES", allow_negative_numbers = true)]
    max_udp_payload_bytes: Option<String>,
    /// Where metrics are told, or off
    #[arg(long, value_name = "ADDRESS|off")]
    metrics_listen: Option<String>,
    /// What is logged
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How it is logged: text or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// End when the process with this id, which started this one, ends
    #[arg(long, value_name = "PID", hide = true)]
    end_with_parent: Option<i32>,
}

/// What a cluster agrees on when it is initialised, and keeps.
#[derive(Args, Debug)]
struct AgreedArgs {
    /// With --init: copies of a chunk where an upload does not say otherwise [default: 3]
    #[arg(long, requires = "init", value_name = "N")]
    replication: Option<u8>,
    /// With --init: how often a storage node beats [default: 3000]
    #[arg(long, requires = "init", value_name = "MS")]
    beat_interval_ms: Option<u64>,
    /// With --init: silence after which a storage node gets no new work [default: 10000]
    #[arg(long, requires = "init", value_name = "MS")]
    suspect_after_ms: Option<u64>,
    /// With --init: silence after which a storage node's copies do not count [default: 30000]
    #[arg(long, requires = "init", value_name = "MS")]
    dead_after_ms: Option<u64>,
    /// With --init: how long an upload may stay open without progress [default: 86400000]
    #[arg(long, requires = "init", value_name = "MS")]
    upload_expiry_ms: Option<u64>,
}

impl AgreedArgs {
    fn settings(&self) -> Result<ClusterSettings, Failure> {
        let usual = ClusterSettings::default();
        let settings = ClusterSettings {
            replication: self.replication.unwrap_or(usual.replication),
            beat_interval_ms: self.beat_interval_ms.unwrap_or(usual.beat_interval_ms),
            suspect_after_ms: self.suspect_after_ms.unwrap_or(usual.suspect_after_ms),
            dead_after_ms: self.dead_after_ms.unwrap_or(usual.dead_after_ms),
            upload_expiry_ms: self.upload_expiry_ms.unwrap_or(usual.upload_expiry_ms),
        };
        settings.check().map_err(|error| Failure::new(Exit::Usage, error).hint(error.fix()))?;
        Ok(settings)
    }
}

impl NodeArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (common, settings, initialise) = match self.role {
            NodeRole::Metadata { common, snapshot_entries, init: _, members, agreed, unless_done } => {
                let settings = common.settings(Role::Metadata, [("snapshot_entries", snapshot_entries)])?;
                let initialise = match members {
                    Some(members) => {
                        members.check(&settings)?;
                        let cluster = InitialiseCluster { members: members.0, settings: agreed.settings()? };
                        Some(Initialise { cluster, unless_done })
                    }
                    None => None,
                };
                (common, settings, initialise)
            }
            NodeRole::Storage { common, metadata, reserve_bytes } => {
                let flags = [("metadata", metadata), ("reserve_bytes", reserve_bytes)];
                let settings = common.settings(Role::Storage, flags)?;
                (common, settings, None)
            }
        };
        if let Some(parent) = common.end_with_parent {
            daemon::end_with(parent)?;
        }
        certificate::refuse_exposed_key(&settings.key)?;
        logging::start(&settings)?;
        daemon::run(settings, initialise)
    }
}

impl CommonArgs {
    /// The settings from all sources.
    fn settings(
        &self,
        role: Role,
        more: impl IntoIterator<Item = (&'static str, Option<String>)>,
    ) -> Result<NodeSettings, Failure> {
        let text = match &self.config {
            Some(path) => {
                Some(std::fs::read_to_string(path).map_err(|cause| Failure::local_file("read", path, &cause))?)
            }
            None => None,
        };
        let file = self.config.as_deref().zip(text.as_deref()).map(|(path, text)| SettingsFile { path, text });
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        let common = [
            ("node", &self.node),
            ("listen", &self.listen),
            ("advertise", &self.advertise),
            ("data", &self.data),
            ("ca", &self.ca),
            ("certificate", &self.certificate),
            ("key", &self.key),
            ("max_udp_payload_bytes", &self.max_udp_payload_bytes),
            ("metrics_listen", &self.metrics_listen),
            ("log_level", &self.log_level),
            ("log_format", &self.log_format),
        ];
        let common = common.into_iter().map(|(key, value)| (key, value.clone()));
        let flags = common.chain(more).filter_map(|(key, value)| Some((key, value?))).collect();
        Ok(NodeSettings::load(role, &Sources { file, environment, flags })?)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Failure {
        Failure::new(Exit::Usage, error)
    }
}

/// The list of all settings, and where they come from.
fn after_help() -> String {
    let mut text = String::from(
        "Examples:\n  \
           dfs-cli node metadata --config /etc/dfs/node.toml\n  \
           dfs-cli node storage --config /etc/dfs/node.toml --log-level debug\n\n\
         Settings come from their defaults, then from the file of --config (key = value), then from the environment\n\
         (DFS_KEY), then from flags (--key). An unknown key is an error.\n\n",
    );
    for setting in SETTINGS {
        let only = match setting.roles {
            [role] => format!(" ({role} nodes only)"),
            _ => String::new(),
        };
        text.push_str(&format!(
            "  {}{only}\n      {}\n      value: {}\n      default: {}\n",
            setting.key, setting.about, setting.bounds, setting.default
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        node: NodeArgs,
    }

    #[test]
    fn every_setting_has_a_flag_and_a_place_in_the_help() {
        let help = after_help();
        for setting in SETTINGS {
            assert!(help.contains(setting.key) && help.contains(setting.about), "{}", setting.key);
            for role in setting.roles {
                let line = Line::try_parse_from(["dfs-cli", role.word(), &setting.flag(), "x"]);
                assert!(line.is_ok(), "{} of {role}: {line:?}", setting.flag());
            }
        }
    }

    #[test]
    fn the_operators_manual_has_every_setting() {
        let manual = include_str!("../../../docs/OPERATIONS.md");
        for setting in SETTINGS {
            let only = match setting.roles {
                [role] => format!(" ({role} nodes only)"),
                _ => String::new(),
            };
            let (key, default, bounds, about) = (setting.key, setting.default, setting.bounds, setting.about);
            let row = format!("| `{key}` | {default} | {bounds} | {about}{only} |");
            assert!(manual.contains(&row), "docs/OPERATIONS.md lacks: {row}");
        }
    }

    #[test]
    fn what_a_cluster_agrees_on_is_checked_before_it_begins() {
        let line = |arguments: &[&str]| {
            let init = ["dfs-cli", "metadata", "--init", "--members", "1=10.0.0.1:7001"];
            match Line::try_parse_from(init.iter().chain(arguments)).unwrap().node.role {
                NodeRole::Metadata { agreed, .. } => agreed.settings(),
                NodeRole::Storage { .. } => panic!("a metadata node"),
            }
        };
        assert_eq!(line(&[]).unwrap(), ClusterSettings::default());
        assert_eq!(line(&["--replication", "1"]).unwrap().replication, 1);
        let failure = line(&["--suspect-after-ms", "10"]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.contains("suspect_after_ms"), "{failure}");
    }
}
