//! What a user is told when a command does not succeed: one line of what is wrong, at most one line of what to do,
//! and the exit code.
//!
//! This is the edge where errors become text. Libraries below have enums; each is turned into a failure here or in
//! the verb that met it, so that no error reaches a user without an exit code.

use crate::exit::Exit;
use std::fmt::{self, Display};
use std::io;
use std::path::Path;

/// Why a command ends without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What is wrong, on one line; empty where nothing is left to be said.
    pub message: String,
    /// What to do, on one line.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure with this message. What stands on its second line, if any, is the hint.
    pub fn new(exit: Exit, message: impl Display) -> Failure {
        let text = message.to_string();
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        let hint = Some(one_line(rest)).filter(|hint| !hint.is_empty());
        Failure { exit, message: one_line(first), hint }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(self, hint: impl Display) -> Failure {
        Failure { hint: Some(one_line(&hint.to_string())), ..self }
    }

    /// The user ended the command.
    #[must_use]
    pub fn interrupted() -> Failure {
        Failure::new(Exit::Interrupted, "interrupted")
    }

    /// A local file or directory cannot be used.
    pub fn local_file(doing: &str, path: &Path, cause: &io::Error) -> Failure {
        Failure::new(Exit::LocalFile, format_args!("cannot {doing} {}: {}", path.display(), plain(cause)))
    }

    /// Standard output cannot be written. A reader that went away (`… | head`) is no failure.
    #[must_use]
    pub fn output(cause: &io::Error) -> Failure {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            return Failure { exit: Exit::Done, message: String::new(), hint: None };
        }
        Failure::new(Exit::LocalFile, format_args!("cannot write to standard output: {}", plain(cause)))
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return Ok(());
        }
        writeln!(f, "error: {}", self.message)?;
        match &self.hint {
            Some(hint) => writeln!(f, " hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The operating system's words for an error, without its number.
pub fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_lowercase(),
        None => text,
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_two_lines_at_most() {
        let failure = Failure::new(Exit::NotFound, "no such file: a").hint("look\nhere");
        assert_eq!(failure.to_string(), "error: no such file: a\n hint: look; here\n");
        let failure = Failure::new(Exit::NotFound, "no such file: a\n see `list`\n  or ask");
        assert_eq!(failure.to_string(), "error: no such file: a\n hint: see `list`; or ask\n");
        let cause = io::Error::from_raw_os_error(2);
        let failure = Failure::local_file("read", Path::new("/x"), &cause);
        assert_eq!(failure.to_string(), "error: cannot read /x: no such file or directory\n");
        assert_eq!(failure.exit, Exit::LocalFile);
    }

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        let failure = Failure::output(&io::ErrorKind::BrokenPipe.into());
        assert_eq!((failure.exit, failure.to_string().as_str()), (Exit::Done, ""));
    }
}
