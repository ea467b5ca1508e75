//! Who may ask what: a role does its own work only, and a node speaks in its own name only.

use crate::caller::{Caller, destination};
use crate::cluster::{Cluster, wait_until};
use crate::health::quick;
use crate::repair::health;
use dfs_core::id::{BootId, Incarnation, Role, StoreId};
use dfs_core::refusal::Refusal;
use dfs_core::wire::chunk::{HeldChunks, ReadChunk, WriteChunk, WriteReplica};
use dfs_core::wire::membership::{Beat, Register};
use dfs_core::wire::metadata::{
    AllocateGroup, ChangeSettings, ClusterStatus, CommitFile, CreateFile, DeleteFile, DescribeNode, ListFiles,
    ListLevel, ListNodes, ListUploads, LocateGroups, LocateUpload, MoveName, NodeHistory, ResumeUpload, ShowSettings,
    ShowTime, StatFile, StorageLoad, WhoLeads,
};
use dfs_core::wire::method::{self, method_name};
use dfs_core::wire::{Request, Service};
use dfs_transport::exchange::CallError;
use dfs_transport::peers::Destination;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::pin::Pin;

/// A request of this method with nothing in it: enough to be refused for who asks, and for nothing else before.
#[derive(Serialize, Deserialize)]
struct Empty<R>(PhantomData<R>);

impl<R: Request> Request for Empty<R> {
    const SERVICE: Service = R::SERVICE;
    const METHOD: u8 = R::METHOD;
    type Reply = R::Reply;
}

/// A method of the Raft protocol, whose messages are its own affair.
#[derive(Serialize, Deserialize)]
struct Raft<const METHOD: u8>;

impl<const METHOD: u8> Request for Raft<METHOD> {
    const SERVICE: Service = Service::Raft;
    const METHOD: u8 = METHOD;
    type Reply = ();
}

type Answer<'a> = Pin<Box<dyn Future<Output = Option<CallError>> + 'a>>;

/// A method, the roles that may use it, and how to try.
struct Rule {
    service: Service,
    method: u8,
    name: &'static str,
    roles: &'static [Role],
    ask: for<'a> fn(&'a Caller, &'a Destination) -> Answer<'a>,
}

fn rule<R: Request>(roles: &'static [Role]) -> Rule {
    Rule {
        service: R::SERVICE,
        method: R::METHOD,
        name: method_name(R::SERVICE, R::METHOD),
        roles,
        ask: |caller, to| Box::pin(async { caller.call(to, &Empty::<R>(PhantomData)).await.err() }),
    }
}

/// Every method, with who may use it. Clients use what metadata nodes may ask each other too.
fn rules() -> Vec<Rule> {
    const CLIENTS: &[Role] = &[Role::Client, Role::Metadata];
    const TRANSFERS: &[Role] = &[Role::Client, Role::Storage];
    const STORAGE: &[Role] = &[Role::Storage];
    const METADATA: &[Role] = &[Role::Metadata];
    vec![
        rule::<CreateFile>(CLIENTS),
        rule::<AllocateGroup>(CLIENTS),
        rule::<CommitFile>(CLIENTS),
        rule::<StatFile>(CLIENTS),
        rule::<ListFiles>(CLIENTS),
        rule::<ListLevel>(CLIENTS),
        rule::<ListUploads>(CLIENTS),
        rule::<LocateGroups>(CLIENTS),
        rule::<DeleteFile>(CLIENTS),
        rule::<MoveName>(CLIENTS),
        rule::<ResumeUpload>(CLIENTS),
        rule::<LocateUpload>(CLIENTS),
        rule::<WhoLeads>(CLIENTS),
        rule::<ListNodes>(CLIENTS),
        rule::<ClusterStatus>(CLIENTS),
        rule::<ShowSettings>(CLIENTS),
        rule::<ShowTime>(CLIENTS),
        rule::<ChangeSettings>(CLIENTS),
        rule::<NodeHistory>(CLIENTS),
        rule::<Register>(STORAGE),
        rule::<Beat>(STORAGE),
        rule::<ReadChunk>(TRANSFERS),
        rule::<WriteChunk>(TRANSFERS),
        rule::<HeldChunks>(TRANSFERS),
        rule::<WriteReplica>(STORAGE),
        rule::<DescribeNode>(&Role::ALL),
        rule::<Raft<1>>(METADATA),
        rule::<Raft<2>>(METADATA),
        rule::<Raft<3>>(METADATA),
        rule::<Raft<4>>(METADATA),
        rule::<Raft<5>>(METADATA),
        rule::<Raft<6>>(METADATA),
        // A method that is not there yet is refused to strangers as those that are.
        rule::<Raft<7>>(METADATA),
    ]
}

