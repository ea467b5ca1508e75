//! Whole nodes in one process, on real sockets and disks, driven by calls made by hand.

use super::*;
use crate::settings::{LogFilter, LogFormat};
use bytes::Bytes;
use dfs_core::checksum::ChunkSums;
use dfs_core::id::{ChunkId, ChunkIndex, Role, UploadNonce};
use dfs_core::name::FileName;
use dfs_core::time::WallTime;
use dfs_core::unit::ChunkSize;
use dfs_core::wire::Request;
use dfs_core::wire::chunk::{ChunkWritten, ReadAnswer, ReadChunk, ReadTrailer, WriteAnswer, WriteChunk, WriteTrailer};
use dfs_core::wire::metadata::{
    ChunkReport, CommitFile, CreateFile, GroupReport, ListNodes, LocateGroups, NodePage, WhoLeads,
};
use dfs_transport::authority::Authority;
use dfs_transport::exchange::CallError;
use dfs_transport::identity::Identity;
use dfs_transport::peers::{Class, Destination, Peers};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

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
            log_level: LogFilter::default(),
            log_format: LogFormat::default(),
        }
    }

    async fn start(&self, settings: NodeSettings) -> Node {
        let (role, node) = (settings.role.role(), settings.node);
        let stores: &Path = &settings.data.join("stores");
        let environment = Environment {
            world: World::production(&format!("{role}-{node}")),
            identity: self.identity(role, &node.to_string()),
            disk: Arc::new(dfs_actors::disk::directory::DirectoryDisk::open(&settings.data).unwrap()),
            stores: Arc::new(dfs_actors::key_value::fjall::FjallStores::new(stores)),
        };
        start(settings, environment).await.unwrap()
    }

    async fn metadata_node(&mut self) -> Node {
        let node = self.start(self.settings(RoleSettings::Metadata, 1)).await;
        self.metadata = node.address();
        let settings = ClusterSettings { beat_interval_ms: 200, ..ClusterSettings::default() };
        let members = BTreeMap::from([(NodeId(1), node.address())]);
        node.initialise(InitialiseCluster { members, settings }).await.unwrap();
        node
    }

    async fn storage_node(&self, node: u64) -> Node {
        let role = RoleSettings::Storage { metadata: vec![self.metadata], reserve: Some(Default::default()) };
        self.start(self.settings(role, node)).await
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

    async fn write(&self, request: &WriteChunk, to: Destination, content: &[u8]) -> Result<ChunkWritten, CallError> {
        let mut exchange = self.peers.open(&to, Class::Bulk, request, deadline()).await?;
        assert_eq!(exchange.receive_message::<WriteAnswer>().await?, WriteAnswer::Send);
        exchange.send_payload(Bytes::copy_from_slice(content)).await?;
        exchange.send_message(&WriteTrailer { sums: ChunkSums::of(content) }).await?;
        exchange.receive_message().await
    }
}

#[tokio::test]
async fn a_chunk_goes_to_three_nodes_and_comes_back_from_each() {
    let mut cluster = TestCluster::new();
    let metadata = cluster.metadata_node().await;
    let mut storage = Vec::new();
    for node in 1..=3 {
        storage.push(cluster.storage_node(node).await);
    }
    let client = cluster.client();
    client.wait_for_storage(3).await;

    let content: Vec<u8> = (0..200_000_u32).map(|place| (place % 251) as u8).collect();
    let nonce = UploadNonce(7);
    let created = client
        .call(&CreateFile {
            nonce,
            name: FileName::new("a/b").unwrap(),
            chunk_size: ChunkSize::default(),
            replication: None,
            size_hint: Some(content.len() as u64),
            modified: WallTime(1),
        })
        .await
        .unwrap();
    let group = created.first_group.unwrap();
    assert_eq!((group.nodes.len(), group.write_quorum), (3, 2));

    let index = ChunkIndex(0);
    let (primary, replicas) = group.primary_and_replicas(index).unwrap();
    let chunk = ChunkId { file: created.file, index };
    let request = WriteChunk {
        chunk,
        epoch: group.epoch,
        length: u32::try_from(content.len()).unwrap(),
        write_quorum: group.write_quorum,
        replicas,
    };
    let to = Destination { address: primary.address, role: Role::Storage, node: Some(primary.node) };
    let written = client.write(&request, to, &content).await.unwrap();
    assert_eq!(written.checksum, ChunkSums::of(&content).checksum());
    assert_eq!(written.holders.len(), 3, "nobody is slow here");

    let report =
        ChunkReport { index, length: request.length, checksum: written.checksum, holders: written.holders.clone() };
    let reports = vec![GroupReport { group: group.group, epoch: group.epoch, chunks: vec![report] }];
    let commit = CommitFile { file: created.file, nonce, size: content.len() as u64, reports };
    let info = client.call(&commit).await.unwrap();
    assert_eq!(client.call(&commit).await.unwrap(), info, "a repeated commit has the same answer");

    let located = client.call(&LocateGroups { file: info.file, first: group.group, limit: 10 }).await.unwrap();
    assert_eq!(located.groups[0].holders.len(), 3);
    for holder in &located.addresses {
        let from = Destination { address: holder.address, role: Role::Storage, node: Some(holder.node) };
        let read = ReadChunk { chunk, epoch: group.epoch, offset: 70_000, length: 70_000 };
        let mut exchange = client.peers.open(&from, Class::Bulk, &read, deadline()).await.unwrap();
        let answer: ReadAnswer = exchange.receive_message().await.unwrap();
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
