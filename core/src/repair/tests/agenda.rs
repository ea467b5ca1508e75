//! Which groups are read, and when.

use super::*;
use crate::limit::SWEEP_PAUSE_MS;

const PAUSE: Duration = Duration::from_millis(SWEEP_PAUSE_MS);

fn place(file: u64) -> GroupPlace {
    (FileId(file), GroupIndex(0))
}

#[test]
fn all_groups_are_read_page_by_page_again_and_again() {
    let mut agenda = Agenda::new();
    assert_eq!(agenda.next(HOUR), Some(Page::Any(None)));
    agenda.read(Page::Any(None), Some(place(7)), HOUR);
    assert_eq!((agenda.next(HOUR), agenda.swept()), (Some(Page::Any(Some(place(7)))), None));
    agenda.read(Page::Any(Some(place(7))), None, HOUR);
    assert_eq!((agenda.next(HOUR), agenda.swept()), (None, Some(HOUR)));
    assert_eq!(agenda.next(HOUR + PAUSE), Some(Page::Any(None)));
}

#[test]
fn the_groups_of_a_node_that_dies_are_read_first_and_once() {
    let mut agenda = Agenda::new();
    let dead = with_health(Health::Dead);
    agenda.observe(&nodes(&[alive(), alive(), alive()]));
    assert!(!agenda.is_urgent());
    agenda.read(Page::Any(None), Some(place(7)), HOUR);
    for _ in 0..2 {
        agenda.observe(&nodes(&[alive(), dead, dead]));
    }
    let mut read = Vec::new();
    while let Some(Page::OnNode(node, after)) = agenda.next(HOUR) {
        read.push((node.0, after.map(|(file, _)| file.0)));
        agenda.read(Page::OnNode(node, after), after.is_none().then_some(place(9)), HOUR);
    }
    assert_eq!(read, [(2, None), (3, None), (2, Some(9)), (3, Some(9))]);
    assert_eq!(agenda.next(HOUR), Some(Page::Any(Some(place(7)))), "the sweep goes on where it was");
    agenda.observe(&nodes(&[alive(), alive(), dead]));
    assert!(!agenda.is_urgent());
    agenda.observe(&nodes(&[alive(), dead, dead]));
    assert_eq!(agenda.next(HOUR), Some(Page::OnNode(NodeId(2), None)), "it has died again");
}

#[test]
fn a_node_that_comes_with_another_store_has_its_groups_read() {
    let mut agenda = Agenda::new();
    let old = NodeFacts { generation: 4, ..alive() };
    agenda.observe(&nodes(&[alive(), old]));
    assert!(!agenda.is_urgent(), "what happened before this leader is found by the sweep");
    agenda.observe(&nodes(&[alive(), NodeFacts { generation: 5, ..old }]));
    assert_eq!(agenda.next(HOUR), Some(Page::OnNode(NodeId(2), None)));
}
