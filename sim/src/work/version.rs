//! Reading one version while others take its name.

use super::Work;
use crate::history::{Operation, Outcome};
use crate::verdict::{AnyError, Failure};
use crate::work::Ended;
use dfs_client::{ClientError, DownloadRequest};
use dfs_core::name::FileName;
use dfs_core::range::ByteRange;
use dfs_core::wire::metadata::{FileInfo, FileTarget};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A reader is never given bytes of two versions, whatever happens to the name between its requests.
pub const UNMIXED: &str = "versions-are-not-mixed";

impl Work<'_> {
    /// Looks a name up and reads what has it by its id, one half and after a pause the other, as somebody does who
    /// resumes.
    ///
    /// # Errors
    /// It does not end, or gives what nobody wrote, or bytes of two versions.
    pub async fn read_in_halves(&self, name: &FileName, pause: Duration) -> Result<Ended, AnyError> {
        let call = self.shared.history.invoke(self.number, name, Operation::Read);
        let began = Instant::now();
        let looking = self.user.client().stat(FileTarget::Name(name.clone()));
        let read = match self.finish("read", name, looking).await? {
            Ok(info) => self.halves(name, info, pause).await?,
            Err(error) => Err(error),
        };
        let (outcome, words) = match read {
            // What was read is what had the name at the first look. Behind that, its version may have been deleted.
            Ok(info) => self.seen(Ok(info))?,
            Err(ClientError::NotFound { target: FileTarget::Id(file) }) => {
                (Outcome::Unknown, format!("{file} is gone"))
            }
            Err(error) => self.seen(Err(error))?,
        };
        self.shared.history.respond(call, outcome);
        Ok(self.note("read", name, began, outcome, words))
    }

    async fn halves(
        &self,
        name: &FileName,
        info: FileInfo,
        pause: Duration,
    ) -> Result<Result<FileInfo, ClientError>, AnyError> {
        if info.size < 2 {
            return Ok(Ok(info));
        }
        let mut checker = self.content(&info)?.checker();
        let half = info.size / 2;
        let first = ByteRange::From { first: 0, last: Some(half - 1) };
        let second = ByteRange::From { first: half, last: None };
        for (range, pause) in [(first, Duration::ZERO), (second, pause)] {
            sleep(pause).await;
            let request = DownloadRequest { range: Some(range), ..DownloadRequest::default() };
            let reading = self.user.client().download(FileTarget::Id(info.file), &mut checker, request, &());
            let told = match self.finish("read", name, reading).await? {
                Ok(told) => told,
                Err(error) => return Ok(Err(error)),
            };
            let wrong = checker.verdict().err().map(|wrong| wrong.to_string());
            let other = (told.file != info.file).then(|| format!("file {} was read", told.file));
            if let Some(wrong) = wrong.or(other) {
                let detail = format!("{name} was read as file {}, then: {wrong}", info.file);
                return Err(Failure::correctness(UNMIXED, detail).into());
            }
        }
        self.shared.tally.checked(UNMIXED, 1);
        self.right(&info, checker.verdict().map(|seen| (seen == info.size, seen)))?;
        Ok(Ok(info))
    }
}
