use super::*;
use crate::exchange::CallError;
use crate::fixture::{Echo, Fixture, bind, echo, eventually, loopback, serve, storage, within};
use crate::frame::{FrameKind, RequestHeader, encode_frame, encode_request};
use crate::identity::TrustDomain;
use crate::peers::Destination;
use bytes::Bytes;
use dfs_core::id::Role;
use dfs_core::limit::MESSAGE_BYTES_MAX;
use dfs_core::refusal::Refusal;
use dfs_core::wire::{Request, Service};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// A connection past its hello, to send anything on.
async fn raw_connection(from: &Endpoint, to: &Destination) -> quinn::Connection {
    let config = from.shared.client_config(Class::Control);
    let connection = from.shared.quinn.connect_with(config, to.address, "dfs").unwrap().await.unwrap();
    let hello = encode_frame(FrameKind::Message, &from.shared.hello(Class::Control), 4096).unwrap();
    assert!(!ask(&connection, &hello, true).await.unwrap().is_empty());
    connection
}

/// Sends `bytes` on a new stream, and returns what comes back on it.
async fn ask(connection: &quinn::Connection, bytes: &[u8], finish: bool) -> Result<Vec<u8>, quinn::ReadToEndError> {
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    // A server that has refused already stops the stream.
    let _ = send.write_all(bytes).await;
    if finish {
        let _ = send.finish();
    }
    receive.read_to_end(1 << 20).await
}

fn header() -> RequestHeader {
    RequestHeader { service: Service::Node as u8, method: Echo::METHOD, version: 1, deadline_ms: 5000, length: 0 }
}

fn refusal(refusal: &Refusal) -> Vec<u8> {
    encode_frame(FrameKind::Refusal, refusal, 1000).unwrap().to_vec()
}

#[tokio::test]
async fn a_call_comes_back_with_its_reply() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let client = fixture.endpoint(Role::Client, "alice");
    for size in [0, 1, 1000, 100_000, MESSAGE_BYTES_MAX - 3] {
        let request = Echo(vec![7; size]);
        let reply = client.peers().call(&storage(1, &server), Class::Control, &request, within(10)).await;
        assert!(reply == Ok(request), "{size} bytes");
    }
    assert_eq!(server.refused(), Refused::default());
}

#[tokio::test]
async fn a_refusal_comes_back_as_it_is() {
    let fixture = Fixture::new();
    let refusal = Refusal::TooFewNodes { needed: 2, available: 1 };
    let refused = refusal.clone();
    let server = fixture.server(1, move |_, exchange| {
        let refusal = refused.clone();
        async move { exchange.refuse(refusal).await.unwrap() }
    });
    let client = fixture.endpoint(Role::Client, "alice");
    let outcome = client.peers().call(&storage(1, &server), Class::Control, &Echo(vec![]), within(5)).await;
    assert_eq!(outcome, Err(CallError::Refused(refusal)));
}

#[tokio::test]
async fn the_dispatch_learns_who_asks() {
    struct Witness(Mutex<Option<Inbound>>);
    impl Dispatch for Witness {
        fn dispatch(&self, inbound: Inbound) {
            *self.0.lock().unwrap() = Some(inbound);
        }
    }
    let fixture = Fixture::new();
    let server = fixture.endpoint(Role::Metadata, "1");
    let witness = Arc::new(Witness(Mutex::new(None)));
    server.serve(witness.clone());
    let client = fixture.endpoint(Role::Storage, "42");
    client.set_cluster(ClusterId(5));
    client.set_incarnation(Incarnation(9));
    let to = Destination { address: server.local_address().unwrap(), role: Role::Metadata, node: None };
    let _exchange = client.peers().open(&to, Class::Bulk, &Echo(vec![1]), within(5)).await.unwrap();
    eventually("the request arrives", || witness.0.lock().unwrap().is_some()).await;
    let inbound = witness.0.lock().unwrap().take().unwrap();
    assert_eq!(inbound.peer.to_string(), "storage 42");
    assert_eq!((inbound.cluster, inbound.incarnation), (Some(ClusterId(5)), Some(Incarnation(9))));
    assert_eq!((inbound.class, inbound.service, inbound.method), (Class::Bulk, Service::Node, Echo::METHOD));
    assert_eq!(inbound.address, client.local_address().unwrap());
    assert_eq!(inbound.decode::<Echo>(), Ok(Echo(vec![1])));
    assert_eq!(inbound.decode::<Newer>(), Err(Refusal::UnknownMethod));
}

