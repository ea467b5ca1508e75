//! `move`: a file, or a directory with all below it, to another name.

use crate::connect::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::runtime;
use clap::Args;
use dfs_client::ClientError;
use dfs_core::name::FileName;
use dfs_core::refusal::Refusal;
use dfs_core::wire::metadata::MovedName;

const EXAMPLES: &str = "\
Examples:
  dfs-cli move --from photos/cat.jpg --to photos/2026/cat.jpg
  dfs-cli move --from photos/2026 --to archive/2026

Nothing may have the new name. It happens at once, for a directory with all below it too: nobody sees only a part of
it moved. Uploads that are on their way keep the names with which they began.";

/// Move a file, or a directory with all below it
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct MoveArgs {
    /// The file or directory
    #[arg(long, value_name = "NAME")]
    from: FileName,
    /// The name that it will have
    #[arg(long, value_name = "NAME")]
    to: FileName,
    /// Do not show success
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl MoveArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let MoveArgs { from, to, quiet, cluster } = self;
        runtime::run_interruptible("move", async |world| {
            let client = cluster.client(&world)?;
            let moved = client.move_name(from.clone(), to.clone()).await.map_err(|error| explain(error, &from, &to))?;
            client.close().await;
            if !quiet {
                match moved {
                    MovedName::File(file) => note(format_args!("moved {from} to {} (id {})", file.name, file.file)),
                    MovedName::Directory => note(format_args!("moved {from}/ with all below it to {to}/")),
                }
            }
            Ok(())
        })
    }
}

/// What an error means for this move.
fn explain(error: ClientError, from: &FileName, to: &FileName) -> Failure {
    match error {
        ClientError::NotFound { .. } => {
            Failure::new(Exit::NotFound, format_args!("there is no file or directory named {from}"))
                .hint("see `dfs-cli list` for the names that exist")
        }
        ClientError::NameExists { .. } => {
            Failure::new(Exit::AlreadyExists, format_args!("{to} exists already; a move replaces nothing"))
                .hint("choose another name, or delete or move what has it first")
        }
        ClientError::Refused(Refusal::NameConflict) => {
            let message = format!("{from} cannot be moved to {to}: it lies below the source, or below a file");
            Failure::new(Exit::AlreadyExists, message).hint("choose another name; see `dfs-cli list`")
        }
        ClientError::Refused(refusal @ Refusal::NameTooLong) => {
            Failure::new(Exit::Refused, format_args!("{from} cannot be moved to {to}: {refusal}"))
                .hint("choose a shorter name")
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_a_move_says_what_is_wrong_and_what_to_do() {
        let (from, to) = (FileName::new("a").unwrap(), FileName::new("b/c").unwrap());
        for (error, exit, word) in [
            (ClientError::NameExists { name: to.clone() }, Exit::AlreadyExists, "b/c exists already"),
            (ClientError::Refused(Refusal::NameConflict), Exit::AlreadyExists, "below a file"),
            (ClientError::Refused(Refusal::NameTooLong), Exit::Refused, "longer than 1024 bytes"),
        ] {
            let failure = explain(error, &from, &to);
            assert_eq!(failure.exit, exit);
            assert!(failure.message.contains(word), "{failure}");
            assert!(failure.hint.is_some());
        }
    }
}
