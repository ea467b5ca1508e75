//! The sockets of the simulated network, as quinn wants them.
//!
//! Sending never blocks: a link's queue drops what is too much, as a switch does.

use super::{Packet, SOCKET_BUFFER_BYTES, SimNetwork};
use quinn::UdpPoller;
use quinn::udp::{RecvMeta, Transmit};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// How many packets one send may hold: what quinn uses at most.
const SEGMENTS_MAX: usize = 10;

/// The receiving side of a bound address.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    packets: VecDeque<Packet>,
    bytes: usize,
    reader: Option<Waker>,
}

impl Port {
    pub(super) fn new(address: SocketAddr) -> Port {
        Port { address, inbox: Mutex::default() }
    }

    /// Keeps a packet for the reader, if there is room.
    pub(super) fn receive(&self, packet: Packet) -> bool {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        if inbox.bytes + packet.payload.len() > SOCKET_BUFFER_BYTES {
            return false;
        }
        inbox.bytes += packet.payload.len();
        inbox.packets.push_back(packet);
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
        true
    }
}

/// A bound socket; dropping it gives its address back.
pub(super) struct SimSocket {
    network: SimNetwork,
    port: Arc<Port>,
}

impl SimSocket {
    pub(super) fn new(network: SimNetwork, port: Arc<Port>) -> SimSocket {
        SimSocket { network, port }
    }
}

impl Drop for SimSocket {
    fn drop(&mut self) {
        self.network.unbind(&self.port);
    }
}

impl quinn::AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.network.send(&self.port, transmit);
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut inbox = self.port.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut received = 0;
        for (buffer, meta) in buffers.iter_mut().zip(metas) {
            let Some(packet) = inbox.packets.pop_front() else { break };
            inbox.bytes -= packet.payload.len();
            let length = packet.payload.len().min(buffer.len());
            buffer[..length].copy_from_slice(&packet.payload[..length]);
            *meta = RecvMeta::default();
            meta.addr = packet.from;
            meta.len = length;
            meta.stride = length;
            meta.ecn = packet.ecn;
            meta.dst_ip = Some(packet.to.ip());
            received += 1;
        }
        if received > 0 {
            return Poll::Ready(Ok(received));
        }
        inbox.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.port.address)
    }

    fn max_transmit_segments(&self) -> usize {
        SEGMENTS_MAX
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimSocket({})", self.port.address)
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
