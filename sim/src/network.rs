//! The simulated network: UDP between machines, over links that delay, queue, lose, repeat and reorder, and that can be
//! cut.
//!
//! One task, the pump, delivers what has arrived. Each machine has one IP address and, per life, one [`Host`], through
//! which it binds sockets; fencing a host takes its sockets off the network at once, so that destructors of a killed
//! node can send nothing. A packet to an address where nobody listens is lost silently. Every packet is traced, with
//! its bytes.

mod link;
mod socket;

pub use link::Link;

use crate::random::{Random, Seed};
use crate::trace::Trace;
use dfs_transport::world::{Network, Scope};
use link::{Fate, Wire};
use quinn::udp::{EcnCodepoint, Transmit};
use socket::{Port, SimSocket};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Where ports begin that are given to whoever asks for any.
const FIRST_EPHEMERAL_PORT: u16 = 49_152;

/// Bytes that a socket keeps for a reader that does not come; more are dropped, as a kernel does.
const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The network. Clones are the same network.
#[derive(Clone)]
pub struct SimNetwork(Arc<Shared>);

struct Shared {
    trace: Trace,
    start: Instant,
    arrivals: Notify,
    state: Mutex<State>,
}

struct State {
    random: Random,
    packets: u64,
    /// What travels, by arrival and, within one, by sending.
    in_flight: BTreeMap<(Duration, u64), Packet>,
    ports: BTreeMap<SocketAddr, Arc<Port>>,
    next_port: BTreeMap<IpAddr, u16>,
    default_link: Link,
    /// Links of single directions; they come before those of machines.
    links: BTreeMap<Direction, Link>,
    /// Links of machines with everybody, by machine; the sender's comes first.
    links_of: BTreeMap<IpAddr, Link>,
    wires: BTreeMap<Direction, Wire>,
    cuts: BTreeSet<Direction>,
    /// Machines that are cut off from everybody.
    unplugged: BTreeSet<IpAddr>,
    statistics: NetworkStatistics,
    /// Bytes of payload that were handed to sockets.
    delivered_bytes: BTreeMap<Direction, u64>,
}

/// From one machine to another.
type Direction = (IpAddr, IpAddr);

struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    ecn: Option<EcnCodepoint>,
    payload: Arc<[u8]>,
}

/// What a network has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkStatistics {
    /// Packets sent.
    pub sent: u64,
    /// Bytes of payload sent.
    pub sent_bytes: u64,
    /// Packets handed to a socket.
    pub delivered: u64,
    /// Packets that a link lost.
    pub lost: u64,
    /// Packets that a link sent twice.
    pub duplicated: u64,
    /// Packets that a link sent late, so that others could overtake them.
    pub reordered: u64,
    /// Packets lost to a cut.
    pub cut_off: u64,
    /// Packets dropped because too many bytes waited for their link.
    pub queue_full: u64,
    /// Packets dropped because their socket's buffer was full.
    pub overflow: u64,
}

impl SimNetwork {
    /// A network without machines, whose pump belongs to `scope`.
    #[must_use]
    pub fn new(scope: &Scope, seed: Seed, default_link: Link, trace: Trace) -> SimNetwork {
        let state = State {
            random: seed.random(),
            packets: 0,
            in_flight: BTreeMap::new(),
            ports: BTreeMap::new(),
            next_port: BTreeMap::new(),
            default_link,
            links: BTreeMap::new(),
            links_of: BTreeMap::new(),
            wires: BTreeMap::new(),
            cuts: BTreeSet::new(),
            unplugged: BTreeSet::new(),
            statistics: NetworkStatistics::default(),
            delivered_bytes: BTreeMap::new(),
        };
        let start = trace.start();
        let network = SimNetwork(Arc::new(Shared { trace, start, arrivals: Notify::new(), state: Mutex::new(state) }));
        scope.spawn(network.clone().pump());
        network
    }

    /// The sockets of one life of the machine at `address`.
    #[must_use]
    pub fn host(&self, address: IpAddr) -> Host {
        Host { network: self.clone(), address, fenced: Arc::default() }
    }

    /// Changes every link that has no setting of its own.
    pub fn set_default_link(&self, link: Link) {
        self.state().default_link = link;
    }

    /// Changes one direction; `None` takes its setting away.
    pub fn set_link(&self, from: IpAddr, to: IpAddr, link: Option<Link>) {
        self.0.trace.record("link", format_args!("{from} > {to} {}", Shown(link)));
        set(&mut self.state().links, (from, to), link);
    }

