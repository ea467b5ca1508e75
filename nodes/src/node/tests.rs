//! Whole nodes in one process, on real sockets and disks, driven by calls made by hand.

use super::*;
use crate::settings::{LogFilter, LogFormat, MetricsListen, SNAPSHOT_ENTRIES_DEFAULT};
use bytes::Bytes;
use dfs_actors::disk::Disk;
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{ChunkId, ChunkIndex, GroupIndex, Incarnation, Role, UploadNonce};
use dfs_core::limit::STORE_READS_PER_CLIENT_MAX;
use dfs_core::name::FileName;
use dfs_core::refusal::Refusal;
use dfs_core::time::WallTime;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::Request;
use dfs_core::wire::chunk::{
    ChunkWritten, ReadAnswer, ReadChunk, ReadTrailer, WriteAnswer, WriteChunk, WriteReply, WriteTrailer,
};
use dfs_core::wire::metadata::{
    ChunkReport, CommitFile, CreateFile, FileInfo, GroupPage, GroupReport, ListNodes, LocateGroups, NodePage, WhoLeads,
};
use dfs_transport::authority::Authority;
use dfs_transport::exchange::CallError;
use dfs_transport::identity::Identity;
use dfs_transport::peers::{Class, Destination, Peers};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

mod restarts;

const PATIENCE: Duration = Duration::from_secs(20);

struct TestCluster {
    directory: TempDir,
    world: World,
    authority: Authority,
    metadata: SocketAddr,
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

impl TestCluster {
    fn new() -> TestCluster {
        let world = World::production("test");
        let authority = Authority::create(&world).unwrap();
        TestCluster { directory: TempDir::new().unwrap(), world, authority, metadata: "127.0.0.1:0".parse().unwrap() }
    }

    fn identity(&self, role: Role, name: &str) -> Identity {
        let day = Duration::from_secs(86_400);
        let issued = self.authority.issue(role, name, day, self.world.wall_clock.now()).unwrap();
        Identity::from_pem(self.authority.certificate_pem(), &issued.certificate_pem, &issued.key_pem).unwrap()
    }

    fn settings(&self, role: RoleSettings, node: u64) -> NodeSettings {
        let data = self.directory.path().join(format!("{}-{node}", role.role()));
        NodeSettings {
            role,
            node: NodeId(node),
            listen: "127.0.0.1:0".parse().unwrap(),
            advertise: None,
            data,
            ca: "unused".into(),
            certificate: "unused".into(),
            key: "unused".into(),
            max_udp_payload: 6500,
            metrics_listen: MetricsListen::Off,
            log_level: LogFilter::default(),
            log_format: LogFormat::default(),
        }
    }

    async fn start(&self, settings: NodeSettings) -> Node {
        let disk = Arc::new(dfs_actors::disk::directory::DirectoryDisk::open(&settings.data).unwrap());
        self.start_on(settings, disk).await
    }

    async fn start_on(&self, settings: NodeSettings, disk: Arc<dyn Disk>) -> Node {
        let (role, node) = (settings.role.role(), settings.node);
        let stores: &Path = &settings.data.join("stores");
        let environment = Environment {
            world: World::production(&format!("{role}-{node}")),
            identity: self.identity(role, &node.to_string()),
            disk,
            stores: Arc::new(dfs_actors::key_value::fjall::FjallStores::new(stores)),
            machine: None,
        };
        start(settings, environment).await.unwrap()
    }

    async fn metadata_node(&mut self) -> Node {
        let role = RoleSettings::Metadata { snapshot_entries: SNAPSHOT_ENTRIES_DEFAULT };
        let node = self.start(self.settings(role, 1)).await;
        self.metadata = node.address();
        let settings = ClusterSettings { beat_interval_ms: 200, ..ClusterSettings::default() };
        let members = BTreeMap::from([(NodeId(1), node.address())]);
        node.initialise(InitialiseCluster { members, settings }).await.unwrap();
        node
    }

