//! `cluster up`: starting a local cluster, and watching over it in the foreground.

use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::launcher::{Launcher, NodeName, Up};
use crate::output::note;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::sleep;

/// How often the foreground looks at its nodes.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// What to type after a verb so that it means this cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage {
    /// After a client's verb.
    pub client: String,
    /// After a launcher's verb.
    pub launcher: String,
    /// Whether the environment names another cluster, so that clients must be told of this one.
    pub is_hidden: bool,
}

/// Starts a cluster; then leaves it running, or watches it until Ctrl-C and stops it.
pub(super) async fn up(
    launcher: &Launcher,
    metadata: Option<u16>,
    storage: Option<u16>,
    detach: bool,
    usage: &Usage,
) -> Result<(), Failure> {
    let mut interrupt = Interrupt::listen()?;
    note(format_args!("starting the cluster in {} …", launcher.layout().root().display()));
    let outcome = tokio::select! {
        outcome = launcher.up(metadata, storage) => outcome.map_err(Failure::from),
        () = interrupt.heard() => Err(Failure::interrupted()),
    };
    let up = match outcome {
        Ok(up) => up,
        Err(failure) => {
            // What this command has started does not stay behind half done.
            launcher.stop_started().await?;
            return Err(failure);
        }
    };
    tell(launcher, &up, detach, usage);
    if detach {
        return Ok(());
    }
    tokio::select! {
        ended = watch(launcher) => return ended,
        () = interrupt.heard() => note(format_args!("stopping the cluster; its data stays (Ctrl-C again: at once) …")),
    }
    tokio::select! {
        stopped = launcher.down() => {
            stopped?;
        }
        () = interrupt.heard() => launcher.kill_all().await?,
    }
    Ok(())
}

/// Says what happened and what can be done now.
fn tell(launcher: &Launcher, up: &Up, detach: bool, usage: &Usage) {
    let directory = launcher.layout().root().display();
    match (up.started.len(), up.is_new) {
        (0, _) => note(format_args!("{} run already in {directory}", up.shape)),
        (_, true) => note(format_args!("{} serve in {directory}", up.shape)),
        (_, false) => {
            let started: Vec<String> = up.started.iter().map(ToString::to_string).collect();
            note(format_args!("{} serve in {directory}; started: {}", up.shape, started.join(", ")));
        }
    }
    if usage.is_hidden {
        note(format_args!("DFS_CLUSTER is set: give --cluster {directory} to use this cluster"));
    }
    let (client, cluster) = (&usage.client, &usage.launcher);
    note(format_args!(
        "\n  dfs-cli upload --file PATH{client}\n  dfs-cli list{client}\n  dfs-cli nodes{client}\n  \
           dfs-cli cluster kill storage-1{cluster}\n  dfs-cli cluster down{cluster}"
    ));
    if !detach {
        note(format_args!("\nCtrl-C stops it; its data stays"));
    }
}

/// Tells of every node that ends or comes back, until all have ended.
async fn watch(launcher: &Launcher) -> Result<(), Failure> {
    let mut running = launcher.running_nodes()?;
    loop {
        sleep(WATCH_INTERVAL).await;
        // The directory is removed by `cluster down --purge` from elsewhere.
        let Ok(now) = launcher.running_nodes() else {
            note(format_args!("the cluster was removed"));
            return Ok(());
        };
        for name in running.difference(&now) {
            tell_end(launcher, *name);
        }
        for name in now.difference(&running) {
            note(format_args!("{name} runs again"));
        }
        if now.is_empty() && !running.is_empty() {
            return ended(launcher, &running);
        }
        running = now;
    }
}

fn tell_end(launcher: &Launcher, name: NodeName) {
    if launcher.ended_by_itself(name) {
        let last = launcher.last_words(name).unwrap_or_else(|| "nothing".to_owned());
        note(format_args!("{name} has ended by itself; it logged last: {last}"));
    } else {
        note(format_args!("{name} was stopped"));
    }
}

/// What it means that no node runs any more.
fn ended(launcher: &Launcher, last: &BTreeSet<NodeName>) -> Result<(), Failure> {
    if last.iter().any(|name| launcher.ended_by_itself(*name)) {
        return Err(Failure::new(Exit::Failure, "all nodes have ended")
            .hint(format_args!("see {}/nodes/*/log", launcher.layout().root().display())));
    }
    note(format_args!("the cluster was stopped"));
    Ok(())
}
