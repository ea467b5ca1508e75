//! The log and the state of one metadata node, read as far as they are new.

use super::state::{Register, State};
use super::{MetadataSight, Site, unreadable};
use crate::verdict::Failure;
use dfs_actors::key_value::{KeyValueError, KeyValueView};
use dfs_actors::raft::inspect::{self, LOG_STORE, StoreView, StoredLog};
use dfs_core::id::ChunkId;
use dfs_core::limit::NODES_PAGE_MAX;
use dfs_core::meta::{self, KnownChunk, KnownPage, NodeRecord, known_chunks as page_of_chunks};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Groups that are read at once.
const PAGE_GROUPS: usize = 1024;

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The store that was the state.
    state: Option<String>,
}

impl Ledger {
    pub fn read(&mut self, site: &Site, sight: &mut MetadataSight) -> Result<(), Failure> {
        sight.name.clone_from(&site.name);
        sight.runs = site.runs;
        read_log(site, sight).map_err(|error| unreadable(&site.name, error))?;
        let name = state_name(site)?;
        let state = site.stores.peek(&name);
        let applied = state.as_ref().map(|state| inspect::applied(&**state)).transpose();
        let applied = applied.map_err(|error| unreadable(&site.name, error))?.flatten();
        if self.state.as_ref() != Some(&name) || sight.applied != applied || sight.state.is_none() {
            let hash = state.filter(|_| applied.is_some()).map(|state| inspect::state_hash(&*state)).transpose();
            sight.state = hash.map_err(|error| unreadable(&site.name, error))?;
            sight.applied = applied;
            self.state = Some(name);
        }
        Ok(())
    }
}

fn read_log(site: &Site, sight: &mut MetadataSight) -> Result<(), KeyValueError> {
    let log = match site.stores.peek(LOG_STORE) {
        Some(view) => read_news(&*view, sight)?,
        None => {
            sight.entries.clear();
            sight.news = 0;
            StoredLog::default()
        }
    };
    let purged = log.purged.map_or(0, |purged| purged.index);
    let gone = sight.entries.iter().take_while(|entry| entry.place.index <= purged).count();
    sight.entries.drain(..gone);
    sight.news = sight.news.saturating_sub(gone);
    (sight.vote, sight.purged) = (log.vote, log.purged);
    Ok(())
}

/// Adds what is behind the last entry that was seen, if that is still there; else reads all of them.
fn read_news(view: &dyn KeyValueView, sight: &mut MetadataSight) -> Result<StoredLog, KeyValueError> {
    if let Some(last) = sight.entries.last() {
        let mut log = inspect::log(view, last.place.index)?;
        if log.entries.first() == Some(last) {
            sight.news = sight.entries.len();
            sight.entries.extend(log.entries.drain(1..));
            return Ok(log);
        }
    }
    let mut log = inspect::log(view, 0)?;
    sight.entries = std::mem::take(&mut log.entries);
    sight.news = 0;
    Ok(log)
}

fn state_name(site: &Site) -> Result<String, Failure> {
    inspect::state_store(&*site.disk.live_copy().mount()).map_err(|error| unreadable(&site.name, error))
}

/// What is known of a state: of chunks, of storage nodes, and all of it.
type Contents = (BTreeMap<ChunkId, KnownChunk>, Vec<NodeRecord>, Arc<State>);

/// What the state of a metadata node knows.
pub(super) fn known(site: &Site, register: &mut Register) -> Result<Contents, Failure> {
    let Some(view) = site.stores.peek(&state_name(site)?) else { return Ok(Default::default()) };
    let state = StoreView(&*view);
    let (mut all, mut after) = (BTreeMap::new(), None);
    loop {
        let page = page_of_chunks(&state, after, PAGE_GROUPS);
        let KnownPage { chunks, last } = page.map_err(|error| unreadable(&site.name, error))?;
        all.extend(chunks.into_iter().map(|known| (known.chunk, known)));
        after = last;
        if after.is_none() {
            break;
        }
    }
    let nodes = meta::nodes(&state, None, NODES_PAGE_MAX).map_err(|error| unreadable(&site.name, error))?;
    Ok((all, nodes, register.read(&*view).map_err(|error| unreadable(&site.name, error))?))
}