    async fn storage_node(&self, node: u64) -> Node {
        self.storage_node_at(node, "127.0.0.1:0".parse().unwrap()).await
    }

    async fn storage_node_at(&self, node: u64, listen: SocketAddr) -> Node {
        let role = RoleSettings::Storage { metadata: vec![self.metadata], reserve: Some(Default::default()) };
        self.start(NodeSettings { listen, ..self.settings(role, node) }).await
    }

    /// One metadata node and three storage nodes that are alive, with a client.
    async fn serving() -> (TestCluster, Node, Vec<Node>, TestClient) {
        let mut cluster = TestCluster::new();
        let metadata = cluster.metadata_node().await;
        let mut storage = Vec::new();
        for node in 1..=3 {
            storage.push(cluster.storage_node(node).await);
        }
        let client = cluster.client();
        client.wait_for_storage(3).await;
        (cluster, metadata, storage, client)
    }

    fn client(&self) -> TestClient {
        let identity = self.identity(Role::Client, "tester");
        let settings = EndpointSettings { listen: "127.0.0.1:0".parse().unwrap(), ..EndpointSettings::default() };
        let endpoint = Endpoint::bind(&self.world, identity, settings).unwrap();
        TestClient { peers: endpoint.peers(), metadata: self.metadata }
    }
}

struct TestClient {
    peers: Peers,
    metadata: SocketAddr,
}

impl TestClient {
    async fn call<R: Request>(&self, request: &R) -> Result<R::Reply, CallError> {
        let metadata = Destination { address: self.metadata, role: Role::Metadata, node: None };
        self.peers.call(&metadata, Class::Control, request, deadline()).await
    }

