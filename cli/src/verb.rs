//! The verbs, one file each.

mod bench;
mod certs;
mod cluster;
mod completions;
mod delete;
mod demo;
mod download;
mod list;
mod man;
mod r#move;
mod node;
mod nodes;
mod settings;
mod sim;
mod stat;
mod status;
mod upload;

use crate::failure::Failure;
use clap::Subcommand;

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Store a file
    Upload(upload::UploadArgs),
    /// Get a file back
    Download(download::DownloadArgs),
    /// List files
    List(list::ListArgs),
    /// Show one file: its groups, its chunks and who holds them
    Stat(stat::StatArgs),
    /// Move a file, or a directory with all below it
    Move(r#move::MoveArgs),
    /// Delete a file, or all files whose names begin with a prefix
    Delete(delete::DeleteArgs),
    /// Show how the cluster is
    Status(status::StatusArgs),
    /// Show the nodes of the cluster
    Nodes(nodes::NodesArgs),
    /// Show or change what the whole cluster agrees on
    Settings(settings::SettingsVerbs),
    /// Measure a running cluster
    Bench(bench::BenchArgs),
    /// Run a local cluster of real processes
    Cluster(cluster::ClusterVerbs),
    /// Run one node of a cluster
    Node(Box<node::NodeArgs>),
    /// Make certificates
    Certs(certs::CertsArgs),
    /// See a cluster lose its leader and a storage node, and give a file back intact
    Demo(demo::DemoArgs),
    /// Run whole simulated clusters on virtual time, from a seed
    Sim(sim::SimArgs),
    /// Write what a shell needs to complete command lines
    Completions(completions::CompletionsArgs),
    /// Write manual pages
    Man(man::ManArgs),
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// What the user is told, with the exit code.
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Verb::Upload(arguments) => arguments.run(),
            Verb::Download(arguments) => arguments.run(),
            Verb::List(arguments) => arguments.run(),
            Verb::Stat(arguments) => arguments.run(),
            Verb::Move(arguments) => arguments.run(),
            Verb::Delete(arguments) => arguments.run(),
            Verb::Status(arguments) => arguments.run(),
            Verb::Nodes(arguments) => arguments.run(),
            Verb::Settings(verbs) => verbs.run(),
            Verb::Bench(arguments) => arguments.run(),
            Verb::Cluster(verbs) => verbs.run(),
            Verb::Node(arguments) => arguments.run(),
            Verb::Certs(arguments) => arguments.run(),
            Verb::Demo(arguments) => arguments.run(),
            Verb::Sim(arguments) => arguments.run(),
            Verb::Completions(arguments) => arguments.run(),
            Verb::Man(arguments) => arguments.run(),
        }
    }
}
