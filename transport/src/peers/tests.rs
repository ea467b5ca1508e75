use super::*;
use crate::authority::Authority;
use crate::endpoint::{Endpoint, EndpointSettings};
use crate::fixture::{
    Echo, Fixture, StoppedClock, Warnings, YEAR, bind, echo, eventually, loopback, serve, storage, storage_at, within,
};
use crate::identity::{Identity, TrustDomain};
use crate::world::World;
use dfs_core::id::ClusterId;
use dfs_core::time::WallTime;
use std::net::Ipv4Addr;
use std::time::Duration;

fn request() -> Echo {
    Echo(vec![5; 10])
}

async fn call(from: &Endpoint, to: &Destination) -> Result<Echo, CallError> {
    from.peers().call(to, Class::Control, &request(), within(5)).await
}

/// Asserts that `from` cannot use `to`, for `reason`, and that both sides say so.
async fn assert_refused(from: &Endpoint, to: &Destination, reason: UnreachableReason, here: &str, there: &str) {
    let warnings = Warnings::capture();
    assert_eq!(call(from, to).await, Err(CallError::Unreachable(reason)));
    warnings.wait_for(here).await;
    warnings.wait_for(there).await;
}

#[tokio::test]
async fn peers_of_one_authority_and_cluster_talk() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    server.set_cluster(ClusterId(7));
    let client = fixture.endpoint(Role::Storage, "2");
    assert_eq!(call(&client, &storage(1, &server)).await, Ok(request()));
    client.set_cluster(ClusterId(7));
    let any = Destination { node: None, ..storage(1, &server) };
    assert_eq!(call(&client, &any).await, Ok(request()));
}

#[tokio::test]
async fn a_peer_of_another_cluster_is_refused_on_both_sides() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    server.set_cluster(ClusterId(7));
    let client = fixture.endpoint(Role::Storage, "2");
    client.set_cluster(ClusterId(8));
    let reason = UnreachableReason::Hello(Refusal::WrongCluster);
    let sentence = "the peer belongs to another cluster";
    let here = "the hello was refused: the peer belongs to another cluster";
    assert_refused(&client, &storage(1, &server), reason, here, sentence).await;
    assert_eq!(server.refused().hellos, 1);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_on_both_sides() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let server = fixture.echo_server(1);
    let client = other.endpoint(Role::Client, "mallory");
    let reason = UnreachableReason::PeerCertificate(CertificateFault::UnknownAuthority);
    let here = "its certificate is refused: it was issued by another authority";
    let there = "the peer refused this side's certificate: it was issued by another authority";
    assert_refused(&client, &storage(1, &server), reason, here, there).await;
}

/// An identity of `domain` that `issuer` signed, and that trusts the authority of `fixture`.
fn forged(fixture: &Fixture, issuer: &Authority, domain: TrustDomain, role: Role, name: &str) -> Identity {
    let issued = issuer.pretending(domain).issue(role, name, YEAR, fixture.world.wall_clock.now()).unwrap();
    Identity::from_pem_unchecked(fixture.authority.certificate_pem(), &issued.certificate_pem, &issued.key_pem)
}

#[tokio::test]
async fn a_name_of_this_domain_from_another_authority_is_refused_on_both_sides() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let domain = fixture.authority.domain();
    let server = fixture.echo_server(1);
    let client = bind(&fixture.world, forged(&fixture, &other.authority, domain, Role::Client, "mallory"));
    let reason = UnreachableReason::OwnCertificate(CertificateFault::UnknownAuthority);
    let here = "it refuses this side's certificate: it was issued by another authority";
    let there = "refused the peer's certificate: it was issued by another authority";
    assert_refused(&client, &storage(1, &server), reason, here, there).await;
    assert_eq!(server.refused().handshakes, 1);
}

