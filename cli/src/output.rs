//! Standard output: whole lines, with an error where it cannot be written (the standard macros would panic).

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
