//! What the state counts.

use super::*;

fn all(machine: &Machine, limit: usize) -> Vec<KnownChunk> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let KnownPage { chunks, last } = known_chunks(&machine.state, after, limit).unwrap();
        all.extend(chunks);
        if last.is_none() {
            return all;
        }
        after = last;
    }
}

#[test]
fn every_known_chunk_is_told_with_the_copies_that_count() {
    let mut machine = Machine::with_nodes(3);
    let first = machine.upload("a", 2).file;
    let second = machine.open(1, "b");
    let mut request = allocate_request(second, 1, 0, 2);
    request.reports = vec![report(0, 1, vec![chunk(3, CHUNK, 5, &[2, 3]), chunk(4, CHUNK, 5, &[1, 3])])];
    machine.allocate(request, &[1, 2, 3]).unwrap();
    let held = |file, index: u32, content, holders: &[u64]| KnownChunk {
        chunk: crate::id::ChunkId { file, index: ChunkIndex(index) },
        epoch: Epoch(1),
        checksum: checksum(index, content),
        holders: ids(holders),
    };
    let expected = [
        held(first, 0, 0, &[1, 2]),
        held(first, 1, 0, &[1, 2]),
        held(second, 3, 5, &[2, 3]),
        held(second, 4, 5, &[3, 1]),
    ];
    assert_eq!(all(&machine, 100), expected);
    assert_eq!(all(&machine, 1), expected, "whatever the pages");
    machine.register(2, 51, 777).unwrap();
    let counted: Vec<_> = all(&machine, 100).into_iter().map(|known| known.holders).collect();
    assert_eq!(
        counted,
        [ids(&[1]), ids(&[1]), ids(&[3]), ids(&[3, 1])],
        "another store has none of the old one's copies"
    );
}
