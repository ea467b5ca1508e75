//! What the system logs, as lines of the trace: so that the reader of a failed run sees what the nodes said.

use super::Trace;
use dfs_transport::world::Scope;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

thread_local! {
    static PRESENT: RefCell<Option<Trace>> = const { RefCell::new(None) };
}

impl Trace {
    /// Makes it the one that log lines of the present thread go to.
    pub fn take_log_lines(&self) {
        PRESENT.set(Some(self.clone()));
    }
}

/// Turns events of `tracing` into lines of the present thread's trace. It knows the actor by the spans around the event
/// (`actor{name}` of its own steps, `serve{actor}` of a request), and the node by the scope of the running task.
#[derive(Clone, Copy, Debug)]
pub struct LogLines;

impl LogLines {
    /// The layer, for events of our own crates down to `level`.
    #[must_use]
    pub fn layer<S: Subscriber + for<'s> LookupSpan<'s>>(level: LevelFilter) -> impl Layer<S> {
        LogLines.with_filter(Targets::new().with_target("dfs_", level))
    }
}

/// The name of an actor, kept with its span.
struct ActorName(String);

impl<S: Subscriber + for<'s> LookupSpan<'s>> Layer<S> for LogLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let name = if attributes.metadata().name() == "actor" { "name" } else { "actor" };
        let mut actor = FieldNamed { name, value: None };
        attributes.record(&mut actor);
        if let (Some(name), Some(span)) = (actor.value, context.span(id)) {
            span.extensions_mut().insert(ActorName(name));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(trace) = PRESENT.with_borrow(Clone::clone) else { return };
        let mut spans = context.event_scope(event).into_iter().flatten();
        let actor = spans.find_map(|span| span.extensions().get::<ActorName>().map(|actor| actor.0.clone()));
        let metadata = event.metadata();
        // Without an actor, the last part of the module says who speaks.
        let kind = actor.unwrap_or_else(|| metadata.target().rsplit("::").next().unwrap_or_default().to_owned());
        let mut text = Text { level: metadata.level().as_str().to_lowercase(), ..Text::default() };
        event.record(&mut text);
        let scope = Scope::current();
        trace.note(super::name(scope.as_ref()), &kind, &text.to_string());
    }
}

/// The value of one field.
struct FieldNamed {
    name: &'static str,
    value: Option<String>,
}

impl Visit for FieldNamed {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == self.name {
            self.value = Some(format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == self.name {
            self.value = Some(value.to_owned());
        }
    }
}

/// An event as text: level, message, fields.
#[derive(Default)]
struct Text {
    level: String,
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.level, self.message, self.fields)
    }
}
