//! Moving what has a name.

use super::Work;
use crate::history::{Operation, Outcome};
use crate::oracle::{Kept, Moving};
use crate::verdict::{AnyError, Failure};
use crate::work::{Ended, NOTHING_FROM_NOWHERE};
use dfs_client::ClientError;
use dfs_core::name::FileName;
use dfs_core::refusal::Refusal;
use dfs_core::wire::metadata::MovedName;
use tokio::time::Instant;

impl Work<'_> {
    /// Moves a file, or a directory with all that is kept below it.
    ///
    /// In the history a move is, for each file, a deletion under the old name and a creation under the new one. Nobody
    /// else may write what has the old names meanwhile: of a move whose end is unknown it is said that any content that
    /// was ever there may come under the new name.
    ///
    /// # Errors
    /// It does not end, or tells of what nobody wrote.
    pub async fn rename(&self, from: &FileName, to: &FileName) -> Result<Ended, AnyError> {
        let began = Instant::now();
        let mut files = Vec::new();
        for below in self.shared.oracle.kept_below(from) {
            let rest = &below.as_str()[from.as_str().len()..];
            files.push(self.shared.oracle.moves(&below, &FileName::new(format!("{to}{rest}"))?));
        }
        if files.is_empty() {
            files.push(self.shared.oracle.moves(from, to));
        }
        let since = self.shared.history.moment();
        let moving = self.user.client().move_name(from.clone(), to.clone());
        let moved = self.finish("move", from, moving).await?;
        let (outcome, words) = match &moved {
            Ok(MovedName::File(info)) => (Outcome::Done, format!("to {to}, file {}", info.file)),
            Ok(MovedName::Directory) => (Outcome::Done, format!("to {to}, {} files", files.len())),
            Err(ClientError::NotFound { .. }) => (Outcome::NotFound, "not found".to_owned()),
            Err(error @ ClientError::NameExists { .. }) => (Outcome::Exists, error.to_string()),
            Err(error @ ClientError::Refused(Refusal::NameConflict | Refusal::NameTooLong)) => {
                (Outcome::Failed, error.to_string())
            }
            Err(error) => (Outcome::Unknown, error.to_string()),
        };
        if matches!(moved, Ok(MovedName::Directory)) && files.iter().any(|file| file.from == *from) {
            let detail = format!("{from} was moved as a directory, but nothing is kept below it");
            return Err(Failure::correctness(NOTHING_FROM_NOWHERE, detail).into());
        }
        for file in files {
            let kept = match &moved {
                Ok(MovedName::File(info)) => Some(Kept::of(self.known(info)?.0, info)),
                _ => file.kept.clone(),
            };
            let observe = |name: &FileName, operation, outcome| {
                self.shared.history.observe(self.number, name, since, operation, outcome);
            };
            match (outcome, kept) {
                (Outcome::Done, Some(kept)) => {
                    observe(&file.from, Operation::Delete, Outcome::Done);
                    observe(&file.to, Operation::Create { content: kept.content }, Outcome::Done);
                    self.shared.oracle.moved(&file, kept);
                }
                (Outcome::NotFound, _) => {
                    observe(&file.from, Operation::Delete, Outcome::NotFound);
                    self.shared.oracle.not_moved(&file);
                }
                (Outcome::Exists, _) => {
                    observe(&file.to, Operation::Stat, Outcome::Present);
                    self.shared.oracle.not_moved(&file);
                }
                (Outcome::Failed, _) => self.shared.oracle.not_moved(&file),
                _ => self.perhaps_moved(&file, observe),
            }
        }
        Ok(self.note("move", from, began, outcome, words))
    }

    fn perhaps_moved(&self, file: &Moving, observe: impl Fn(&FileName, Operation, Outcome)) {
        observe(&file.from, Operation::Delete, Outcome::Unknown);
        for content in &file.contents {
            observe(&file.to, Operation::Create { content: *content }, Outcome::Unknown);
        }
    }
}
