//! Which build this is: a seed replays for certain only on the build that it failed on.

/// Version and commit, such as `0.1.0+8d6aba2c31`; the version alone if it was not built from a work tree.
pub const BUILD: &str = env!("DFS_SIM_BUILD");
