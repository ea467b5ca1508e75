use super::*;
use proptest::prelude::*;

#[test]
fn the_layout_of_a_request_stays_as_it_is() {
    let header = RequestHeader { service: 1, method: 2, version: 3, deadline_ms: 0x0405_0607, length: 0x0809_0A0B };
    assert_eq!(header.encode(), [0xD1, 1, 2, 3, 7, 6, 5, 4, 11, 10, 9, 8, 0, 0, 0, 0]);
    assert_eq!(RequestHeader::decode(header.encode()), Ok(header));
}

#[test]
fn the_layout_of_a_frame_stays_as_it_is() {
    let frame = encode_frame(FrameKind::Refusal, &dfs_core::refusal::Refusal::Unavailable, 100).unwrap();
    assert_eq!(&frame[..], [2, 1, 0, 0, 0, 1]);
    let frame = encode_frame(FrameKind::Message, &300u16, 100).unwrap();
    assert_eq!(&frame[..], [1, 2, 0, 0, 0, 0xAC, 2]);
}

#[test]
fn unknown_headers_are_refused() {
    let good = RequestHeader { service: 1, method: 2, version: 1, deadline_ms: 1, length: 1 }.encode();
    for index in [0, 12, 13, 14, 15] {
        let mut bad = good;
        bad[index] ^= 1;
        assert_eq!(RequestHeader::decode(bad), Err(Malformed), "byte {index}");
    }
    assert_eq!(FrameHeader::decode([3, 0, 0, 0, 0]), Err(Malformed));
}

#[test]
fn a_message_beyond_its_bound_is_not_sent() {
    assert_eq!(encode_frame(FrameKind::Message, &[0u8; 32], 31), Err(TooLarge));
    assert!(encode_frame(FrameKind::Message, &[0u8; 32], 32).is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_that_reads_back_or_malformed(
        request in any::<[u8; REQUEST_HEADER_BYTES]>(),
        frame in any::<[u8; FRAME_HEADER_BYTES]>(),
        magic in any::<bool>(),
    ) {
        let mut request = request;
        if magic {
            request[0] = MAGIC;
            request[12..].fill(0);
        }
        if let Ok(header) = RequestHeader::decode(request) {
            prop_assert_eq!(header.encode(), request);
        } else {
            prop_assert!(!magic);
        }
        if let Ok(header) = FrameHeader::decode(frame) {
            prop_assert_eq!(header.encode(), frame);
        }
    }
}
