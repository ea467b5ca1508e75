//! What a node tells operators: every metric, on one page.
//!
//! Counters live where the work is done; this reads them all when somebody asks. Names and units follow the custom of
//! Prometheus: base units, `_total` for what only grows. There is no registry but this list, and nothing global, so
//! several nodes may live in one process. The text format is a few lines (`page`); a library for it would want to own the
//! counters too, in crates that have no business with it.

mod page;

use dfs_actors::chunk_store::ChunkStore;
use dfs_actors::disk::Disk;
use dfs_actors::disk::metered::DiskMeter;
use dfs_actors::heartbeat::BeatMeter;
use dfs_actors::meter::{Histogram, Meter};
use dfs_actors::namespace::NamespaceArguments;
use dfs_actors::raft::RaftHandle;
use dfs_actors::replicator::ReplicatorHandle;
use dfs_core::id::Role;
use dfs_core::repair::RepairSummary;
use dfs_core::wire::metadata::NodeDescription;
use dfs_transport::endpoint::Endpoint;
use dfs_transport::exchange::Outcome;
use dfs_transport::world::Scope;
use page::{Kind, Page, seconds};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long the leader may take to look at the whole cluster.
const OVERVIEW_WITHIN: Duration = Duration::from_secs(1);

/// How long the disk may take to say how much room it has.
const SPACE_WITHIN: Duration = Duration::from_secs(1);

/// Everything that a node counts.
pub struct Metrics {
    /// Its requests.
    pub meter: Meter,
    /// Its socket and connections.
    pub endpoint: Endpoint,
    /// Its data directory.
    pub disk: Arc<DiskMeter>,
    /// The directory itself, for what is left of its file system.
    pub directory: Arc<dyn Disk>,
    /// The node's scope.
    pub scope: Scope,
    /// Commits of its key-value stores that waited for the disk.
    pub commits: Arc<Histogram>,
    /// What it says of itself.
    pub describe: Arc<dyn Fn() -> NodeDescription + Send + Sync>,
    /// What only its role has.
    pub role: RoleMetrics,
}

/// What only one role counts.
pub enum RoleMetrics {
    /// A metadata node.
    Metadata {
        /// Its Raft engine.
        raft: RaftHandle,
        /// Who can look at the whole cluster, where this node leads.
        namespace: NamespaceArguments,
    },
    /// A storage node.
    Storage {
        /// Its chunks.
        store: ChunkStore,
        /// Copies that it owes.
        replicator: ReplicatorHandle,
        /// Its beats.
        beats: Arc<BeatMeter>,
    },
}

impl Metrics {
    /// All of them, as they are now.
    pub async fn page(&self) -> String {
        let mut page = Page::default();
        self.node(&mut page);
        self.requests(&mut page);
        self.network(&mut page);
        self.disk(&mut page);
        self.space(&mut page).await;
        match &self.role {
            RoleMetrics::Metadata { raft, namespace } => {
                log(&mut page, raft);
                cluster(&mut page, raft, namespace).await;
            }
            RoleMetrics::Storage { store, replicator, beats } => {
                chunks(&mut page, store, replicator);
                beat(&mut page, beats);
            }
        }
        page.into_text()
    }

    fn node(&self, page: &mut Page) {
        let node = (self.describe)();
        let (role, id) = (node.role.word(), node.node.to_string());
        page.family("dfs_node_info", Kind::Gauge, "Which node this is.")
            .sample(&[("role", role), ("node", &id), ("version", &node.build)], 1);
        page.single("dfs_ready", Kind::Gauge, "Whether the node serves.", u8::from(node.ready));
        let uptime = Duration::from_millis(node.uptime_ms);
        page.single("dfs_uptime_seconds", Kind::Gauge, "Time since the node began to start.", seconds(uptime));
        page.family("dfs_actor_restarts_total", Kind::Counter, "Restarts of actors that failed.");
        for actor in &node.actors {
            page.sample(&[("actor", &actor.name)], actor.restarts);
        }
        page.family("dfs_actor_running", Kind::Gauge, "Whether an actor runs.");
        for actor in &node.actors {
            page.sample(&[("actor", &actor.name)], u8::from(actor.running));
        }
        if let Some(process) = node.process {
            let cpu = seconds(Duration::from_millis(process.cpu_ms));
            page.single("process_cpu_seconds_total", Kind::Counter, "Time on a processor.", cpu);
            let help = "Memory that the process has.";
            page.single("process_resident_memory_bytes", Kind::Gauge, help, process.resident_bytes);
            let help = "The most memory that the process ever had.";
            page.single("process_resident_memory_peak_bytes", Kind::Gauge, help, process.resident_peak_bytes);
        }
    }

