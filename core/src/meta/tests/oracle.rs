//! Random lives of a small cluster: the state machine and the naive model answer the same, in whatever batches.

use super::model::{Model, State};
use super::*;
use crate::id::ChunkId;
use crate::wire::membership::{CopyOrder, CopyReason, OrderMark, OrderOutcome, Receipt};
use proptest::collection::vec;
use proptest::prelude::*;

const NODES: u64 = 4;
/// What sources have, where that is said.
const SIZE: u64 = 300_000;
const NAMES: [&str; 8] = ["a", "b", "a/b", "a/b/c", "a!", "a/d", "a0", "e/f/g"];

/// What is moved, and where to: files and directories.
const PLACES: [&str; 12] = ["a", "b", "a/b", "a/b/c", "a!", "a/d", "a0", "e/f/g", "e", "e/f", "h", "h/i/j"];

/// What is done; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Create { nonce: u8, name: usize, empty: bool, sized: bool, replace: bool, nodes: Vec<NodeId> },
    Allocate { nonce: u8, group: u32, raise: u32, nodes: Vec<NodeId>, reports: Vec<Reports> },
    Commit { nonce: u8, complete: bool, size: u64, reports: Vec<Reports> },
    Delete { request: u8, name: usize, by_id: bool },
    Move { request: u8, from: usize, to: usize },
    Resume { nonce: u8, name: usize, sized: bool, replace: bool },
    Late { nonce: u8, reports: Vec<Reports> },
    Receipts { reporter: u64, told: Vec<Told> },
    Again { step: prop::sample::Index },
    Wait { minutes: u64 },
}

/// Reports of one group: as they are, or made to fit the group's present placement.
#[derive(Clone, Debug)]
struct Reports {
    fitted: bool,
    report: GroupReport,
}

/// One receipt; its chunk is one that is known, if there is any.
#[derive(Clone, Debug)]
struct Told {
    chunk: prop::sample::Index,
    epoch: Option<u32>,
    copy: Option<(u64, Option<u64>)>,
    outcome: u8,
}

fn receipts() -> impl Strategy<Value = Vec<Told>> {
    let epoch = prop_oneof![9 => Just(None), 1 => (1_u32..4).prop_map(Some)];
    let copy = prop::option::weighted(0.8, (1..=NODES + 1, prop::option::of(1..=NODES)));
    let one = (any::<prop::sample::Index>(), epoch, copy, 0_u8..10);
    vec(one.prop_map(|(chunk, epoch, copy, outcome)| Told { chunk, epoch, copy, outcome }), 0..4)
}

fn placement() -> impl Strategy<Value = Vec<NodeId>> {
    let sound = prop::sample::subsequence((1..=NODES).collect::<Vec<_>>(), 2..=3).prop_shuffle();
    prop_oneof![9 => sound, 1 => vec(1..=NODES + 1, 0..4)].prop_map(|nodes| ids(&nodes))
}

/// Reports of one group. Epochs and checksums vary little, so that chunks meet again; whole runs are common, so that
/// files become complete.
fn reports() -> impl Strategy<Value = Vec<Reports>> {
    let holders = prop::sample::subsequence((1..=NODES).collect::<Vec<_>>(), 1..=3);
    let length = prop_oneof![8 => Just(CHUNK), 1 => Just(9_u32), 1 => Just(8), 1 => Just(0)];
    let other = prop::bool::weighted(0.1);
    let parts = (0_u32..3, 1_u32..3, 0_u32..4, 1_u32..4, length, other, holders, prop::bool::weighted(0.8));
    let one = parts.prop_map(|(group, epoch, first, count, last, other, holders, fitted)| {
        let slots = first..first + count;
        let length = |slot| if slot + 1 == first + count { last } else { CHUNK };
        let told = |slot| chunk(group * 16 + slot, length(slot), u8::from(other), &holders);
        Reports { fitted, report: report(group, epoch, slots.map(told).collect()) }
    });
    vec(one, 0..3)
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (0_u8..4, name.clone(), (any::<bool>(), any::<bool>()), any::<bool>(), placement())
            .prop_map(|(nonce, name, (empty, sized), replace, nodes)| {
                Step::Create { nonce, name, empty, sized, replace, nodes }
            }),
        2 => (0_u8..4, name.clone(), prop::bool::weighted(0.8), any::<bool>())
            .prop_map(|(nonce, name, sized, replace)| Step::Resume { nonce, name, sized, replace }),
        6 => (0_u8..4, 0_u32..3, 0_u32..3, placement(), reports()).prop_map(|(nonce, group, raise, nodes, reports)| {
            Step::Allocate { nonce, group, raise, nodes, reports }
        }),
        6 => (0_u8..4, prop::bool::weighted(0.9), 0_u64..400_000, reports())
            .prop_map(|(nonce, complete, size, reports)| Step::Commit { nonce, complete, size, reports }),
        3 => (0_u8..6, name, any::<bool>()).prop_map(|(request, name, by_id)| Step::Delete { request, name, by_id }),
        2 => (0_u8..6, 0..PLACES.len(), 0..PLACES.len())
            .prop_map(|(request, from, to)| Step::Move { request, from, to }),
        3 => (0_u8..4, reports()).prop_map(|(nonce, reports)| Step::Late { nonce, reports }),
        4 => (1..=NODES, receipts()).prop_map(|(reporter, told)| Step::Receipts { reporter, told }),
        4 => any::<prop::sample::Index>().prop_map(|step| Step::Again { step }),
        1 => (1_u64..10).prop_map(|minutes| Step::Wait { minutes }),
    ]
}