/// The same method in another version.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newer;

impl Request for Newer {
    const SERVICE: Service = Service::Node;
    const METHOD: u8 = Echo::METHOD;
    const VERSION: u8 = 2;
    type Reply = Newer;
}

#[tokio::test]
async fn a_thousand_calls_at_once_come_back() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let client = fixture.endpoint(Role::Client, "alice");
    let (peers, to) = (client.peers(), storage(1, &server));
    let calls = (0..1000u32).map(|number| {
        let (peers, to) = (peers.clone(), &to);
        async move {
            let request = Echo(number.to_le_bytes().repeat(100));
            peers.call(to, Class::Control, &request, within(20)).await == Ok(request)
        }
    });
    assert!(futures_util::future::join_all(calls).await.into_iter().all(|echoed| echoed));
    assert_eq!(client.shared.quinn.stats().outgoing_handshakes, 1);
}

#[tokio::test]
async fn malformed_requests_are_refused_and_counted() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let client = fixture.endpoint(Role::Client, "mallory");
    let connection = raw_connection(&client, &storage(1, &server)).await;

    assert_eq!(ask(&connection, &[0; 16], true).await.unwrap(), refusal(&Refusal::Malformed));
    let unknown = RequestHeader { service: 99, ..header() }.encode();
    assert_eq!(ask(&connection, &unknown, true).await.unwrap(), refusal(&Refusal::UnknownMethod));
    let huge = RequestHeader { length: u32::MAX, ..header() }.encode();
    assert_eq!(ask(&connection, &huge, false).await.unwrap(), refusal(&Refusal::TooLarge));
    let truncated = RequestHeader { length: 1000, ..header() }.encode();
    assert!(ask(&connection, &truncated, true).await.is_err());
    assert!(ask(&connection, &header().encode()[..7], true).await.is_err());
    let wrong_message = encode_request(header(), &(1u8, 2u8, 3u8), 100).unwrap();
    assert_eq!(ask(&connection, &wrong_message, true).await.unwrap(), refusal(&Refusal::Malformed));

    let refused = server.refused();
    assert_eq!((refused.malformed, refused.unknown, refused.too_large), (3, 1, 1), "{refused:?}");
    let good = encode_request(header(), &Echo(vec![1]), 100).unwrap();
    assert!(!ask(&connection, &good, true).await.unwrap().is_empty());
}

#[tokio::test]
async fn any_bytes_leave_the_server_alive() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let client = fixture.endpoint(Role::Client, "mallory");
    let to = storage(1, &server);
    let connection = raw_connection(&client, &to).await;
    for round in 0..300usize {
        let noise: Vec<u8> = (0..4).flat_map(|_| fixture.world.entropy.bytes::<32>()).collect();
        let mut bytes = encode_request(header(), &Echo(noise.clone()), 1000).unwrap().to_vec();
        match round % 3 {
            0 => bytes = noise,
            1 => bytes.truncate(round % 100),
            _ => {
                let index = usize::from(noise[0]) % bytes.len();
                bytes[index] ^= noise[1];
            }
        }
        let _ = tokio::time::timeout(Duration::from_millis(100), ask(&connection, &bytes, true)).await;
    }
    let request = Echo(vec![1]);
    assert_eq!(client.peers().call(&to, Class::Control, &request, within(5)).await, Ok(request));
    assert!(server.refused().malformed > 50, "{:?}", server.refused());
}

