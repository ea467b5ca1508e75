//! The search for an order of one name's calls that explains every outcome.
//!
//! Wing and Gong's search (*Testing and Verifying Concurrent Objects*, 1993) with Lowe's memory of the configurations
//! that were seen (*Testing for linearizability*, 2017). The object is simple, so most of the branching falls away
//! without losing an order:
//!
//! - A call that only looks is placed as soon as it may be and fits: moved to the front, it changes nothing for others.
//! - Of the deletes that may come next, the one that ended first is tried: they do the same, and the others can wait
//!   where it stood.
//! - A call of unknown outcome is placed only directly before a call that does not fit without it: earlier it helps
//!   nobody, and without need it need not have happened. Calls of unknown outcome that do the same stand for each
//!   other, as do creates and overwrites whose contents nobody is yet to find. Where an unknown create does as well
//!   as an unknown overwrite of the same content it is used first: the overwrite can do all that it can.
//! - A configuration that used up more unknown calls than a failed one, and is otherwise the same, fails as well.

use super::bits::Bits;
use crate::history::{Call, Operation, Outcome};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a name holds: a content, or nothing.
pub(super) type State = Option<u64>;

/// What a call does or says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Puts a content where nothing was.
    Create(u64),
    /// Puts a content there, whatever was.
    Overwrite(u64),
    /// Takes away what was there.
    Delete,
    /// Shows this content.
    SeeContent(u64),
    /// Shows that something is there.
    SeeSomething,
    /// Shows that nothing is there.
    SeeNothing,
}

impl Step {
    /// Whether it can come next in a state.
    fn fits(self, state: State) -> bool {
        match self {
            Step::Create(_) | Step::SeeNothing => state.is_none(),
            Step::Delete | Step::SeeSomething => state.is_some(),
            Step::SeeContent(content) => state == Some(content),
            Step::Overwrite(_) => true,
        }
    }

    /// The state after it, where it fits.
    fn after(self, state: State) -> State {
        match self {
            Step::Create(content) | Step::Overwrite(content) => Some(content),
            Step::Delete => None,
            Step::SeeContent(_) | Step::SeeSomething | Step::SeeNothing => state,
        }
    }

    fn looks(self) -> bool {
        !matches!(self, Step::Create(_) | Step::Overwrite(_) | Step::Delete)
    }
}

/// A call whose outcome is known. Its place in the order lies between the two moments.
#[derive(Clone, Copy, Debug)]
struct Known {
    step: Step,
    invoked: u64,
    responded: u64,
    /// Its place among the calls that the problem was made of.
    call: usize,
}

/// A write whose outcome is not known: it has its place anywhere after its invocation, or nowhere.
#[derive(Clone, Copy, Debug)]
struct Unknown {
    step: Step,
    invoked: u64,
}

/// The calls of one name, as a problem.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// In the order of their invocations.
    known: Vec<Known>,
    unknown: Vec<Unknown>,
    /// Where among the known each content was found.
    found: BTreeMap<u64, Vec<usize>>,
}

/// What the search came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An order was found.
    Ordered,
    /// There is none.
    Impossible(Obstacle),
    /// The limit was reached before.
    TooHard,
}

/// Where every order ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    /// The first call, by its response, that has no place behind all that ended before it.
    pub(super) call: usize,
    /// When it ended.
    responded: u64,
    /// What the name may hold where it would have to stand.
    pub(super) states: BTreeSet<State>,
}

/// How far an order has come.
#[derive(Clone, Debug)]
struct Configuration {
    placed: Bits,
    used: Bits,
    state: State,
    /// All known calls before this one are placed.
    first: usize,
}

