use super::*;
use crate::offload::{SimOffload, WorkDelays};
use quinn::AsyncUdpSocket;
use quinn::udp::RecvMeta;
use std::io::IoSliceMut;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

fn network(link: Link) -> SimNetwork {
    let seed = Seed::new(1);
    let scope = Scope::new("network", Arc::new(SimOffload::new(seed, WorkDelays::default())));
    SimNetwork::new(&scope, seed, link, Trace::new(None))
}

fn bind(network: &SimNetwork, address: IpAddr) -> Arc<dyn AsyncUdpSocket> {
    network.host(address).bind(SocketAddr::new(address, 9)).unwrap()
}

fn send(socket: &Arc<dyn AsyncUdpSocket>, to: IpAddr, contents: &[u8], segment_size: Option<usize>) {
    let destination = SocketAddr::new(to, 9);
    socket.try_send(&Transmit { destination, ecn: None, contents, segment_size, src_ip: None }).unwrap();
}

/// What the socket receives until nothing has come for a second.
async fn receive_all(socket: &Arc<dyn AsyncUdpSocket>) -> Vec<Vec<u8>> {
    let mut received = Vec::new();
    loop {
        let mut buffer = [0; 2048];
        let mut metas = [RecvMeta::default()];
        let next = std::future::poll_fn(|cx| socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut metas));
        match tokio::time::timeout(Duration::from_secs(1), next).await {
            Ok(count) => assert_eq!(count.unwrap(), 1),
            Err(_) => return received,
        }
        received.push(buffer[..metas[0].len].to_vec());
    }
}

#[tokio::test(start_paused = true)]
async fn packets_arrive_in_order_after_the_delay() {
    let network = network(Link { delay: Duration::from_millis(30), ..Link::default() });
    let (a, b) = (bind(&network, A), bind(&network, B));
    let begin = Instant::now();
    send(&a, B, b"onetwoend", Some(3));
    let mut buffer = [0; 2048];
    let mut metas = [RecvMeta::default()];
    std::future::poll_fn(|cx| b.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut metas)).await.unwrap();
    assert_eq!((&buffer[..3], metas[0].addr), (&b"one"[..], SocketAddr::new(A, 9)));
    assert_eq!(begin.elapsed(), Duration::from_millis(31));
    assert_eq!(receive_all(&b).await, [b"two", b"end"]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_holds_in_its_direction_only() {
    let network = network(Link::default());
    let (a, b) = (bind(&network, A), bind(&network, B));
    send(&a, B, b"in flight", None);
    network.cut(A, B);
    send(&a, B, b"lost", None);
    send(&b, A, b"through", None);
    assert_eq!(receive_all(&a).await, [b"through"]);
    assert!(receive_all(&b).await.is_empty());
    network.heal();
    send(&a, B, b"again", None);
    assert_eq!(receive_all(&b).await, [b"again"]);
}

#[tokio::test(start_paused = true)]
async fn a_fenced_host_is_silent_and_its_address_free() {
    let network = network(Link::default());
    let host = network.host(A);
    let a = host.bind(SocketAddr::new(A, 9)).unwrap();
    let b = bind(&network, B);
    assert_eq!(host.bind(SocketAddr::new(A, 9)).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    host.fence();
    send(&a, B, b"from the grave", None);
    assert_eq!(host.bind(SocketAddr::new(A, 10)).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    let reborn = bind(&network, A);
    send(&a, B, b"from the grave", None);
    drop(a);
    send(&reborn, B, b"alive", None);
    send(&b, A, b"answer", None);
    assert_eq!(receive_all(&b).await, [b"alive"]);
    assert_eq!(receive_all(&reborn).await, [b"answer"]);
}

#[tokio::test(start_paused = true)]
async fn any_port_is_a_fresh_one_on_the_own_address() {
    let network = network(Link::default());
    let host = network.host(A);
    let first = host.bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
    let address = first.local_addr().unwrap();
    assert_eq!(address.ip(), A);
    drop(first);
    assert_ne!(host.bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap().local_addr().unwrap(), address);
    assert!(host.bind(SocketAddr::new(B, 0)).is_err());
}
