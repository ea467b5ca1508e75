//! Exit codes: the whole list of how a command can end, for scripts.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// All was done.
    Done = 0,
    /// It failed for a reason that no other code stands for.
    Failure = 1,
    /// The command line or a setting is wrong; nothing was tried.
    Usage = 2,
    /// What was named does not exist: a file of the cluster, a node, a cluster.
    NotFound = 3,
    /// What was to be made exists already.
    AlreadyExists = 4,
    /// The cluster cannot be reached, or cannot answer now. Trying later may help.
    Unavailable = 5,
    /// It cannot be done as asked: too few nodes, too many copies, no permission, a range that the file does not have.
    Refused = 6,
    /// Bytes cannot be read, or are not what they should be.
    Integrity = 7,
    /// A local file cannot be read or written.
    LocalFile = 8,
    /// A local file changed while it was uploaded.
    SourceChanged = 9,
    /// It was interrupted (Ctrl-C or SIGTERM).
    Interrupted = 130,
}

impl Exit {
    /// Every code, with what it means, in rising order.
    pub const ALL: [(Exit, &'static str); 11] = [
        (Exit::Done, "done"),
        (Exit::Failure, "failed for another reason than those below"),
        (Exit::Usage, "wrong command line or setting; nothing was tried"),
        (Exit::NotFound, "the file, node or cluster does not exist"),
        (Exit::AlreadyExists, "the name or path exists already"),
        (Exit::Unavailable, "the cluster cannot be reached or cannot answer now"),
        (
            Exit::Refused,
            "it cannot be done as asked: too few nodes, too many copies, no permission, no such range of bytes",
        ),
        (Exit::Integrity, "bytes cannot be read or are not what they should be"),
        (Exit::LocalFile, "a local file cannot be read or written"),
        (Exit::SourceChanged, "a local file changed while it was uploaded"),
        (Exit::Interrupted, "interrupted by Ctrl-C or SIGTERM"),
    ];

    /// The number that the process exits with.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The list as the help shows it.
    #[must_use]
    pub fn help() -> String {
        let lines = Exit::ALL.map(|(exit, meaning)| format!("  {:>3}  {meaning}", exit.number()));
        format!("Exit codes:\n{}", lines.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_distinct_and_in_the_help() {
        let mut numbers = Exit::ALL.map(|(exit, _)| exit.number()).to_vec();
        let shown = Exit::help();
        assert!(numbers.iter().all(|number| shown.contains(&format!(" {number}  "))));
        numbers.dedup();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 130]);
    }
}
