//! `MetricsActor`: tells metrics to whoever asks by HTTP.
//!
//! *Owns* the loop that accepts connections on a listener that the node was given; what there is to tell is the node's.
//! *Receives* the news that the loop ended. *Asks* nobody. *Supervised by* the node's tree, last of all: nothing needs
//! it. *Bounds*: `CONNECTIONS_MAX` connections at once, further ones wait in the kernel; `HEAD_BYTES_MAX` bytes of
//! request, one request per connection, and `WITHIN` for all of it.
//!
//! This is as much of HTTP/1.1 (RFC 9112) as a scraper needs: `GET /metrics`, answered whole and closed. Deliberately
//! absent: TLS and any say about who may ask; the listener is on loopback unless an operator wants otherwise.

use crate::seat::Seat;
use dfs_transport::world::{OwnedTask, Scope};
use futures_util::future::BoxFuture;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

/// Connections that are served at once.
const CONNECTIONS_MAX: usize = 8;
/// Bytes of a request's first line and headers.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long a connection may take from its first byte to its last.
const WITHIN: Duration = Duration::from_secs(5);
/// What is waited when the kernel gives no connection, for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Writes the page of metrics as it is now.
pub type Page = Arc<dyn Fn() -> BoxFuture<'static, String> + Send + Sync>;

/// What the actor is told.
pub enum MetricsMessage {
    /// The loop ended.
    Ended,
}

/// Where the actor sits.
pub type MetricsSeat = Seat<MetricsMessage>;

/// Tells metrics.
pub struct MetricsActor;

/// What the actor needs.
#[derive(Clone)]
pub struct MetricsArguments {
    /// The owner of its tasks.
    pub scope: Scope,
    /// Where it is asked.
    pub listener: Arc<TcpListener>,
    /// What it answers.
    pub page: Page,
}

/// What the actor keeps.
pub struct MetricsState {
    #[allow(dead_code, reason = "held: the loop ends with the actor")]
    accepting: OwnedTask<()>,
}

impl Actor for MetricsActor {
    type Msg = MetricsMessage;
    type State = MetricsState;
    type Arguments = MetricsArguments;

    async fn pre_start(
        &self,
        me: ActorRef<MetricsMessage>,
        arguments: MetricsArguments,
    ) -> Result<MetricsState, ActorProcessingErr> {
        let accepting = arguments.scope.clone().spawn(async move {
            let serving = arguments.scope.spawn(accept(arguments.clone())).owned();
            let _ = serving.await;
            let _ = me.send_message(MetricsMessage::Ended);
        });
        Ok(MetricsState { accepting: accepting.owned() })
    }

    async fn handle(
        &self,
        _: ActorRef<MetricsMessage>,
        MetricsMessage::Ended: MetricsMessage,
        _: &mut MetricsState,
    ) -> Result<(), ActorProcessingErr> {
        Err("the metrics listener takes no more connections".into())
    }
}

async fn accept(arguments: MetricsArguments) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Ok(permit) = permits.clone().acquire_owned().await {
        match arguments.listener.accept().await {
            Ok((connection, _)) => {
                let page = arguments.page.clone();
                arguments.scope.spawn(async move {
                    let _permit = permit;
                    // Whoever asks too slowly, or goes away, asks again.
                    let _ = timeout(WITHIN, serve(connection, page)).await;
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a metrics connection was not accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(mut connection: impl AsyncRead + AsyncWrite + Unpin, page: Page) -> io::Result<()> {
    let (status, body) = match read_head(&mut connection).await? {
        Some(head) => match route(&head) {
            Ok(()) => ("200 OK", page().await),
            Err(status) => (status, format!("{status}; metrics are at GET /metrics\n")),
        },
        None => ("431 Request Header Fields Too Large", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body.as_bytes()).await?;
    connection.shutdown().await
}

/// The first line and the headers of a request; nothing if they are too long.
async fn read_head(connection: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        if head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
            return Ok(Some(head));
        }
        if head.len() >= HEAD_BYTES_MAX {
            return Ok(None);
        }
        let room = (HEAD_BYTES_MAX - head.len()) as u64;
        if connection.take(room).read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Whether a request asks for the metrics; else what it is answered.
fn route(head: &[u8]) -> Result<(), &'static str> {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = std::str::from_utf8(line).map_err(|_| "400 Bad Request")?.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version)) if version.starts_with("HTTP/1.") => {
            let path = target.split('?').next().unwrap_or_default();
            match (method, path) {
                ("GET", "/metrics") => Ok(()),
                (_, "/metrics") => Err("405 Method Not Allowed"),
                _ => Err("404 Not Found"),
            }
        }
        _ => Err("400 Bad Request"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    /// What is answered to these bytes, with nothing behind them.
    async fn ask(request: &[u8]) -> (io::Result<()>, String) {
        let (mut client, server) = duplex(64 * 1024);
        client.write_all(request).await.unwrap();
        let page: Page = Arc::new(|| Box::pin(async { "dfs_ready 1\n".to_owned() }));
        let served = timeout(Duration::from_secs(1), serve(server, page)).await;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        (served.unwrap_or(Err(io::ErrorKind::TimedOut.into())), answer)
    }

    #[tokio::test]
    async fn metrics_are_told_to_a_scraper() {
        let (served, answer) = ask(b"GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n").await;
        served.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("Content-Length: 12\r\n") && answer.ends_with("\r\n\r\ndfs_ready 1\n"), "{answer}");
    }

    #[tokio::test]
    async fn everything_else_is_refused_with_its_code() {
        for (request, code) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("GET /metrics\r\n\r\n", "400"),
            ("\u{fffd}\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
        ] {
            let (_, answer) = ask(request.as_bytes()).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {code} ")), "{request:?}: {answer}");
        }
    }

    #[tokio::test]
    async fn a_request_without_an_end_is_cut_off() {
        let endless = [b"GET /metrics HTTP/1.1\r\n".as_slice(), &[b'x'; HEAD_BYTES_MAX]].concat();
        let (_, answer) = ask(&endless).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_and_idle_connections_keep_nobody_away_for_long() {
        let scope = dfs_transport::world::World::production("test").scope;
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        let page: Page = Arc::new(|| Box::pin(async { String::new() }));
        let _accepting = scope.clone().spawn(accept(MetricsArguments { scope, listener, page })).owned();
        let mut idle = Vec::new();
        for _ in 0..2 * CONNECTIONS_MAX {
            idle.push(tokio::net::TcpStream::connect(address).await.unwrap());
        }
        let mut last = tokio::net::TcpStream::connect(address).await.unwrap();
        last.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        let answered = timeout(3 * WITHIN + Duration::from_secs(1), last.read_to_string(&mut answer)).await;
        assert!(answered.is_ok() && answer.starts_with("HTTP/1.1 200"), "{answered:?} {answer}");
    }
}
