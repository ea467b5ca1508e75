//! What a user asks for happens once, however often it is asked.
//!
//! Source: DESIGN §4, *Exactly once*: "create, allocate and commit are idempotent by (upload nonce) and (file id, epoch).
//! Delete, move and administration carry a 128-bit request id …, kept with its answer for 15 minutes". So an answer that
//! is kept stays as it is: a request that is carried out again would be answered anew. And what was done has its
//! answer: for a deletion, and for the move of a file, that is seen in the state without asking anybody who asked.
//!
//! Exempt is what may have been forgotten: answers go when they are old, or when there is no room, and the state says
//! since when. The move of a directory changes no record of a file, and its answer names nothing.

use super::{Evidence, Invariant};
use crate::inspect::State;
use crate::verdict::Failure;
use dfs_core::id::{DirectoryId, FileId, RequestId, UploadNonce};
use dfs_core::meta::inspect::{Answer, FileState, RequestRecord};
use dfs_core::time::ClusterTime;
use dfs_core::wire::metadata::MovedName;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// What was seen in the whole run.
#[derive(Debug, Default)]
pub(super) struct RequestsAreDoneOnce {
    /// Every answer that was ever kept.
    answers: BTreeMap<RequestId, RequestRecord>,
    /// The request that deleted each file.
    deletions: BTreeMap<FileId, RequestId>,
    /// The file that each upload became.
    uploads: BTreeMap<UploadNonce, FileId>,
    /// Where each visible file was seen last.
    places: BTreeMap<FileId, (DirectoryId, String)>,
    /// When that was.
    seen: ClusterTime,
}

impl RequestsAreDoneOnce {
    fn take_answers(&mut self, state: &State) -> Result<(), String> {
        for (request, record) in &state.requests {
            match self.answers.entry(*request) {
                Entry::Vacant(vacant) => {
                    vacant.insert(record.clone());
                }
                Entry::Occupied(known) if known.get() == record => continue,
                Entry::Occupied(known) => {
                    let known = known.get();
                    return Err(format!("request {request} was answered by {known:?}, and again by {record:?}"));
                }
            }
            if let Answer::Deleted(info) = &record.answer
                && let Some(other) = self.deletions.insert(info.file, *request)
            {
                return Err(format!("file {} was deleted by request {other}, and again by {request}", info.file));
            }
        }
        Ok(())
    }

    /// A deleted file has the answer that says so, and the other way round.
    fn check_deletion(&self, state: &State, file: FileId, at: ClusterTime) -> Result<(), String> {
        let answer = self.deletions.get(&file).and_then(|request| state.requests.get(request));
        match answer {
            Some(answer) if answer.at == at => Ok(()),
            Some(answer) => {
                Err(format!("file {file} was deleted at {} ms, and that was answered at {}", at.0, answer.at.0))
            }
            None if at < state.counters.forgotten_before => Ok(()),
            None => Err(format!("file {file} was deleted, and no request has an answer that says so")),
        }
    }

    /// A file that has another place than before has the answer that says so.
    fn check_place(&self, state: &State, file: FileId, place: &(DirectoryId, String)) -> Result<(), String> {
        if self.places.get(&file).is_none_or(|before| before == place) || self.seen < state.counters.forgotten_before {
            return Ok(());
        }
        let says_so = |record: &RequestRecord| match &record.answer {
            Answer::Moved(MovedName::File(info)) => info.file == file && info.name.base() == place.1,
            _ => false,
        };
        if state.requests.values().any(|record| record.at >= self.seen && says_so(record)) {
            return Ok(());
        }
        Err(format!("file {file} has another name, {:?}, and no request has an answer that says so", place.1))
    }

    fn check_state(&mut self, state: &State) -> Result<u64, String> {
        self.take_answers(state)?;
        let mut places = BTreeMap::new();
        for (file, record) in &state.files {
            let nonce = match &record.state {
                FileState::Committed(committed) => {
                    let place = (committed.directory, committed.component.clone());
                    self.check_place(state, *file, &place)?;
                    places.insert(*file, place);
                    committed.nonce
                }
                FileState::Replaced(replaced) => replaced.nonce,
                FileState::Deleted { at } => {
                    self.check_deletion(state, *file, *at)?;
                    continue;
                }
                FileState::Open(_) => continue,
            };
            let known = *self.uploads.entry(nonce).or_insert(*file);
            if known != *file {
                return Err(format!("one upload became both file {known} and file {file}"));
            }
        }
        (self.places, self.seen) = (places, state.counters.time);
        Ok((state.requests.len() + state.files.len()) as u64)
    }
}

impl Invariant for RequestsAreDoneOnce {
    const NAME: &'static str = "requests are done once";
    const STATEMENT: &'static str =
        "what a user asks for takes effect once, and the answer that was kept for it stays as it is";

    fn check(&mut self, evidence: &Evidence<'_>) -> Result<u64, Failure> {
        let Some(known) = &evidence.sight.known else { return Ok(0) };
        self.check_state(&known.state).map_err(|detail| Failure::correctness(Self::NAME, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Scene, committed, info};
    use super::*;

    /// Whether the second moment is wrong, where the first is sound.
    fn fails<R>(change: impl FnOnce(&mut State) -> R) -> bool {
        let mut invariant = RequestsAreDoneOnce::default();
        let mut scene = Scene::sound();
        assert!(invariant.check(&scene.evidence()).unwrap() > 0);
        scene.state(|state| state.counters.time = ClusterTime(2_000));
        assert!(invariant.check(&scene.evidence()).is_ok());
        scene.state(change);
        invariant.check(&scene.evidence()).is_err()
    }

    fn answer(at: u64, answer: Answer) -> RequestRecord {
        RequestRecord { at: ClusterTime(at), answer }
    }

    #[test]
    fn an_answer_stays_as_it_is_while_it_is_kept() {
        let deleted = |state: &State| state.requests[&RequestId(1)].clone();
        assert!(fails(|state| {
            let again = RequestRecord { at: ClusterTime(1_500), ..deleted(state) };
            state.requests.insert(RequestId(1), again);
        }));
        assert!(fails(|state| {
            let another = deleted(state);
            state.requests.insert(RequestId(2), another);
        }));
        assert!(!fails(|state| {
            state.requests.clear();
            state.counters.forgotten_before = ClusterTime(1_001);
        }));
    }

    #[test]
    fn what_was_done_has_its_answer() {
        assert!(fails(|state| state.requests.clear()));
        let moves = |state: &mut State, at: Option<u64>| {
            state.files.insert(FileId(1), committed(1, 1, "moved", 100));
            if let Some(at) = at {
                let moved = Answer::Moved(MovedName::File(info(1, "moved", 100)));
                state.requests.insert(RequestId(3), answer(at, moved));
            }
        };
        assert!(!fails(|state| moves(state, Some(2_000))));
        assert!(fails(|state| moves(state, None)));
        assert!(fails(|state| moves(state, Some(1_000))), "that was another move");
    }

    #[test]
    fn an_upload_becomes_one_file() {
        assert!(fails(|state| {
            state.files.insert(FileId(9), committed(1, 1, "b", 100));
        }));
        assert!(!fails(|state| {
            state.files.insert(FileId(9), committed(9, 1, "b", 100));
        }));
    }
}
