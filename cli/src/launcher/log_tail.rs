//! The end of a node's log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// Bytes that are read from the end of a log at most.
const TAIL_BYTES: u64 = 1024 * 1024;
/// The line with which the launcher begins each life of a node in its log.
pub const START: &str = "---- start";

/// The last `count` lines of a log, without colours. A log that is not there has none.
///
/// # Errors
/// It cannot be read.
pub fn lines(path: &Path, count: usize) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // What cannot be shown on a terminal does not come from the node, or must not get there.
    let clean = |line: &str| line.chars().filter(|letter| *letter == '\t' || !letter.is_control()).collect();
    let mut last: Vec<String> = text.lines().rev().take(count).map(clean).collect();
    last.reverse();
    Ok(last)
}

/// What a node's log says last of its present life: the error that ended it, or its last line.
pub fn last_words(path: &Path) -> Option<String> {
    let lines = lines(path, 20).unwrap_or_default();
    let life = lines.rsplit(|line| line == START).next().unwrap_or_default();
    let error = life.iter().rev().find_map(|line| line.strip_prefix("error: "));
    let last = || life.iter().rev().map(|line| line.trim()).find(|line| !line.is_empty());
    error.or_else(last).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_last_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        assert_eq!(lines(&path, 3).unwrap(), Vec::<String>::new());
        assert_eq!(last_words(&path), None);
        std::fs::write(&path, "one\ntwo\n\u{1b}three\n\n").unwrap();
        assert_eq!(lines(&path, 3).unwrap(), ["two", "three", ""]);
        assert_eq!(lines(&path, 99).unwrap().len(), 4);
        assert_eq!(last_words(&path).unwrap(), "three");
        std::fs::write(&path, "error: old\n---- start\n").unwrap();
        assert_eq!(last_words(&path), None);
        std::fs::write(&path, "---- start\n it runs\nerror: it ends\n hint: look\n").unwrap();
        assert_eq!(last_words(&path).unwrap(), "it ends");
        std::fs::write(&path, "x".repeat(3 << 20)).unwrap();
        assert_eq!(lines(&path, 3).unwrap()[0].len() as u64, TAIL_BYTES);
    }
}