/// The command of a step, as a client that knows the model would send it.
fn command(step: &Step, model: &Model, log: &[Entry]) -> Command {
    let file = |nonce: u8| model.latest(UploadNonce(nonce.into())).unwrap_or(FileId(77));
    let told = |nonce: u8, reports: &[Reports]| -> Vec<GroupReport> {
        let upload = model.uploads.get(&file(nonce));
        let told = |reports: &Reports| match upload.filter(|_| reports.fitted) {
            Some(upload) => upload.fit(reports.report.clone()),
            None => reports.report.clone(),
        };
        reports.iter().map(told).collect()
    };
    match step {
        Step::Create { nonce, name, empty, sized, replace, nodes } => {
            let request = CreateFile { replace: *replace, ..create_request((*nonce).into(), NAMES[*name]) };
            let nodes = if *empty { vec![] } else { nodes.clone() };
            let size_hint = if *empty { Some(0) } else { sized.then_some(SIZE) };
            Command::Create { request: CreateFile { size_hint, ..request }, nodes }
        }
        Step::Resume { nonce, name, sized, replace } => {
            let size = if *sized { SIZE } else { 0 };
            let request = resume_request((*nonce).into(), NAMES[*name], size);
            Command::Resume { request: ResumeUpload { replace: *replace, ..request } }
        }
        Step::Allocate { nonce, group, raise, nodes, reports } => {
            let request = allocate_request(file(*nonce), (*nonce).into(), *group, 1 + raise);
            Command::Allocate {
                request: AllocateGroup { reports: told(*nonce, reports), ..request },
                nodes: nodes.clone(),
            }
        }
        Step::Commit { nonce, complete, size, reports } => {
            let known = model.uploads.get(&file(*nonce)).map_or(0, |upload| upload.size());
            let size = if *complete { known } else { *size };
            Command::Commit { request: commit_request(file(*nonce), (*nonce).into(), size, told(*nonce, reports)) }
        }
        Step::Delete { request, name, by_id } => {
            let id = model.visible.get(NAMES[*name]).map_or(FileId(77), |(file, _)| *file);
            let target = if *by_id { FileTarget::Id(id) } else { by_name(NAMES[*name]) };
            let (request, first_tried) = (RequestId((*request).into()), ClusterTime(model.now));
            Command::Delete { request: DeleteFile { request, first_tried, target, named: None } }
        }
        Step::Move { request, from, to } => {
            let (request, first_tried) = (RequestId((*request).into()), ClusterTime(model.now));
            let (from, to) = (name(PLACES[*from]), name(PLACES[*to]));
            Command::Move { request: MoveName { request, first_tried, from, to } }
        }
        Step::Late { nonce, reports } => {
            let file = file(*nonce);
            let late = |report: &GroupReport| {
                let epoch = report.epoch;
                let late = move |chunk: ChunkReport| {
                    let ChunkReport { index, length, checksum, holders } = chunk;
                    LateReport { chunk: ChunkId { file, index }, epoch, length, checksum, holders }
                };
                report.chunks.clone().into_iter().map(late)
            };
            let reports = told(*nonce, reports).iter().flat_map(late).collect();
            Command::RecordCopies { reporter: NodeId(1), incarnation: Incarnation(1), reports }
        }
        Step::Receipts { reporter, told } => {
            let receipts = told.iter().filter_map(|told| receipt(told, model)).collect();
            Command::RecordReceipts { reporter: NodeId(*reporter), incarnation: Incarnation(1), receipts }
        }
        Step::Again { step } => log[step.index(log.len())].command.clone(),
        Step::Wait { .. } => Command::Tick,
    }
}

