//! The roles of a node: supervision trees, settings and the one composition root.

pub mod settings;
