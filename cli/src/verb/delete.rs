//! `delete`: a file's name out of the cluster.

use crate::connect::ClusterArgs;
use crate::failure::Failure;
use crate::output::note;
use crate::runtime;
use clap::Args;
use dfs_core::id::FileId;
use dfs_core::name::FileName;
use dfs_core::wire::metadata::FileTarget;

const EXAMPLES: &str = "\
Examples:
  dfs-cli delete --name photos/2026/cat.jpg
  dfs-cli delete --id 7

The file is gone from listings at once; its bytes are freed later. By id only that very version is deleted, by
name whichever has the name.";

/// Delete a file
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DeleteArgs {
    #[command(flatten)]
    target: Target,
    /// Do not show success
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Target {
    /// The file's name
    #[arg(short, long)]
    name: Option<FileName>,
    /// The file's id, as `list` shows it
    #[arg(long)]
    id: Option<FileId>,
}

impl DeleteArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let target = match (self.target.name, self.target.id) {
            (Some(name), _) => FileTarget::Name(name),
            (None, id) => FileTarget::Id(id.unwrap_or_default()),
        };
        runtime::run_interruptible("delete", async |world| {
            let client = self.cluster.client(&world)?;
            let deleted = client.delete(target).await?;
            client.close().await;
            if !self.quiet {
                note(format_args!("deleted {} (id {})", deleted.name, deleted.file));
            }
            Ok(())
        })
    }
}