#[tokio::test]
async fn a_name_of_another_domain_is_refused_on_both_sides() {
    let fixture = Fixture::new();
    let domain = TrustDomain(1);
    let server = fixture.echo_server(1);
    let client = bind(&fixture.world, forged(&fixture, &fixture.authority, domain, Role::Client, "mallory"));
    // The client is not asked: it would refuse the server likewise.
    let connection = client.shared_quinn().connect_with(client.config(), server.local_address().unwrap(), "dfs");
    let warnings = Warnings::capture();
    let error = connection.unwrap().await.unwrap().closed().await;
    assert_eq!(Ending::from(&error), Ending::RefusedUs(CertificateFault::OtherDomain));
    warnings.wait_for("refused the peer's certificate: it names a peer of another trust domain").await;

    let server = bind(&fixture.world, forged(&fixture, &fixture.authority, domain, Role::Storage, "2"));
    serve(&fixture.world, &server, echo);
    let client = fixture.endpoint(Role::Client, "alice");
    let reason = UnreachableReason::PeerCertificate(CertificateFault::OtherDomain);
    assert_eq!(call(&client, &storage(2, &server)).await, Err(CallError::Unreachable(reason)));
}

#[tokio::test]
async fn an_expired_certificate_is_refused_on_both_sides() {
    let fixture = Fixture::new();
    let now = fixture.world.wall_clock.now();
    let past = WallTime(now.0 - 2 * u64::try_from(YEAR.as_millis()).unwrap());
    let server = fixture.echo_server(1);
    let client = bind(&fixture.world, fixture.identity_at(Role::Client, "alice", past));
    let reason = UnreachableReason::OwnCertificate(CertificateFault::Expired);
    let here = "it refuses this side's certificate: it has expired or is not valid yet";
    let there = "refused the peer's certificate: it has expired or is not valid yet";
    assert_refused(&client, &storage(1, &server), reason, here, there).await;

    let server = bind(&fixture.world, fixture.identity_at(Role::Storage, "2", past));
    serve(&fixture.world, &server, echo);
    let client = fixture.endpoint(Role::Client, "alice");
    let reason = UnreachableReason::PeerCertificate(CertificateFault::Expired);
    let here = "its certificate is refused: it has expired or is not valid yet";
    let there = "the peer refused this side's certificate: it has expired or is not valid yet";
    assert_refused(&client, &storage(2, &server), reason, here, there).await;
}

#[tokio::test]
async fn validity_is_judged_by_the_wall_clock_of_the_world() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let later = fixture.world.wall_clock.now().0 + 2 * u64::try_from(YEAR.as_millis()).unwrap();
    let world = World { wall_clock: std::sync::Arc::new(StoppedClock(WallTime(later))), ..fixture.world.clone() };
    let client = bind(&world, fixture.identity_at(Role::Client, "alice", WallTime(later)));
    let reason = UnreachableReason::PeerCertificate(CertificateFault::Expired);
    assert_eq!(call(&client, &storage(1, &server)).await, Err(CallError::Unreachable(reason)));
}

#[tokio::test]
async fn a_clients_certificate_cannot_serve() {
    let fixture = Fixture::new();
    let server = fixture.endpoint(Role::Client, "1");
    serve(&fixture.world, &server, echo);
    let client = fixture.endpoint(Role::Client, "alice");
    let reason = UnreachableReason::PeerCertificate(CertificateFault::WrongUse);
    let here = "its certificate is refused: its role does not allow this use";
    let there = "the peer refused this side's certificate: its role does not allow this use";
    assert_refused(&client, &storage(1, &server), reason, here, there).await;
}

#[tokio::test]
async fn another_role_or_node_than_expected_is_refused_on_both_sides() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let client = fixture.endpoint(Role::Client, "alice");
    let found = PeerKind { role: Role::Storage, node: Some(NodeId(1)) };
    let expected = PeerKind { role: Role::Storage, node: Some(NodeId(2)) };
    let there = "the peer looked for another node here";
    let here = "storage node 1 answers there, not storage node 2";
    let reason = UnreachableReason::WrongPeer { expected, found };
    assert_refused(&client, &Destination { node: Some(NodeId(2)), ..storage(1, &server) }, reason, here, there).await;

    let expected = PeerKind { role: Role::Metadata, node: None };
    let here = "storage node 1 answers there, not a metadata node";
    let reason = UnreachableReason::WrongPeer { expected, found };
    let to = Destination { role: Role::Metadata, node: None, ..storage(1, &server) };
    assert_refused(&client, &to, reason, here, there).await;
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_refused() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let warnings = Warnings::capture();
    let mut anonymous = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    anonymous.set_default_client_config(crate::tls::anonymous_client(&fixture.identity(Role::Client, "nobody")));
    let address = server.local_address().unwrap();
    // The handshake seems to succeed on this side; no stream ever works.
    let outcome = async {
        let connection = anonymous.connect(address, "dfs").unwrap().await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(b"hello").await.ok();
        receive.read_to_end(100).await.ok();
        Err::<(), _>(connection.closed().await)
    };
    let error = outcome.await.unwrap_err();
    assert_eq!(Ending::from(&error), Ending::RefusedUs(CertificateFault::Missing), "{error}");
    warnings.wait_for("refused the peer's certificate: there is none; every peer needs one").await;
    assert_eq!(server.refused().handshakes, 1);
}

