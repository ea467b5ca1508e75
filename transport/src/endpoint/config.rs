//! How QUIC is set up: windows, streams, timeouts and packet sizes, by class.
//!
//! Every window has a bound (quinn's own default for a connection has none). The side that opens a connection decides
//! its timeouts: the other does not know the class before the hello, and the shorter of both sides' timeouts holds.

use super::{BindError, EndpointSettings};
use crate::identity::Identity;
use crate::peers::Class;
use crate::tls::{self, ResetKey, TlsClock};
use crate::world::{Entropy, World};
use dfs_core::limit::{BULK_IDLE_MS, CONTROL_IDLE_MS, CONTROL_KEEP_ALIVE_MS};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, MtuDiscoveryConfig, NoneTokenStore,
    ServerConfig, TransportConfig, ValidationTokenConfig, VarInt,
};
use std::sync::Arc;
use std::time::Duration;

/// Bytes that a peer may send on one stream before they are read.
const STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Bytes that a peer may send on one connection before they are read.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;
/// Bytes that are sent and not yet acknowledged at most, on one connection: within what the socket buffers hold.
const SEND_WINDOW_BYTES: u64 = 3 * 1024 * 1024;
/// Requests at once on one control connection.
const CONTROL_STREAMS_MAX: u32 = 512;
/// Requests at once on one bulk connection.
const BULK_STREAMS_MAX: u32 = 128;
/// Requests at once on a connection whose class is not known yet: the hello is the first.
const NEW_STREAMS_MAX: u32 = 2;
/// What the round trip is taken to be before it is measured: a lost first packet is sent again after three of it.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// Bytes of handshake that are kept for a connection that is not accepted yet.
const INCOMING_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a connection id.
const CONNECTION_ID_BYTES: usize = 8;

/// Everything that quinn is told.
pub(super) struct Configs {
    endpoint: EndpointConfig,
    server: ServerConfig,
    control: ClientConfig,
    bulk: ClientConfig,
}

impl Configs {
    pub(super) fn new(world: &World, identity: &Identity, settings: &EndpointSettings) -> Result<Configs, BindError> {
        let clock = &world.wall_clock;
        let mut endpoint = EndpointConfig::new(Arc::new(ResetKey::of(identity)));
        let entropy = world.entropy.clone();
        endpoint
            .max_udp_payload_size(settings.max_udp_payload)
            .map_err(|_| BindError::PayloadSize)?
            .cid_generator(move || Box::new(RandomIds(entropy.clone())))
            .grease_quic_bit(false)
            .rng_seed(Some(world.entropy.bytes()));

        let crypto = tls::server_config(identity, clock).map_err(|_| BindError::Authority)?;
        let crypto = QuicServerConfig::try_from(crypto).expect("the provider has QUIC's initial cipher suite");
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(0);
        let mut server = ServerConfig::with_crypto(Arc::new(crypto));
        server
            .transport_config(Arc::new(transport(settings, BULK_IDLE_MS, None, NEW_STREAMS_MAX)))
            .validation_token_config(tokens)
            .time_source(Arc::new(TlsClock(clock.clone())))
            .max_incoming(settings.handshakes_max)
            .incoming_buffer_size(INCOMING_BYTES_MAX)
            .incoming_buffer_size_total(INCOMING_BYTES_MAX * 256);

        let crypto = QuicClientConfig::try_from(tls::client_config(identity, clock))
            .expect("the provider has QUIC's initial cipher suite");
        let crypto = Arc::new(crypto);
        let client = |idle_ms, keep_alive_ms| {
            let mut config = ClientConfig::new(crypto.clone());
            config.token_store(Arc::new(NoneTokenStore));
            // Requests travel one way: the side that accepted a connection opens no streams on it.
            config.transport_config(Arc::new(transport(settings, idle_ms, Some(keep_alive_ms), 0)));
            config
        };
        // A transfer may stand still while a disk flushes; the connection must not end by that.
        let control = client(CONTROL_IDLE_MS, CONTROL_KEEP_ALIVE_MS);
        let bulk = client(BULK_IDLE_MS, BULK_IDLE_MS / 4);
        Ok(Configs { endpoint, server, control, bulk })
    }

    pub(super) fn endpoint(&self) -> EndpointConfig {
        self.endpoint.clone()
    }

    pub(super) fn server(&self) -> ServerConfig {
        self.server.clone()
    }

    pub(super) fn client(&self, class: Class) -> ClientConfig {
        match class {
            Class::Control => self.control.clone(),
            Class::Bulk => self.bulk.clone(),
        }
    }
}

/// Requests at once on a connection of this class.
pub(super) fn streams_max(class: Class) -> VarInt {
    match class {
        Class::Control => VarInt::from_u32(CONTROL_STREAMS_MAX),
        Class::Bulk => VarInt::from_u32(BULK_STREAMS_MAX),
    }
}

fn transport(
    settings: &EndpointSettings,
    idle_ms: u64,
    keep_alive_ms: Option<u64>,
    streams_max: u32,
) -> TransportConfig {
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(settings.max_udp_payload);
    let idle = IdleTimeout::try_from(Duration::from_millis(idle_ms)).expect("the bound of a timeout is far away");
    let mut config = TransportConfig::default();
    config
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_concurrent_bidi_streams(VarInt::from_u32(streams_max))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(keep_alive_ms.map(Duration::from_millis))
        .initial_rtt(INITIAL_RTT)
        .congestion_controller_factory(Arc::new(CubicConfig::default()))
        .mtu_discovery_config(Some(discovery))
        .allow_spin(false);
    config
}

/// Connection ids from the world's randomness. Any id may be one of an earlier process of this node, so none is
/// ignored: the answer to an unknown one is a stateless reset.
struct RandomIds(Entropy);

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.bytes::<CONNECTION_ID_BYTES>())
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
