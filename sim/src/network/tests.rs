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
async fn one_cut_is_mended_and_the_other_stays() {
    let network = network(Link::default());
    let (a, b) = (bind(&network, A), bind(&network, B));
    network.partition(&[A], &[B]);
    network.mend(A, B);
    send(&a, B, b"through", None);
    send(&b, A, b"lost", None);
    assert_eq!(receive_all(&b).await, [b"through"]);
    assert!(receive_all(&a).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_links_of_a_machine_change_together_and_heal() {
    const C: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));
    let network = network(Link::default());
    let sockets = [A, B, C].map(|address| bind(&network, address));
    let deaf = Link { loss_ppm: 1_000_000, ..Link::default() };
    let get_through = async || {
        let mut through = Vec::new();
        for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)] {
            send(&sockets[from], sockets[to].local_addr().unwrap().ip(), b"packet", None);
            if !receive_all(&sockets[to]).await.is_empty() {
                through.push((from, to));
            }
        }
        through
    };
    network.set_links_of(A, Some(deaf));
    assert_eq!(get_through().await, [(1, 2), (2, 1)]);
    network.set_link(A, B, Some(Link::default()));
    assert_eq!(get_through().await, [(0, 1), (1, 2), (2, 1)], "a direction of its own comes first");
    network.set_links_of(A, None);
    network.set_link(A, B, Some(deaf));
    assert_eq!(get_through().await.len(), 5);
    network.set_links_of(C, Some(deaf));
    network.heal();
    assert_eq!(get_through().await.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn what_becomes_of_packets_is_counted() {
    let network = network(Link { queue_bytes: usize::MAX / 2, ..Link::bad() });
    let (a, b) = (bind(&network, A), bind(&network, B));
    (0..10_000).for_each(|_| send(&a, B, b"packet", None));
    let received = receive_all(&b).await.len() as u64;
    let seen = network.statistics();
    assert_eq!((seen.sent, seen.delivered), (10_000, received));
    assert_eq!(seen.delivered, seen.sent - seen.lost + seen.duplicated);
    assert!((400..600).contains(&seen.lost) && (150..250).contains(&seen.duplicated));
    assert!((60..140).contains(&seen.reordered));
    assert_eq!((seen.cut_off, seen.queue_full, seen.overflow), (0, 0, 0));
    network.set_default_link(Link::default());
    network.cut(B, A);
    send(&b, A, b"cut", None);
    send(&a, B, b"in flight", None);
    network.cut(A, B);
    assert!(receive_all(&b).await.is_empty());
    assert_eq!(network.statistics().cut_off, 2);
    network.heal();
    (0..2_000).for_each(|_| send(&a, B, &[0; 1452], None));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(network.statistics().queue_full > 1_000);
    for _ in 0..10 {
        (0..500).for_each(|_| send(&a, B, &[0; 1452], None));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(network.statistics().overflow > 1_000);
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
