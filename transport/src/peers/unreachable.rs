//! Why there is no usable connection to a peer, as sentences for people, and how the two sides tell each other.
//!
//! TLS itself refuses a certificate with an alert. What is judged after the handshake is told by closing the
//! connection with one of the codes below.

use crate::identity::PeerIdentity;
use dfs_core::id::{NodeId, Role};
use dfs_core::refusal::Refusal;
use dfs_core::wire;
use quinn::{ConnectError, Connection, ConnectionError, VarInt};
use std::fmt;

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFault {
    /// There is none.
    #[error("there is none; every peer needs one")]
    Missing,
    /// It was issued by an authority that the other side does not trust.
    #[error("it was issued by another authority")]
    UnknownAuthority,
    /// It is not valid now, by the clock of the machine that refuses it.
    #[error("it has expired or is not valid yet; renew it, and check both clocks")]
    Expired,
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,
    /// Its role does not allow this side of a connection: a client cannot serve.
    #[error("its role does not allow this use; a client's certificate cannot serve")]
    WrongUse,
    /// It does not name a peer.
    #[error("it has no valid name of the form dfs://<trust domain>/<role>/<name>")]
    Unnamed,
    /// It names a peer of another trust domain.
    #[error("it names a peer of another trust domain")]
    OtherDomain,
    /// It is damaged, or its holder does not have its key.
    #[error("it is damaged, or its key is another one")]
    Invalid,
}

/// A peer as it was looked for or found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerKind {
    /// Its role.
    pub role: Role,
    /// Its node id; absent for clients, and where any node of the role will do.
    pub node: Option<NodeId>,
}

impl fmt::Display for PeerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.role, self.node) {
            (Role::Client, _) => f.write_str("a client"),
            (role, Some(node)) => write!(f, "{role} node {node}"),
            (role, None) => write!(f, "a {role} node"),
        }
    }
}

impl From<&PeerIdentity> for PeerKind {
    fn from(peer: &PeerIdentity) -> PeerKind {
        PeerKind { role: peer.role, node: peer.node() }
    }
}

/// Why there is no usable connection to a peer. No request was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreachableReason {
    /// Nothing came back in time.
    #[error("it does not answer")]
    Silent,
    /// The connection broke while it was being set up or before it was used.
    #[error("the connection was lost")]
    Lost,
    /// The peer has as many connections as it takes.
    #[error("it takes no more connections now")]
    Busy,
    /// The peer is stopping.
    #[error("it is stopping")]
    Stopping,
    /// This side is stopping.
    #[error("this side is stopping")]
    LocallyStopping,
    /// The address cannot be reached from this side's socket, or is no address of a peer.
    #[error("its address cannot be used from here")]
    BadAddress,
    /// What answers is not a peer, or one of an incompatible kind.
    #[error("what answers there does not speak this protocol")]
    NotAPeer,
    /// This side refuses the peer's certificate.
    #[error("its certificate is refused: {0}")]
    PeerCertificate(CertificateFault),
    /// The peer refuses this side's certificate.
    #[error("it refuses this side's certificate: {0}")]
    OwnCertificate(CertificateFault),
    /// The address belongs to another peer than was looked for.
    #[error("{found} answers there, not {expected}")]
    WrongPeer {
        /// Who was looked for.
        expected: PeerKind,
        /// Who answered.
        found: PeerKind,
    },
    /// One of the sides refuses the other's hello.
    #[error("the hello was refused: {0}")]
    Hello(Refusal),
}

impl UnreachableReason {
    /// Whether it will not pass by itself: somebody has to change a certificate, a setting or a build.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            UnreachableReason::Silent
            | UnreachableReason::Lost
            | UnreachableReason::Busy
            | UnreachableReason::Stopping
            | UnreachableReason::WrongPeer { .. }
            | UnreachableReason::LocallyStopping => false,
            UnreachableReason::BadAddress
            | UnreachableReason::NotAPeer
            | UnreachableReason::PeerCertificate(_)
            | UnreachableReason::OwnCertificate(_) => true,
            UnreachableReason::Hello(refusal) => !refusal.is_retryable(),
        }
    }
}

/// Why one side closes a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// It is stopping, or has no more use for the connection.
    Done,
    /// It refuses the other's hello.
    Hello(Refusal),
    /// It refuses the other's certificate.
    Certificate(CertificateFault),
    /// It looked for another peer.
    WrongPeer,
}

const DONE: u32 = 0;
const HELLO: u32 = 1;
const UNNAMED: u32 = 2;
const OTHER_DOMAIN: u32 = 3;
const WRONG_PEER: u32 = 4;

