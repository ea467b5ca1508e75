//! Finding the metadata leader and asking it.
//!
//! Any metadata node says who leads, so one living seed is enough. A request goes to the leader as it is known; if that
//! does not answer within one attempt, or no longer leads, the others are asked in turn, with a short jittered wait
//! between tries, until a leader answers or the operation's time is over. Requests to the leader are idempotent by their
//! nonce, epoch or request id, so that trying again is always safe.
//!
//! Deliberately absent: any opinion about refusals that come from the leader itself, but for those that time heals.

mod route;

use crate::backoff::Backoff;
use crate::error::{ClientError, Subject};
use crate::settings::ClientSettings;
use dfs_core::id::Role;
use dfs_core::limit::{CLUSTER_TIME_KEPT_MS, METADATA_ATTEMPT_MS};
use dfs_core::refusal::Refusal;
use dfs_core::time::ClusterTime;
use dfs_core::wire::Request;
use dfs_core::wire::metadata::{Leadership, ShowTime, WhoLeads};
use dfs_transport::endpoint::Endpoint;
use dfs_transport::exchange::CallError;
use dfs_transport::peers::{Class, Destination, Peers};
use dfs_transport::world::Entropy;
use route::{Next, Route};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Redirects that one request follows without a wait.
const REDIRECTS_AT_ONCE: u32 = 2;

/// The way to the metadata leader, shared by all operations of a client.
#[derive(Debug)]
pub(crate) struct Leader {
    endpoint: Endpoint,
    peers: Peers,
    entropy: Entropy,
    settings: ClientSettings,
    route: Mutex<Route>,
    /// Cluster time as it was told last, and when that was asked for.
    time: Mutex<Option<(ClusterTime, Instant)>>,
    /// Whether any metadata node has ever answered.
    met: AtomicBool,
}

/// What one attempt at the leader means for the request.
enum Verdict {
    /// The leader has spoken.
    Final(Refusal),
    /// Another node may lead; this is it, where it is known.
    Elsewhere(CallError, Option<dfs_core::wire::NodeAddress>),
    /// The node is gone, hangs, or cannot lead.
    Lost(CallError),
    /// The leader can answer a little later.
    Busy(Refusal),
}

impl Leader {
    /// A way that begins at the seeds, of which there is at least one.
    pub(crate) fn new(
        endpoint: Endpoint,
        entropy: Entropy,
        seeds: Vec<SocketAddr>,
        settings: ClientSettings,
    ) -> Leader {
        let peers = endpoint.peers();
        let route = Mutex::new(Route::new(seeds));
        Leader { endpoint, peers, entropy, settings, route, time: Mutex::default(), met: AtomicBool::new(false) }
    }

