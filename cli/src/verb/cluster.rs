//! `cluster`: a local cluster of real processes, from the command line.

mod up;

use crate::connect::CLUSTER_VARIABLE;
use crate::failure::Failure;
use crate::json;
use crate::launcher::{Launcher, LauncherSettings, Layout, LocalNode, NodeName};
use crate::output::{note, print};
use crate::runtime;
use crate::table::{Align, Table};
use clap::{Args, Subcommand};
use dfs_transport::world::World;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  dfs-cli cluster up                       3 metadata and 3 storage nodes, until Ctrl-C
  dfs-cli cluster up -m 1 -s 2 --dir c -d  a small one in the directory c, in the background
  dfs-cli cluster kill storage-2           what a power cut does to a node
  dfs-cli cluster restart storage-2
  dfs-cli cluster down --purge             stop it and remove its data";

/// Run a local cluster of real processes
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ClusterVerbs {
    #[command(subcommand)]
    verb: ClusterVerb,
}

#[derive(Debug, Subcommand)]
enum ClusterVerb {
    /// Start what is not running, with its data; the first time, make everything that is needed
    #[command(after_help = "Examples:\n  dfs-cli cluster up\n  dfs-cli cluster up -m 1 -s 1 --dir small -d\n\n\
                            In the foreground Ctrl-C stops the cluster; its data stays.")]
    Up {
        /// Metadata nodes: 1, 3, 5 or 7 [default: 3, or those of the directory]
        #[arg(short, long, value_name = "N")]
        metadata: Option<u16>,
        /// Storage nodes [default: 3, or those of the directory]
        #[arg(short, long, value_name = "N")]
        storage: Option<u16>,
        /// Leave it running in the background
        #[arg(short, long)]
        detach: bool,
        #[command(flatten)]
        place: DirectoryArgs,
    },
    /// Show which nodes run
    #[command(
        after_help = "Examples:\n  dfs-cli cluster status\n  dfs-cli cluster status --json | jq '.nodes[].pid'\n\n\
                            With --json: directory, and nodes with name, address, pid (null if it does not run) and log."
    )]
    Status {
        /// Write JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: DirectoryArgs,
    },
    /// Show what nodes have logged last
    #[command(after_help = "Examples:\n  dfs-cli cluster logs\n  dfs-cli cluster logs metadata-1 --lines 200")]
    Logs {
        /// The node, such as metadata-1 [default: all]
        node: Option<NodeName>,
        /// Lines of each node
        #[arg(long, value_name = "N", default_value_t = 20)]
        lines: usize,
        #[command(flatten)]
        place: DirectoryArgs,
    },
    /// End a node as a power cut would (SIGKILL)
    #[command(after_help = "Example:\n  dfs-cli cluster kill storage-2")]
    Kill(NodeArgs),
    /// Ask a node to end (SIGTERM) and wait until it has
    #[command(after_help = "Example:\n  dfs-cli cluster stop metadata-1")]
    Stop(NodeArgs),
    /// Start a node with its data; stop it first if it runs
    #[command(after_help = "Example:\n  dfs-cli cluster restart storage-2")]
    Restart(NodeArgs),
    /// Stop all nodes; their data stays unless --purge
    #[command(after_help = "Examples:\n  dfs-cli cluster down\n  dfs-cli cluster down --purge --dir small")]
    Down {
        /// Remove the directory with all data
        #[arg(long)]
        purge: bool,
        #[command(flatten)]
        place: DirectoryArgs,
    },
}

#[derive(Args, Debug)]
struct NodeArgs {
    /// The node, such as metadata-1 or storage-2
    node: NodeName,
    #[command(flatten)]
    place: DirectoryArgs,
}

#[derive(Args, Debug)]
struct DirectoryArgs {
    /// The cluster directory [default: $XDG_STATE_HOME/dfs/cluster or ~/.local/state/dfs/cluster]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl DirectoryArgs {
    fn directory(&self) -> Result<PathBuf, Failure> {
        match &self.dir {
            Some(directory) => Ok(directory.clone()),
            None => Ok(Layout::default_directory(|name| std::env::var_os(name))?),
        }
    }

    fn launcher(&self, world: &World) -> Result<Launcher, Failure> {
        Ok(Launcher::new(world, LauncherSettings::new(self.directory()?))?)
    }
}

impl ClusterVerbs {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.verb {
            // It handles Ctrl-C itself.
            ClusterVerb::Up { metadata, storage, detach, place } => runtime::run("cluster", async |world| {
                let launcher = place.launcher(&world)?;
                up::up(&launcher, metadata, storage, detach, &usage(&place)).await
            }),
            verb => runtime::run_interruptible("cluster", async |world| verb.run(&world).await),
        }
    }
}

