//! Standard output: whole lines, with an error where it cannot be written (the standard macros would panic).

use crate::exit::Exit;
use crate::failure::Failure;
use std::fmt::Arguments;
use std::io::Write;

/// Writes `text` to standard output as it is.
///
/// # Errors
/// It cannot be written; see [`Failure::output`] for readers that went away.
pub fn print(text: Arguments<'_>) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output.write_fmt(text).and_then(|()| output.flush()).map_err(|cause| Failure::output(&cause))
}

/// Lines on standard output for a program that may have enough of them before the work is done: what cannot be written
/// is kept to be told in the end, and no more is written.
#[derive(Debug, Default)]
pub struct Lines {
    broken: Option<Failure>,
}

impl Lines {
    /// Writes a line, if lines can be written.
    pub fn print(&mut self, text: &str) {
        self.write(&mut std::io::stdout().lock(), text);
    }

    fn write(&mut self, output: &mut impl Write, text: &str) {
        if self.broken.is_none() {
            self.broken =
                writeln!(output, "{text}").and_then(|()| output.flush()).map_err(|e| Failure::output(&e)).err();
        }
    }

    /// What the work ended with, and if that is a success, whether it could be told. That a reader went away does not
    /// make a failure of a success, nor the reverse.
    ///
    /// # Errors
    /// The work failed, or lines could not be written although somebody may want them.
    pub fn conclude(self, ended: Result<(), Failure>) -> Result<(), Failure> {
        ended.and_then(|()| self.broken.filter(|broken| broken.exit != Exit::Done).map_or(Ok(()), Err))
    }
}

/// Writes bytes to standard output as they are.
///
/// # Errors
/// As [`print()`].
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    output.write_all(bytes).and_then(|()| output.flush()).map_err(|cause| Failure::output(&cause))
}

/// Writes one line to standard error. What cannot be told cannot be told: a failure is ignored.
pub fn note(text: Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    /// Takes so many writes, and then fails so.
    struct Output(usize, io::ErrorKind, Vec<u8>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(self.1)?;
            self.2.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_goes_away_changes_nothing_of_how_the_work_ends() {
        let gone = || {
            let (mut lines, mut output) = (Lines::default(), Output(2, io::ErrorKind::BrokenPipe, Vec::new()));
            (0..3).for_each(|_| lines.write(&mut output, "x"));
            assert_eq!(output.2, b"x\n");
            lines
        };
        assert_eq!(gone().conclude(Ok(())), Ok(()));
        let failed = Failure::new(Exit::Integrity, "1 of 2 files were not downloaded");
        assert_eq!(gone().conclude(Err(failed.clone())), Err(failed));
        let mut lines = Lines::default();
        lines.write(&mut Output(0, io::ErrorKind::StorageFull, Vec::new()), "x");
        assert_eq!(lines.conclude(Ok(())).unwrap_err().exit, Exit::LocalFile);
    }
}
