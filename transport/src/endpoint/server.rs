//! Serving: accepting connections, the hello, and the first message of each stream.
//!
//! Bounds: connections being set up, connections in all and from clients, streams of a connection, bytes of request
//! messages in all, and the time for each step. Whatever comes in beyond them or malformed is refused, counted, and
//! ends at most its own connection.

use super::Shared;
use super::config::streams_max;
use super::counters::Counters;
use super::inbound::{Dispatch, Inbound};
use crate::exchange::{CallError, Exchange};
use crate::frame::{HELLO_BYTES_MAX, RequestHeader, message_bytes_max};
use crate::hello::Hello;
use crate::identity::PeerIdentity;
use crate::peers::{Closing, Ending, identify, receive_hello};
use dfs_core::id::Role;
use dfs_core::limit::{HELLO_MS, MESSAGE_BYTES_MAX};
use dfs_core::refusal::Refusal;
use dfs_core::wire::Service;
use quinn::{Connection, Incoming};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// How long the header of a request may take once its stream is open.
const HEADER_WAIT: Duration = Duration::from_secs(5);
/// How long the message of a request may take once its header is here.
const MESSAGE_WAIT: Duration = Duration::from_secs(10);
/// What a request's deadline is cut to.
const DEADLINE_MAX: Duration = Duration::from_secs(600);

/// The bounds that all connections share.
struct Bounds {
    handshakes: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    clients: Arc<Semaphore>,
    request_bytes: Arc<Semaphore>,
}

/// What all streams of a connection share.
struct Session {
    shared: Arc<Shared>,
    bounds: Arc<Bounds>,
    dispatch: Arc<dyn Dispatch>,
    peer: PeerIdentity,
    address: SocketAddr,
    hello: Hello,
}

/// Accepts connections until the endpoint is closed.
pub(super) async fn serve(shared: Arc<Shared>, dispatch: Arc<dyn Dispatch>) {
    let settings = shared.settings();
    let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
    let bounds = Arc::new(Bounds {
        handshakes: semaphore(settings.handshakes_max),
        connections: semaphore(settings.connections_max),
        clients: semaphore(settings.client_connections_max),
        request_bytes: semaphore(settings.request_bytes_max),
    });
    while let Some(incoming) = shared.quinn().accept().await {
        let handshake = bounds.handshakes.clone().try_acquire_owned();
        let connection = bounds.connections.clone().try_acquire_owned();
        let (Ok(handshake), Ok(connection)) = (handshake, connection) else {
            Counters::count(&shared.counters.connections);
            tracing::debug!(peer = %incoming.remote_address(), "refused a connection: there are too many");
            incoming.refuse();
            continue;
        };
        let (shared, bounds, dispatch) = (shared.clone(), bounds.clone(), dispatch.clone());
        shared.world().scope.clone().spawn(async move {
            let _connection = connection;
            serve_connection(shared, bounds, dispatch, incoming, handshake).await;
        });
    }
}

async fn serve_connection(
    shared: Arc<Shared>,
    bounds: Arc<Bounds>,
    dispatch: Arc<dyn Dispatch>,
    incoming: Incoming,
    handshake: OwnedSemaphorePermit,
) {
    let address = incoming.remote_address();
    let deadline = Instant::now() + Duration::from_millis(HELLO_MS);
    let connection = match timeout_at(deadline, async { incoming.accept()?.await }).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            Counters::count(&shared.counters.handshakes);
            return log_ending(address, None, &Ending::from(&error));
        }
        Err(_) => {
            Counters::count(&shared.counters.handshakes);
            return tracing::debug!(%address, "refused a connection: its handshake took too long");
        }
    };
    let greeting = timeout_at(deadline, greet(&shared, &connection, deadline)).await;
    let (peer, hello) = match greeting.unwrap_or(Err(Some(Closing::Hello(Refusal::DeadlineExceeded)))) {
        Ok(greeted) => greeted,
        Err(closing) => return refuse_connection(&shared, &connection, address, closing),
    };
    let client = match peer.role {
        Role::Client => match bounds.clients.clone().try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => {
                Counters::count(&shared.counters.connections);
                return Closing::Hello(Refusal::Overloaded).close(&connection);
            }
        },
        Role::Metadata | Role::Storage => None,
    };
    drop(handshake);
    connection.set_max_concurrent_bi_streams(streams_max(hello.class));
    tracing::debug!(%peer, %address, build = hello.build, "accepted a connection");
    let _served = shared.served.enter(peer.role);
    let scope = shared.world().scope.clone();
    let session = Arc::new(Session { shared, bounds, dispatch, peer, address, hello });
    let ending = loop {
        match connection.accept_bi().await {
            Ok((send, receive)) => {
                let deadline = Instant::now() + HEADER_WAIT;
                let exchange = Exchange::new(send, receive, deadline, MESSAGE_BYTES_MAX);
                scope.spawn(serve_stream(session.clone(), exchange));
            }
            Err(error) => break Ending::from(&error),
        }
    };
    drop(client);
    log_ending(address, Some(&session.peer), &ending);
}

