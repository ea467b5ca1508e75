//! `delete`: a file's name out of the cluster, or all names that begin with a prefix.

use crate::connect::ClusterArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::note;
use crate::runtime;
use clap::Args;
use dfs_client::{Client, Removal};
use dfs_core::id::FileId;
use dfs_core::name::FileName;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::FileTarget;
use dfs_transport::world::World;
use std::io::{self, IsTerminal, Write};

/// Failed deletions that are shown one by one; the others are counted.
const FAILURES_SHOWN_MAX: u64 = 20;

const EXAMPLES: &str = "\
Examples:
  dfs-cli delete --name photos/2026/cat.jpg
  dfs-cli delete --id 7
  dfs-cli delete -r photos/2026/                 every file below photos/2026, after a question
  dfs-cli delete -r photos/2026/ --yes

The file is gone from listings at once; its bytes are not freed yet. By id only that very version is deleted, by
name whichever has the name. With -r every file whose name begins with the text is deleted as it is listed: end the
text with a slash to mean a directory. A file that appears or is replaced meanwhile may stay.";

/// Delete a file, or all files whose names begin with a prefix
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DeleteArgs {
    #[command(flatten)]
    target: Target,
    /// With -r: do not ask
    #[arg(short, long, conflicts_with_all = ["name", "id"])]
    yes: bool,
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
    /// Every file whose name begins with this text
    #[arg(short, long, value_name = "PREFIX", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    recursive: Option<String>,
}

impl DeleteArgs {
    pub(super) fn run(self) -> Result<(), Failure> {
        let asks = self.target.recursive.is_some() && !self.yes;
        if asks && !std::io::stdin().is_terminal() {
            return Err(Failure::new(Exit::Usage, "there is no terminal to ask on before many files are deleted")
                .hint("say --yes to delete them without a question"));
        }
        runtime::run_interruptible("delete", async |world| {
            let client = self.cluster.client(&world)?;
            match &self.target {
                Target { recursive: Some(prefix), .. } => self.delete_all(&world, &client, prefix).await?,
                Target { name: Some(name), .. } => self.delete_one(&client, FileTarget::Name(name.clone())).await?,
                Target { id, .. } => self.delete_one(&client, FileTarget::Id(id.unwrap_or_default())).await?,
            }
            client.close().await;
            Ok(())
        })
    }

    async fn delete_one(&self, client: &Client, target: FileTarget) -> Result<(), Failure> {
        let deleted = client.delete(target).await?;
        if !self.quiet {
            note(format_args!("deleted {} (id {})", deleted.name, deleted.file));
        }
        Ok(())
    }

    async fn delete_all(&self, world: &World, client: &Client, prefix: &str) -> Result<(), Failure> {
        if !self.yes {
            let (files, bytes) = count(client, prefix).await?;
            if files > 0 && !confirmed(world, prefix, files, bytes).await? {
                return Err(Failure::new(Exit::Failure, "nothing was deleted"));
            }
        }
        let mut failures = 0;
        let removal = client
            .delete_all(prefix, |file, error| {
                failures += 1;
                if failures <= FAILURES_SHOWN_MAX {
                    let text = error.to_string();
                    note(format_args!("not deleted: {}: {}", file.name, text.lines().next().unwrap_or_default()));
                }
            })
            .await;
        let told = summary(prefix, removal)?;
        if !self.quiet {
            note(format_args!("{told}"));
        }
        Ok(())
    }
}

/// How many files begin with this text, and their bytes.
async fn count(client: &Client, prefix: &str) -> Result<(u64, u64), Failure> {
    let (mut files, mut bytes) = (0, 0_u64);
    let mut listing = client.list(prefix);
    while let Some(file) = listing.next().await? {
        files += 1;
        bytes = bytes.saturating_add(file.size);
    }
    Ok((files, bytes))
}

/// Asks on the terminal.
async fn confirmed(world: &World, prefix: &str, files: u64, bytes: u64) -> Result<bool, Failure> {
    let question = question(prefix, files, bytes);
    let ask = move || ask(&question, |answer| io::stdin().read_line(answer));
    let answered = world.scope.blocking(ask).await.map_err(|_| Failure::interrupted())?;
    answered.map_err(|cause| Failure::new(Exit::Usage, format_args!("no answer can be read: {cause}")))
}