impl Closing {
    pub(crate) fn close(&self, connection: &Connection) {
        let (code, reason) = match self {
            Closing::Done => (DONE, Vec::new()),
            Closing::Hello(refusal) => (HELLO, wire::encode(refusal)),
            Closing::Certificate(CertificateFault::OtherDomain) => (OTHER_DOMAIN, Vec::new()),
            Closing::Certificate(_) => (UNNAMED, Vec::new()),
            Closing::WrongPeer => (WRONG_PEER, Vec::new()),
        };
        connection.close(VarInt::from_u32(code), &reason);
    }

    fn of(close: &quinn::ApplicationClose) -> Option<Closing> {
        match u32::try_from(close.error_code.into_inner()).ok()? {
            DONE => Some(Closing::Done),
            HELLO => wire::decode(&close.reason).ok().map(Closing::Hello),
            UNNAMED => Some(Closing::Certificate(CertificateFault::Unnamed)),
            OTHER_DOMAIN => Some(Closing::Certificate(CertificateFault::OtherDomain)),
            WRONG_PEER => Some(Closing::WrongPeer),
            _ => None,
        }
    }
}

/// What became of a connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Ending {
    /// Nothing that anyone has to look at.
    #[error("the connection ended")]
    Ordinary(UnreachableReason),
    /// This side refused the other's certificate.
    #[error("refused the peer's certificate: {0}")]
    RefusedPeer(CertificateFault),
    /// The other side refused this side's certificate.
    #[error("the peer refused this side's certificate: {0}")]
    RefusedUs(CertificateFault),
    /// The other side refused this side's hello.
    #[error("the peer refused the hello: {0}")]
    RefusedHello(Refusal),
    /// The other side looked for somebody else.
    #[error("the peer looked for another node here")]
    WrongPeer,
}

impl From<&ConnectionError> for Ending {
    fn from(error: &ConnectionError) -> Ending {
        let ordinary = match error {
            ConnectionError::TransportError(error) => match certificate_fault(error.code.into()) {
                Some(fault) => return Ending::RefusedPeer(fault),
                None => UnreachableReason::NotAPeer,
            },
            ConnectionError::ConnectionClosed(close) => match certificate_fault(close.error_code.into()) {
                Some(fault) => return Ending::RefusedUs(fault),
                None if close.error_code == quinn::TransportErrorCode::CONNECTION_REFUSED => UnreachableReason::Busy,
                None => UnreachableReason::NotAPeer,
            },
            ConnectionError::ApplicationClosed(close) => match Closing::of(close) {
                Some(Closing::Done) => UnreachableReason::Stopping,
                Some(Closing::Hello(refusal)) => return Ending::RefusedHello(refusal),
                Some(Closing::Certificate(fault)) => return Ending::RefusedUs(fault),
                Some(Closing::WrongPeer) => return Ending::WrongPeer,
                None => UnreachableReason::NotAPeer,
            },
            ConnectionError::VersionMismatch => UnreachableReason::NotAPeer,
            ConnectionError::TimedOut => UnreachableReason::Silent,
            ConnectionError::Reset => UnreachableReason::Lost,
            ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => UnreachableReason::LocallyStopping,
        };
        Ending::Ordinary(ordinary)
    }
}

impl From<Ending> for UnreachableReason {
    fn from(ending: Ending) -> UnreachableReason {
        match ending {
            Ending::Ordinary(reason) => reason,
            Ending::RefusedPeer(fault) => UnreachableReason::PeerCertificate(fault),
            Ending::RefusedUs(fault) => UnreachableReason::OwnCertificate(fault),
            Ending::RefusedHello(refusal) => UnreachableReason::Hello(refusal),
            Ending::WrongPeer => UnreachableReason::NotAPeer,
        }
    }
}

impl From<ConnectError> for UnreachableReason {
    fn from(error: ConnectError) -> UnreachableReason {
        match error {
            ConnectError::EndpointStopping | ConnectError::CidsExhausted => UnreachableReason::LocallyStopping,
            _ => UnreachableReason::BadAddress,
        }
    }
}

/// What a TLS alert says of a certificate (RFC 8446, section 6.2); QUIC carries alerts as codes from 0x100 (RFC 9001,
/// section 4.8).
fn certificate_fault(code: u64) -> Option<CertificateFault> {
    match code.checked_sub(0x100)? {
        42 | 46 | 51 => Some(CertificateFault::Invalid),
        43 => Some(CertificateFault::WrongUse),
        44 => Some(CertificateFault::Revoked),
        45 => Some(CertificateFault::Expired),
        48 => Some(CertificateFault::UnknownAuthority),
        116 => Some(CertificateFault::Missing),
        _ => None,
    }
}
