//! The kinds of work, and how one is done by many operations at once.

use super::Kind;
use crate::exit::Exit;
use crate::failure::Failure;
use bytes::Bytes;
use dfs_client::{Client, ClientError, DownloadRequest, Removal, Sink, TransferMemory, UploadRequest};
use dfs_core::name::FileName;
use dfs_core::unit::ByteCount;
use dfs_core::wire::metadata::FileTarget;
use dfs_transport::world::World;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hdrhistogram::Histogram;
use std::cell::Cell;
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes of a small file.
const SMALL_BYTES: usize = 4096;
/// Bytes of a large file at most: they lie in memory.
const SIZE_MAX: u64 = 1 << 30;
/// Large files at once where nothing else is asked.
const LARGE_PARALLEL: u16 = 2;
/// Small operations at once where nothing else is asked.
const SMALL_PARALLEL: u16 = 32;
/// Latencies are kept to three digits, up to an hour.
const DIGITS: u8 = 3;
const LATENCY_US_MAX: u64 = 3600 * 1_000_000;

/// One thing that is measured: a line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Large files are stored.
    Upload,
    /// A large file is read.
    Download,
    /// Small files are stored.
    SmallWrite,
    /// Small files are read.
    SmallRead,
    /// Empty files are made.
    Create,
    /// Files are looked up.
    Stat,
    /// Pages of names are listed.
    List,
    /// Files are deleted.
    Delete,
}

/// What a kind of work consists of, in order: later tasks use what earlier ones made.
pub fn tasks(kind: Kind) -> &'static [Task] {
    match kind {
        Kind::Upload => &[Task::Upload],
        Kind::Download => &[Task::Download],
        Kind::Small => &[Task::SmallWrite, Task::SmallRead],
        Kind::Metadata => &[Task::Create, Task::Stat, Task::List, Task::Delete],
    }
}

impl Task {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Task::Upload => "upload",
            Task::Download => "download",
            Task::SmallWrite => "small write",
            Task::SmallRead => "small read",
            Task::Create => "create",
            Task::Stat => "stat",
            Task::List => "list",
            Task::Delete => "delete",
        }
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    size: usize,
    files_max: u64,
    duration: Duration,
    parallel: Option<u16>,
}

impl Plan {
    /// Refuses what makes no sense.
    pub fn new(size: ByteCount, total: ByteCount, duration: Duration, parallel: Option<u16>) -> Result<Plan, Failure> {
        let wrong = |message: String, hint: &str| Err(Failure::new(Exit::Usage, message).hint(hint));
        if !(1..=SIZE_MAX).contains(&size.0) {
            return wrong(format!("--size {size} is not valid"), "choose a size from 1B to 1GiB");
        }
        if total < size {
            return wrong(format!("--total {total} is less than one file of {size}"), "raise --total or lower --size");
        }
        let files_max = total.0 / size.0;
        Ok(Plan { size: usize::try_from(size.0).unwrap_or(usize::MAX), files_max, duration, parallel })
    }
}

/// What a task took.
#[derive(Clone, Debug)]
pub struct Took {
    /// Bytes of content that were moved, each once.
    pub bytes: u64,
    /// From the first beginning to the last end.
    pub elapsed: Duration,
    /// How long each operation took, in microseconds.
    pub latencies: Histogram<u64>,
}

/// The work on one cluster.
pub struct Bench {
    client: Client,
    plan: Plan,
    prefix: String,
    large: Bytes,
    small: Bytes,
    /// What all downloads have together.
    memory: TransferMemory,
    /// Small and empty files that were made, numbered from zero.
    small_files: Cell<u64>,
    empty_files: Cell<u64>,
}

