//! Opening one connection: the handshake, the check of who answered, and the hello.

use super::unreachable::{Closing, Ending, PeerKind, UnreachableReason};
use super::{Class, Destination};
use crate::endpoint::Shared;
use crate::exchange::{CallError, Exchange};
use crate::frame::{FrameKind, HELLO_BYTES_MAX};
use crate::hello::Hello;
use crate::identity::PeerIdentity;
use crate::peers::unreachable::CertificateFault;
use crate::tls::SERVER_NAME;
use dfs_core::refusal::Refusal;
use quinn::Connection;
use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

/// Opens a connection and completes the hello. That QUIC says "connected" proves nothing: the other side judges this
/// side's certificate only afterwards.
pub(super) async fn connect(
    shared: &Shared,
    to: &Destination,
    class: Class,
    deadline: Instant,
) -> Result<Connection, UnreachableReason> {
    let attempt = async {
        let connecting = shared.quinn().connect_with(shared.client_config(class), to.address, SERVER_NAME)?;
        let connection = connecting.await.map_err(|error| Ending::from(&error))?;
        match introduce(shared, &connection, to, class, deadline).await {
            Ok(()) => Ok(connection),
            Err((closing, reason)) => {
                if let Some(closing) = closing {
                    closing.close(&connection);
                }
                Err(reason)
            }
        }
    };
    tokio::time::timeout_at(deadline, attempt).await.unwrap_or(Err(UnreachableReason::Silent))
}

/// Checks who answered, and completes the hello. On failure, says what to tell the peer, if it does not know.
async fn introduce(
    shared: &Shared,
    connection: &Connection,
    to: &Destination,
    class: Class,
    deadline: Instant,
) -> Result<(), (Option<Closing>, UnreachableReason)> {
    let peer = identify(shared, connection)
        .map_err(|fault| (Some(Closing::Certificate(fault)), UnreachableReason::PeerCertificate(fault)))?;
    if peer.role != to.role || (to.node.is_some() && peer.node() != to.node) {
        let expected = PeerKind { role: to.role, node: to.node };
        return Err((
            Some(Closing::WrongPeer),
            UnreachableReason::WrongPeer { expected, found: PeerKind::from(&peer) },
        ));
    }
    let lost = || {
        let reason = connection.close_reason().map(|error| Ending::from(&error).into());
        (None, reason.unwrap_or(UnreachableReason::Lost))
    };
    let ours = shared.hello(class);
    let (send, receive) = connection.open_bi().await.map_err(|_| lost())?;
    let mut exchange = Exchange::new(send, receive, deadline, HELLO_BYTES_MAX);
    exchange.send_message(&ours).await.map_err(|_| lost())?;
    let theirs = receive_hello(&mut exchange).await.map_err(|refusal| match refusal {
        None => lost(),
        Some(refusal) => refused(refusal),
    })?;
    theirs.check(&ours, &peer).map_err(refused)?;
    exchange.finish().await.map_err(|_| lost())
}

fn refused(refusal: Refusal) -> (Option<Closing>, UnreachableReason) {
    (Some(Closing::Hello(refusal.clone())), UnreachableReason::Hello(refusal))
}

/// Who the other end of a connection is, by its certificate.
pub(crate) fn identify(shared: &Shared, connection: &Connection) -> Result<PeerIdentity, CertificateFault> {
    let chain = connection.peer_identity().and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
    let certificate = chain.as_ref().and_then(|chain| chain.first()).ok_or(CertificateFault::Missing)?;
    let peer = PeerIdentity::of_certificate(certificate).ok_or(CertificateFault::Unnamed)?;
    if peer.domain == shared.identity().peer().domain { Ok(peer) } else { Err(CertificateFault::OtherDomain) }
}

/// The other side's hello; `Some` refusal if it is not one, `None` if the connection is gone.
pub(crate) async fn receive_hello(exchange: &mut Exchange) -> Result<Hello, Option<Refusal>> {
    match exchange.receive_half().receive_frame().await {
        Ok(Some((FrameKind::Message, bytes))) => Hello::decode(&bytes).map_err(Some),
        Ok(_) => Err(Some(Refusal::Malformed)),
        Err(CallError::Broken) => Err(None),
        Err(_) => Err(Some(Refusal::DeadlineExceeded)),
    }
}
