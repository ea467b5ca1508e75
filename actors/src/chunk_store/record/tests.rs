use super::*;
use proptest::prelude::*;

const OWNER: Owner = Owner { store: StoreId(0x1111), mark: 0x2222 };

fn key(file: u64, index: u32, epoch: u32) -> RecordKey {
    RecordKey { chunk: ChunkId { file: FileId(file), index: ChunkIndex(index) }, epoch: Epoch(epoch) }
}

fn header(payload_length: u32) -> Header {
    Header {
        state: State::Live,
        owner: OWNER,
        key: key(3, 4, 5),
        layout: Layout::of(payload_length),
        position: Position { segment: 6, offset: 7 * PAGE_BYTES },
        sequence: 8,
    }
}

fn trailer(payload: &[u8]) -> Trailer {
    let sums = ChunkSums::of(payload);
    Trailer { key: key(3, 4, 5), sequence: 8, checksum: sums.checksum(), sums }
}

#[test]
fn the_format_is_the_one_of_version_one() {
    // These bytes are frozen: if this test fails, stores in the field are no longer read.
    let header = header(100_000).encode();
    assert_eq!(&header[..16], b"DFS-REC\n\x01\x00\x01\x00\x00\x00\x00\x00");
    assert_eq!(crc32c::crc32c(&header), 0x48674bc7, "residue of a CRC behind its own bytes");
    assert_eq!(Digest::of(&header).to_string(), HEADER_DIGEST);
    assert_eq!(Digest::of(&trailer(&[9; 100_000]).encode()).to_string(), TRAILER_DIGEST);
}

// Computed by an independent program from the tables in the module header.
const HEADER_DIGEST: &str = "bd2b2ddd312c36aacc9eedf74af5994ce09c0fce2f5b371b3ceb047daae1d3e2";
const TRAILER_DIGEST: &str = "c026adaa6af58da4c7652dbcd99390392300761b2a0beab96e3fd409357847a3";

#[test]
fn a_trailer_follows_the_payload_within_the_padded_record() {
    for length in [1, 60 * 1024, 60 * 1024 + 1, 65_536, 65_537, 4 << 20, CHUNK_BYTES_MAX] {
        let layout = Layout::of(length);
        assert!(layout.is_possible());
        let page_aligned = u64::from(layout.payload_offset).is_multiple_of(PAGE_BYTES);
        assert_eq!(page_aligned, length > 60 * 1024);
        let end = layout.trailer_offset() + layout.trailer_bytes() as u64;
        assert!(end <= layout.record_length && layout.record_length < end + PAGE_BYTES);
    }
}

#[test]
fn a_header_is_valid_only_for_its_store_and_at_its_place() {
    let header = header(10);
    let bytes = header.encode();
    assert_eq!(Header::decode(&bytes, &OWNER, header.position), Some(header));
    let moved = Position { offset: 0, ..header.position };
    assert_eq!(Header::decode(&bytes, &OWNER, moved), None);
    for other in [Owner { store: StoreId(1), ..OWNER }, Owner { mark: 1, ..OWNER }] {
        assert_eq!(Header::decode(&bytes, &other, header.position), None);
    }
    assert_eq!(Header::decode(&bytes[..127], &OWNER, header.position), None);
}

proptest! {
    #[test]
    fn headers_survive_their_encoding(
        file: u64, index: u32, epoch: u32, sequence: u64, segment: u32, offset: u64, dead: bool,
        length in 1..=CHUNK_BYTES_MAX,
    ) {
        let header = Header {
            state: if dead { State::Dead } else { State::Live },
            owner: OWNER,
            key: key(file, index, epoch),
            layout: Layout::of(length),
            position: Position { segment, offset },
            sequence,
        };
        prop_assert_eq!(Header::decode(&header.encode(), &OWNER, header.position), Some(header));
    }

    #[test]
    fn a_flipped_bit_spoils_a_header(bit in 0..HEADER_BYTES * 8) {
        let header = header(10);
        let mut bytes = header.encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Header::decode(&bytes, &OWNER, header.position), None);
    }

    #[test]
    fn trailers_survive_their_encoding(length in prop_oneof![1_usize..10, 65_530_usize..65_545, 1_usize..300_000]) {
        let trailer = trailer(&vec![7; length]);
        let bytes = trailer.encode();
        prop_assert_eq!(bytes.len(), Layout::of(length as u32).trailer_bytes());
        prop_assert_eq!(Trailer::decode(&bytes, length as u32), Some(trailer));
        prop_assert_eq!(Trailer::decode(&bytes, length as u32 + 1), None);
    }

    #[test]
    fn a_flipped_bit_spoils_a_trailer(bit: prop::sample::Index) {
        let mut bytes = trailer(&[7; 70_000]).encode();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Trailer::decode(&bytes, 70_000), None);
    }

    #[test]
    fn arbitrary_bytes_are_nothing(bytes in prop::collection::vec(any::<u8>(), 0..400), length: u32) {
        prop_assert_eq!(Header::decode(&bytes, &OWNER, Position { segment: 0, offset: 0 }), None);
        prop_assert_eq!(Trailer::decode(&bytes, length), None);
    }

    // Whatever stands in the fields, with CRCs that fit: what is decoded lies within its bounds.
    #[test]
    fn arbitrary_fields_are_possible_or_nothing(
        fields in prop::collection::vec(any::<u8>(), 128..=128),
        at in prop::sample::select(vec![10_usize, 64, 68, 72]),
        length: u32,
    ) {
        let whole = header(10);
        let mut bytes = whole.encode();
        bytes[at..at + 4].copy_from_slice(&fields[at..at + 4]);
        let crc = crc32c::crc32c(&bytes[..124]);
        bytes[124..].copy_from_slice(&crc.to_le_bytes());
        if let Some(header) = Header::decode(&bytes, &OWNER, whole.position) {
            prop_assert!(header.layout.is_possible());
        }
        let mut bytes = fields;
        bytes[..8].copy_from_slice(b"DFS-END\n");
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..124]);
        bytes[124..].copy_from_slice(&crc.to_le_bytes());
        prop_assert_eq!(Trailer::decode(&bytes, length), None);
    }
}
