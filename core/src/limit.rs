//! Every bound of the system, on one page, with how the bounds relate asserted below.
//!
//! A bound is what a message, queue, batch, retry or payload may cost at most. Settings that an operator may change
//! are in [`crate::settings`]; what stands here is part of the protocol or of the format.

/// Chunks that share a placement; a mask has one bit for each.
pub const CHUNKS_PER_GROUP: u32 = 16;
/// Bytes of a block: the unit of checksums within a chunk.
pub const BLOCK_BYTES: u32 = 64 * 1024;
/// Bytes of the smallest chunk size that a file may have.
pub const CHUNK_BYTES_MIN: u32 = 64 * 1024;
/// Bytes of a chunk where a file does not say otherwise.
pub const CHUNK_BYTES_DEFAULT: u32 = 4 * 1024 * 1024;
/// Bytes of the largest chunk size that a file may have.
pub const CHUNK_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Copies of a chunk that a file may ask for at most.
pub const REPLICATION_MAX: u8 = 8;

/// Bytes of a file's whole name at most.
pub const NAME_BYTES_MAX: usize = 1024;
/// Bytes of one component of a name at most, as in most file systems.
pub const COMPONENT_BYTES_MAX: usize = 255;

/// Bytes of a request or reply message (not of the payload behind it) at most.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one message of the Raft protocol at most.
pub const RAFT_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of log entries that one append carries at most (at least one entry always).
pub const RAFT_APPEND_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of one command in the Raft log at most.
pub const COMMAND_BYTES_MAX: usize = 256 * 1024;

/// Files or names in one page of a listing at most.
pub const LIST_PAGE_MAX: usize = 1000;
/// Bytes of one page of a listing at most (at least one file always).
pub const LIST_PAGE_BYTES_MAX: usize = 256 * 1024;
/// Groups in one page of a file's locations at most.
pub const LOCATE_PAGE_MAX: usize = 64;
/// Storage nodes in trouble that a summary of the cluster names at most.
pub const TROUBLED_NODES_MAX: usize = 16;
/// Nodes in one page of the node list at most.
pub const NODES_PAGE_MAX: usize = 1000;
/// Groups whose reports ride one request at most.
pub const REPORT_GROUPS_MAX: usize = 8;
/// Groups that an upload places ahead of its highest reported chunk at most.
pub const GROUPS_AHEAD_MAX: u32 = 256;
/// Open uploads of one name that are looked at for one to go on with, the newest first.
pub const RESUME_CANDIDATES_MAX: usize = 16;
/// Late reports that one beat carries at most; more wait for the next.
pub const LATE_REPORTS_PER_BEAT_MAX: usize = 1024;
/// Late reports that one Raft entry carries at most.
pub const LATE_REPORTS_PER_ENTRY_MAX: usize = 1024;
/// Nodes that an allocation may exclude at most.
pub const EXCLUDED_NODES_MAX: usize = 64;
/// Orders that the answer to one beat carries at most.
pub const ORDERS_PER_BEAT_MAX: usize = 256;
/// Receipts that one beat, and one Raft entry, carries at most; more wait for the next.
pub const RECEIPTS_PER_BEAT_MAX: usize = 512;
/// Receipts that a storage node keeps for its next beats at most: one for each order that it may have in mind.
pub const RECEIPTS_WAITING_MAX: usize = 4096;
/// Receipts that the replicated state keeps: the newest.
pub const RECEIPTS_KEPT_MAX: u64 = 100_000;
/// Receipts, or groups of a node, in one page at most.
pub const REPAIR_PAGE_MAX: usize = 256;

