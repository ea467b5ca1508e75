//! A life: a random cluster, users at work, and the random swarm of faults, in rounds, until its time is over.
//!
//! In each round faults come and go while users work; then everything is mended, and within a bound of virtual time the
//! cluster must be whole again, with every operation ended and every copy made that is owed. At the end every file is
//! read, and the history of everything that users saw must be one that a correct system could have had.

use crate::cluster::{Cluster, Ending};
use crate::history::Outcome;
use crate::inspect::Depth;
use crate::judgement::{look_at_everything, until_replicated};
use crate::random::Random;
use crate::scenario::alive_tasks;
use crate::stage::{RECOVERS, Stage};
use crate::swarm::Plan;
use crate::verdict::{Failure, Verdict};
use crate::work::{CHUNK_BYTES, Manner, OPERATION_WITHIN, Shared, Windows, Work};
use crate::world::SimWorld;
use dfs_core::limit::CHUNKS_PER_GROUP;
use dfs_core::name::FileName;
use dfs_core::settings::ClusterSettings;
use std::cell::Cell;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a standard life is.
pub const STANDARD: Duration = Duration::from_secs(600);

/// Once the faults are over a write succeeds, and is read.
pub const SERVES_AGAIN: &str = "serves-again";

/// Every so many-th upload has large chunks.
const LARGE_CHUNKS_EVERY: u64 = 6;

/// Names that all users fight for.
const CONTESTED: u64 = 10;

/// How often users, before an operation, change settings or look at them, where they do.
const SETTINGS_PPM: u32 = 30_000;

/// How often the machines are looked at.
const JUDGED_EVERY: Duration = Duration::from_secs(8);

/// Bytes of a group.
const GROUP_BYTES: u64 = CHUNK_BYTES as u64 * CHUNKS_PER_GROUP as u64;

/// Opens and closes the users' day.
#[derive(Default)]
struct Gate {
    over: Cell<bool>,
    closed: Cell<bool>,
    busy: Cell<u64>,
}

/// Lives.
///
/// # Errors
/// What did not hold.
pub async fn play(world: &mut SimWorld) -> Verdict {
    let before = alive_tasks();
    let mut random = world.random("life");
    let plan = Plan::draw(&mut random);
    let trace = world.trace().clone();
    trace.record("plan", format_args!("{plan}"));
    world.network().set_default_link(plan.link);
    let (mut cluster, users) = Cluster::prepare(world, plan.shape())?;
    cluster.start().await?;
    cluster.initialise(0, ClusterSettings::default()).await?;
    let shared = Shared { large_chunks_every: Some(LARGE_CHUNKS_EVERY), ..Shared::new(world.tally().clone(), trace) };
    let mut stage = Stage::new(world, cluster, &users);
    stage.until_whole(&users[0]).await?;
    let deadline = Instant::now() + world.length().unwrap_or(STANDARD);
    let gate = Gate::default();
    let days = users.iter().zip(1_u64..).map(|(user, number)| {
        let random = world.random(&format!("user {number}"));
        day(Work { number, user, shared: &shared }, random, &gate, &plan)
    });
    let judge = Work { number: 0, user: &users[0], shared: &shared };
    if plan.changes_settings {
        agree(judge, Windows::numbered(0)).await?;
    }
    let faults = async {
        let outcome = rounds(&mut stage, judge, &mut random, &plan, &gate, deadline).await;
        gate.over.set(true);
        outcome
    };
    tokio::try_join!(futures_util::future::try_join_all(days), faults)?;
    until_replicated(&stage, judge).await?;
    look_at_everything(judge).await?;
    stage.judge(&shared.oracle, Depth::Everything)?;
    let ending = if random.chance(500_000) { Ending::InOrder } else { Ending::AtOnce };
    stage.end(users, before, ending).await
}

