//! Names of files: slash-separated paths without a leading slash, such as `photos/2026/cat.jpg`.
//!
//! A name is checked once, where it enters the system (the command line, the wire), and is valid by type after that.

use crate::limit::{COMPONENT_BYTES_MAX, NAME_BYTES_MAX};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of a file: one or more non-empty components, separated by `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileName(String);

/// Why a text is not a file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// There is nothing in it.
    #[error("a name must not be empty")]
    Empty,
    /// It begins with a slash.
    #[error("a name must not begin with '/'; names are relative to the root")]
    Absolute,
    /// Two slashes follow each other, or it ends with one.
    #[error("a name must not have empty components ('a//b' or 'a/')")]
    EmptyComponent,
    /// A component is `.` or `..`.
    #[error("a name must not have '.' or '..' as a component")]
    DotComponent,
    /// It has a NUL or another control character.
    #[error("a name must not have control characters")]
    ControlCharacter,
    /// The whole name is too long.
    #[error("a name must not be longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// A component is too long.
    #[error("a component of a name must not be longer than {COMPONENT_BYTES_MAX} bytes")]
    ComponentTooLong,
}

impl FileName {
    /// Checks `text` and takes it as a name.
    pub fn new(text: impl Into<String>) -> Result<FileName, InvalidName> {
        let text = text.into();
        if text.is_empty() {
            return Err(InvalidName::Empty);
        }
        if text.len() > NAME_BYTES_MAX {
            return Err(InvalidName::TooLong);
        }
        if text.starts_with('/') {
            return Err(InvalidName::Absolute);
        }
        if text.chars().any(char::is_control) {
            return Err(InvalidName::ControlCharacter);
        }
        for component in text.split('/') {
            match component {
                "" => return Err(InvalidName::EmptyComponent),
                "." | ".." => return Err(InvalidName::DotComponent),
                long if long.len() > COMPONENT_BYTES_MAX => return Err(InvalidName::ComponentTooLong),
                _ => {}
            }
        }
        Ok(FileName(text))
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, outermost first.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    #[must_use]
    pub fn base(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FileName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        FileName::new(text)
    }
}

impl TryFrom<String> for FileName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        FileName::new(text)
    }
}

impl From<FileName> for String {
    fn from(name: FileName) -> String {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_escape_or_confuse_are_refused() {
        let long_component = "x".repeat(256);
        let long_name = "ab/".repeat(400) + "c";
        for (text, why) in [
            ("", InvalidName::Empty),
            ("/etc/passwd", InvalidName::Absolute),
            ("a//b", InvalidName::EmptyComponent),
            ("a/", InvalidName::EmptyComponent),
            ("./a", InvalidName::DotComponent),
            ("a/../b", InvalidName::DotComponent),
            ("a\0b", InvalidName::ControlCharacter),
            ("a\nb", InvalidName::ControlCharacter),
            (&long_component, InvalidName::ComponentTooLong),
            (&long_name, InvalidName::TooLong),
        ] {
            assert_eq!(FileName::new(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn a_name_that_arrives_on_the_wire_is_checked_too() {
        let bytes = postcard::to_stdvec("a/../b").unwrap();
        assert!(postcard::from_bytes::<FileName>(&bytes).is_err());
        let bytes = postcard::to_stdvec("a/b…/c").unwrap();
        let name: FileName = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(name.components().collect::<Vec<_>>(), ["a", "b…", "c"]);
        assert_eq!(name.base(), "c");
    }
}
