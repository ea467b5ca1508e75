//! Much at once, and one after the other: what users do many times, and how long each time takes.

use super::play::{AT_ONCE, Telling, require, wrong};
use super::step::Latency;
use crate::history::Outcome;
use crate::verdict::{AnyError, Verdict};
use crate::work::{Ended, Manner, Work};
use dfs_core::id::Epoch;
use dfs_core::name::FileName;
use futures_util::future;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What a user who is told that the cluster is busy waits before trying again.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How often somebody does who is told so.
const TRIES: usize = 20;

/// Uploads an empty file and deletes it, so often, by a few who do so at once.
pub(super) async fn churn(work: Work<'_>, prefix: &str, count: u64) -> Result<Ended, AnyError> {
    let line = async |name: String| {
        let name = FileName::new(name)?;
        for _ in 0..count / AT_ONCE as u64 {
            let written = work.upload(&name, 0, Manner::Plain).await?;
            let deleted = work.delete(&name).await?;
            let both = written.outcome == Outcome::Done && deleted.outcome == Outcome::Done;
            require(both, || format!("{}; {}", written.words, deleted.words))?;
        }
        Ok::<_, AnyError>(())
    };
    future::try_join_all((0..AT_ONCE).map(|number| line(format!("{prefix}/{number}")))).await?;
    Ok(done(format!("{count} times")))
}

/// So many uploads at once. Who is told that the cluster is busy tries again.
pub(super) async fn uploads(work: Work<'_>, prefix: &str, count: u64, bytes: u64) -> Result<Ended, AnyError> {
    let upload = async |number: u64| {
        let name = FileName::new(format!("{prefix}/{number}"))?;
        patiently(|| work.upload(&name, bytes, Manner::Plain)).await
    };
    future::try_join_all((0..count).map(upload)).await?;
    Ok(done(format!("{count} uploads")))
}

/// So many downloads of a file at once.
pub(super) async fn reads(work: Work<'_>, name: &FileName, count: u64) -> Result<Ended, AnyError> {
    future::try_join_all((0..count).map(|_| patiently(|| work.read(name, true)))).await?;
    Ok(done(format!("{count} downloads")))
}

/// Does something until it succeeds. Nothing but *busy* may be in its way.
async fn patiently<F>(mut doing: impl FnMut() -> F) -> Verdict
where
    F: Future<Output = Result<Ended, AnyError>>,
{
    for _ in 0..TRIES {
        let ended = doing().await?;
        if matches!(ended.outcome, Outcome::Done | Outcome::Found(_)) {
            return Ok(());
        }
        require(ended.words.contains("busy"), || ended.words.clone())?;
        sleep(TRY_AGAIN).await;
    }
    Err(wrong(format!("{TRIES} times somebody was told that the cluster is busy")))
}

fn done(words: String) -> Ended {
    Ended { outcome: Outcome::Done, words }
}

impl Telling<'_> {
    /// Uploads the same source once more: not much of it may be sent again.
    pub(super) async fn upload_again(&self, name: &str, bytes_max: u64) -> Verdict {
        let (ended, share) = self.work.upload_again(&FileName::new(name)?).await?;
        require(ended.outcome == Outcome::Done, || ended.words.clone())?;
        let (sent, left) = (share.sent(), share.left());
        require(sent <= bytes_max, || format!("{left} bytes were left, and {sent} sent, not {bytes_max}"))?;
        let total = share.total();
        require(sent + left == total, || format!("{left} bytes were left, and {sent} of {total} sent"))
    }

    /// Of the files below a prefix, no more than so many in a hundred were placed anew.
    pub(super) async fn settled(&self, prefix: &str, percent_max: usize) -> Verdict {
        let (mut files, mut moved) = (0, 0);
        let mut listing = self.judge.user.client().list(format!("{prefix}/"));
        while let Some(info) = listing.next().await? {
            files += 1;
            moved += usize::from(!self.is_settled(info.name.as_str()).await?);
        }
        require(files > 0 && moved * 100 <= files * percent_max, || {
            format!("{moved} of {files} files were placed anew")
        })
    }

    /// Whether all chunks of a file are where they were first placed.
    async fn is_settled(&self, name: &str) -> Result<bool, AnyError> {
        let (_, groups) = self.locate(name).await?;
        Ok(groups.iter().flat_map(|group| &group.chunks).all(|chunk| chunk.epoch == Epoch::FIRST))
    }

    /// Uploads files one after the other, and looks how long each takes.
    pub(super) async fn one_by_one(&self, prefix: &str, count: u64, bytes: u64, latency: Latency) -> Verdict {
        let mut stayed = 0;
        for number in 0..count {
            let name = format!("{prefix}/{number}");
            let began = Instant::now();
            let ended = self.work.upload(&FileName::new(name.as_str())?, bytes, Manner::Plain).await?;
            let took = began.elapsed();
            require(ended.outcome == Outcome::Done, || ended.words.clone())?;
            let kept = self.is_settled(&name).await?;
            stayed += u64::from(kept);
            let most = if kept { latency.kept } else { latency.moved };
            let way = if kept { "in its first placement" } else { "in another placement" };
            require(took <= most, || format!("{name} took {took:?} {way}, not {most:?}"))?;
        }
        require(stayed > 0, || "no file stayed in its first placement".to_owned())
    }
}
