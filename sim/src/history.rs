//! What clients did with files and what they saw, as they saw it: the history that consistency is checked on.
//!
//! Every call is recorded twice, at the client: before its request leaves and after its outcome is known. A call that
//! has no outcome, because its client vanished, stays *unknown*, never failed.

use dfs_core::name::FileName;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What a client does with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Uploads a file that must not exist yet. Contents are best told apart: a number for each upload.
    Create {
        /// The content's number.
        content: u64,
    },
    /// Uploads a file in the place of whatever has the name.
    Overwrite {
        /// The content's number.
        content: u64,
    },
    /// Deletes what has the name.
    Delete,
    /// Downloads what has the name.
    Read,
    /// Asks what has the name.
    Stat,
    /// Looks for the name in a listing.
    List,
}

/// What came of it, as far as the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A write took effect.
    Done,
    /// A create was refused: the name is taken. Or an overwrite was: the name was taken meanwhile.
    Exists,
    /// A delete was refused: there is no such name.
    NotFound,
    /// The name holds this content.
    Found(u64),
    /// The name is there; its content was not seen.
    Present,
    /// The name is not there.
    Absent,
    /// It had and will have no effect, for sure, and says nothing.
    Failed,
    /// A write may take effect at any time after its invocation, or never. What only looks says nothing.
    Unknown,
}

/// A point in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Its place among all moments of the history.
    pub order: u64,
    /// How long after the history's beginning it was.
    pub at: Duration,
}

/// An operation of a client on a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who did it.
    pub client: u64,
    /// What was done.
    pub operation: Operation,
    /// What came of it: unknown until there is a response.
    pub outcome: Outcome,
    /// Before the request left.
    pub invoked: Moment,
    /// When the outcome was known.
    pub responded: Option<Moment>,
}

/// A call that has no response yet. It is given back with its outcome, once; or dropped, and stays unknown.
#[derive(Debug)]
#[must_use = "a call without a response is unknown"]
pub struct CallId {
    name: FileName,
    place: usize,
}

/// The record of all calls. Clones record together.
#[derive(Clone, Debug)]
pub struct History(Arc<Mutex<Record>>);

#[derive(Debug)]
struct Record {
    began: Instant,
    moments: u64,
    calls: BTreeMap<FileName, Vec<Call>>,
}

impl Default for History {
    fn default() -> Self {
        History::new()
    }
}

impl History {
    /// An empty history that begins now, when no name is there.
    #[must_use]
    pub fn new() -> History {
        History(Arc::new(Mutex::new(Record { began: Instant::now(), moments: 0, calls: BTreeMap::new() })))
    }

    /// A client is about to do something.
    pub fn invoke(&self, client: u64, name: &FileName, operation: Operation) -> CallId {
        let mut record = self.lock();
        let invoked = record.moment();
        record.add(name, Call { client, operation, outcome: Outcome::Unknown, invoked, responded: None })
    }

    /// The client knows what came of it.
    ///
    /// # Panics
    /// If such an operation cannot have such an outcome, or the call is another history's.
    pub fn respond(&self, call: CallId, outcome: Outcome) {
        let mut record = self.lock();
        let responded = record.moment();
        record.respond(&call, outcome, responded);
    }

    /// Now. What looks at names that are not known before, such as a listing, begins with this.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.lock().moment()
    }

    /// A client saw something of a name between a moment and now.
    ///
    /// # Panics
    /// If such an operation cannot have such an outcome.
    pub fn observe(&self, client: u64, name: &FileName, since: Moment, operation: Operation, outcome: Outcome) {
        let mut record = self.lock();
        let responded = record.moment();
        let call = Call { client, operation, outcome: Outcome::Unknown, invoked: since, responded: None };
        let call = record.add(name, call);
        record.respond(&call, outcome, responded);
    }

    /// All calls so far, by name.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<FileName, Vec<Call>> {
        self.lock().calls.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn moment(&mut self) -> Moment {
        self.moments += 1;
        Moment { order: self.moments, at: self.began.elapsed() }
    }

    fn add(&mut self, name: &FileName, call: Call) -> CallId {
        let calls = self.calls.entry(name.clone()).or_default();
        calls.push(call);
        CallId { name: name.clone(), place: calls.len() - 1 }
    }

    fn respond(&mut self, id: &CallId, outcome: Outcome, responded: Moment) {
        let call = self.calls.get_mut(&id.name).and_then(|calls| calls.get_mut(id.place));
        let call = call.expect("a call is answered in the history that recorded it");
        assert!(call.operation.can_come_to(outcome), "{:?} cannot come to {outcome:?}", call.operation);
        call.outcome = outcome;
        call.responded = Some(responded);
    }
}

impl Operation {
    /// Whether it may change what is there.
    #[must_use]
    pub fn writes(self) -> bool {
        match self {
            Operation::Create { .. } | Operation::Overwrite { .. } | Operation::Delete => true,
            Operation::Read | Operation::Stat | Operation::List => false,
        }
    }

    fn can_come_to(self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Done => self.writes(),
            Outcome::Exists => matches!(self, Operation::Create { .. } | Operation::Overwrite { .. }),
            Outcome::NotFound => self == Operation::Delete,
            Outcome::Found(_) | Outcome::Present | Outcome::Absent => !self.writes(),
            Outcome::Failed | Outcome::Unknown => true,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Create { content } => write!(f, "create {content}"),
            Operation::Overwrite { content } => write!(f, "overwrite {content}"),
            Operation::Delete => f.write_str("delete"),
            Operation::Read => f.write_str("read"),
            Operation::Stat => f.write_str("stat"),
            Operation::List => f.write_str("list"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("done"),
            Outcome::Exists => f.write_str("refused: exists"),
            Outcome::NotFound => f.write_str("refused: not found"),
            Outcome::Found(content) => write!(f, "found {content}"),
            Outcome::Present => f.write_str("present"),
            Outcome::Absent => f.write_str("absent"),
            Outcome::Failed => f.write_str("failed"),
            Outcome::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> FileName {
        FileName::new("a").unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_recorded_where_they_began_and_ended() {
        let history = History::new();
        let recorder = history.clone();
        let create = recorder.invoke(1, &name(), Operation::Create { content: 7 });
        let since = history.moment();
        tokio::time::advance(Duration::from_secs(1)).await;
        let _vanished = history.invoke(2, &name(), Operation::Delete);
        recorder.respond(create, Outcome::Done);
        history.observe(3, &name(), since, Operation::List, Outcome::Present);
        let calls = history.calls().remove(&name()).unwrap();
        let seen: Vec<_> = calls.iter().map(|call| (call.client, call.outcome)).collect();
        assert_eq!(seen, [(1, Outcome::Done), (2, Outcome::Unknown), (3, Outcome::Present)]);
        let orders: Vec<_> =
            calls.iter().map(|call| (call.invoked.order, call.responded.map(|moment| moment.order))).collect();
        assert_eq!(orders, [(1, Some(4)), (3, None), (2, Some(5))]);
        assert_eq!(calls[0].responded.unwrap().at, Duration::from_secs(1));
    }

    #[test]
    #[should_panic(expected = "Delete cannot come to Exists")]
    fn an_outcome_that_the_operation_cannot_have_is_a_bug_of_the_recorder() {
        let history = History::new();
        let call = history.invoke(1, &name(), Operation::Delete);
        history.respond(call, Outcome::Exists);
    }
}
