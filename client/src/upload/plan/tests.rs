use super::*;
use dfs_core::checksum::Digest;
use dfs_core::mask::ChunkMask;
use dfs_core::refusal::Refusal;
use dfs_transport::exchange::CallError;
use dfs_transport::world::World;

const PATIENCE: Patience = Patience {
    with_group: Duration::from_secs(30),
    with_node_first: Duration::from_millis(750),
    with_node_most: Duration::from_secs(5),
};

fn node(id: u64) -> NodeAddress {
    NodeAddress { node: NodeId(id), address: ([127, 0, 0, 1], 7000 + u16::try_from(id).unwrap()).into() }
}

fn placement(group: u32, epoch: u32, nodes: &[u64]) -> GroupPlacement {
    GroupPlacement {
        group: GroupIndex(group),
        epoch: Epoch(epoch),
        write_quorum: 2,
        nodes: nodes.iter().copied().map(node).collect(),
    }
}

fn plan(chunks_total: Option<u64>, parallel: usize) -> Plan {
    let mut plan = Plan::new(FileId(1), UploadNonce(2), chunks_total, parallel, PATIENCE, Arc::default());
    plan.handle_placed(placement(0, 1, &[1, 2, 3])).unwrap();
    plan
}

fn written() -> ChunkWritten {
    ChunkWritten { checksum: Digest([0; 32]), holders: vec![NodeId(1), NodeId(2)] }
}

/// All steps that can be taken now.
fn steps(plan: &mut Plan, now: Instant) -> (Vec<AllocateGroup>, Vec<Send>, Option<Instant>) {
    let (mut placements, mut sends) = (Vec::new(), Vec::new());
    loop {
        match plan.next_step(now, &[]) {
            Step::Place(request) => placements.push(request),
            Step::Send(send) => sends.push(send),
            Step::Wait(until) => return (placements, sends, until),
        }
    }
}

fn fail(plan: &mut Plan, send: &Send, failure: TransferFailure, now: Instant) -> Result<Vec<ChunkIndex>, ClientError> {
    let entropy = World::production("test").entropy;
    let reaction = Reaction::to(&failure, send.primary.node);
    plan.handle_failed(send, failure, &reaction, now, &entropy)
}

/// Runs an upload without failures; answers the placements that were asked for and the last reports.
fn run(total: u32, known: bool) -> (Vec<AllocateGroup>, Vec<GroupReport>) {
    let now = Instant::now();
    let mut plan = plan(known.then_some(u64::from(total)), 4);
    let (mut asked, mut cut) = (Vec::new(), 0);
    while !plan.is_complete() {
        if cut < total {
            plan.handle_cut(ChunkIndex(cut), 10);
            cut += 1;
        } else {
            plan.handle_end();
        }
        let (placements, sends, _) = steps(&mut plan, now);
        sends.iter().for_each(|send| plan.handle_written(send, written()));
        for request in placements {
            plan.handle_placed(placement(request.group.0, request.epoch.0, &[1, 2, 3])).unwrap();
            asked.push(request);
        }
    }
    let last = plan.take_last_reports();
    (asked, last)
}

