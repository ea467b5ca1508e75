//! Promises to users, kept by tests on real processes, disks and sockets