#[tokio::test]
async fn plaintext_is_not_answered() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let address = server.local_address().unwrap();
    let plain = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut payload = crate::frame::RequestHeader { service: 6, method: 200, version: 1, deadline_ms: 1, length: 0 }
        .encode()
        .to_vec();
    payload.resize(1300, 0);
    plain.send_to(&payload, address).await.unwrap();
    plain.send_to(b"GET / HTTP/1.1\r\n\r\n", address).await.unwrap();
    let mut answer = [0; 2000];
    if let Ok(Ok((length, _))) = tokio::time::timeout(Duration::from_millis(300), plain.recv_from(&mut answer)).await {
        // QUIC answers what looks like a packet of an unknown version or connection, but never with data.
        assert!(length < 1300, "{length} bytes came back");
        assert_ne!(answer[..length], payload[..length], "nothing of ours comes back");
    }
    assert_eq!(call(&fixture.endpoint(Role::Client, "alice"), &storage(1, &server)).await, Ok(request()));
}

#[tokio::test]
async fn a_dead_peer_costs_calls_to_others_nothing() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let silent = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let dead = storage_at(2, silent.local_addr().unwrap());
    let client = fixture.endpoint(Role::Client, "alice");
    let to_dead = async {
        let deadline = Instant::now() + Duration::from_millis(700);
        let outcome = client.peers().call(&dead, Class::Control, &request(), deadline).await;
        assert_eq!(outcome, Err(CallError::Unreachable(UnreachableReason::Silent)));
        Instant::now()
    };
    let to_living = async {
        for _ in 0..20 {
            assert_eq!(call(&client, &storage(1, &server)).await, Ok(request()));
        }
        Instant::now()
    };
    let (dead_done, living_done) = tokio::join!(to_dead, to_living);
    assert!(living_done < dead_done);
}