impl Problem {
    /// The problem of these calls. What failed, and what only looked and does not know what it saw, says nothing.
    pub(super) fn new(calls: &[Call]) -> Problem {
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for (place, call) in calls.iter().enumerate() {
            let write = match call.operation {
                Operation::Create { content } => Some(Step::Create(content)),
                Operation::Overwrite { content } => Some(Step::Overwrite(content)),
                Operation::Delete => Some(Step::Delete),
                Operation::Read | Operation::Stat | Operation::List => None,
            };
            let step = match call.outcome {
                Outcome::Done => write,
                Outcome::Found(content) => Some(Step::SeeContent(content)),
                Outcome::Exists | Outcome::Present => Some(Step::SeeSomething),
                Outcome::NotFound | Outcome::Absent => Some(Step::SeeNothing),
                Outcome::Failed => None,
                Outcome::Unknown => {
                    unknown.extend(write.map(|step| Unknown { step, invoked: call.invoked.order }));
                    None
                }
            };
            if let (Some(step), Some(responded)) = (step, call.responded) {
                known.push(Known { step, invoked: call.invoked.order, responded: responded.order, call: place });
            }
        }
        known.sort_by_key(|known| known.invoked);
        unknown.sort_by_key(|unknown| unknown.invoked);
        let mut found = BTreeMap::<u64, Vec<usize>>::new();
        for (place, known) in known.iter().enumerate() {
            if let Step::SeeContent(content) = known.step {
                found.entry(content).or_default().push(place);
            }
        }
        Problem { known, unknown, found }
    }

    /// How many of its calls have an unknown outcome that matters.
    pub(super) fn unknown(&self) -> usize {
        self.unknown.len()
    }

    /// Looks for an order that begins in `state`, among at most `limit` configurations. Also says how many it saw.
    pub(super) fn search(&self, state: State, limit: u64) -> (Answer, u64) {
        // Keys, and behind each the sets of unknown calls that were used up.
        let mut seen: HashMap<(Bits, State), Vec<Bits>> = HashMap::new();
        let mut obstacle: Option<Obstacle> = None;
        let start =
            Configuration { placed: Bits::new(self.known.len()), used: Bits::new(self.unknown.len()), state, first: 0 };
        let mut open = vec![start];
        let mut explored = 0;
        while let Some(mut configuration) = open.pop() {
            self.place_what_looks(&mut configuration);
            let key = (configuration.placed.clone(), configuration.state);
            let failed = seen.entry(key).or_default();
            if failed.iter().any(|used| used.is_within(&configuration.used)) {
                continue;
            }
            failed.push(configuration.used.clone());
            if explored == limit {
                return (Answer::TooHard, explored);
            }
            explored += 1;
            let Some(next) = self.first_to_end(&configuration) else { return (Answer::Ordered, explored) };
            note(&mut obstacle, &self.known[next], configuration.state);
            self.expand(&configuration, self.known[next].responded, &mut open);
        }
        (Answer::Impossible(obstacle.expect("an order that does not end has an obstacle")), explored)
    }

    /// The known calls that are not placed yet and began before `horizon`.
    fn within<'a>(&'a self, configuration: &'a Configuration, horizon: u64) -> impl Iterator<Item = usize> + 'a {
        let began = move |place: &usize| self.known[*place].invoked < horizon;
        (configuration.first..self.known.len()).take_while(began).filter(|place| !configuration.placed.has(*place))
    }

    /// The call that ended first of those that are not placed yet. What began after its end must stand behind it.
    fn first_to_end(&self, configuration: &Configuration) -> Option<usize> {
        let mut first = self.within(configuration, u64::MAX).next()?;
        for place in self.within(configuration, self.known[first].responded) {
            if self.known[place].responded < self.known[first].responded {
                first = place;
            }
        }
        Some(first)
    }

    fn place_what_looks(&self, configuration: &mut Configuration) {
        while let Some(first) = self.first_to_end(configuration) {
            let horizon = self.known[first].responded;
            let looks_and_fits = |place: &usize| {
                let step = self.known[*place].step;
                step.looks() && step.fits(configuration.state)
            };
            let placed: Vec<usize> = self.within(configuration, horizon).filter(looks_and_fits).collect();
            if placed.is_empty() {
                return;
            }
            placed.into_iter().for_each(|place| self.place(configuration, place));
        }
    }

    fn place(&self, configuration: &mut Configuration, place: usize) {
        configuration.placed.add(place);
        configuration.state = self.known[place].step.after(configuration.state);
        while configuration.first < self.known.len() && configuration.placed.has(configuration.first) {
            configuration.first += 1;
        }
    }

