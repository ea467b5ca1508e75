//! What metadata costs: bytes of state, and entries of the log.

use super::*;
use crate::limit::{CHUNK_BYTES_DEFAULT, COMPONENT_BYTES_MAX};

const TREE: u8 = 2;
const DIRECTORIES: u8 = 3;
const FILES: u8 = 4;
const GROUPS: u8 = 5;
const NONCES: u8 = 6;
const PLACED_ON: u8 = 0x20;
const ALL: [u8; 6] = [TREE, DIRECTORIES, FILES, GROUPS, NONCES, PLACED_ON];

/// Uploads full groups with three copies as a client does: each allocation carries the reports of the group before.
fn upload_groups(machine: &mut Machine, text: &str, groups: u32, nodes: &[u64]) -> FileId {
    let chunk_size = ChunkSize::try_from(CHUNK_BYTES_DEFAULT).unwrap();
    let file = machine.create(CreateFile { chunk_size, ..create_request(1, text) }, nodes).unwrap().file;
    let reports = |group: u32| {
        let chunks = (0..16).map(|slot| chunk(group * 16 + slot, CHUNK_BYTES_DEFAULT, 0, nodes));
        vec![report(group, 1, chunks.collect())]
    };
    for group in 1..groups {
        let mut request = allocate_request(file, 1, group, 1);
        request.reports = reports(group - 1);
        machine.allocate(request, nodes).unwrap();
    }
    let size = u64::from(groups) * 16 * u64::from(CHUNK_BYTES_DEFAULT);
    machine.commit(commit_request(file, 1, size, reports(groups - 1))).unwrap();
    file
}

#[test]
fn a_chunk_of_a_full_group_costs_at_most_100_bytes() {
    let mut machine = Machine::with_nodes(0);
    let nodes = [10_000, 20_000, u64::MAX];
    for node in nodes {
        for boot in 1..300_u128 {
            // So that the generation of its store is a large number too.
            machine.register(node, boot, boot).unwrap();
        }
    }
    upload_groups(&mut machine, "a", 40, &nodes);
    let bytes = machine.bytes_of(&ALL);
    assert!(bytes <= 100 * 16 * 40, "{} bytes per chunk", bytes / (16 * 40));
    assert!(bytes <= 42 * 16 * 40, "{} bytes per chunk: it was 40 once", bytes / (16 * 40));
}

#[test]
fn a_file_costs_at_most_400_bytes_besides_its_name() {
    for (directory, base) in [("", 8), ("one for each ", 8), ("", COMPONENT_BYTES_MAX - 3)] {
        let mut machine = Machine::with_nodes(3);
        let names: Vec<String> = (0..100)
            .map(|i| match directory {
                "" => format!("{i:03}{}", "x".repeat(base)),
                _ => format!("{directory}{i}/{i:03}{}", "x".repeat(base)),
            })
            .collect();
        for text in &names {
            machine.upload(text, 1);
        }
        let besides = machine.bytes_of(&ALL) - names.iter().map(String::len).sum::<usize>();
        assert!(besides / names.len() <= 400, "{} bytes for a file like {}", besides / names.len(), names[0]);
    }
}

#[test]
fn an_upload_of_one_gibibyte_costs_at_most_forty_entries_and_one_of_a_chunk_two() {
    let mut machine = Machine::with_nodes(3);
    let before = machine.log.len();
    upload_groups(&mut machine, "large", 16, &[1, 2, 3]);
    assert!(machine.log.len() - before <= 40);
    assert_eq!(machine.stat("large").unwrap().size, 1 << 30);
    let before = machine.log.len();
    machine.upload("small", 1);
    assert_eq!(machine.log.len() - before, 2);
}

#[test]
fn a_page_of_locations_fits_a_message() {
    let mut machine = Machine::with_nodes(3);
    let file = upload_groups(&mut machine, "a", 70, &[1, 2, 3]);
    let groups = machine.locate(file);
    assert_eq!(groups.len(), 64);
    assert!(wire::encode(&groups).len() < crate::limit::MESSAGE_BYTES_MAX / 2);
    let request = LocateGroups { file, first: GroupIndex(64), limit: u32::MAX };
    let rest = locate(&machine.state, &request).unwrap().unwrap();
    assert_eq!(rest.iter().map(|group| group.group.0).collect::<Vec<_>>(), [64, 65, 66, 67, 68, 69]);
    let beyond = LocateGroups { file, first: GroupIndex(u32::MAX), limit: 9 };
    assert_eq!(locate(&machine.state, &beyond).unwrap(), Ok(vec![]));
}
