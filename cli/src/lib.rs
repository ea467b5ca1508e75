//! dfs-cli, the one binary: file verbs, node daemon and local cluster launcher