    fn requests(&self, page: &mut Page) {
        let methods = self.meter.methods();
        page.family("dfs_requests_total", Kind::Counter, "Requests that ended, by how.");
        for method in &methods {
            for (outcome, count) in method.outcomes {
                let labels =
                    [("service", method.service.name()), ("method", method.method), ("outcome", outcome_word(outcome))];
                page.sample(&labels, count);
            }
        }
        page.family("dfs_request_duration_seconds", Kind::Histogram, "Time from letting a request in to its end.");
        for method in &methods {
            page.distribution(&[("service", method.service.name()), ("method", method.method)], &method.durations);
        }
        page.family("dfs_requests_turned_away_total", Kind::Counter, "Requests that were not let in.");
        for (service, reason, count) in self.meter.refusals() {
            page.sample(&[("service", service.name()), ("reason", reason)], count);
        }
        let help = "Bytes on the streams of requests that were let in, as they pass.";
        page.family("dfs_service_bytes_total", Kind::Counter, help);
        for (service, received, sent) in self.meter.bytes() {
            page.sample(&[("service", service.name()), ("direction", "received")], received);
            page.sample(&[("service", service.name()), ("direction", "sent")], sent);
        }
        page.family("dfs_queue_length", Kind::Gauge, "What waits: requests for an actor, and jobs for a worker.");
        for (actor, length) in self.meter.queues() {
            page.sample(&[("queue", actor)], length);
        }
        let lanes = match &self.role {
            RoleMetrics::Metadata { raft, .. } => raft.queues(),
            RoleMetrics::Storage { store, .. } => store.queues(),
        };
        for (lane, length) in lanes {
            page.sample(&[("queue", lane)], length);
        }
        let pools = self.meter.pools();
        page.family("dfs_permits_held", Kind::Gauge, "Permits that are held now: work in progress or waiting.");
        for pool in &pools {
            page.sample(&[("pool", pool.pool)], pool.held);
        }
        page.family("dfs_permits_limit", Kind::Gauge, "Permits that there are.");
        for pool in &pools {
            page.sample(&[("pool", pool.pool)], pool.limit);
        }
    }

    fn network(&self, page: &mut Page) {
        let traffic = self.endpoint.traffic();
        page.family("dfs_network_bytes_total", Kind::Counter, "Bytes of UDP payload through the node's socket.")
            .sample(&[("direction", "sent")], traffic.sent_bytes)
            .sample(&[("direction", "received")], traffic.received_bytes);
        page.family("dfs_connections", Kind::Gauge, "Connections of others that are served, by their role.");
        for role in Role::ALL {
            page.sample(&[("role", role.word())], self.endpoint.served(role));
        }
        let refused = self.endpoint.refused();
        page.family("dfs_garbage_total", Kind::Counter, "What peers sent that was refused before it was a request.");
        for (what, count) in [
            ("connections_beyond_bounds", refused.connections),
            ("handshakes", refused.handshakes),
            ("hellos", refused.hellos),
            ("malformed_requests", refused.malformed),
            ("too_large_requests", refused.too_large),
            ("unknown_requests", refused.unknown),
            ("requests_beyond_memory", refused.overloaded),
            ("silent_requests", refused.silent),
        ] {
            page.sample(&[("what", what)], count);
        }
    }

    fn disk(&self, page: &mut Page) {
        let (read, written) = (&self.disk.read_bytes, &self.disk.written_bytes);
        page.family("dfs_disk_bytes_total", Kind::Counter, "Bytes of files in the data directory.")
            .sample(&[("operation", "read")], read.load(Ordering::Relaxed))
            .sample(&[("operation", "write")], written.load(Ordering::Relaxed));
        page.family("dfs_disk_operation_duration_seconds", Kind::Histogram, "Time of reads, writes and fsyncs.")
            .distribution(&[("operation", "read")], &self.disk.reads.distribution())
            .distribution(&[("operation", "write")], &self.disk.writes.distribution())
            .distribution(&[("operation", "fsync")], &self.disk.syncs.distribution())
            .distribution(&[("operation", "commit")], &self.commits.distribution());
    }