/// The receipt of some known chunk.
fn receipt(told: &Told, model: &Model) -> Option<Receipt> {
    let known: Vec<(ChunkId, u32, Digest)> = model.known().collect();
    let (chunk, epoch, checksum) = *known.get(told.chunk.index(known.len().max(1)))?;
    let copy = told.copy.map(|(target, replaces)| CopyOrder {
        target: NodeId(target),
        incarnation: Incarnation(1),
        replaces: replaces.map(NodeId),
        reason: CopyReason::NodeDead,
    });
    let outcome = match told.outcome {
        0..=5 => OrderOutcome::Done { read_back: checksum },
        6 => OrderOutcome::Done { read_back: Digest::of(b"other") },
        7 => OrderOutcome::SourceMissing,
        8 => OrderOutcome::SourceDamaged,
        _ => OrderOutcome::TargetFailed,
    };
    let mark = OrderMark { term: 1, index: 1 };
    Some(Receipt { mark, chunk, epoch: Epoch(told.epoch.unwrap_or(epoch)), copy, outcome })
}

fn expected(model: &mut Model, command: &Command) -> Result<Outcome, Refusal> {
    match command {
        Command::Create { request, nodes } => model.create(request, nodes).map(Outcome::Created),
        Command::Allocate { request, nodes } => model.allocate(request, nodes).map(Outcome::Allocated),
        Command::Commit { request } => model.commit(request).map(Outcome::Committed),
        Command::Delete { request } => model.delete(request).map(Outcome::Deleted),
        Command::Move { request } => model.rename(request).map(Outcome::Moved),
        Command::RecordCopies { reporter, reports, .. } => {
            model.record_copies(*reporter, reports);
            Ok(Outcome::Recorded { taken: reports.len() as u32 })
        }
        Command::RecordReceipts { reporter, receipts, .. } => {
            model.record_receipts(*reporter, receipts);
            Ok(Outcome::Recorded { taken: receipts.len() as u32 })
        }
        Command::Resume { request } => model.resume(request).map(Outcome::Resumed),
        Command::Register { .. } => Ok(Outcome::Registered { incarnation: Incarnation(1) }),
        Command::Initialise { .. } | Command::Tick => Ok(Outcome::Done),
        Command::ChangeSettings { .. } => unreachable!("the histories leave the settings alone"),
    }
}

/// Compares all that can be asked.
fn check(machine: &Machine, model: &Model) -> Result<(), TestCaseError> {
    let visible: Vec<FileInfo> = model.visible.values().map(|(file, size)| model.info(*file, *size)).collect();
    prop_assert_eq!(machine.list("", None, 1000).files, visible.clone());
    for info in &visible {
        prop_assert_eq!(machine.stat(info.name.as_str()), Ok(info.clone()));
    }
    for file in model.uploads.keys() {
        let found = stat(&machine.state, &FileTarget::Id(*file)).unwrap();
        prop_assert_eq!(found.ok(), model.readable(*file).map(|size| model.info(*file, size)), "file {}", file);
        let located = locate(&machine.state, &LocateGroups { file: *file, first: GroupIndex(0), limit: 64 }).unwrap();
        let located = located.ok().map(|mut groups| {
            groups.iter_mut().for_each(|group| group.holders.sort_by_key(|holder| holder.node));
            groups
        });
        prop_assert_eq!(located, model.locate(*file), "file {}", file);
    }
    let of = |node: u64| groups_on(&machine.state, NodeId(node), None, 100).unwrap();
    let listed =
        (0..NODES + 2).flat_map(|node| of(node).into_iter().map(move |(file, group)| (NodeId(node), file, group.0)));
    prop_assert_eq!(listed.collect::<std::collections::BTreeSet<_>>(), model.placed_on());
    let totals = totals(&machine.state).unwrap();
    let open = model.uploads.values().filter(|upload| upload.state == State::Open).count();
    prop_assert_eq!(totals.files, visible.len() as u64);
    prop_assert_eq!(totals.file_bytes, visible.iter().map(|info| info.size).sum::<u64>());
    prop_assert_eq!(totals.open_uploads, open as u64);
    let directories: std::collections::BTreeSet<&str> =
        (model.visible.keys()).flat_map(|name| name.match_indices('/').map(|(at, _)| &name[..at])).collect();
    prop_assert_eq!(machine.state.pairs.keys().filter(|key| key[0] == 3).count(), directories.len());
    prop_assert_eq!(machine.state.pairs.keys().filter(|key| key[0] == 6).count(), open);
    prop_assert_eq!(machine.state.pairs.keys().filter(|key| key[0] == 16).count(), open);
    Ok(())
}