#[tokio::test]
async fn callers_share_one_attempt_and_fail_fast_while_backing_off() {
    let fixture = Fixture::new();
    let server = fixture.echo_server(1);
    let client = fixture.endpoint(Role::Client, "alice");
    let wrong = Destination { node: Some(NodeId(9)), ..storage(1, &server) };
    let calls = (0..50).map(|_| call(&client, &wrong));
    for outcome in futures_util::future::join_all(calls).await {
        assert!(matches!(outcome, Err(CallError::Unreachable(UnreachableReason::WrongPeer { .. }))));
    }
    assert_eq!(client.shared_quinn().stats().outgoing_handshakes, 1);

    // Each failure makes the next wait longer, up to a second and a half.
    let mut waits = Vec::new();
    for attempt in 2..=7 {
        let begun = Instant::now();
        while client.shared_quinn().stats().outgoing_handshakes < attempt {
            assert!(call(&client, &wrong).await.is_err());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        waits.push(begun.elapsed());
    }
    assert!(waits[5] > Duration::from_millis(350), "{waits:?}");

    // By now the wait is half a second at least.
    let begun = Instant::now();
    assert!(call(&client, &wrong).await.is_err());
    assert!(begun.elapsed() < Duration::from_millis(400), "fails fast");
    assert_eq!(client.shared_quinn().stats().outgoing_handshakes, 7);
}

#[tokio::test]
async fn a_peer_that_was_away_is_used_again() {
    let fixture = Fixture::new();
    let reserved = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = reserved.local_addr().unwrap();
    let client = fixture.endpoint(Role::Client, "alice");
    let deadline = Instant::now() + Duration::from_millis(300);
    let outcome = client.peers().call(&storage_at(1, address), Class::Control, &request(), deadline).await;
    assert_eq!(outcome, Err(CallError::Unreachable(UnreachableReason::Silent)));
    drop(reserved);
    let settings = EndpointSettings { listen: address, ..loopback() };
    let server = Endpoint::bind(&fixture.world, fixture.identity(Role::Storage, "1"), settings).unwrap();
    serve(&fixture.world, &server, echo);
    let begun = Instant::now();
    while call(&client, &storage_at(1, address)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(8));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_killed_and_restarted_peer_is_noticed_at_once() {
    let fixture = Fixture::new();
    let identity = fixture.identity(Role::Storage, "1");
    let first_life = World::production("first");
    let server = bind(&first_life, identity.clone());
    serve(&first_life, &server, |_, exchange| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(exchange);
    });
    let to = storage(1, &server);
    let client = fixture.endpoint(Role::Client, "alice");
    let mut exchange = client.peers().open(&to, Class::Bulk, &request(), within(30)).await.unwrap();
    first_life.scope.kill();
    drop(server);
    let mut settings = EndpointSettings { listen: to.address, ..loopback() };
    let server = loop {
        // The old socket closes when the last of the killed tasks has been dropped.
        match Endpoint::bind(&fixture.world, identity.clone(), settings.clone()) {
            Ok(server) => break server,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
        settings.listen = to.address;
    };
    serve(&fixture.world, &server, echo);
    let begun = Instant::now();
    exchange.send_message(&1u8).await.unwrap();
    assert_eq!(exchange.receive_message::<u8>().await, Err(CallError::Broken));
    assert_eq!(client.peers().call(&to, Class::Bulk, &request(), within(5)).await, Ok(request()));
    // Long before silence alone would tell.
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_silent_control_connection_is_lost_after_two_seconds() {
    let fixture = Fixture::new();
    let life = World::production("life");
    let server = bind(&life, fixture.identity(Role::Storage, "1"));
    serve(&life, &server, |_, exchange| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(exchange);
    });
    let client = fixture.endpoint(Role::Client, "alice");
    let to = storage(1, &server);
    let mut exchange = client.peers().open(&to, Class::Control, &request(), within(30)).await.unwrap();
    // The socket stays, so that nobody answers in the peer's place.
    life.scope.kill();
    let begun = Instant::now();
    assert_eq!(exchange.receive_message::<u8>().await, Err(CallError::Broken));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_peer_that_stops_says_so() {
    let fixture = Fixture::new();
    let server = fixture.server(1, |_, exchange| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(exchange);
    });
    let client = fixture.endpoint(Role::Client, "alice");
    let to = storage(1, &server);
    let mut exchange = client.peers().open(&to, Class::Control, &request(), within(30)).await.unwrap();
    let begun = Instant::now();
    server.close().await;
    assert_eq!(exchange.receive_message::<u8>().await, Err(CallError::Broken));
    assert!(begun.elapsed() < Duration::from_millis(1500));
    client.close().await;
    let reason = UnreachableReason::LocallyStopping;
    assert_eq!(call(&client, &to).await, Err(CallError::Unreachable(reason)));
}

#[tokio::test]
async fn a_killed_world_leaves_no_task() {
    let fixture = Fixture::new();
    let life = World::production("life");
    let server = bind(&life, fixture.identity(Role::Storage, "1"));
    serve(&life, &server, echo);
    let client = fixture.endpoint(Role::Client, "alice");
    assert_eq!(call(&client, &storage(1, &server)).await, Ok(request()));
    assert!(life.scope.task_count() > 0);
    life.scope.kill();
    eventually("no task is left", || life.scope.task_count() == 0).await;
}

#[tokio::test]
async fn slots_are_bounded() {
    let fixture = Fixture::new();
    let client = fixture.endpoint(Role::Client, "alice");
    let peers = client.peers();
    for id in 0..SLOTS_MAX as u64 + 50 {
        peers.slot(&storage_at(id, (Ipv4Addr::LOCALHOST, 1).into()), Class::Control);
    }
    assert_eq!(peers.slots.map.lock().unwrap().len(), SLOTS_MAX);
    let newest = storage_at(SLOTS_MAX as u64 + 49, (Ipv4Addr::LOCALHOST, 1).into());
    assert!(peers.slots.map.lock().unwrap().contains_key(&(newest, Class::Control, 0)));
}