/// A59: each role asks for everything, and gets past the door only where it has business. A request that is new needs a
/// rule here.
#[tokio::test]
async fn each_role_may_ask_for_its_own_work_only() {
    let cluster = Cluster::shared();
    let rules = rules();
    let named: BTreeSet<&str> = method::all().map(|(_, _, name)| name).collect();
    let ruled: BTreeSet<&str> = rules.iter().map(|rule| rule.name).filter(|name| *name != method::OTHER).collect();
    assert_eq!(ruled, named, "every request has a rule, and every rule a request");

    let callers: BTreeMap<Role, Caller> = [(Role::Client, "stranger"), (Role::Storage, "2"), (Role::Metadata, "2")]
        .map(|(role, name)| (role, Caller::new(&cluster, role, name)))
        .into();
    let (metadata, storage) = (destination(&cluster, &cluster.leader()), destination(&cluster, "storage-1"));
    for Rule { service, method, name, roles, ask } in rules {
        let (serving, other) = match service {
            Service::Namespace | Service::Membership | Service::Raft => (&metadata, Some(&storage)),
            Service::Chunks | Service::Replicas => (&storage, Some(&metadata)),
            Service::Node => (&storage, None),
        };
        for (role, caller) in &callers {
            let refused = ask(caller, serving).await == Some(CallError::Refused(Refusal::NotPermitted));
            assert_eq!(refused, !roles.contains(role), "{role} asks for {name} ({service:?} {method})");
            if let Some(other) = other {
                let answer = ask(caller, other).await;
                assert_eq!(answer, Some(CallError::Refused(Refusal::UnknownMethod)), "{role} asks {other} for {name}");
            }
        }
    }
}

/// A59, as a user sees it who took the wrong certificate.
#[test]
fn a_node_certificate_is_told_that_it_is_none_for_a_client() {
    let cluster = Cluster::shared();
    let own = std::fs::read_to_string(cluster.path().join("client.toml")).unwrap();
    let file = cluster.path().join("node-as-client.toml");
    std::fs::write(&file, own.replace("certs/client.", "certs/storage-2.")).unwrap();
    let ran = cluster.run(&["list", "--timeout", "3s", "--cluster", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
    ran.fails(6, "the certificate's role does not allow this request");
}

/// A59: what a storage node says counts for itself, whatever it says of its life, its address and its store.
#[tokio::test]
async fn a_storage_node_speaks_for_itself_only() {
    let cluster = quick(1, 2);
    let metadata = destination(&cluster, "metadata-1");
    cluster.launcher(&["restart", "storage-1"]).succeeds();
    let known = |node: &str| {
        let node = cluster.json(&["nodes", node]);
        ["incarnation", "store", "address"].map(|field| node[field].clone())
    };
    wait_until("the second life of node 1 is known", || known("storage-1")[0] == 2);
    let (first, second) = (known("storage-1"), known("storage-2"));
    let stranger = Caller::new(&cluster, Role::Storage, "9");
    let other = Caller::new(&cluster, Role::Storage, "2");
    let beat = |incarnation| Beat {
        incarnation: Incarnation(incarnation),
        load: StorageLoad::default(),
        late_reports: Vec::new(),
        receipts: Vec::new(),
        leaving: false,
        slow: Vec::new(),
    };
    cluster.launcher(&["kill", "storage-1"]).succeeds();
    // Nobody else's beat keeps it alive: neither that of a node that never registered, nor that of another one that
    // tells this one's life.
    wait_until("node 1 is dead", || health(&cluster, 1) == "dead");
    for caller in [&stranger, &other] {
        let answer = caller.call(&metadata, &beat(2)).await;
        assert!(matches!(answer, Err(CallError::Refused(Refusal::Unavailable))), "{answer:?}");
    }
    other.call(&metadata, &beat(1)).await.expect("a beat in its own name");
    assert_eq!(health(&cluster, 1), "dead");
    // A registration with the other's store and address is one of its own.
    let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
    let address: SocketAddr = text(&first[2]).parse().unwrap();
    let store = StoreId(u128::from_str_radix(&text(&first[1]), 16).unwrap());
    let load = StorageLoad::default();
    let claim = Register { boot: BootId(59), store, cluster: None, address, load };
    let registered = other.call(&metadata, &claim).await.expect("a registration in its own name");
    assert!(registered.incarnation > Incarnation(1));
    assert_eq!((known("storage-1"), health(&cluster, 1)), (first, "dead".to_owned()));
    assert_ne!(known("storage-2"), second);
}