    /// A disk that does not say in time has no value.
    async fn space(&self, page: &mut Page) {
        let directory = self.directory.clone();
        let asked = timeout(SPACE_WITHIN, self.scope.blocking(move || directory.space())).await;
        let space = asked.ok().and_then(Result::ok).and_then(Result::ok);
        for (name, help, bytes) in [
            (
                "dfs_disk_size_bytes",
                "Bytes of the data directory's file system.",
                space.map(|space| space.capacity_bytes),
            ),
            (
                "dfs_disk_free_bytes",
                "Bytes of it that the node can still use.",
                space.map(|space| space.available_bytes),
            ),
        ] {
            let family = page.family(name, Kind::Gauge, help);
            if let Some(bytes) = bytes {
                family.sample(&[], bytes);
            }
        }
    }
}

fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Failed => "failed",
        Outcome::Done => "done",
        Outcome::Retryable => "retryable",
        Outcome::Refused => "refused",
    }
}

fn log(page: &mut Page, raft: &RaftHandle) {
    let (state, progress) = (raft.state(), raft.log_progress());
    page.single("dfs_raft_term", Kind::Gauge, "The term.", state.term);
    // A leader that no quorum hears leads nobody.
    let leads = raft.check_leadership().is_ok();
    page.single("dfs_raft_leads", Kind::Gauge, "Whether this node leads, and a quorum hears it.", u8::from(leads));
    let known = u8::from(state.leader.is_some() && (leads || !state.leads()));
    page.single("dfs_raft_leader_known", Kind::Gauge, "Whether this node knows a leader.", known);
    for (name, help, index) in [
        ("dfs_raft_last_index", "The last entry of the log.", progress.last),
        ("dfs_raft_commit_index", "The last entry known to be committed.", progress.committed),
        ("dfs_raft_applied_index", "The last entry applied.", Some(state.applied)),
        ("dfs_raft_snapshot_index", "The last entry in the snapshot.", progress.snapshot),
        ("dfs_raft_cut_index", "The last entry that was cut off the log.", progress.cut),
    ] {
        page.single(name, Kind::Gauge, help, index.unwrap_or(0));
    }
    let members = raft.member_progress();
    if !members.is_empty() {
        page.family("dfs_raft_member_lag_entries", Kind::Gauge, "Entries of the leader's log that a member lacks.");
        for (node, member) in &members {
            let lag = progress.last.unwrap_or(0).saturating_sub(member.matched.unwrap_or(0));
            page.sample(&[("member", &node.to_string())], lag);
        }
        page.family("dfs_raft_member_silence_seconds", Kind::Gauge, "Time since a member answered the leader.");
        for (node, member) in &members {
            if let Some(silent_ms) = member.silent_ms {
                page.sample(&[("member", &node.to_string())], seconds(Duration::from_millis(silent_ms)));
            }
        }
    }
}

/// What only the leader knows; other nodes tell nothing of it.
async fn cluster(page: &mut Page, raft: &RaftHandle, namespace: &NamespaceArguments) {
    if !raft.is_leader() {
        return;
    }
    let Ok(cluster) = namespace.overview(Instant::now() + OVERVIEW_WITHIN).await else { return };
    let known = cluster.storage_alive + cluster.storage_suspect + cluster.storage_dead;
    page.family("dfs_storage_nodes", Kind::Gauge, "Storage nodes that have ever registered, by state.")
        .sample(&[("state", "alive")], cluster.storage_alive)
        .sample(&[("state", "suspect")], cluster.storage_suspect)
        .sample(&[("state", "dead")], cluster.storage_dead)
        .sample(&[("state", "unknown")], cluster.storage_nodes.saturating_sub(known));
    page.single("dfs_metadata_nodes", Kind::Gauge, "Members of the metadata cluster.", cluster.metadata_nodes);
    let help = "Members of the metadata cluster that answer the leader.";
    page.single("dfs_metadata_nodes_responding", Kind::Gauge, help, cluster.metadata_responding);
    page.single("dfs_files", Kind::Gauge, "Committed files.", cluster.files);
    page.single("dfs_file_bytes", Kind::Gauge, "Bytes of committed files, each byte once.", cluster.file_bytes);
    page.single("dfs_open_uploads", Kind::Gauge, "Uploads in progress.", cluster.open_uploads);
    let help = "Bytes that the storage nodes that beat can still take.";
    page.single("dfs_cluster_available_bytes", Kind::Gauge, help, cluster.available_bytes);
    let help = "Bytes of the file systems of the storage nodes that beat.";
    page.single("dfs_cluster_capacity_bytes", Kind::Gauge, help, cluster.capacity_bytes);
    repairs(page, &cluster.repair);
}

