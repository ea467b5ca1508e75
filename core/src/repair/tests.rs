//! Groups and nodes of tests, and what the planner makes of them.

mod agenda;
mod backlog;
mod lease;
mod outbox;
mod plan;
mod property;

use super::*;
use crate::id::ChunkIndex;
use crate::wire::membership::{CopyOrder, OrderMark, OrderOutcome, OrderTask, Receipt};

const HOUR: Duration = Duration::from_secs(3600);

/// A node that is Alive and has room for many chunks.
fn alive() -> NodeFacts {
    NodeFacts {
        address: SocketAddr::from(([10, 0, 0, 1], 7000)),
        incarnation: Incarnation(1),
        generation: 0,
        health: Health::Alive,
        available_bytes: 1 << 40,
        writes: 0,
        takes_chunks: true,
    }
}

fn with_health(health: Health) -> NodeFacts {
    NodeFacts { health, ..alive() }
}

/// Nodes 1, 2 and so on.
fn nodes(facts: &[NodeFacts]) -> Nodes {
    (1..).map(NodeId).zip(facts.iter().copied()).collect()
}

/// A copy that counts.
fn on(node: u64) -> CopyFacts {
    CopyFacts { node: NodeId(node), counts: true, verified: false }
}

fn chunk_id(file: u64, index: u32) -> ChunkId {
    ChunkId { file: FileId(file), index: ChunkIndex(index) }
}

fn chunk(file: u64, index: u32, copies: &[CopyFacts]) -> ChunkFacts {
    ChunkFacts {
        chunk: chunk_id(file, index),
        epoch: Epoch(1),
        checksum: Digest::of(&index.to_be_bytes()),
        length: 4 << 20,
        copies: copies.to_vec(),
    }
}

/// A visible group of chunks with three copies wanted, that was first seen to need something an hour ago.
fn group(file: u64, chunks: Vec<ChunkFacts>) -> (GroupFacts, Duration) {
    let (file, group) = (FileId(file), GroupIndex(0));
    (GroupFacts { file, group, replication: 3, purpose: Purpose::Visible, chunks }, Duration::ZERO)
}

/// What is planned an hour later by a leader that has listened.
fn plan_for(groups: &[(GroupFacts, Duration)], nodes: &Nodes, leases: &mut Leases) -> Plan {
    let situation = Situation { nodes, listened: true, now: HOUR, time: ClusterTime(3_600_000) };
    plan(groups, &situation, leases)
}

/// The copies of a plan: source, chunk, target.
fn copies(plan: &Plan) -> Vec<(u64, ChunkId, CopyOrder)> {
    let copy = |(source, task): &(NodeId, OrderTask)| match task {
        OrderTask::Copy { chunk, copy, .. } => Some((source.0, *chunk, *copy)),
        OrderTask::Verify { .. } => None,
    };
    plan.orders.iter().filter_map(copy).collect()
}

/// What a node tells of an order.
fn receipt(order: &OrderTask, outcome: OrderOutcome) -> Receipt {
    let (chunk, epoch, copy) = match order {
        OrderTask::Copy { chunk, epoch, copy, .. } => (*chunk, *epoch, Some(*copy)),
        OrderTask::Verify { chunk, epoch, .. } => (*chunk, *epoch, None),
    };
    Receipt { mark: OrderMark { term: 1, index: 1 }, chunk, epoch, copy, outcome }
}

fn verifies(plan: &Plan) -> Vec<(u64, ChunkId)> {
    let verify = |(node, task): &(NodeId, OrderTask)| match task {
        OrderTask::Verify { chunk, .. } => Some((node.0, *chunk)),
        OrderTask::Copy { .. } => None,
    };
    plan.orders.iter().filter_map(verify).collect()
}

fn reasons(plan: &Plan) -> Vec<NotPlanned> {
    plan.held_back.iter().map(|held| held.why).collect()
}