/// Failures are values, so that shrinking stays quick and quiet.
fn live(steps: &[Step]) -> Result<Machine, TestCaseError> {
    let mut machine = Machine::with_nodes(NODES);
    let mut model = Model { nodes: NODES, ..Model::default() };
    for step in steps {
        if let Step::Wait { minutes } = step {
            machine.now += minutes * 60_000;
            model.now = machine.now;
        }
        let command = command(step, &model, &machine.log);
        let told = expected(&mut model, &command);
        prop_assert_eq!(machine.apply(command.clone()), told, "{:?}", command);
        check(&machine, &model)?;
    }
    Ok(machine)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_state_machine_answers_like_the_naive_model(steps in vec(step(), 1..60)) {
        live(&steps)?;
    }

    #[test]
    fn the_same_log_in_any_batches_gives_the_same_state(
        steps in vec(step(), 1..40), sizes in vec(1_usize..9, 1..10),
    ) {
        let machine = live(&steps)?;
        let mut state = Memory::default();
        let mut log = &machine.log[..];
        for size in sizes.iter().cycle() {
            let (batch, rest) = log.split_at((*size).min(log.len()));
            let mut overlay = Overlay::new(&state);
            for entry in batch {
                let change = apply(&overlay, entry).unwrap();
                let _ = overlay.add(change);
            }
            let changes = overlay.into_changes();
            state.write(changes);
            log = rest;
            if log.is_empty() {
                break;
            }
        }
        prop_assert_eq!(state.pairs, machine.state.pairs);
    }
}

#[test]
fn the_random_lives_reach_every_answer() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut reached = BTreeMap::<String, u32>::new();
    for _ in 0..200 {
        let steps = vec(step(), 60).new_tree(&mut runner).unwrap().current();
        let mut machine = Machine::with_nodes(NODES);
        let mut model = Model { nodes: NODES, ..Model::default() };
        for step in &steps {
            if let Step::Wait { minutes } = step {
                machine.now += minutes * 60_000;
                model.now = machine.now;
            }
            let command = command(step, &model, &machine.log);
            let _ = expected(&mut model, &command);
            let outcome = format!("{:?}", machine.apply(command));
            let word = outcome.split(|c: char| "{ ".contains(c) || c.is_ascii_digit()).next().unwrap_or_default();
            let word: String = word.split('(').take(3).collect::<Vec<_>>().join("(");
            *reached.entry(word).or_default() += 1;
        }
    }
    for word in [
        "Ok(Created",
        "Ok(Allocated",
        "Ok(Committed",
        "Ok(Deleted",
        "Ok(Recorded",
        "Ok(Moved(File",
        "Ok(Moved(Directory",
        "Ok(Resumed(Nothing",
        "Ok(Resumed(Other",
        "Ok(Resumed(Resumed",
        "Err(NameExists",
        "Err(NameConflict",
        "Err(Replaced",
        "Err(StaleEpoch",
        "Err(BadReport",
        "Err(Incomplete",
        "Err(UploadGone",
        "Err(OutcomeUnknown",
        "Err(NotFound",
        "Err(TooFewNodes",
        "Err(Malformed",
    ] {
        assert!(reached.keys().any(|reached| reached.starts_with(word)), "{word} is not in {reached:?}");
    }
}