    /// Adds every configuration that may follow; what needs no unknown call comes last, so that it is tried first.
    fn expand(&self, configuration: &Configuration, horizon: u64, open: &mut Vec<Configuration>) {
        let mut next: Vec<(usize, Vec<usize>)> = Vec::new();
        let mut first_delete: Option<usize> = None;
        for place in self.within(configuration, horizon) {
            let Known { step, responded, .. } = self.known[place];
            if step == Step::Delete {
                if first_delete.is_none_or(|first| responded < self.known[first].responded) {
                    first_delete = Some(place);
                }
            } else {
                self.ways_to(configuration, horizon, step).into_iter().for_each(|used| next.push((place, used)));
            }
        }
        if let Some(place) = first_delete {
            self.ways_to(configuration, horizon, Step::Delete).into_iter().for_each(|used| next.push((place, used)));
        }
        next.sort_by_key(|(place, used)| std::cmp::Reverse((used.len(), self.known[*place].responded)));
        for (place, used) in next {
            let mut following = configuration.clone();
            for unknown in used {
                following.used.add(unknown);
                following.state = self.unknown[unknown].step.after(following.state);
            }
            self.place(&mut following, place);
            open.push(following);
        }
    }

    /// The smallest sets of unknown calls, in order, after which a step fits.
    fn ways_to(&self, configuration: &Configuration, horizon: u64, step: Step) -> Vec<Vec<usize>> {
        if step.fits(configuration.state) {
            return vec![Vec::new()];
        }
        let free = |place: &usize| self.unknown[*place].invoked < horizon && !configuration.used.has(*place);
        let first = |wanted: Step| (0..self.unknown.len()).filter(free).find(|u| self.unknown[*u].step == wanted);
        match step {
            Step::Create(_) | Step::SeeNothing => first(Step::Delete).map(|delete| vec![delete]).into_iter().collect(),
            Step::SeeContent(content) => {
                let (create, overwrite) = (first(Step::Create(content)), first(Step::Overwrite(content)));
                match configuration.state {
                    None => create.or(overwrite).map(|put| vec![put]).into_iter().collect(),
                    Some(_) => {
                        let behind_a_delete =
                            first(Step::Delete).zip(create).map(|(delete, create)| vec![delete, create]);
                        overwrite.map(|put| vec![put]).into_iter().chain(behind_a_delete).collect()
                    }
                }
            }
            Step::Overwrite(_) => unreachable!("an overwrite fits whatever there is"),
            Step::Delete | Step::SeeSomething => {
                let creates = (0..self.unknown.len()).filter(free);
                self.creates_that_differ(configuration, creates, step).into_iter().map(|create| vec![create]).collect()
            }
        }
    }

    /// Of these unknown calls, creates and overwrites between which the rest of an order can tell. One whose content nobody is yet to
    /// find stands for all such; where the content is deleted at once, also for those that somebody is yet to find.
    fn creates_that_differ(
        &self,
        configuration: &Configuration,
        unknown: impl Iterator<Item = usize>,
        step: Step,
    ) -> Vec<usize> {
        let mut unseen = None;
        let mut seen = BTreeMap::new();
        for place in unknown {
            let (content, is_create) = match self.unknown[place].step {
                Step::Create(content) => (content, true),
                Step::Overwrite(content) => (content, false),
                _ => continue,
            };
            let found = self.found.get(&content).into_iter().flatten();
            if found.into_iter().any(|finder| !configuration.placed.has(*finder)) {
                let known = seen.entry(content).or_insert(place);
                if is_create && !matches!(self.unknown[*known].step, Step::Create(_)) {
                    *known = place;
                }
            } else {
                unseen = unseen.or(Some(place));
            }
        }
        match unseen {
            Some(create) if step == Step::Delete => vec![create],
            unseen => seen.into_values().chain(unseen).collect(),
        }
    }
}

/// Remembers the furthest call that an order ended at.
fn note(obstacle: &mut Option<Obstacle>, stuck: &Known, state: State) {
    match obstacle {
        Some(known) if known.responded > stuck.responded => {}
        Some(known) if known.responded == stuck.responded => {
            known.states.insert(state);
        }
        _ => {
            let states = BTreeSet::from([state]);
            *obstacle = Some(Obstacle { call: stuck.call, responded: stuck.responded, states });
        }
    }
}
