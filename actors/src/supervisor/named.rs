//! An actor with a name: what it logs says whose it is, and its work is its node's.

use dfs_transport::world::Scope;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::future::Future;
use tracing::{Instrument, Span};

/// An actor whose every step runs in a span with its name, and in the scope of its node.
pub(super) struct Named<A> {
    actor: A,
    span: Span,
    scope: Option<Scope>,
}

impl<A> Named<A> {
    pub(super) fn new(actor: A, name: &'static str, scope: Option<Scope>) -> Named<A> {
        Named { actor, span: tracing::error_span!(parent: None, "actor", name), scope }
    }

    async fn step<T>(&self, step: impl Future<Output = T>) -> T {
        let step = step.instrument(self.span.clone());
        match &self.scope {
            Some(scope) => scope.enter(step).await,
            None => step.await,
        }
    }
}

impl<A: Actor> Actor for Named<A> {
    type Msg = A::Msg;
    type State = A::State;
    type Arguments = A::Arguments;

    async fn pre_start(&self, me: ActorRef<A::Msg>, arguments: A::Arguments) -> Result<A::State, ActorProcessingErr> {
        self.step(self.actor.pre_start(me, arguments)).await
    }

    async fn post_start(&self, me: ActorRef<A::Msg>, state: &mut A::State) -> Result<(), ActorProcessingErr> {
        self.step(self.actor.post_start(me, state)).await
    }

    async fn post_stop(&self, me: ActorRef<A::Msg>, state: &mut A::State) -> Result<(), ActorProcessingErr> {
        self.step(self.actor.post_stop(me, state)).await
    }

    async fn handle(
        &self,
        me: ActorRef<A::Msg>,
        message: A::Msg,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.step(self.actor.handle(me, message, state)).await
    }

    async fn handle_supervisor_evt(
        &self,
        me: ActorRef<A::Msg>,
        event: SupervisionEvent,
        state: &mut A::State,
    ) -> Result<(), ActorProcessingErr> {
        self.step(self.actor.handle_supervisor_evt(me, event, state)).await
    }
}