fn question(prefix: &str, files: u64, bytes: u64) -> String {
    let (bytes, whose) = (ByteCount(bytes), if files == 1 { "whose name begins" } else { "whose names begin" });
    format!("delete {} ({bytes}) {whose} with {prefix:?}? [y/N] ", counted(files))
}

/// Asks, and waits for the answer. Meanwhile others can write to standard error: an interruption tells of itself there.
fn ask(question: &str, read_line: impl FnOnce(&mut String) -> io::Result<usize>) -> io::Result<bool> {
    {
        let mut terminal = io::stderr().lock();
        terminal.write_all(question.as_bytes()).and_then(|()| terminal.flush())?;
    }
    let mut answer = String::new();
    read_line(&mut answer).map(|_| is_yes(&answer))
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// What is told of a removal, and with which exit code it ends.
fn summary(prefix: &str, removal: Removal) -> Result<String, Failure> {
    let Removal { files, bytes, gone, failed, stopped } = removal;
    let mut told = format!("deleted {} ({})", counted(files), ByteCount(bytes));
    if gone > 0 {
        told.push_str(&format!(", {gone} gone or replaced meanwhile"));
    }
    if let Some(error) = stopped {
        let failure = Failure::from(error);
        return Err(Failure { message: format!("{told}, then it was stopped: {}", failure.message), ..failure });
    }
    if failed > 0 {
        let message = format!("{told}; {failed} could not be deleted");
        return Err(Failure::new(Exit::Failure, message).hint("run it again to try the rest"));
    }
    if files + gone == 0 {
        return Err(Failure::new(Exit::NotFound, format_args!("there is no file whose name begins with {prefix:?}"))
            .hint("see `dfs-cli list` for the names that exist"));
    }
    Ok(told)
}

fn counted(files: u64) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_client::ClientError;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn the_question_says_that_a_prefix_is_meant() {
        let asked = question("photos", 3, 2048);
        assert_eq!(asked, "delete 3 files (2 KiB) whose names begin with \"photos\"? [y/N] ");
        assert!(question("a/", 1, 1).starts_with("delete 1 file (1 B) whose name begins with \"a/\"?"));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test outside of any node")]
    fn others_can_write_to_standard_error_while_the_answer_is_awaited() {
        let answered = ask("", |answer| {
            let (sender, written) = mpsc::channel();
            std::thread::spawn(move || sender.send(io::stderr().lock().flush().is_ok()));
            answer.push('y');
            written.recv_timeout(Duration::from_secs(10)).map(usize::from).map_err(io::Error::other)
        });
        assert!(answered.unwrap());
    }

    #[test]
    fn only_a_clear_yes_is_a_yes() {
        assert!(["y\n", "Y", " yes\n", "YES"].into_iter().all(is_yes));
        assert!(!["", "\n", "n", "no", "yes please", "yy"].into_iter().any(is_yes));
    }

    #[test]
    fn the_exit_code_says_whether_all_is_deleted() {
        let done = || Removal { files: 2, bytes: 2048, ..Removal::default() };
        assert_eq!(summary("a/", done()).unwrap(), "deleted 2 files (2 KiB)");
        let told = summary("a/", Removal { files: 1, bytes: 1, gone: 3, ..Removal::default() }).unwrap();
        assert_eq!(told, "deleted 1 file (1 B), 3 gone or replaced meanwhile");
        let failure = summary("a/", Removal { failed: 1, ..done() }).unwrap_err();
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::Failure, "deleted 2 files (2 KiB); 1 could not be deleted")
        );
        assert_eq!(summary("a/", Removal::default()).unwrap_err().exit, Exit::NotFound);
        let failure = summary("a/", Removal { stopped: Some(ClientError::NoSeeds), ..done() }).unwrap_err();
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.message.starts_with("deleted 2 files (2 KiB), then it was stopped: "), "{failure}");
    }
}
