//! A socket that sends what quinn hands it, however much that is, and counts what goes through.
//!
//! quinn puts up to ten packets into one send. With packets above 6553 bytes that is more than the 64 KiB which the
//! kernel takes; quinn would hide the error, lose the packets and shrink the path's MTU for a minute.

use super::counters::TrafficCounters;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// Bytes that one send takes at most: 64 KiB − 1 with the headers of IP (version 4, the stricter) and UDP.
const SEND_BYTES_MAX: usize = 65_507;

/// Splits a send that is too large for the kernel.
#[derive(Debug)]
pub(super) struct SplittingSocket {
    socket: Arc<dyn AsyncUdpSocket>,
    traffic: Arc<TrafficCounters>,
}

impl SplittingSocket {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, traffic: Arc<TrafficCounters>) -> SplittingSocket {
        SplittingSocket { socket, traffic }
    }

    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)?;
        self.traffic.sent_bytes.fetch_add(transmit.contents.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

impl AsyncUdpSocket for SplittingSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match transmit.segment_size {
            Some(segment) if transmit.contents.len() > SEND_BYTES_MAX => {
                let at_once = (SEND_BYTES_MAX / segment).max(1) * segment;
                // If a later part would block, quinn sends all of it again; a packet that comes twice is harmless.
                transmit
                    .contents
                    .chunks(at_once)
                    .try_for_each(|contents| self.send(&Transmit { contents, ..transmit.clone() }))
            }
            _ => self.send(transmit),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.socket.poll_recv(cx, buffers, meta);
        if let Poll::Ready(Ok(count)) = &received {
            let bytes: usize = meta.iter().take(*count).map(|datagrams| datagrams.len).sum();
            self.traffic.received_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        received
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::sync::Mutex;

    /// Records what it is handed.
    #[derive(Debug, Default)]
    struct Recorder(Mutex<Vec<(usize, Option<usize>)>>);

    impl AsyncUdpSocket for Recorder {
        fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
            unreachable!("nothing here waits")
        }

        fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
            self.0.lock().unwrap().push((transmit.contents.len(), transmit.segment_size));
            Ok(())
        }

        fn poll_recv(
            &self,
            _: &mut Context<'_>,
            _: &mut [IoSliceMut<'_>],
            _: &mut [RecvMeta],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok((Ipv4Addr::LOCALHOST, 1).into())
        }
    }

    fn sends(bytes: usize, segment_size: Option<usize>) -> Vec<(usize, Option<usize>)> {
        let recorder = Arc::new(Recorder::default());
        let contents = vec![0; bytes];
        let destination = (Ipv4Addr::LOCALHOST, 2).into();
        let transmit = Transmit { destination, ecn: None, contents: &contents, segment_size, src_ip: None };
        let traffic = Arc::new(TrafficCounters::default());
        SplittingSocket::new(recorder.clone(), traffic.clone()).try_send(&transmit).unwrap();
        assert_eq!(traffic.snapshot().sent_bytes, bytes as u64);
        let sends = recorder.0.lock().unwrap();
        sends.clone()
    }

    #[test]
    fn an_oversized_send_is_split_between_packets() {
        assert_eq!(sends(10 * 9000, Some(9000)), [(63_000, Some(9000)), (27_000, Some(9000))]);
        assert_eq!(sends(5 * 16_000 + 7, Some(16_000)), [(64_000, Some(16_000)), (16_007, Some(16_000))]);
    }

    #[test]
    fn a_send_that_fits_is_left_alone() {
        assert_eq!(sends(10 * 6500, Some(6500)), [(65_000, Some(6500))]);
        assert_eq!(sends(1200, None), [(1200, None)]);
    }
}