/// Checks the peer's certificate and hello, and answers with this side's. On failure, says what to tell the peer, if it
/// does not know.
async fn greet(
    shared: &Shared,
    connection: &Connection,
    deadline: Instant,
) -> Result<(PeerIdentity, Hello), Option<Closing>> {
    let peer = identify(shared, connection).map_err(|fault| Some(Closing::Certificate(fault)))?;
    let (send, receive) = connection.accept_bi().await.map_err(|_| None)?;
    let mut exchange = Exchange::new(send, receive, deadline, HELLO_BYTES_MAX);
    let theirs = receive_hello(&mut exchange).await.map_err(|refusal| refusal.map(Closing::Hello))?;
    let ours = shared.hello(theirs.class);
    theirs.check(&ours, &peer).map_err(|refusal| Some(Closing::Hello(refusal)))?;
    exchange.reply(&ours).await.map_err(|_| None)?;
    Ok((peer, theirs))
}

fn refuse_connection(shared: &Shared, connection: &Connection, address: SocketAddr, closing: Option<Closing>) {
    Counters::count(&shared.counters.hellos);
    match &closing {
        None => {
            let ending = connection.close_reason().map(|error| Ending::from(&error));
            return ending.iter().for_each(|ending| log_ending(address, None, ending));
        }
        Some(Closing::Certificate(fault)) => tracing::warn!(%address, "refused the peer's certificate: {fault}"),
        Some(Closing::Hello(refusal)) => tracing::warn!(%address, "refused the peer's hello: {refusal}"),
        Some(Closing::Done | Closing::WrongPeer) => {}
    }
    closing.iter().for_each(|closing| closing.close(connection));
}

fn log_ending(address: SocketAddr, peer: Option<&PeerIdentity>, ending: &Ending) {
    let peer = peer.map(tracing::field::display);
    match ending {
        Ending::Ordinary(_) => tracing::debug!(%address, peer, "{ending}"),
        _ => tracing::warn!(%address, peer, "{ending}"),
    }
}

/// Reads one request and hands it on, or refuses it.
async fn serve_stream(session: Arc<Session>, mut exchange: Exchange) {
    let counters = &session.shared.counters;
    let (refusal, counter) = match receive_request(&session, &mut exchange).await {
        Ok((header, service, message, permit)) => {
            let wait = Duration::from_millis(u64::from(header.deadline_ms)).min(DEADLINE_MAX);
            let deadline = Instant::now() + wait;
            exchange.set_deadline(deadline);
            return session.dispatch.dispatch(Inbound {
                peer: session.peer.clone(),
                address: session.address,
                cluster: session.hello.cluster,
                incarnation: session.hello.incarnation,
                class: session.hello.class,
                service,
                method: header.method,
                version: header.version,
                deadline,
                message,
                exchange,
                permit,
            });
        }
        Err(Fault::Refused(Refusal::TooLarge)) => (Refusal::TooLarge, &counters.too_large),
        Err(Fault::Refused(Refusal::UnknownMethod)) => (Refusal::UnknownMethod, &counters.unknown),
        Err(Fault::Refused(Refusal::Overloaded)) => (Refusal::Overloaded, &counters.overloaded),
        Err(Fault::Refused(refusal)) => (refusal, &counters.malformed),
        Err(Fault::Broken) => return Counters::count(&counters.malformed),
        Err(Fault::Silent) => return Counters::count(&counters.silent),
    };
    Counters::count(counter);
    tracing::debug!(peer = %session.peer, address = %session.address, "refused a request: {refusal}");
    // If the peer is gone, there is nobody to tell.
    let _ = exchange.refuse(refusal).await;
}

/// Why a stream does not become a request.
enum Fault {
    Refused(Refusal),
    Broken,
    Silent,
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Fault {
        match error {
            CallError::TimedOut => Fault::Silent,
            CallError::Refused(_) | CallError::Unreachable(_) | CallError::Broken => Fault::Broken,
        }
    }
}

async fn receive_request(
    session: &Session,
    exchange: &mut Exchange,
) -> Result<(RequestHeader, Service, bytes::Bytes, OwnedSemaphorePermit), Fault> {
    let header = exchange.receive_half().receive_request_header().await?.ok_or(Fault::Broken)?;
    let header = RequestHeader::decode(header).map_err(|_| Fault::Refused(Refusal::Malformed))?;
    let service = Service::from_number(header.service).ok_or(Fault::Refused(Refusal::UnknownMethod))?;
    let message_max = message_bytes_max(service);
    if header.length as usize > message_max {
        return Err(Fault::Refused(Refusal::TooLarge));
    }
    exchange.set_message_max(message_max);
    let permit = session.bounds.request_bytes.clone().try_acquire_many_owned(header.length);
    let permit = permit.map_err(|_| Fault::Refused(Refusal::Overloaded))?;
    exchange.set_deadline(Instant::now() + MESSAGE_WAIT);
    let message = exchange.receive_half().receive_request_message(header).await?;
    Ok((header, service, message, permit))
}
