//! The asynchronous client library of the file system