#[tokio::test]
async fn a_hello_that_is_none_ends_the_connection() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let client = fixture.endpoint(Role::Client, "mallory");
    let to = storage(1, &server);
    let other = crate::identity::PeerIdentity::new(TrustDomain(0), Role::Storage, "3").unwrap();
    let hellos = [
        Bytes::from_static(&[1, 255, 255, 255, 255]),
        Bytes::from_static(b"\x01\x04\x00\x00\x00none"),
        encode_frame(FrameKind::Message, &Hello::new(&other, None, None, Class::Bulk), 4096).unwrap(),
    ];
    for (index, hello) in hellos.into_iter().enumerate() {
        let config = client.shared.client_config(Class::Control);
        let connection = client.shared.quinn.connect_with(config, to.address, "dfs").unwrap().await.unwrap();
        assert!(ask(&connection, &hello, true).await.is_err());
        eventually("the connection ends", || connection.close_reason().is_some()).await;
        assert_eq!(server.refused().hellos, index as u64 + 1);
    }
}

#[tokio::test]
async fn connections_and_messages_beyond_the_bounds_are_refused() {
    let fixture = Fixture::new();
    let settings = EndpointSettings { client_connections_max: 1, request_bytes_max: 2000, ..loopback() };
    let server = Endpoint::bind(&fixture.world, fixture.identity(Role::Storage, "1"), settings).unwrap();
    serve(&fixture.world, &server, echo);
    let to = storage(1, &server);
    let first = fixture.endpoint(Role::Client, "alice");
    let call = |from: &Endpoint, size| {
        let peers = from.peers();
        async move { peers.call(&to, Class::Control, &Echo(vec![0; size]), within(5)).await }
    };
    assert!(call(&first, 1000).await.is_ok());
    assert_eq!(call(&first, 3000).await, Err(CallError::Refused(Refusal::Overloaded)));
    let second = fixture.endpoint(Role::Client, "bob");
    let outcome = call(&second, 10).await;
    assert_eq!(
        outcome.unwrap_err().to_string(),
        "the peer cannot be used: the hello was refused: the node is busy; try again"
    );
    let node = fixture.endpoint(Role::Storage, "2");
    assert!(call(&node, 10).await.is_ok(), "nodes are not kept out by clients");
    assert_eq!((server.refused().connections, server.refused().overloaded), (1, 1));
}

#[tokio::test]
async fn packets_grow_to_what_the_path_takes() {
    let fixture = Fixture::new();
    let server = fixture.server(1, |_, mut exchange| async move {
        exchange.expect_payload(64 << 20);
        while exchange.receive_payload(1 << 20).await.unwrap().is_some() {}
        exchange.reply(&Echo(vec![])).await.unwrap();
    });
    let client = fixture.endpoint(Role::Client, "alice");
    let connection = client.peers().connection(&storage(1, &server), Class::Bulk, within(5)).await.unwrap();
    let mut exchange = client.peers().open(&storage(1, &server), Class::Bulk, &Echo(vec![]), within(60)).await.unwrap();
    let part = Bytes::from(vec![0; 1 << 20]);
    for _ in 0..64 {
        exchange.send_payload(part.clone()).await.unwrap();
    }
    assert_eq!(exchange.receive_message::<Echo>().await, Ok(Echo(vec![])));
    let stats = connection.stats();
    assert!(stats.path.current_mtu > 6400, "{:?}", stats.path);
    assert_eq!(stats.path.black_holes_detected, 0);
}

#[tokio::test]
async fn an_endpoint_that_does_not_serve_is_silent() {
    let fixture = Fixture::new();
    let idle = bind(&fixture.world, fixture.identity(Role::Storage, "1"));
    let client = fixture.endpoint(Role::Client, "alice");
    let deadline = Instant::now() + Duration::from_millis(300);
    let outcome = client.peers().call(&storage(1, &idle), Class::Control, &Echo(vec![]), deadline).await;
    assert_eq!(outcome, Err(CallError::Unreachable(crate::exchange::UnreachableReason::Silent)));
}

#[tokio::test]
async fn impossible_settings_are_refused() {
    let fixture = Fixture::new();
    let taken = fixture.echo_server(1);
    let bind = |settings| {
        Endpoint::bind(&fixture.world, fixture.identity(Role::Storage, "1"), settings).unwrap_err().to_string()
    };
    assert!(bind(EndpointSettings { max_udp_payload: 100, ..loopback() }).contains("between 1200 and 65527"));
    let listen = taken.local_address().unwrap();
    assert!(bind(EndpointSettings { listen, ..loopback() }).starts_with(&format!("cannot listen on {listen}: ")));
}
