use super::*;
use crate::fixture::{Echo, Fixture, storage, within};
use crate::peers::{Class, Peers};
use dfs_core::id::Role;
use std::sync::atomic::Ordering;
use tokio::sync::mpsc;

const MIB: u64 = 1024 * 1024;

/// A server with `handler`, a client of it, and what the client calls it by.
fn pair<F>(
    fixture: &Fixture,
    handler: impl Fn(Echo, Exchange) -> F + Send + Sync + 'static,
) -> (Peers, crate::peers::Destination)
where
    F: Future<Output = ()> + Send + 'static,
{
    let server = fixture.server(1, handler);
    (fixture.endpoint(Role::Client, "alice").peers(), storage(1, &server))
}

fn request() -> Echo {
    Echo(vec![1, 2, 3])
}

/// Receives all of the payload.
async fn receive_all(exchange: &mut Exchange, length: u64) -> Result<Vec<u8>, CallError> {
    exchange.expect_payload(length);
    let mut bytes = Vec::new();
    while let Some(part) = exchange.receive_payload(100_000).await? {
        assert!(part.len() <= 100_000);
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

#[tokio::test]
async fn payload_arrives_between_messages_in_order() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, mut exchange| async move {
        exchange.send_message(&"send").await.unwrap();
        let payload = receive_all(&mut exchange, 5 * MIB + 17).await.unwrap();
        let trailer: u64 = exchange.receive_message().await.unwrap();
        assert_eq!(exchange.receive_message_or_end::<u64>().await, Ok(None));
        let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
        exchange.reply(&(payload.len() as u64, sum == trailer)).await.unwrap();
    });
    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(10)).await.unwrap();
    assert_eq!(exchange.receive_message::<String>().await.unwrap(), "send");
    let payload: Vec<u8> = (0..5 * MIB + 17).map(|index| (index % 251) as u8).collect();
    let sum: u64 = payload.iter().map(|byte| u64::from(*byte)).sum();
    for part in Bytes::from(payload).chunks(123_457) {
        exchange.send_payload(Bytes::copy_from_slice(part)).await.unwrap();
    }
    exchange.send_message(&sum).await.unwrap();
    exchange.finish().await.unwrap();
    assert_eq!(exchange.receive_message::<(u64, bool)>().await.unwrap(), (5 * MIB + 17, true));
}

#[tokio::test]
async fn what_passes_is_counted_also_what_passed_before_somebody_counted() {
    let fixture = Fixture::new();
    let (told, mut counted) = mpsc::unbounded_channel();
    let (peers, to) = pair(&fixture, move |_, mut exchange| {
        let told = told.clone();
        async move {
            let traffic = Arc::new(Traffic::default());
            exchange.send_message(&"send").await.unwrap();
            exchange.count_into(&traffic);
            receive_all(&mut exchange, MIB).await.unwrap();
            exchange.reply(&1_u8).await.unwrap();
            told.send(traffic).unwrap();
        }
    });
    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(10)).await.unwrap();
    assert_eq!(exchange.receive_message::<String>().await.unwrap(), "send");
    exchange.send_payload(Bytes::from(vec![7; MIB as usize])).await.unwrap();
    exchange.finish().await.unwrap();
    assert_eq!(exchange.receive_message::<u8>().await.unwrap(), 1);
    let traffic = counted.recv().await.unwrap();
    let (received, sent) = (traffic.received.load(Ordering::Relaxed), traffic.sent.load(Ordering::Relaxed));
    assert!((MIB..MIB + 64).contains(&received), "a request of a few bytes and a MiB, and not {received}");
    let frames = 2 * crate::frame::FRAME_HEADER_BYTES as u64;
    assert_eq!(sent, frames + 5 + 1, "a word of four letters with its length, and a byte");
}