/// Groups that wait for repair that a leader keeps in mind at most; further ones are found again by the next sweep.
pub const REPAIR_BACKLOG_MAX: usize = 16_384;
/// Of them, those at most that miss nothing, and have copies to be read back.
pub const REPAIR_BACKLOG_VERIFIES_MAX: usize = REPAIR_BACKLOG_MAX / 4;
/// How long a leader may be held up between two looks at its nodes before it was not listening in that time.
pub const LEADER_HELD_UP_MS: u64 = 5_000;
/// The same where windows are short: longer than what lies between two looks at all nodes.
pub const LEADER_HELD_UP_MIN_MS: u64 = 2_000;
/// How long a leader pauses between two looks at all groups.
pub const SWEEP_PAUSE_MS: u64 = 10_000;
/// Copies under way in the whole cluster at most.
pub const REPAIR_COPIES_MAX: usize = 1024;
/// Copies under way from one node, and to one node, at most.
pub const REPAIR_COPIES_PER_NODE_MAX: usize = 128;
/// Their bytes at most, but for one copy alone.
pub const REPAIR_BYTES_PER_NODE_MAX: u64 = 64 * 1024 * 1024;
/// Copies that one node is to read back and check at once at most.
pub const REPAIR_VERIFIES_PER_NODE_MAX: usize = 8;
/// How long a storage node may take for an order, from when it took it.
pub const ORDER_WITHIN_MS: u64 = 60_000;
/// How long a leader waits for the receipt of an order before it plans anew.
pub const ORDER_LEASE_MS: u64 = 75_000;
/// After how long an order of which nothing was heard is handed out again: the answer that carried it may be lost.
pub const ORDER_HAND_OUT_AGAIN_MS: u64 = 10_000;
/// How often an order is handed out at most.
pub const ORDER_HAND_OUTS_MAX: u32 = 3;
/// How long a leader leaves alone a copy that failed at a target, or could not be read at a source.
pub const ORDER_AVOID_MS: u64 = 60_000;
/// How long copies that an upload left behind are their primary's before repair plans them.
pub const PENDING_COPY_LEASE_MS: u64 = 30_000;
/// How long an upload must have made no progress before its groups are repaired.
pub const UPLOAD_QUIET_MS: u64 = 60_000;
/// Orders that a storage node keeps in mind at most; further ones are left to be planned anew.
pub const ORDERS_WAITING_MAX: usize = 1024;
/// Ordered copies that a storage node makes at once at most.
pub const ORDERED_COPIES_MAX: usize = 4;
/// Copies that a storage node reads back and checks by order at once at most.
pub const ORDERED_VERIFIES_MAX: usize = 2;

/// Changes of one node's health that a leader keeps in mind at most.
pub const HEALTH_HISTORY_MAX: usize = 16;

/// Administrative requests whose answers are kept at most.
pub const REQUESTS_KEPT_MAX: u64 = 400_000;
/// Bytes of state that kept answers take at most.
pub const REQUESTS_KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Old answers that one Raft entry forgets at most; the next entries forget the rest.
pub const REQUESTS_EXPIRED_PER_ENTRY_MAX: usize = 8;
/// How long the answer to an administrative request is kept, in cluster time.
pub const REQUEST_KEPT_MS: u64 = 15 * 60 * 1000;
/// How far the time in the state may stay behind the leader's clock.
pub const STATE_TIME_BEHIND_MAX_MS: u64 = 5 * 60 * 1000;
/// How long a client goes by the cluster time that it was told last.
pub const CLUSTER_TIME_KEPT_MS: u64 = 60 * 1000;

/// Slow peers that a storage node tells with a beat.
pub const SLOW_PEERS_TOLD_MAX: usize = 8;

/// How long a replaced version of a file stays readable by its id, in cluster time, so that whoever began to read it
/// ends undisturbed.
pub const VERSION_GRACE_MS: u64 = 10 * 60 * 1000;

/// Bytes that one forward of a chunk may lag behind its primary.
pub const FORWARD_BUFFER_BYTES: usize = 1024 * 1024;
/// How long a replica may stand still, with its forward's buffer full, before it is dropped.
pub const FORWARD_STALL_MS: u64 = 250;
/// How long a primary waits for the remaining replicas once W copies are durable.
pub const STRAGGLER_WAIT_MS: u64 = 200;
/// How often a primary that waits for a permit, its disk or its replicas says that it is at it, and how often a node does
/// that lets a read wait for its permit.
pub const SIGN_OF_LIFE_MS: u64 = 250;
/// How long a needed replica may stand still at most, whatever a client asks.
pub const REPLICA_PATIENCE_MAX_MS: u32 = 10_000;
/// How long a primary tries to catch up a copy that its node does not take, before it is left to repair.
pub const PENDING_COPY_WITHIN_MS: u64 = 10 * 60 * 1000;
/// Copies that a primary keeps in mind to catch up at most.
pub const PENDING_COPIES_MAX: usize = 65_536;