async fn rounds(
    stage: &mut Stage,
    judge: Work<'_>,
    random: &mut Random,
    plan: &Plan,
    gate: &Gate,
    deadline: Instant,
) -> Verdict {
    // Whatever is older than the first fault is what an older disk has, if no copy was kept since.
    stage.keep_copy(plan.victim())?;
    let mut number = 0;
    while Instant::now() < deadline {
        number += 1;
        if random.chance(500_000) {
            stage.keep_copy(plan.victim())?;
        }
        storm(stage, judge, plan.round(random)).await?;
        let healed = Instant::now();
        stage.heal().await?;
        gate.closed.set(true);
        while gate.busy.get() > 0 {
            stage.check()?;
            if healed.elapsed() > OPERATION_WITHIN {
                return Err(Failure::liveness(RECOVERS, "operations go on for ever after the faults").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
        stage.until_whole(judge.user).await?;
        judge.shared.tally.recovery("round", healed.elapsed());
        let name = FileName::new(format!("probe/{number}"))?;
        if judge.upload(&name, random.within(0..=2 * u64::from(CHUNK_BYTES)), Manner::Plain).await?.outcome
            != Outcome::Done
        {
            return Err(Failure::liveness(SERVES_AGAIN, format!("{name} cannot be written")).into());
        }
        if !matches!(judge.read(&name, false).await?.outcome, Outcome::Found(_)) {
            return Err(Failure::liveness(SERVES_AGAIN, format!("{name} cannot be read")).into());
        }
        judge.shared.tally.checked(SERVES_AGAIN, 1);
        if plan.changes_settings && random.chance(500_000) {
            agree(judge, Windows::numbered(random.within(0..=Windows::LAST))).await?;
        }
        stage.judge(&judge.shared.oracle, Depth::News)?;
        gate.closed.set(false);
    }
    Ok(())
}

/// Agrees on windows while nothing is in the way, and sees them.
async fn agree(judge: Work<'_>, windows: Windows) -> Verdict {
    let (agreed, seen) = (judge.agree_on(windows).await?, judge.see_windows().await?);
    if agreed != Outcome::Done || seen == Outcome::Unknown {
        return Err(Failure::liveness(SERVES_AGAIN, format!("{windows:?} cannot be agreed on")).into());
    }
    Ok(())
}

/// Lets faults come and go as drawn.
async fn storm(stage: &mut Stage, judge: Work<'_>, drawn: Vec<(Duration, Duration, crate::fault::Fault)>) -> Verdict {
    let began = Instant::now();
    let mut acts: Vec<_> =
        drawn.iter().flat_map(|(begins, ends, fault)| [(*begins, true, *fault), (*ends, false, *fault)]).collect();
    acts.sort_by_key(|(at, ..)| *at);
    for (at, begins, fault) in acts {
        while began.elapsed() < at {
            sleep_until((began + at).min(Instant::now() + JUDGED_EVERY)).await;
            stage.judge(&judge.shared.oracle, Depth::News)?;
        }
        if begins { stage.hurt(fault).await? } else { stage.mend(fault).await? }
    }
    Ok(())
}

/// What one user does all day.
async fn day(work: Work<'_>, mut random: Random, gate: &Gate, plan: &Plan) -> Verdict {
    let contested = (0..CONTESTED).map(|number| FileName::new(format!("shared/{number}")));
    let contested: Vec<FileName> = contested.collect::<Result<_, _>>()?;
    let everywhere = FileName::new("shared")?;
    let mut own: Vec<FileName> = Vec::new();
    let mut written = 0;
    let thinking = plan.thinking.as_millis() as u64;
    while !gate.over.get() {
        sleep(Duration::from_millis(random.within(0..=thinking))).await;
        if gate.closed.get() {
            continue;
        }
        gate.busy.set(gate.busy.get() + 1);
        let some = &contested[usize::try_from(random.within(0..=CONTESTED - 1))?];
        // Who only looks is told of a new leader by nobody.
        let looks_only = plan.has_reader && work.number == 1;
        if plan.changes_settings && random.chance(SETTINGS_PPM) {
            match random.within(0..=2) {
                0 if !looks_only => drop(work.agree_on(Windows::numbered(random.within(0..=Windows::LAST))).await?),
                _ => drop(work.see_windows().await?),
            }
        }
        match random.within(if looks_only { 58..=99 } else { 0..=99 }) {
            0..=3 => {
                if let Some(name) = pick(&own, &mut random) {
                    work.overwrite(name, length(&mut random), Manner::Plain).await?;
                }
            }
            4..=24 => {
                let name = FileName::new(format!("user-{}/{written}", work.number))?;
                written += 1;
                own.push(name.clone());
                write(work, &name, Again::SameSource, &mut random).await?;
            }
            25..=38 => write(work, some, Again::OtherSource, &mut random).await?,
            39..=44 => {
                let manner = if random.chance(200_000) { vanishing(&mut random) } else { Manner::Plain };
                work.overwrite(some, length(&mut random), manner).await?;
            }
            45..=51 => drop(work.delete(some).await?),
            52..=54 => {
                // Nobody writes under the old name any more: what comes of the move may become known late, or never.
                if !own.is_empty() {
                    let name = own.swap_remove(usize::try_from(random.within(0..=own.len() as u64 - 1))?);
                    work.rename(&name, some).await?;
                }
            }
            55..=57 => {
                if let Some(name) = pick(&own, &mut random) {
                    work.delete(name).await?;
                }
            }
            58..=67 => drop(work.stat(some).await?),
            68..=70 => drop(work.read_in_halves(some, Duration::from_millis(random.within(0..=3_000))).await?),
            71..=80 => drop(work.read(some, random.chance(500_000)).await?),
            81..=95 => {
                if let Some(name) = pick(&own, &mut random) {
                    work.read(name, random.chance(500_000)).await?;
                }
            }
            96 => drop(work.list_level(&everywhere, &contested).await?),
            97 => drop(work.list_uploads(some).await?),
            _ => drop(work.list(&everywhere, &contested).await?),
        }
        gate.busy.set(gate.busy.get() - 1);
    }
    Ok(())
}

/// What a user uploads who tries again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// The same source, as with the same command: it goes on with what the first left, if that can be.
    SameSource,
    /// Another one, of the same size.
    OtherSource,
}

/// Writes a file in some manner; if that fails, maybe once more.
async fn write(work: Work<'_>, name: &FileName, again: Again, random: &mut Random) -> Verdict {
    let length = length(random);
    let manner = match random.within(0..=99) {
        0..=69 => Manner::Plain,
        70..=81 => Manner::Piped,
        82..=89 => Manner::Failing(random.within(0..=length)),
        _ => vanishing(random),
    };
    let (tries_again, goes_on) = (random.chance(500_000), random.chance(700_000));
    let outcome = work.upload(name, length, manner).await?.outcome;
    match outcome {
        Outcome::Unknown | Outcome::Failed if tries_again && goes_on && again == Again::SameSource => {
            work.upload_again(name).await?;
        }
        Outcome::Unknown if tries_again => drop(work.upload(name, length, Manner::Plain).await?),
        _ => {}
    }
    Ok(())
}

fn vanishing(random: &mut Random) -> Manner {
    Manner::Vanishing(Duration::from_millis(random.within(0..=1_500)))
}

/// How long files are: empty, small, around every boundary, and of several groups.
fn length(random: &mut Random) -> u64 {
    let chunk = u64::from(CHUNK_BYTES);
    match random.within(0..=99) {
        0..=6 => 0,
        7..=39 => random.within(1..=chunk),
        40..=51 => (random.within(1..=4) * chunk + random.within(0..=2)).saturating_sub(1),
        52..=92 => random.within(1..=5 * chunk),
        93..=95 => GROUP_BYTES + random.within(0..=2) - 1,
        _ => random.within(GROUP_BYTES..=3 * GROUP_BYTES),
    }
}

fn pick<'n>(names: &'n [FileName], random: &mut Random) -> Option<&'n FileName> {
    let last = names.len().checked_sub(1)?;
    names.get(usize::try_from(random.within(0..=last as u64)).ok()?)
}