#[tokio::test(start_paused = true)]
async fn each_group_is_placed_once_and_each_chunk_reported_once() {
    for known in [true, false] {
        for total in [1, 15, 16, 17, 32, 33, 100] {
            let (asked, last) = run(total, known);
            let groups: Vec<u32> = asked.iter().map(|request| request.group.0).collect();
            assert_eq!(groups, (1..total.div_ceil(16)).collect::<Vec<_>>(), "{total} chunks, known: {known}");
            let mut reported: Vec<u32> = asked
                .iter()
                .flat_map(|request| &request.reports)
                .chain(&last)
                .flat_map(|group| group.chunks.iter().map(|chunk| chunk.index.0))
                .collect();
            reported.sort_unstable();
            assert_eq!(reported, (0..total).collect::<Vec<_>>());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_is_asked_for_ahead_where_the_size_is_known() {
    let mut plan = plan(Some(40), 4);
    plan.handle_cut(ChunkIndex(0), 10);
    let (placements, sends, _) = steps(&mut plan, Instant::now());
    assert_eq!(placements.iter().map(|request| request.group.0).collect::<Vec<_>>(), [1]);
    assert_eq!(sends.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn primaries_take_turns_and_no_more_chunks_travel_than_asked() {
    let mut plan = plan(None, 4);
    (0..6).for_each(|index| plan.handle_cut(ChunkIndex(index), 10));
    let (_, sends, _) = steps(&mut plan, Instant::now());
    assert_eq!(sends.iter().map(|send| send.primary.node.0).collect::<Vec<_>>(), [1, 2, 3, 1]);
    assert_eq!(sends[1].request.replicas, [node(3), node(1)]);
    plan.handle_written(&sends[0], written());
    let (_, more, _) = steps(&mut plan, Instant::now());
    assert_eq!(more.iter().map(|send| send.request.chunk.index.0).collect::<Vec<_>>(), [4]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_primary_gets_its_group_another_placement_and_durable_chunks_stay() {
    let now = Instant::now();
    let mut plan = plan(None, 6);
    (0..6).for_each(|index| plan.handle_cut(ChunkIndex(index), 10));
    let (_, sends, _) = steps(&mut plan, now);
    plan.handle_written(&sends[1], written());
    // Chunks 0 and 3 have node 1 as their primary.
    let stopped = fail(&mut plan, &sends[0], TransferFailure::Call(CallError::TimedOut), now).unwrap();
    assert_eq!(stopped, [ChunkIndex(3)]);
    // The others end first.
    let (placements, none, _) = steps(&mut plan, now);
    assert!(placements.is_empty() && none.is_empty());
    for position in [2, 4] {
        plan.handle_written(&sends[position], written());
    }
    assert_eq!(fail(&mut plan, &sends[5], TransferFailure::Stalled, now).unwrap(), []);
    let (placements, _, _) = steps(&mut plan, now);
    assert_eq!(placements.len(), 1);
    assert_eq!(placements[0].epoch, Epoch(2));
    assert_eq!(placements[0].reports[0].epoch, Epoch(1));
    assert_eq!(placements[0].reports[0].chunks.len(), 3);
    plan.handle_placed(placement(0, 2, &[2, 3])).unwrap();
    let (_, sends, _) = steps(&mut plan, now);
    assert_eq!(sends.iter().map(|send| send.request.chunk.index.0).collect::<Vec<_>>(), [0, 3, 5]);
    assert!(sends.iter().all(|send| send.request.epoch == Epoch(2) && send.primary.node != NodeId(1)));
}

#[tokio::test(start_paused = true)]
async fn a_busy_primary_is_tried_again_later_but_not_for_ever() {
    let mut now = Instant::now();
    let mut plan = plan(None, 6);
    plan.handle_cut(ChunkIndex(0), 10);
    for _ in 0..BUSY_TRIES {
        let (placements, sends, _) = steps(&mut plan, now);
        assert!(placements.is_empty());
        let busy = TransferFailure::Call(CallError::Refused(Refusal::Overloaded));
        fail(&mut plan, &sends[0], busy, now).unwrap();
        let (_, sends, until) = steps(&mut plan, now);
        assert!(sends.is_empty());
        now = until.expect("there is something to wait for");
    }
    let (_, sends, _) = steps(&mut plan, now);
    fail(&mut plan, &sends[0], TransferFailure::Call(CallError::Refused(Refusal::Overloaded)), now).unwrap();
    let (placements, _, _) = steps(&mut plan, now + PATIENCE.with_group);
    assert_eq!(placements[0].epoch, Epoch(2));
}

#[tokio::test(start_paused = true)]
async fn a_group_that_never_succeeds_fails_the_upload_in_bounded_time() {
    let start = Instant::now();
    let mut now = start;
    let mut plan = plan(None, 1);
    plan.handle_cut(ChunkIndex(0), 10);
    let error = loop {
        let (placements, sends, until) = steps(&mut plan, now);
        if let Some(request) = placements.first() {
            plan.handle_placed(placement(0, request.epoch.0, &[1, 2, 3])).unwrap();
        } else if let Some(send) = sends.first() {
            if let Err(error) = fail(&mut plan, send, TransferFailure::Stalled, now) {
                break error;
            }
        } else {
            now = until.expect("there is something to wait for");
        }
    };
    assert!(matches!(error, ClientError::ChunkUnwritable { .. }));
    assert!(now - start < PATIENCE.with_group + Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_stuck_group_never_leaves_more_reports_than_one_request_takes() {
    let now = Instant::now();
    let mut plan = plan(None, 32);
    let mut stuck = 0;
    for index in 0..16 * 20 {
        plan.handle_cut(ChunkIndex(index), 10);
        let (placements, sends, _) = steps(&mut plan, now);
        for send in sends {
            if send.request.chunk.index.slot() == 7 {
                stuck += 1;
            } else {
                plan.handle_written(&send, written());
            }
        }
        for request in placements {
            assert!(request.reports.len() <= REPORT_GROUPS_MAX);
            plan.handle_placed(placement(request.group.0, 1, &[1, 2, 3])).unwrap();
        }
        assert!(plan.groups.values().filter(|group| group.placement.is_some()).count() <= REPORT_GROUPS_MAX);
    }
    assert_eq!(stuck, REPORT_GROUPS_MAX);
    assert!(plan.take_last_reports().len() <= REPORT_GROUPS_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_placement_that_cannot_be_is_not_believed() {
    let mut fresh = Plan::new(FileId(1), UploadNonce(2), None, 4, PATIENCE, Arc::default());
    assert!(fresh.handle_placed(placement(0, 1, &[1])).is_err());
    assert!(plan(None, 4).handle_placed(placement(0, 1, &[1, 2, 3])).is_err());
}

/// Cuts or passes over all chunks of a resumed upload; answers the placements that were asked for and what was sent.
fn resume(stock: Stock, total: u32) -> [Vec<(u32, Epoch)>; 2] {
    let stock = Arc::new(stock);
    let mut plan = Plan::new(FileId(1), UploadNonce(2), Some(total.into()), 4, PATIENCE, Arc::clone(&stock));
    let (mut asked, mut sent) = (Vec::new(), Vec::new());
    for index in (0..total).map(ChunkIndex) {
        if stock.has(index) {
            plan.handle_there(index);
        } else {
            plan.handle_cut(index, 10);
        }
        loop {
            let (placements, sends, _) = steps(&mut plan, Instant::now());
            if placements.is_empty() && sends.is_empty() {
                break;
            }
            for request in placements {
                asked.push((request.group.0, request.epoch));
                plan.handle_placed(placement(request.group.0, request.epoch.0, &[1, 2, 3])).unwrap();
            }
            for send in sends {
                sent.push((send.request.chunk.index.0, send.request.epoch));
                plan.handle_written(&send, written());
            }
        }
        let most = plan.groups.values().filter(|group| group.waiting.is_empty()).count();
        assert!(most <= 2, "groups that are done are not kept: {most}");
    }
    plan.handle_end();
    assert!(plan.is_complete());
    [asked, sent]
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_run_left_is_not_sent_again_and_what_it_lacks_goes_under_another_epoch() {
    let mask = |slots: &[u32]| slots.iter().fold(ChunkMask::EMPTY, |mask, slot| mask.union(ChunkMask::of(*slot)));
    // Groups 0 and 2 are complete, 1 and 3 are not, 4 and 5 were never placed.
    let all_but_two: Vec<u32> = (0..16).filter(|slot| ![3, 15].contains(slot)).collect();
    let stock = Stock::of(4, &[(1, 1, mask(&all_but_two)), (3, 7, mask(&[0, 1, 2]))]);
    let [asked, sent] = resume(stock, 16 * 5 + 2);
    assert_eq!(asked, [(1, Epoch(2)), (3, Epoch(8)), (4, Epoch(1)), (5, Epoch(1))]);
    let mut expected = vec![(19, Epoch(2)), (31, Epoch(2))];
    expected.extend((51..64).map(|index| (index, Epoch(8))));
    expected.extend((64..82).map(|index| (index, Epoch(1))));
    assert_eq!(sent, expected);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_all_there_asks_for_nothing() {
    assert_eq!(resume(Stock::of(3, &[]), 40), [vec![], vec![]]);
    assert_eq!(resume(Stock::of(0, &[]), 0), [vec![], vec![]]);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_with_other_bytes_is_sent_again_under_another_epoch() {
    let stock = Arc::new(Stock::of(2, &[]));
    let mut plan = Plan::new(FileId(1), UploadNonce(2), Some(32), 4, PATIENCE, stock);
    for index in (0..32).map(ChunkIndex) {
        if [5, 6].contains(&index.0) {
            plan.handle_differs(index, Epoch(3));
            plan.handle_cut(index, 10);
        } else {
            plan.handle_there(index);
        }
    }
    plan.handle_end();
    let (placements, _, _) = steps(&mut plan, Instant::now());
    assert_eq!(placements.iter().map(|request| (request.group.0, request.epoch.0)).collect::<Vec<_>>(), [(0, 4)]);
    plan.handle_placed(placement(0, 4, &[1, 2, 3])).unwrap();
    let (_, sends, _) = steps(&mut plan, Instant::now());
    assert_eq!(sends.iter().map(|send| send.request.chunk.index.0).collect::<Vec<_>>(), [5, 6]);
    assert!(!plan.is_complete());
    sends.iter().for_each(|send| plan.handle_written(send, written()));
    assert!(plan.is_complete() && plan.groups.is_empty());
}

#[tokio::test(start_paused = true)]
async fn patience_with_a_node_doubles_with_each_vain_placement_and_starts_again_with_success() {
    let mut now = Instant::now();
    let mut plan = plan(None, 1);
    plan.handle_cut(ChunkIndex(0), 10);
    plan.handle_cut(ChunkIndex(1), 10);
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let (placements, sends, until) = steps(&mut plan, now);
        if let Some(request) = placements.first() {
            plan.handle_placed(placement(0, request.epoch.0, &[1, 2, 3])).unwrap();
        } else if let Some(send) = sends.first() {
            assert_eq!(u128::from(send.request.patience_ms), send.patience.as_millis());
            seen.push(send.request.patience_ms);
            match seen.len() {
                5 => plan.handle_written(send, written()),
                _ => drop(fail(&mut plan, send, TransferFailure::Stalled, now).unwrap()),
            }
        } else {
            now = until.expect("there is something to wait for");
        }
    }
    assert_eq!(seen, [750, 1500, 3000, 5000, 5000]);
    let (_, sends, _) = steps(&mut plan, now);
    assert_eq!(sends[0].request.patience_ms, 750);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_failed_in_one_group_is_not_met_again_in_the_next() {
    let now = Instant::now();
    let mut plan = plan(Some(48), 32);
    (0..18).for_each(|index| plan.handle_cut(ChunkIndex(index), 10));
    let (placements, sends, _) = steps(&mut plan, now);
    assert_eq!((placements.len(), placements[0].group), (1, GroupIndex(1)));
    plan.handle_placed(placement(1, 1, &[2, 1, 4])).unwrap();
    let (placements, more, _) = steps(&mut plan, now);
    plan.handle_placed(placement(2, 1, &[3, 4, 5])).unwrap();
    assert_eq!((placements[0].group, more.len()), (GroupIndex(2), 2));
    // Chunk 0 finds node 1 dead; chunk 17 of the next group is on its way there.
    let stopped = fail(&mut plan, &sends[0], TransferFailure::Stalled, now).unwrap();
    assert!(stopped.contains(&ChunkIndex(17)) && !stopped.contains(&ChunkIndex(16)), "{stopped:?}");
    for send in sends.iter().chain(&more).filter(|send| send.primary.node != NodeId(1)) {
        plan.handle_written(send, written());
    }
    let (mut asked, mut first) = (Vec::new(), steps(&mut plan, now));
    while let Some(request) = first.0.pop() {
        asked.push((request.group.0, request.epoch.0));
        plan.handle_placed(placement(request.group.0, request.epoch.0, &[2, 3, 4])).unwrap();
        first = steps(&mut plan, now);
    }
    // The last group does not have the node.
    assert_eq!(asked, [(0, 2), (1, 2)]);
}
