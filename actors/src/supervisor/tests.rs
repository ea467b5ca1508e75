//! Supervision, tried with children that fail on demand.

use super::*;
use std::sync::Mutex;
use tokio::time::timeout;

/// What happened to the children, in order.
type Diary = Arc<Mutex<Vec<String>>>;

struct Kid(&'static str, Diary);

enum KidMessage {
    Panic,
    Ping(ractor::RpcReplyPort<&'static str>),
    Whose(ractor::RpcReplyPort<Option<String>>),
}

impl Actor for Kid {
    type Msg = KidMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<KidMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        self.1.lock().unwrap().push(format!("+{}", self.0));
        Ok(())
    }

    async fn post_stop(&self, _: ActorRef<KidMessage>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        self.1.lock().unwrap().push(format!("-{}", self.0));
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<KidMessage>,
        message: KidMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match message {
            KidMessage::Panic => panic!("asked to"),
            KidMessage::Ping(port) => {
                let _ = port.send(self.0);
                Ok(())
            }
            KidMessage::Whose(port) => {
                let _ = port.send(Scope::current().map(|scope| scope.name().to_owned()));
                Ok(())
            }
        }
    }
}

async fn start(strategy: Strategy, restarts: usize) -> (Supervisor, [Seat<KidMessage>; 3], Diary, Arc<TreeStatus>) {
    let diary = Diary::default();
    let seats = [Seat::new(), Seat::new(), Seat::new()];
    let children = ["a", "b", "c"]
        .into_iter()
        .zip(&seats)
        .map(|(name, seat)| {
            let diary = diary.clone();
            Child::new(name, seat, move || (Kid(name, diary.clone()), ()))
        })
        .collect();
    let intensity = Intensity { restarts, within: Duration::from_secs(10) };
    let tree = Tree { name: "test", strategy, intensity, children };
    let status = Arc::new(TreeStatus::default());
    (Supervisor::start(tree, status.clone()).await.unwrap(), seats, diary, status)
}

async fn wait_for(diary: &Diary, expected: &[&str]) {
    let reached = async {
        while diary.lock().unwrap().len() < expected.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = timeout(Duration::from_secs(5), reached).await;
    assert_eq!(*diary.lock().unwrap(), expected);
}

async fn ping(seat: &Seat<KidMessage>) -> Result<&'static str, crate::seat::AskError> {
    seat.ask(KidMessage::Ping, Instant::now() + Duration::from_secs(5)).await
}

#[tokio::test(start_paused = true)]
async fn children_belong_to_the_scope_that_the_tree_was_started_in_after_restarts_too() {
    let world = dfs_transport::world::World::production("node");
    let (supervisor, seats, diary, _) = world.scope.enter(start(Strategy::OneForOne, 3)).await;
    let whose =
        async |seat: &Seat<KidMessage>| seat.ask(KidMessage::Whose, Instant::now() + Duration::from_secs(5)).await;
    assert_eq!(whose(&seats[1]).await.unwrap().as_deref(), Some("node"));
    assert!(seats[1].cast(KidMessage::Panic).is_ok());
    wait_for(&diary, &["+a", "+b", "+c", "+b"]).await;
    assert_eq!(whose(&seats[1]).await.unwrap().as_deref(), Some("node"));
    supervisor.stop().await;
    let (supervisor, seats, _, _) = start(Strategy::OneForOne, 3).await;
    assert_eq!(whose(&seats[0]).await.unwrap(), None);
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_restarts_the_actor_in_its_seat_and_is_counted() {
    let (supervisor, seats, diary, status) = start(Strategy::OneForOne, 3).await;
    seats[1].cast(KidMessage::Panic).ok().unwrap();
    wait_for(&diary, &["+a", "+b", "+c", "+b"]).await;
    assert_eq!(ping(&seats[1]).await, Ok("b"));
    assert_eq!((status.tree(), status.restarts()), ("test", 1));
    let told: Vec<_> = status.children().iter().map(|child| (child.name, child.running, child.restarts)).collect();
    assert_eq!(told, [("a", true, 0), ("b", true, 1), ("c", true, 0)]);
    let failure = status.children()[1].last_failure.clone().unwrap();
    assert!(failure.reason.contains("asked to"), "{failure:?}");
    supervisor.stop().await;
    assert!(status.children().iter().all(|child| !child.running));
}

#[tokio::test(start_paused = true)]
async fn those_started_after_a_failed_one_are_restarted_with_it() {
    let (supervisor, seats, diary, _) = start(Strategy::RestForOne, 3).await;
    seats[1].cast(KidMessage::Panic).ok().unwrap();
    wait_for(&diary, &["+a", "+b", "+c", "-c", "+b", "+c"]).await;
    assert_eq!(ping(&seats[2]).await, Ok("c"));
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_are_restarted_where_one_stands_for_all() {
    let (supervisor, seats, diary, _) = start(Strategy::OneForAll, 3).await;
    seats[2].cast(KidMessage::Panic).ok().unwrap();
    wait_for(&diary, &["+a", "+b", "+c", "-b", "-a", "+a", "+b", "+c"]).await;
    supervisor.stop().await;
}

#[tokio::test(start_paused = true)]
async fn children_stop_in_reverse_order_and_leave_their_seats() {
    let (supervisor, seats, diary, _) = start(Strategy::OneForOne, 3).await;
    supervisor.stop().await;
    wait_for(&diary, &["+a", "+b", "+c", "-c", "-b", "-a"]).await;
    assert_eq!(ping(&seats[0]).await, Err(crate::seat::AskError::Vacant));
}

#[tokio::test(start_paused = true)]
async fn too_many_panics_end_the_tree_with_the_reason() {
    let (supervisor, seats, _, _) = start(Strategy::OneForOne, 2).await;
    for round in 0..3 {
        timeout(Duration::from_secs(5), async {
            while ping(&seats[0]).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("the actor is back before round {round}"));
        seats[0].cast(KidMessage::Panic).ok().unwrap();
    }
    let reason = timeout(Duration::from_secs(5), supervisor.gave_up()).await.unwrap();
    assert!(
        matches!(&reason, GaveUp::TooManyRestarts { child: "a", restarts: 3, reason, .. } if reason.contains("asked to")),
        "{reason}"
    );
}
