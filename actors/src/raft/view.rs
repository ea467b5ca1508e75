//! The applied state as `core` reads it.

use super::state_machine::StateStore;
use crate::key_value::{KeyValueError, KeyValueView};
use dfs_core::meta::{Pairs, View};
use std::io;
use std::ops::Bound;
use std::sync::Arc;

/// The metadata state at one moment: later entries do not change what it shows. Its reads block.
///
/// Hold it for one request only: it keeps what it shows on the disk.
#[derive(Clone)]
pub struct StateView(Option<Moment>);

#[derive(Clone)]
struct Moment {
    view: Arc<dyn KeyValueView>,
    /// Keeps the store from being removed while it is read.
    _store: Arc<StateStore>,
}

impl StateView {
    /// The state in `store` as it is now; without a store, every read fails.
    pub(super) fn new(store: Option<Arc<StateStore>>) -> StateView {
        StateView(store.map(|store| Moment { view: store.store.snapshot(), _store: store }))
    }

    fn view(&self) -> Result<&dyn KeyValueView, KeyValueError> {
        let moment = self.0.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(&*moment.view)
    }
}

impl std::fmt::Debug for StateView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StateView")
    }
}

impl View for StateView {
    type Error = KeyValueError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        self.view()?.get(key)
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        self.view()?.scan(start, end, limit)
    }
}

/// A store as it is while nobody else writes to it.
#[derive(Clone, Copy)]
pub struct StoreView<'s>(pub &'s dyn KeyValueView);

impl std::fmt::Debug for StoreView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreView")
    }
}

impl View for StoreView<'_> {
    type Error = KeyValueError;

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KeyValueError> {
        self.0.get(key)
    }

    fn scan(&self, start: Bound<&[u8]>, end: Bound<&[u8]>, limit: usize) -> Result<Pairs, KeyValueError> {
        self.0.scan(start, end, limit)
    }
}