#[tokio::test]
async fn a_dropped_sender_is_seen_as_broken_and_never_as_complete() {
    let fixture = Fixture::new();
    let (results, mut seen) = mpsc::channel(1);
    let (peers, to) = pair(&fixture, move |_, mut exchange| {
        let results = results.clone();
        async move {
            exchange.send_message(&()).await.unwrap();
            let result = receive_all(&mut exchange, MIB).await;
            results.send(result.map(|bytes| bytes.len())).await.unwrap();
        }
    });
    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(10)).await.unwrap();
    exchange.receive_message::<()>().await.unwrap();
    exchange.send_payload(vec![0; 1000].into()).await.unwrap();
    drop(exchange);
    assert_eq!(seen.recv().await.unwrap(), Err(CallError::Broken));

    // The same when the sender finishes cleanly, but too early.
    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(10)).await.unwrap();
    exchange.receive_message::<()>().await.unwrap();
    exchange.send_payload(vec![0; 1000].into()).await.unwrap();
    exchange.finish().await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), Err(CallError::Broken));
}

#[tokio::test]
async fn a_stream_that_is_dropped_between_messages_does_not_end_cleanly() {
    let fixture = Fixture::new();
    let (results, mut seen) = mpsc::channel(1);
    let (peers, to) = pair(&fixture, move |_, mut exchange| {
        let results = results.clone();
        async move {
            exchange.send_message(&()).await.unwrap();
            results.send(exchange.receive_message_or_end::<u64>().await).await.unwrap();
        }
    });
    let mut exchange = peers.open(&to, Class::Control, &request(), within(10)).await.unwrap();
    exchange.receive_message::<()>().await.unwrap();
    drop(exchange);
    assert_eq!(seen.recv().await.unwrap(), Err(CallError::Broken));
}

#[tokio::test]
async fn a_dropped_handler_is_seen_as_broken() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, mut exchange| async move {
        exchange.send_payload(vec![1; 10].into()).await.unwrap();
    });
    assert_eq!(peers.call(&to, Class::Control, &request(), within(10)).await, Err(CallError::Broken));
}

#[tokio::test]
async fn a_cancelled_write_cannot_be_finished() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, exchange| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(exchange);
    });
    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(60)).await.unwrap();
    let large = Bytes::from(vec![0; 32 * 1024 * 1024]);
    assert!(tokio::time::timeout(Duration::from_millis(100), exchange.send_payload(large)).await.is_err());
    assert_eq!(exchange.finish().await, Err(CallError::Broken));
    assert_eq!(exchange.send_message(&1u8).await, Err(CallError::Broken));
}

#[tokio::test]
async fn a_refusal_reaches_the_sender_of_payload() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, mut exchange| async move {
        exchange.expect_payload(64 * MIB);
        exchange.receive_payload(1000).await.unwrap();
        exchange.refuse(Refusal::StoreFull).await.unwrap();
    });
    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(10)).await.unwrap();
    let payload = Bytes::from(vec![0; 64 * 1024 * 1024]);
    assert_eq!(exchange.send_payload(payload).await, Err(CallError::Refused(Refusal::StoreFull)));
}

#[tokio::test]
async fn a_refusal_stands_in_place_of_any_message() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, mut exchange| async move {
        exchange.send_message(&1u8).await.unwrap();
        exchange.refuse(Refusal::ChunkDamaged).await.unwrap();
    });
    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(10)).await.unwrap();
    assert_eq!(exchange.receive_message::<u8>().await, Ok(1));
    assert_eq!(exchange.receive_message::<u8>().await, Err(CallError::Refused(Refusal::ChunkDamaged)));
}

#[tokio::test]
async fn a_message_cannot_be_received_in_the_middle_of_payload() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, mut exchange| async move {
        exchange.send_payload(vec![7; 10].into()).await.unwrap();
        exchange.reply(&1u8).await.unwrap();
    });
    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(10)).await.unwrap();
    exchange.expect_payload(10);
    assert_eq!(exchange.receive_payload(4).await.unwrap().unwrap().len(), 4);
    assert_eq!(exchange.receive_message::<u8>().await, Err(CallError::Broken));
    assert_eq!(exchange.payload_left(), 6);
    assert_eq!(exchange.receive_payload(100).await.unwrap().unwrap().len(), 6);
    assert_eq!(exchange.receive_payload(100).await, Ok(None));
    assert_eq!(exchange.receive_message::<u8>().await, Ok(1));
}