impl Bench {
    /// Nothing is made yet.
    pub fn new(world: &World, client: Client, plan: Plan) -> Bench {
        // Content that does not repeat itself, so that nothing on the way can make less of it.
        let mut content = Vec::with_capacity(plan.size.max(SMALL_BYTES) + 32);
        let mut state = world.entropy.number() | 1;
        while content.len() < plan.size.max(SMALL_BYTES) {
            // xorshift64* (Vigna 2016)
            state ^= state >> 12;
            state ^= state << 25;
            state ^= state >> 27;
            content.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
        }
        let content = Bytes::from(content);
        Bench {
            client,
            plan,
            prefix: format!("bench-{:016x}/", world.entropy.number()),
            large: content.slice(..plan.size),
            small: content.slice(..SMALL_BYTES),
            memory: TransferMemory::default(),
            small_files: Cell::new(0),
            empty_files: Cell::new(0),
        }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What all names begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn name(&self, kind: &str, number: u64) -> Result<FileName, Failure> {
        FileName::new(format!("{}{kind}-{number}", self.prefix)).map_err(|error| Failure::new(Exit::Failure, error))
    }

    async fn put(&self, name: FileName, content: Bytes) -> Result<u64, ClientError> {
        let bytes = content.len() as u64;
        self.client.upload(content, UploadRequest::new(name, Default::default()), &()).await?;
        Ok(bytes)
    }

    async fn get(&self, name: FileName) -> Result<u64, ClientError> {
        let mut counter = Counter(0);
        let request = DownloadRequest { memory: Some(self.memory.clone()), ..DownloadRequest::default() };
        self.client.download(FileTarget::Name(name), &mut counter, request, &()).await?;
        Ok(counter.0)
    }

    /// Makes what a task needs, and is not measured.
    pub async fn prepare(&self, task: Task) -> Result<(), Failure> {
        if task == Task::Download {
            self.put(self.name("read", 0)?, self.large.clone()).await?;
        }
        Ok(())
    }

    /// Does a task, and measures it.
    pub async fn measure(&self, task: Task) -> Result<Took, Failure> {
        let (small, empty) = (self.small_files.get().max(1), self.empty_files.get().max(1));
        let large = self.plan.parallel.unwrap_or(LARGE_PARALLEL);
        let many = self.plan.parallel.unwrap_or(SMALL_PARALLEL);
        match task {
            Task::Upload => {
                let put = async |number| Ok(self.put(self.name("large", number)?, self.large.clone()).await?);
                self.repeat(large, self.plan.files_max, put).await
            }
            Task::Download => self.repeat(large, u64::MAX, async |_| Ok(self.get(self.name("read", 0)?).await?)).await,
            Task::SmallWrite => {
                let took = self
                    .repeat(many, u64::MAX, async |number| {
                        Ok(self.put(self.name("small", number)?, self.small.clone()).await?)
                    })
                    .await?;
                self.small_files.set(took.latencies.len());
                Ok(took)
            }
            Task::SmallRead => {
                self.repeat(many, u64::MAX, async |number| Ok(self.get(self.name("small", number % small)?).await?))
                    .await
            }
            Task::Create => {
                let took = self
                    .repeat(many, u64::MAX, async |number| {
                        Ok(self.put(self.name("empty", number)?, Bytes::new()).await?)
                    })
                    .await?;
                self.empty_files.set(took.latencies.len());
                Ok(took)
            }
            Task::Stat => {
                let stat = async |number: u64| {
                    self.client.stat(FileTarget::Name(self.name("empty", number % empty)?)).await?;
                    Ok(0)
                };
                self.repeat(many, u64::MAX, stat).await
            }
            Task::List => {
                // A page of names, whichever are first.
                let list = async |_| {
                    self.client.list(self.prefix.clone()).next().await?;
                    Ok(0)
                };
                self.repeat(many, u64::MAX, list).await
            }
            Task::Delete => {
                let delete = async |number| {
                    self.client.delete(FileTarget::Name(self.name("empty", number)?)).await?;
                    Ok(0)
                };
                self.repeat(many, self.empty_files.get(), delete).await
            }
        }
    }

    /// Repeats an operation, so many at once, until the time is over or it was done `times`. The first that fails ends
    /// all.
    async fn repeat(
        &self,
        parallel: u16,
        times: u64,
        operation: impl AsyncFn(u64) -> Result<u64, Failure>,
    ) -> Result<Took, Failure> {
        repeat(parallel, times, self.plan.duration, operation).await
    }

    /// Deletes every file that was made. Uploads that were cut off stay open: nothing ends them yet.
    pub async fn clean_up(&self) -> Result<(), Failure> {
        let removal = self.client.delete_all(self.prefix.clone(), |_, _| {}).await;
        match removal {
            Removal { stopped: Some(error), .. } => Err(error.into()),
            Removal { failed: 0, .. } => Ok(()),
            Removal { failed, .. } => {
                Err(Failure::new(Exit::Failure, format_args!("{failed} files that were made are not deleted")))
            }
        }
    }
}

/// Repeats an operation. See [`Bench::repeat`].
pub(super) async fn repeat(
    parallel: u16,
    times: u64,
    duration: Duration,
    operation: impl AsyncFn(u64) -> Result<u64, Failure>,
) -> Result<Took, Failure> {
    let empty =
        Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).map_err(|error| Failure::new(Exit::Failure, error))?;
    let mut took = Took { bytes: 0, elapsed: Duration::ZERO, latencies: empty };
    let begun = Instant::now();
    let mut next = 0;
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < usize::from(parallel) && next < times && (begun.elapsed() < duration || next == 0) {
            let (operation, number) = (&operation, next);
            running.push(async move {
                let began = Instant::now();
                operation(number).await.map(|bytes| (bytes, began.elapsed()))
            });
            next += 1;
        }
        let Some(done) = running.next().await else { break };
        let (bytes, latency) = done?;
        took.bytes += bytes;
        took.latencies.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
    }
    took.elapsed = begun.elapsed();
    Ok(took)
}

/// Takes the bytes of a download and forgets them.
struct Counter(u64);

impl Sink for Counter {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.0 += bytes.len() as u64;
        Ok(())
    }
}
