//! How patient a client is.

use std::net::SocketAddr;
use std::time::Duration;

/// How long a client waits for what. The defaults fit a cluster in one building.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSettings {
    /// The local address to speak from; absent means any address of the seeds' family and any free port.
    pub listen: Option<SocketAddr>,
    /// How long to look for a metadata node before any has answered.
    pub connect_timeout: Duration,
    /// How long one request to the metadata cluster may take with all its retries, and how long an upload goes on
    /// without any chunk becoming durable although its writes are answered with failures.
    pub operation_timeout: Duration,
    /// How long to ask again while the cluster says that too few storage nodes can take work.
    pub too_few_nodes_timeout: Duration,
    /// How long a storage node that is written to may give no sign of life before another one is tried; and how long it
    /// may make no progress while others do. It doubles with each further placement of a group, up to `stall_timeout`,
    /// so that nodes that are all slow are not changed for ever.
    pub write_patience: Duration,
    /// How long a storage node may stand still within a transfer before another one is tried, at most.
    pub stall_timeout: Duration,
    /// How long a storage node that is read from may stand still before another one is read beside it in any case.
    /// Usually that is done earlier, by what reads have taken lately.
    pub read_patience: Duration,
    /// How long a chunk is tried to be read, from all replicas in turn, before it is called unreadable.
    pub read_timeout: Duration,
}

impl Default for ClientSettings {
    fn default() -> Self {
        ClientSettings {
            listen: None,
            connect_timeout: Duration::from_secs(5),
            operation_timeout: Duration::from_secs(30),
            too_few_nodes_timeout: Duration::from_secs(5),
            write_patience: Duration::from_millis(750),
            stall_timeout: Duration::from_secs(5),
            read_patience: Duration::from_millis(600),
            read_timeout: Duration::from_secs(10),
        }
    }
}
