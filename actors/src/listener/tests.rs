use super::*;
use std::time::Duration;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_closes_waits_for_what_is_inside_and_lets_nothing_more_in() {
    let gate = Gate::new();
    let inside = gate.enter(Service::Chunks).unwrap();
    let closing = tokio::join!(gate.close(soon()), async {
        tokio::task::yield_now().await;
        assert!(matches!(gate.enter(Service::Chunks), Err(Refusal::Stopping)), "it is about to close");
        assert!(gate.enter(Service::Node).unwrap().is_none(), "a node that stops still says what it is");
        drop(inside);
    });
    assert!(closing.0);
    assert!(matches!(gate.enter(Service::Replicas), Err(Refusal::Stopping)));
}

#[tokio::test(start_paused = true)]
async fn a_gate_does_not_wait_for_ever() {
    let gate = Gate::new();
    let _inside = gate.enter(Service::Chunks).unwrap();
    assert!(!gate.close(soon()).await);
    assert!(matches!(gate.enter(Service::Chunks), Err(Refusal::Stopping)));
}