#[tokio::test]
async fn a_cancelled_receive_loses_nothing() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |request, mut exchange| async move {
        // The message comes in pieces, with pauses.
        let frame = crate::frame::encode_frame(crate::frame::FrameKind::Message, &request, 1000).unwrap();
        for byte in frame {
            exchange.send_payload(vec![byte].into()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        exchange.finish().await.unwrap();
    });
    let mut exchange = peers.open(&to, Class::Control, &request(), within(10)).await.unwrap();
    let mut cancelled = 0;
    let received = loop {
        match tokio::time::timeout(Duration::from_millis(1), exchange.receive_message::<Echo>()).await {
            Err(_) => cancelled += 1,
            Ok(received) => break received,
        }
    };
    assert_eq!(received, Ok(request()));
    assert!(cancelled > 0);
}

#[tokio::test]
async fn the_halves_work_apart() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, exchange| async move {
        let (mut send, mut receive) = exchange.into_split();
        while let Some(number) = receive.receive_message_or_end::<u32>().await.unwrap() {
            send.send_message(&(number + 1)).await.unwrap();
        }
        send.finish().unwrap();
    });
    let exchange = peers.open(&to, Class::Control, &request(), within(10)).await.unwrap();
    let (mut send, mut receive) = exchange.into_split();
    let sending = async {
        for number in 0..1000u32 {
            send.send_message(&number).await.unwrap();
        }
        send.finish().unwrap();
    };
    let receiving = async {
        for number in 0..1000u32 {
            assert_eq!(receive.receive_message::<u32>().await, Ok(number + 1));
        }
        assert_eq!(receive.receive_message_or_end::<u32>().await, Ok(None));
    };
    tokio::join!(sending, receiving);
}

#[tokio::test]
async fn every_wait_ends_at_the_deadline() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, exchange| async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        drop(exchange);
    });
    peers.open(&to, Class::Control, &request(), within(10)).await.unwrap();
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(150);
    assert_eq!(peers.call(&to, Class::Control, &request(), deadline).await, Err(CallError::TimedOut));
    assert!(begun.elapsed() < Duration::from_secs(2));

    let mut exchange = peers.open(&to, Class::Bulk, &request(), within(60)).await.unwrap();
    exchange.set_deadline(Instant::now() + Duration::from_millis(100));
    let large = Bytes::from(vec![0; 32 * 1024 * 1024]);
    assert_eq!(exchange.send_payload(large).await, Err(CallError::TimedOut));
    assert_eq!(exchange.receive_message::<u8>().await, Err(CallError::TimedOut));
}

#[tokio::test]
async fn the_deadline_travels() {
    let fixture = Fixture::new();
    let (peers, to) = pair(&fixture, |_, exchange| async move {
        let left = exchange.deadline().saturating_duration_since(Instant::now());
        let left = u64::try_from(left.as_millis()).unwrap();
        exchange.reply(&Echo(left.to_le_bytes().to_vec())).await.unwrap();
    });
    let Echo(left) = peers.call(&to, Class::Control, &request(), within(7)).await.unwrap();
    let left = u64::from_le_bytes(left.try_into().unwrap());
    assert!((5000..=7000).contains(&left), "{left} ms are left");
}

#[tokio::test]
async fn only_what_may_pass_by_itself_is_worth_another_try() {
    assert!(CallError::TimedOut.is_retryable() && CallError::Broken.is_retryable());
    assert!(CallError::Refused(Refusal::Overloaded).is_retryable());
    assert!(!CallError::Refused(Refusal::NotFound).is_retryable());
    assert!(CallError::Unreachable(UnreachableReason::Silent).is_retryable());
    assert!(!CallError::Unreachable(UnreachableReason::Hello(Refusal::WrongCluster)).is_retryable());
    assert!(!CallError::Unreachable(UnreachableReason::OwnCertificate(CertificateFault::Expired)).is_retryable());
}