/// A leader that has not listened for long enough to judge names its metrics without a value.
fn repairs(page: &mut Page, repair: &RepairSummary) {
    let told: [(&'static str, Kind, &str, u64); 10] = [
        (
            "dfs_repair_more",
            Kind::Gauge,
            "Whether more groups wait than are kept in mind, so that the numbers of what is to be made are too low.",
            u64::from(repair.more),
        ),
        ("dfs_repair_chunks_below", Kind::Gauge, "Chunks with fewer live copies than wanted.", repair.chunks_below),
        ("dfs_repair_chunks_unavailable", Kind::Gauge, "Chunks without any live copy.", repair.chunks_unavailable),
        (
            "dfs_repair_files_below",
            Kind::Gauge,
            "Files that have chunks with fewer live copies than wanted.",
            repair.files_below,
        ),
        (
            "dfs_repair_files_unavailable",
            Kind::Gauge,
            "Files that have a chunk without any live copy.",
            repair.files_unavailable,
        ),
        ("dfs_repair_copies_missing", Kind::Gauge, "Copies to be made anew.", repair.copies_missing),
        ("dfs_repair_missing_bytes", Kind::Gauge, "Bytes of the copies to be made anew.", repair.bytes_missing),
        ("dfs_repair_copies_under_way", Kind::Gauge, "Copies that are being made.", repair.copies_under_way),
        ("dfs_repair_copies_total", Kind::Counter, "Copies that were made under this leader.", repair.copies_made),
        (
            "dfs_repair_orders_failed_total",
            Kind::Counter,
            "Orders that failed, or of which nothing was heard in time, under this leader.",
            repair.orders_failed,
        ),
    ];
    for (name, kind, help, value) in told {
        let family = page.family(name, kind, help);
        if repair.listened {
            family.sample(&[], value);
        }
    }
}

fn chunks(page: &mut Page, store: &ChunkStore, replicator: &ReplicatorHandle) {
    let load = store.load();
    page.single("dfs_store_capacity_bytes", Kind::Gauge, "Bytes of the store's file system.", load.capacity_bytes);
    let help = "Bytes that the store can still take as chunks.";
    page.single("dfs_store_available_bytes", Kind::Gauge, help, load.available_bytes);
    page.single("dfs_store_chunk_bytes", Kind::Gauge, "Bytes of records that the store holds.", load.chunk_bytes);
    page.single("dfs_store_chunks", Kind::Gauge, "Chunks that the store holds.", load.chunk_count);
    let help = "Whether the store takes no chunks because its disk is full or failed.";
    page.single("dfs_store_refuses_chunks", Kind::Gauge, help, u8::from(load.refuses_chunks));
    page.single("dfs_chunk_writes", Kind::Gauge, "Chunk writes in progress.", load.writes);
    page.single("dfs_chunk_reads", Kind::Gauge, "Chunk reads in progress.", load.reads);
    let help = "Copies that the node still owes to others.";
    page.single("dfs_pending_copies", Kind::Gauge, help, replicator.pending());
}

fn beat(page: &mut Page, beats: &BeatMeter) {
    let answered = beats.answered.distribution();
    page.family("dfs_beats_total", Kind::Counter, "Beats to the metadata leader.")
        .sample(&[("outcome", "done")], answered.count())
        .sample(&[("outcome", "failed")], beats.failed.load(Ordering::Relaxed));
    let help = "Time of beats that were answered, the search for the leader included.";
    page.family("dfs_beat_duration_seconds", Kind::Histogram, help).distribution(&[], &answered);
}