/// Bytes of chunk payload that a client keeps in flight at most (and at least one chunk).
pub const CLIENT_IN_FLIGHT_BYTES: usize = 64 * 1024 * 1024;
/// Deletions that a client has under way at once where it deletes many files.
pub const DELETES_IN_FLIGHT_MAX: usize = 16;
/// Files that a download of many has on their way at once.
pub const DOWNLOADS_AT_ONCE: usize = 16;
/// Files that an upload of many has on their way at once.
pub const UPLOADS_AT_ONCE: usize = 32;
/// How long a replica that is read from may stand still at least before another one may be read beside it.
pub const READ_STILL_MIN_MS: u64 = 50;
/// How long it may at most, however slow reads have been lately.
pub const READ_STILL_MAX_MS: u64 = 500;
/// Reads beside slow ones, in a thousand reads, while no node is known to be bad.
pub const EXTRA_READS_PERMILLE: u32 = 100;
/// Reads beside slow ones that may come in a burst.
pub const EXTRA_READS_BURST: u32 = 8;
/// Chunks that a storage node takes in as their primary at once at most. Memory per write is bounded by its stream's
/// window and its forwards' buffers, whatever the chunk's size.
pub const PRIMARY_WRITES_MAX: usize = 32;
/// Chunks that a storage node takes in as a replica at once at most. They have permits of their own, so that two
/// nodes which forward to each other cannot wait for each other.
pub const REPLICA_WRITES_MAX: usize = 96;
/// Bytes that a chunk write gathers before it hands them to its disk.
pub const WRITE_PIECE_BYTES: usize = 512 * 1024;
/// Pending copies that a primary catches up at once at most.
pub const CATCH_UPS_MAX: usize = 4;
/// Late reports that a storage node keeps for its next beats at most.
pub const LATE_REPORTS_KEPT_MAX: usize = 65_536;
/// Chunk reads that a storage node serves at once at most.
pub const STORE_READS_MAX: usize = 64;
/// Of them, those of one client at most; further ones of it wait.
pub const STORE_READS_PER_CLIENT_MAX: usize = 48;
/// Of the chunks that a storage node takes in as their primary, those of one client at most; further ones of it wait.
pub const PRIMARY_WRITES_PER_CLIENT_MAX: usize = 24;
/// Client requests that a metadata node works on at once at most; further ones are refused as overloaded.
pub const METADATA_REQUESTS_MAX: usize = 1024;
/// Of them, those of one client at most; further ones of it are refused as overloaded.
pub const METADATA_REQUESTS_PER_CLIENT_MAX: usize = 256;

/// How long one attempt at a metadata node lasts at most.
pub const METADATA_ATTEMPT_MS: u64 = 500;
/// How long a storage node waits for an answer of the leader that has answered it before.
pub const LEADER_ATTEMPT_MS: u64 = 2_000;
/// What a caller waits first, once it has asked all metadata nodes in vain.
pub const LEADER_BACK_OFF_MIN_MS: u64 = 25;
/// What a caller of the metadata cluster waits at most between attempts.
pub const LEADER_BACK_OFF_MAX_MS: u64 = 250;
/// Metadata nodes that a caller keeps in mind at most.
pub const MEMBERS_KNOWN_MAX: usize = 16;
/// How often an idle control connection shows that it lives.
pub const CONTROL_KEEP_ALIVE_MS: u64 = 800;
/// How long a control connection may be silent before it is lost.
pub const CONTROL_IDLE_MS: u64 = 2_000;
/// How long a bulk connection may be silent before it is lost.
pub const BULK_IDLE_MS: u64 = 10_000;
/// How long a connection is kept alive that this side opened and does not use.
pub const CONNECTION_UNUSED_MS: u64 = 60_000;
/// How long a peer has to complete its TLS handshake and its hello.
pub const HELLO_MS: u64 = 2_000;

