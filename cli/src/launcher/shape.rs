//! How many nodes a local cluster has.

use super::NodeName;
use dfs_core::id::{NodeId, Role};
use std::fmt;

/// Metadata nodes of a local cluster at most.
pub const METADATA_NODES_MAX: u16 = 7;
/// Storage nodes of a local cluster at most.
pub const STORAGE_NODES_MAX: u16 = 64;
/// Copies of a chunk where there are storage nodes enough.
const REPLICATION: u8 = 3;

/// How many nodes of each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    metadata: u16,
    storage: u16,
}

/// A shape that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidShape {
    /// Nobody would know where anything is.
    #[error("a cluster needs a metadata node\nuse -m 1, or -m 3 to survive the loss of one")]
    NoMetadata,
    /// A majority of an even number is no easier to keep than that of the odd number below it.
    #[error(
        "{0} metadata nodes survive no more losses than {less}\nuse -m {less} or -m {more}",
        less = .0 - 1,
        more = .0 + 1
    )]
    EvenMetadata(u16),
    /// Each of them would slow every write down.
    #[error("{0} metadata nodes are too many\nuse -m 1, 3, 5 or {METADATA_NODES_MAX}")]
    TooManyMetadata(u16),
    /// Nothing could be stored.
    #[error("a cluster needs a storage node\nuse -s 1 or more; with 3 or more, files have three copies")]
    NoStorage,
    /// A process each.
    #[error("{0} storage nodes are too many for one machine\nuse -s {STORAGE_NODES_MAX} at most")]
    TooManyStorage(u16),
}

impl Shape {
    /// Checks a shape.
    ///
    /// # Errors
    /// It has too few or too many nodes, or an even number of metadata nodes.
    pub fn new(metadata: u16, storage: u16) -> Result<Shape, InvalidShape> {
        match (metadata, storage) {
            (0, _) => Err(InvalidShape::NoMetadata),
            (many, _) if many > METADATA_NODES_MAX => Err(InvalidShape::TooManyMetadata(many)),
            (even, _) if even % 2 == 0 => Err(InvalidShape::EvenMetadata(even)),
            (_, 0) => Err(InvalidShape::NoStorage),
            (_, many) if many > STORAGE_NODES_MAX => Err(InvalidShape::TooManyStorage(many)),
            _ => Ok(Shape { metadata, storage }),
        }
    }

    /// Metadata nodes.
    #[must_use]
    pub fn metadata(self) -> u16 {
        self.metadata
    }

    /// Storage nodes.
    #[must_use]
    pub fn storage(self) -> u16 {
        self.storage
    }

    /// The names of all nodes, metadata first.
    pub fn names(self) -> impl Iterator<Item = NodeName> {
        let of = |role, count: u16| (1..=count).map(move |number| NodeName { role, node: NodeId(u64::from(number)) });
        of(Role::Metadata, self.metadata).chain(of(Role::Storage, self.storage))
    }

    /// Copies of each chunk: three where there are storage nodes enough.
    #[must_use]
    pub fn replication(self) -> u8 {
        u8::try_from(self.storage).unwrap_or(REPLICATION).min(REPLICATION)
    }
}

impl Default for Shape {
    fn default() -> Self {
        Shape { metadata: 3, storage: 3 }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} metadata and {} storage nodes", self.metadata, self.storage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_make_no_sense_are_refused_with_the_fix() {
        for (metadata, storage, fix) in [
            (0, 3, "use -m 1"),
            (2, 3, "use -m 1 or -m 3"),
            (4, 3, "use -m 3 or -m 5"),
            (9, 3, "use -m 1, 3, 5 or 7"),
            (3, 0, "use -s 1"),
            (3, 65, "use -s 64"),
        ] {
            let error = Shape::new(metadata, storage).unwrap_err().to_string();
            assert!(error.contains(fix) && error.lines().count() == 2, "{error}");
        }
    }

    #[test]
    fn a_shape_names_its_nodes_and_its_copies() {
        let names: Vec<String> = Shape::new(1, 2).unwrap().names().map(|name| name.to_string()).collect();
        assert_eq!(names, ["metadata-1", "storage-1", "storage-2"]);
        let copies = [1, 2, 3, 5].map(|storage| Shape::new(1, storage).unwrap().replication());
        assert_eq!(copies, [1, 2, 3, 3]);
    }
}