    /// Changes every link of a machine, in both directions, that has no setting of its own; `None` takes that setting
    /// away. Between two such machines, that of the sender counts.
    pub fn set_links_of(&self, machine: IpAddr, link: Option<Link>) {
        self.0.trace.record("link", format_args!("{machine} <> all {}", Shown(link)));
        set(&mut self.state().links_of, machine, link);
    }

    /// Cuts one direction. What travels on it is lost.
    pub fn cut(&self, from: IpAddr, to: IpAddr) {
        self.0.trace.record("cut", format_args!("{from} > {to}"));
        self.state().cuts.insert((from, to));
    }

    /// Cuts a machine off from everybody.
    pub fn unplug(&self, machine: IpAddr) {
        self.0.trace.record("unplug", format_args!("{machine}"));
        self.state().unplugged.insert(machine);
    }

    /// Mends every cut; links stay as they are.
    pub fn reconnect(&self) {
        let mut state = self.state();
        state.cuts.clear();
        state.unplugged.clear();
    }

    /// Cuts both directions between each of `one` and each of `other`.
    pub fn partition(&self, one: &[IpAddr], other: &[IpAddr]) {
        for &left in one {
            for &right in other {
                self.cut(left, right);
                self.cut(right, left);
            }
        }
    }

    /// Mends one cut, if it is there.
    pub fn mend(&self, from: IpAddr, to: IpAddr) {
        self.0.trace.record("mend", format_args!("{from} > {to}"));
        self.state().cuts.remove(&(from, to));
    }

    /// Mends every cut, and gives every link back to the default.
    pub fn heal(&self) {
        self.0.trace.record("heal", format_args!("all"));
        let mut state = self.state();
        state.cuts.clear();
        state.unplugged.clear();
        state.links.clear();
        state.links_of.clear();
    }

    /// What it has carried.
    #[must_use]
    pub fn statistics(&self) -> NetworkStatistics {
        self.state().statistics
    }

    /// Bytes that have come from one machine to another.
    #[must_use]
    pub fn delivered_bytes(&self, from: IpAddr, to: IpAddr) -> u64 {
        self.state().delivered_bytes.get(&(from, to)).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// Sends what one call of a socket holds: one packet, or several of equal size.
    fn send(&self, port: &Arc<Port>, transmit: &Transmit<'_>) {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let now = self.now();
        let mut state = self.state();
        if !state.ports.get(&port.address).is_some_and(|bound| Arc::ptr_eq(bound, port)) {
            return;
        }
        let earliest = state.earliest();
        for payload in transmit.contents.chunks(segment) {
            let packet =
                Packet { from: port.address, to: transmit.destination, ecn: transmit.ecn, payload: payload.into() };
            let fate = state.send(packet, now);
            self.0.trace.packet(fate, port.address, transmit.destination, payload.len(), payload);
        }
        if state.earliest() != earliest {
            self.0.arrivals.notify_one();
        }
    }

    /// Delivers what arrives, for ever.
    async fn pump(self) {
        let mut arrival = pin!(sleep_until(self.0.start));
        loop {
            let due = self.deliver(self.now());
            let arrivals = self.0.arrivals.notified();
            match due {
                None => arrivals.await,
                Some(due) => {
                    arrival.as_mut().reset(self.0.start + due);
                    // The notification goes first, so that the order never depends on how a select draws.
                    tokio::select! {
                        biased;
                        () = arrivals => {}
                        () = arrival.as_mut() => {}
                    }
                }
            }
        }
    }

    /// Hands over everything that has arrived by `now`, and says when the next packet will.
    fn deliver(&self, now: Duration) -> Option<Duration> {
        let mut state = self.state();
        while let Some(entry) = state.in_flight.first_entry()
            && entry.key().0 <= now
        {
            let packet = entry.remove();
            let (from, to, bytes) = (packet.from, packet.to, packet.payload.len());
            let cut = state.is_cut((from.ip(), to.ip()));
            let outcome = match state.ports.get(&to) {
                _ if cut => {
                    state.statistics.cut_off += 1;
                    "cut-off"
                }
                None => "unbound",
                Some(port) if port.receive(packet) => {
                    state.statistics.delivered += 1;
                    *state.delivered_bytes.entry((from.ip(), to.ip())).or_default() += bytes as u64;
                    "deliver"
                }
                Some(_) => {
                    state.statistics.overflow += 1;
                    "overflow"
                }
            };
            self.0.trace.packet(outcome, from, to, bytes, &[]);
        }
        state.earliest()
    }

    /// Takes a socket off, unless its address is another's by now.
    fn unbind(&self, port: &Arc<Port>) {
        let mut state = self.state();
        if state.ports.get(&port.address).is_some_and(|bound| Arc::ptr_eq(bound, port)) {
            state.ports.remove(&port.address);
        }
    }
}

impl State {
    fn is_cut(&self, (from, to): Direction) -> bool {
        self.cuts.contains(&(from, to)) || self.unplugged.contains(&from) || self.unplugged.contains(&to)
    }