// How the bounds relate.
const _: () = {
    assert!(CHUNK_BYTES_MIN.is_multiple_of(BLOCK_BYTES));
    assert!(CHUNK_BYTES_MIN <= CHUNK_BYTES_DEFAULT && CHUNK_BYTES_DEFAULT <= CHUNK_BYTES_MAX);
    assert!(CHUNKS_PER_GROUP <= 16, "masks are sixteen bits wide");
    assert!(COMPONENT_BYTES_MAX <= NAME_BYTES_MAX);
    assert!(NAME_BYTES_MAX <= u16::MAX as usize, "a directory keeps the length of the longest name below it");
    assert!(COMMAND_BYTES_MAX <= RAFT_APPEND_BYTES_MAX, "an entry fits an append");
    assert!(RAFT_APPEND_BYTES_MAX < RAFT_MESSAGE_BYTES_MAX, "an append fits a message");
    assert!(CLIENT_IN_FLIGHT_BYTES >= CHUNK_BYTES_MAX as usize);
    assert!(READ_STILL_MIN_MS <= READ_STILL_MAX_MS && READ_STILL_MAX_MS < 1000, "a bad node costs less than a second");
    assert!(WRITE_PIECE_BYTES <= FORWARD_BUFFER_BYTES, "a piece fits a forward's buffer");
    assert!(LATE_REPORTS_PER_BEAT_MAX <= LATE_REPORTS_PER_ENTRY_MAX, "a beat's reports fit one entry");
    // A late report has a digest and a few numbers: an entry full of them fits the log.
    assert!(LATE_REPORTS_PER_ENTRY_MAX * 96 < COMMAND_BYTES_MAX);
    // A receipt has a digest, two chunk numbers, an epoch, a mark and a target: an entry full of them fits the log.
    assert!(RECEIPTS_PER_BEAT_MAX * 128 < COMMAND_BYTES_MAX);
    assert!(REPAIR_COPIES_PER_NODE_MAX + REPAIR_VERIFIES_PER_NODE_MAX <= ORDERS_PER_BEAT_MAX);
    assert!(ORDERS_PER_BEAT_MAX <= ORDERS_WAITING_MAX && ORDERS_WAITING_MAX <= RECEIPTS_WAITING_MAX);
    assert!(ORDERED_COPIES_MAX + CATCH_UPS_MAX <= REPLICA_WRITES_MAX, "two nodes that repair leave room for writes");
    assert!(STORE_READS_PER_CLIENT_MAX < STORE_READS_MAX, "one client leaves reads to others");
    assert!(PRIMARY_WRITES_PER_CLIENT_MAX < PRIMARY_WRITES_MAX, "one client leaves writes to others");
    assert!(METADATA_REQUESTS_PER_CLIENT_MAX < METADATA_REQUESTS_MAX, "one client leaves requests to others");
    assert!(ORDER_WITHIN_MS < ORDER_LEASE_MS, "an order is given up before it is planned anew");
    assert!(CONTROL_KEEP_ALIVE_MS * 2 < CONTROL_IDLE_MS, "one lost keep-alive does not end a connection");
    assert!(METADATA_ATTEMPT_MS < CONTROL_IDLE_MS);
    assert!(VERSION_GRACE_MS <= REQUEST_KEPT_MS);
    // A request that is tried for the first time now is not taken for an old one.
    assert!(STATE_TIME_BEHIND_MAX_MS + CLUSTER_TIME_KEPT_MS < REQUEST_KEPT_MS / 2);
    // A page of a listing holds names, and a page of locations holds checksums: both fit a message.
    assert!(LIST_PAGE_BYTES_MAX + NAME_BYTES_MAX < MESSAGE_BYTES_MAX);
    assert!(LOCATE_PAGE_MAX * CHUNKS_PER_GROUP as usize * 64 < MESSAGE_BYTES_MAX);
};