    /// Asks the leader, whoever that is, for as long as an operation may take.
    pub(crate) async fn ask<R: Request>(&self, request: &R, subject: Subject<'_>) -> Result<R::Reply, ClientError> {
        let begun = Instant::now();
        let mut backoff = Backoff::metadata();
        let (mut redirects, mut tries) = (0, 0);
        loop {
            let next = self.route().next();
            let outcome = match next {
                Next::Leader(leader) => {
                    let to = Destination { address: leader.address, role: Role::Metadata, node: Some(leader.node) };
                    self.attempt(&to, request).await
                }
                Next::Anyone(address, node) => {
                    let to = Destination { address, role: Role::Metadata, node };
                    match self.learn(&to).await {
                        Ok(true) => continue,
                        Ok(false) => Err(CallError::Refused(Refusal::Unavailable)),
                        Err(error) => Err(error),
                    }
                }
            };
            let error = match outcome {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let error = match (next, classify(error)) {
                (_, Verdict::Final(refusal)) => return Err(ClientError::of_refusal(refusal, subject)),
                (Next::Leader(_), Verdict::Elsewhere(error, leader)) => {
                    // Two nodes that name each other must not keep a client spinning.
                    redirects += 1;
                    if self.route().handle_redirect(leader, Instant::now()) && redirects <= REDIRECTS_AT_ONCE {
                        continue;
                    }
                    error
                }
                (Next::Leader(leader), Verdict::Lost(error)) => {
                    self.route().handle_lost_leader(leader.address, Instant::now());
                    error
                }
                (_, Verdict::Busy(refusal)) => {
                    let patience = match refusal {
                        Refusal::TooFewNodes { .. } => self.settings.too_few_nodes_timeout,
                        _ => self.settings.operation_timeout,
                    };
                    if begun.elapsed() >= patience {
                        return Err(ClientError::of_refusal(refusal, subject));
                    }
                    CallError::Refused(refusal)
                }
                // `learn` has given the turn to the next node already.
                (Next::Anyone(..), Verdict::Elsewhere(error, _) | Verdict::Lost(error)) => error,
            };
            tries += 1;
            self.give_up_after(begun, tries, error)?;
            sleep(self.entropy.jitter(backoff.next())).await;
        }
    }

    /// Cluster time, not ahead of what it is and hardly behind, for requests that say when they were first tried.
    pub(crate) async fn time(&self) -> Result<ClusterTime, ClientError> {
        let asked = Instant::now();
        let known = *self.time.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((time, since)) = known
            && asked.saturating_duration_since(since) < Duration::from_millis(CLUSTER_TIME_KEPT_MS)
        {
            return Ok(time);
        }
        let time = self.ask(&ShowTime {}, Subject::Cluster).await?;
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, asked));
        Ok(time)
    }

    /// Asks any metadata node that answers who leads.
    pub(crate) async fn who_leads(&self) -> Result<Leadership, ClientError> {
        let begun = Instant::now();
        let mut backoff = Backoff::metadata();
        let mut tries = 0;
        loop {
            let anyone = self.route().anyone();
            for (address, node) in &anyone {
                let to = Destination { address: *address, role: Role::Metadata, node: *node };
                match self.attempt(&to, &WhoLeads {}).await {
                    Ok(told) => {
                        self.keep(&told);
                        return Ok(told);
                    }
                    Err(error) => {
                        tries += 1;
                        self.give_up_after(begun, tries, error)?;
                    }
                }
            }
            sleep(self.entropy.jitter(backoff.next())).await;
        }
    }

    /// Asks one node who leads. Answers whether a leader is known now.
    async fn learn(&self, to: &Destination) -> Result<bool, CallError> {
        match self.attempt(to, &WhoLeads {}).await {
            Ok(told) => Ok(self.keep(&told)),
            Err(error) => {
                self.route().handle_silence();
                Err(error)
            }
        }
    }

    /// Keeps what a node told of its cluster. Answers whether a leader is known now.
    fn keep(&self, told: &Leadership) -> bool {
        if let (Some(cluster), None) = (told.cluster, self.endpoint.cluster()) {
            // From now on a node of another cluster is refused.
            self.endpoint.set_cluster(cluster);
        }
        self.route().handle_leadership(told, Instant::now())
    }

    /// One bounded call.
    async fn attempt<R: Request>(&self, to: &Destination, request: &R) -> Result<R::Reply, CallError> {
        let deadline = Instant::now() + Duration::from_millis(METADATA_ATTEMPT_MS);
        let outcome = tokio::select! {
            biased;
            outcome = self.peers.call(to, Class::Control, request, deadline) => outcome,
            () = sleep_until(deadline) => Err(CallError::TimedOut),
        };
        match &outcome {
            Ok(_) | Err(CallError::Refused(_)) => self.met.store(true, Ordering::Relaxed),
            Err(error) => tracing::debug!(address = %to.address, %error, "a metadata node did not answer"),
        }
        outcome
    }

    /// Ends an operation whose time is over. Before any node has answered, a reason that time does not heal (a
    /// certificate that is not accepted) ends it once every node had its turn.
    fn give_up_after(&self, begun: Instant, tries: usize, cause: CallError) -> Result<(), ClientError> {
        let waited = begun.elapsed();
        if self.met.load(Ordering::Relaxed) {
            let over = waited >= self.settings.operation_timeout;
            return if over { Err(ClientError::Unavailable { waited, cause }) } else { Ok(()) };
        }
        let tried: Vec<SocketAddr> = self.route().anyone().into_iter().map(|(address, _)| address).collect();
        let hopeless = !cause.is_retryable() && tries >= tried.len();
        let over = hopeless || waited >= self.settings.connect_timeout;
        if over { Err(ClientError::Unreachable { tried, cause }) } else { Ok(()) }
    }

    fn route(&self) -> std::sync::MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a failed attempt at the leader means.
fn classify(error: CallError) -> Verdict {
    match error {
        CallError::Refused(Refusal::NotLeader { leader }) => {
            Verdict::Elsewhere(CallError::Refused(Refusal::NotLeader { leader }), leader)
        }
        CallError::Refused(refusal @ (Refusal::Unavailable | Refusal::Stopping | Refusal::Internal)) => {
            Verdict::Lost(CallError::Refused(refusal))
        }
        CallError::Refused(refusal) if refusal.is_retryable() => Verdict::Busy(refusal),
        CallError::Refused(refusal) => Verdict::Final(refusal),
        gone => Verdict::Lost(gone),
    }
}