    fn earliest(&self) -> Option<Duration> {
        self.in_flight.first_key_value().map(|((at, _), _)| *at)
    }

    /// Puts a packet on its way and says what became of it, in the words of the trace.
    fn send(&mut self, packet: Packet, now: Duration) -> &'static str {
        let direction = (packet.from.ip(), packet.to.ip());
        self.statistics.sent += 1;
        self.statistics.sent_bytes += packet.payload.len() as u64;
        let link = self.links.get(&direction);
        let link = link.or_else(|| self.links_of.get(&direction.0)).or_else(|| self.links_of.get(&direction.1));
        let wire = self.wires.entry(direction).or_default();
        let fate = wire.carry(link.unwrap_or(&self.default_link), now, packet.payload.len(), &mut self.random);
        if self.is_cut(direction) {
            self.statistics.cut_off += 1;
            return "cut-off";
        }
        match fate {
            Fate::Lost => {
                self.statistics.lost += 1;
                "lose"
            }
            Fate::TooLarge => "too-large",
            Fate::QueueFull => {
                self.statistics.queue_full += 1;
                "queue-full"
            }
            Fate::Overtaken { at } => {
                self.statistics.reordered += 1;
                self.launch(at, packet);
                "send-late"
            }
            Fate::Arrives { at, again: None } => {
                self.launch(at, packet);
                "send"
            }
            Fate::Arrives { at, again: Some(again) } => {
                self.statistics.duplicated += 1;
                let copy = Packet { payload: packet.payload.clone(), ..packet };
                self.launch(again, copy);
                self.launch(at, packet);
                "send-twice"
            }
        }
    }

    fn launch(&mut self, at: Duration, packet: Packet) {
        self.packets += 1;
        self.in_flight.insert((at, self.packets), packet);
    }

    fn any_port(&mut self, address: IpAddr) -> u16 {
        loop {
            let next = self.next_port.entry(address).or_insert(FIRST_EPHEMERAL_PORT);
            let port = *next;
            *next = port.checked_add(1).unwrap_or(FIRST_EPHEMERAL_PORT);
            if !self.ports.contains_key(&SocketAddr::new(address, port)) {
                return port;
            }
        }
    }
}

fn set<K: Ord>(links: &mut BTreeMap<K, Link>, key: K, link: Option<Link>) {
    match link {
        Some(link) => links.insert(key, link),
        None => links.remove(&key),
    };
}

/// The setting of a link, in the words of the trace.
struct Shown(Option<Link>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("as before"),
            Some(Link { delay, bandwidth, loss_ppm, duplicate_ppm, reorder_ppm, .. }) => write!(
                f,
                "{delay:?}, {bandwidth} B/s, loses {loss_ppm}, repeats {duplicate_ppm}, reorders {reorder_ppm} ppm"
            ),
        }
    }
}

/// One machine's access to the network, for one life. Clones are the same.
#[derive(Clone)]
pub struct Host {
    network: SimNetwork,
    address: IpAddr,
    fenced: Arc<AtomicBool>,
}

impl Host {
    /// Takes all its sockets off the network, for good.
    pub fn fence(&self) {
        if !self.fenced.swap(true, Ordering::Relaxed) {
            self.network.state().ports.retain(|address, _| address.ip() != self.address);
        }
    }
}

impl Network for Host {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn quinn::AsyncUdpSocket>> {
        if self.fenced.load(Ordering::Relaxed) || !(address.ip().is_unspecified() || address.ip() == self.address) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let mut state = self.network.state();
        let number = if address.port() == 0 { state.any_port(self.address) } else { address.port() };
        let address = SocketAddr::new(self.address, number);
        if state.ports.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let port = Arc::new(Port::new(address));
        state.ports.insert(address, port.clone());
        Ok(Arc::new(SimSocket::new(self.network.clone(), port)))
    }
}

impl fmt::Debug for SimNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimNetwork")
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({})", self.address)
    }
}

#[cfg(test)]
mod tests;