impl ClusterVerb {
    async fn run(self, world: &World) -> Result<(), Failure> {
        match self {
            ClusterVerb::Up { .. } => Ok(()),
            ClusterVerb::Status { json, place } => status(&place.launcher(world)?, json),
            ClusterVerb::Logs { node, lines, place } => logs(&place.launcher(world)?, node, lines),
            ClusterVerb::Kill(arguments) => {
                arguments.place.launcher(world)?.kill(arguments.node).await?;
                note(format_args!("killed {}", arguments.node));
                Ok(())
            }
            ClusterVerb::Stop(arguments) => {
                arguments.place.launcher(world)?.stop(arguments.node).await?;
                note(format_args!("stopped {}", arguments.node));
                Ok(())
            }
            ClusterVerb::Restart(arguments) => {
                arguments.place.launcher(world)?.restart(arguments.node).await?;
                note(format_args!("{} serves", arguments.node));
                Ok(())
            }
            ClusterVerb::Down { purge, place } => {
                let launcher = place.launcher(world)?;
                let stopped = if purge { launcher.purge().await? } else { launcher.down().await? };
                let left = what_is_left(launcher.layout().root(), purge);
                note(format_args!("stopped {} nodes; {left}", stopped.len()));
                Ok(())
            }
        }
    }
}

/// What `down` has left in a cluster's directory.
fn what_is_left(root: &Path, purge: bool) -> String {
    let directory = root.display();
    match (purge, root.exists()) {
        (false, _) => format!("{directory} has its data"),
        (true, false) => format!("{directory} is removed"),
        (true, true) => format!("its data is removed; {directory} stays, for there are other files in it"),
    }
}

fn status(launcher: &Launcher, json: bool) -> Result<(), Failure> {
    let nodes = launcher.nodes()?;
    if json {
        let nodes = nodes.iter().map(node_json).collect();
        let directory = launcher.layout().root().display().to_string();
        return print(format_args!("{}\n", json::pretty(&json::LocalCluster { directory, nodes })));
    }
    print(format_args!("{}\n{}", launcher.layout().root().display(), table(&nodes)))
}

fn node_json(node: &LocalNode) -> json::LocalNode {
    json::LocalNode {
        name: node.name.to_string(),
        address: format!("127.0.0.1:{}", node.port),
        pid: node.pid,
        log: node.log.display().to_string(),
    }
}

fn table(nodes: &[LocalNode]) -> Table {
    let mut table = Table::new(&[
        ("NODE", Align::Left),
        ("STATE", Align::Left),
        ("PID", Align::Right),
        ("ADDRESS", Align::Left),
        ("LOG", Align::Left),
    ]);
    for node in nodes {
        table.row([
            node.name.to_string(),
            if node.pid.is_some() { "running" } else { "stopped" }.to_owned(),
            node.pid.map_or("-".to_owned(), |pid| pid.to_string()),
            format!("127.0.0.1:{}", node.port),
            node.log.display().to_string(),
        ]);
    }
    table
}

fn logs(launcher: &Launcher, node: Option<NodeName>, lines: usize) -> Result<(), Failure> {
    let names = match node {
        Some(name) => vec![name],
        None => launcher.nodes()?.into_iter().map(|node| node.name).collect(),
    };
    for name in names {
        for line in launcher.log_tail(name, lines)? {
            match node {
                Some(_) => print(format_args!("{line}\n"))?,
                None => print(format_args!("{name}: {line}\n"))?,
            }
        }
    }
    Ok(())
}

/// What follows `dfs-cli VERB` so that it is about the cluster in this directory.
fn usage(place: &DirectoryArgs) -> up::Usage {
    match &place.dir {
        None if std::env::var_os(CLUSTER_VARIABLE).is_none() => up::Usage::default(),
        None => up::Usage { client: String::new(), launcher: String::new(), is_hidden: true },
        Some(directory) => up::Usage {
            client: format!(" --cluster {}", directory.display()),
            launcher: format!(" --dir {}", directory.display()),
            is_hidden: false,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_stays_is_not_said_to_be_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (stays, gone) = (directory.path(), directory.path().join("gone"));
        assert!(what_is_left(stays, false).ends_with("has its data"));
        assert!(what_is_left(&gone, true).ends_with("gone is removed"));
        assert!(what_is_left(stays, true).ends_with("stays, for there are other files in it"));
    }

    #[test]
    fn a_node_that_does_not_run_has_no_pid() {
        let node = LocalNode {
            name: "storage-2".parse().unwrap(),
            port: 20_001,
            pid: None,
            log: PathBuf::from("/c/nodes/storage-2/log"),
        };
        assert_eq!(
            table(std::slice::from_ref(&node)).to_string().lines().nth(1),
            Some("storage-2  stopped    -  127.0.0.1:20001  /c/nodes/storage-2/log")
        );
        assert!(json::line(&node_json(&node)).contains("\"pid\":null"));
    }
}