    async fn wait_for_storage(&self, count: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let alive = |page: NodePage| {
                page.storage.iter().filter(|node| node.health == dfs_core::wire::metadata::Health::Alive).count()
            };
            if self.call(&ListNodes { after: None }).await.map_or(0, alive) == count {
                return;
            }
            assert!(Instant::now() < end, "{count} storage nodes are alive in time");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Opens an upload of one chunk, and answers what to send its primary.
    async fn create(&self, name: &str, length: usize) -> (CommitFile, WriteChunk, Destination) {
        let nonce = UploadNonce(name.len() as u128);
        let created = self
            .call(&CreateFile {
                nonce,
                name: FileName::new(name).unwrap(),
                chunk_size: ChunkSize::default(),
                replication: None,
                size_hint: Some(length as u64),
                modified: WallTime(1),
                replace: false,
            })
            .await
            .unwrap();
        let group = created.first_group.unwrap();
        let index = ChunkIndex(0);
        let (primary, replicas) = group.primary_and_replicas(index).unwrap();
        let request = WriteChunk {
            chunk: ChunkId { file: created.file, index },
            epoch: group.epoch,
            length: u32::try_from(length).unwrap(),
            write_quorum: group.write_quorum,
            replicas,
            patience_ms: 5_000,
        };
        let to = Destination { address: primary.address, role: Role::Storage, node: Some(primary.node) };
        (CommitFile { file: created.file, nonce, size: length as u64, reports: Vec::new() }, request, to)
    }

    /// Completes an upload of one chunk.
    async fn commit(&self, mut commit: CommitFile, request: &WriteChunk, written: &ChunkWritten) -> FileInfo {
        let report = ChunkReport {
            index: request.chunk.index,
            length: request.length,
            checksum: written.checksum,
            holders: written.holders.clone(),
        };
        let group = request.chunk.index.group();
        commit.reports = vec![GroupReport { group, epoch: request.epoch, chunks: vec![report] }];
        let info = self.call(&commit).await.unwrap();
        assert_eq!(self.call(&commit).await.unwrap(), info, "a repeated commit has the same answer");
        info
    }

    /// The nodes that metadata says hold the first chunk.
    async fn holders(&self, info: &FileInfo) -> GroupPage {
        let request = LocateGroups { file: info.file, first: GroupIndex(0), limit: 10 };
        self.call(&request).await.unwrap()
    }

    async fn write(&self, request: &WriteChunk, to: Destination, content: &[u8]) -> Result<ChunkWritten, CallError> {
        let mut exchange = self.peers.open(&to, Class::Bulk, request, deadline()).await?;
        while exchange.receive_message::<WriteAnswer>().await? != WriteAnswer::Send {}
        exchange.send_payload(Bytes::copy_from_slice(content)).await?;
        exchange.send_message(&WriteTrailer { sums: ChunkSums::of(content) }).await?;
        loop {
            if let WriteReply::Written(written) = exchange.receive_message().await? {
                return Ok(written);
            }
        }
    }
}

#[tokio::test]
async fn a_chunk_goes_to_three_nodes_and_comes_back_from_each() {
    let (_cluster, metadata, storage, client) = TestCluster::serving().await;

    let content: Vec<u8> = (0..200_000_u32).map(|place| (place % 251) as u8).collect();
    let (commit, request, to) = client.create("a/b", content.len()).await;
    assert_eq!((request.replicas.len(), request.write_quorum), (2, 2));
    let written = client.write(&request, to, &content).await.unwrap();
    assert_eq!(written.checksum, ChunkSums::of(&content).checksum());
    assert!(written.holders.len() >= 2);
    let info = client.commit(commit, &request, &written).await;

    let give_up = deadline();
    let located = loop {
        let located = client.holders(&info).await;
        if located.groups[0].holders.len() == 3 {
            break located;
        }
        assert!(tokio::time::Instant::now() < give_up, "a copy that was late is told of");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let chunk = request.chunk;
    for holder in &located.addresses {
        let from = Destination { address: holder.address, role: Role::Storage, node: Some(holder.node) };
        let read = ReadChunk { chunk, epoch: request.epoch, offset: 70_000, length: 70_000 };
        let mut exchange = client.peers.open(&from, Class::Bulk, &read, deadline()).await.unwrap();
        let ReadAnswer::Found(answer) = exchange.receive_message().await.unwrap() else { panic!("nobody waits here") };
        assert_eq!((answer.offset, answer.length), (65_536, 131_072), "whole blocks around what was asked for");
        exchange.expect_payload(u64::from(answer.length));
        let mut payload = Vec::new();
        while let Some(piece) = exchange.receive_payload(1 << 20).await.unwrap() {
            payload.extend_from_slice(&piece);
        }
        assert_eq!(exchange.receive_message::<ReadTrailer>().await.unwrap().length, answer.length);
        assert!(payload == content[65_536..196_608]);
    }
    let leadership = client.call(&WhoLeads {}).await.unwrap();
    assert!(leadership.leader.is_some() && leadership.cluster.is_some());

    for node in storage {
        node.stop().await;
    }
    metadata.stop().await;
}

#[tokio::test]
async fn a_process_whose_place_another_has_taken_ends_and_does_not_take_it_back() {
    let mut cluster = TestCluster::new();
    let metadata = cluster.metadata_node().await;
    let first = cluster.storage_node(1).await;
    let client = cluster.client();
    client.wait_for_storage(1).await;
    let role = RoleSettings::Storage { metadata: vec![cluster.metadata], reserve: Some(Default::default()) };
    let settings = cluster.settings(role, 1);
    let second = cluster.start(NodeSettings { data: cluster.directory.path().join("another"), ..settings }).await;
    let why = tokio::time::timeout(PATIENCE, first.ended()).await.expect("it ends").to_string();
    assert!(why.contains("refuses this node"), "{why}");
    let page = client.call(&ListNodes { after: None }).await.unwrap();
    assert_eq!(page.storage[0].incarnation, Incarnation(2), "the other one has not had to register again");
    client.wait_for_storage(1).await;
    first.stop().await;
    second.stop().await;
    metadata.stop().await;
}

#[tokio::test]
async fn a_read_beyond_the_share_of_its_client_is_told_that_it_waits_until_its_turn_comes() {
    let (cluster, metadata, storage, client) = TestCluster::serving().await;
    let content = vec![7; 4_000_000];
    let (_, request, to) = client.create("large", content.len()).await;
    client.write(&request, to, &content).await.unwrap();
    let read = ReadChunk { chunk: request.chunk, epoch: request.epoch, offset: 0, length: u32::MAX };
    let end = Instant::now() + PATIENCE;
    let open = async |client: &TestClient| client.peers.open(&to, Class::Control, &read, end).await.unwrap();

    // Each holds its permit as long as it takes nothing of its payload. A connection has room for so much of three.
    let mut held = Vec::new();
    while held.len() < STORE_READS_PER_CLIENT_MAX {
        let same = cluster.client();
        for _ in 0..3 {
            let mut exchange = open(&same).await;
            assert!(matches!(exchange.receive_message().await, Ok(ReadAnswer::Found(_))));
            held.push(exchange);
        }
    }
    let mut further = open(&client).await;
    for _ in 0..3 {
        assert_eq!(further.receive_message::<ReadAnswer>().await.unwrap(), ReadAnswer::Waiting);
    }
    drop(held);
    while further.receive_message::<ReadAnswer>().await.unwrap() == ReadAnswer::Waiting {}
    for node in storage {
        node.stop().await;
    }
    metadata.stop().await;
}

#[tokio::test]
async fn a_copy_that_was_missed_is_caught_up_and_told_to_metadata_when_its_node_returns() {
    let (cluster, metadata, mut storage, client) = TestCluster::serving().await;
    let content = vec![7; 3_000_000];
    let (commit, request, to) = client.create("degraded", content.len()).await;

    // The last replica of the placement goes away after it was placed.
    let away = request.replicas[1];
    let place = usize::try_from(away.node.0 - 1).unwrap();
    storage.remove(place).stop().await;
    let written = client.write(&request, to, &content).await.unwrap();
    assert_eq!(written.holders.len(), 2, "one of three nodes may be away");
    assert!(!written.holders.contains(&away.node));
    let info = client.commit(commit, &request, &written).await;
    assert_eq!(client.holders(&info).await.groups[0].holders.len(), 2);

    storage.push(cluster.storage_node_at(away.node.0, away.address).await);
    let end = Instant::now() + PATIENCE;
    while client.holders(&info).await.groups[0].holders.len() < 3 {
        assert!(Instant::now() < end, "the third copy is made and told in time");
        sleep(Duration::from_millis(50)).await;
    }
    for node in storage {
        node.stop().await;
    }
    metadata.stop().await;
}

#[tokio::test]
async fn a_write_is_refused_before_its_payload_flows_when_too_few_replicas_accept() {
    let (_cluster, metadata, mut storage, client) = TestCluster::serving().await;
    let (_, request, to) = client.create("refused", 100_000).await;
    for replica in &request.replicas {
        let place = storage.iter().position(|node| node.address() == replica.address).unwrap();
        storage.remove(place).stop().await;
    }
    let mut exchange = client.peers.open(&to, Class::Bulk, &request, deadline()).await.unwrap();
    let answer = loop {
        match exchange.receive_message::<WriteAnswer>().await {
            Ok(WriteAnswer::Waiting) => {}
            answer => break answer,
        }
    };
    let Err(CallError::Refused(Refusal::TooFewCopies { needed: 2, durable: 0, failed })) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(failed.len(), 2);
    let read = ReadChunk { chunk: request.chunk, epoch: request.epoch, offset: 0, length: 1 };
    let mut exchange = client.peers.open(&to, Class::Bulk, &read, deadline()).await.unwrap();
    let answer = exchange.receive_message::<ReadAnswer>().await;
    assert!(matches!(answer, Err(CallError::Refused(Refusal::ChunkMissing))), "nothing is stored: {answer:?}");
    for node in storage {
        node.stop().await;
    }
    metadata.stop().await;
}

/// The names of metrics in an expression or on a page, those of histograms without their endings.
fn metric_names(text: &str) -> std::collections::BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    // `dfs_actors` is a target of logs.
    let ours = words.filter(|word| word.starts_with("dfs_") && *word != "dfs_actors" || word.starts_with("process_"));
    let endings = ["_bucket", "_sum", "_count"];
    ours.map(|word| endings.iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word).to_owned()).collect()
}

#[tokio::test]
async fn every_metric_that_alarms_and_the_manual_name_exists() {
    let (_cluster, metadata, storage, client) = TestCluster::serving().await;
    let told = metadata.metrics().await + &storage[0].metrics().await;
    let types: String = told.lines().filter(|line| line.starts_with("# TYPE ")).collect();
    let there = metric_names(&types);
    for (file, text) in [
        ("docs/alarms.yml", include_str!("../../../docs/alarms.yml")),
        ("docs/OPERATIONS.md", include_str!("../../../docs/OPERATIONS.md")),
    ] {
        let named = metric_names(text);
        assert!(!named.is_empty(), "{file} names none");
        let missing: Vec<_> = named.difference(&there).collect();
        assert!(missing.is_empty(), "{file} names {missing:?}, which no node tells");
    }
    // A machine that is none of a simulated node's tells nothing of its process.
    assert!(!told.contains("process_cpu_seconds_total ") && there.contains("dfs_requests_total"));
    drop(client);
}

#[tokio::test]
async fn what_is_done_is_counted_where_it_is_done() {
    let (_cluster, metadata, storage, client) = TestCluster::serving().await;
    let value = |page: &str, sample: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {sample} in:\n{page}")).parse().unwrap()
    };
    let leader = "dfs_requests_total{service=\"namespace\",method=\"stat_file\",outcome=\"refused\"}";
    let target = dfs_core::wire::metadata::FileTarget::Id(dfs_core::id::FileId(77));
    let missing = client.call(&dfs_core::wire::metadata::StatFile { target }).await;
    assert_eq!(missing.unwrap_err(), CallError::Refused(Refusal::NotFound));
    let page = metadata.metrics().await;
    assert_eq!(value(&page, leader), 1.0);
    assert_eq!(value(&page, "dfs_raft_leads"), 1.0);
    assert_eq!(value(&page, "dfs_storage_nodes{state=\"alive\"}"), 3.0);
    assert!(value(&page, "dfs_raft_applied_index") >= 4.0, "initialised, and three registrations");
    assert!(value(&page, "dfs_disk_operation_duration_seconds_count{operation=\"commit\"}") >= 4.0);
    assert_eq!(value(&page, "dfs_permits_held{pool=\"namespace\"}"), 0.0);
    assert!(value(&page, "dfs_disk_free_bytes") <= value(&page, "dfs_disk_size_bytes"));
    for queue in ["NamespaceActor", "raft-log", "raft-apply"] {
        assert_eq!(value(&page, &format!("dfs_queue_length{{queue=\"{queue}\"}}")), 0.0);
    }
    for direction in ["received", "sent"] {
        let bytes = format!("dfs_service_bytes_total{{service=\"membership\",direction=\"{direction}\"}}");
        assert!(value(&page, &bytes) > 50.0, "registrations and beats: {page}");
    }
    assert!(value(&page, "dfs_connections{role=\"storage\"}") >= 3.0);
    let page = storage[0].metrics().await;
    assert!(value(&page, "dfs_beats_total{outcome=\"done\"}") >= 1.0);
    assert_eq!(value(&page, "dfs_permits_limit{pool=\"primary_writes\"}"), 32.0);
    for queue in ["chunk-writes", "chunk-flushes"] {
        assert_eq!(value(&page, &format!("dfs_queue_length{{queue=\"{queue}\"}}")), 0.0);
    }
    assert_eq!(value(&page, "dfs_actor_running{actor=\"ChunkStoreActor\"}"), 1.0);
}
