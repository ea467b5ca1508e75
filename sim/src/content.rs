//! The bytes of files, from a seed: of any size, and never in memory.
//!
//! A [`Content`] says what every byte of a file is. Its [`ContentSource`] is uploaded; its [`ContentChecker`] takes a
//! download and compares each byte as it passes.

use bytes::Bytes;
use dfs_client::{Sink, Source};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::io;
use std::time::Duration;

/// Bytes of a word of the stream that contents are cut from.
const WORD_BYTES: u64 = 4;

/// Bytes that one read from a source gives at most.
const READ_BYTES: usize = 1024 * 1024;

/// Bytes that are compared at once.
const COMPARED_BYTES: usize = 16 * 1024;

/// What a file holds. Contents of different seeds differ everywhere; of one seed, the shorter one begins the longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Content {
    /// What the bytes are drawn from.
    pub seed: u64,
    /// How many bytes there are.
    pub length: u64,
}

impl Content {
    /// The content of that seed and length.
    #[must_use]
    pub fn new(seed: u64, length: u64) -> Content {
        Content { seed, length }
    }

    /// Fills `bytes` with what begins at `offset`.
    ///
    /// # Panics
    /// If that is not within the content.
    pub fn fill(&self, offset: u64, bytes: &mut [u8]) {
        let end = offset.checked_add(bytes.len() as u64);
        assert!(end.is_some_and(|end| end <= self.length), "{} bytes at {offset} of {self:?}", bytes.len());
        let mut stream = ChaCha8Rng::seed_from_u64(self.seed);
        stream.set_word_pos(u128::from(offset / WORD_BYTES));
        let skipped = (offset % WORD_BYTES) as usize;
        let begun = if skipped == 0 { 0 } else { bytes.len().min(WORD_BYTES as usize - skipped) };
        let (first, rest) = bytes.split_at_mut(begun);
        if begun > 0 {
            first.copy_from_slice(&stream.next_u32().to_le_bytes()[skipped..skipped + begun]);
        }
        stream.fill_bytes(rest);
    }

    /// A source of it, whose size is known.
    #[must_use]
    pub fn source(&self) -> ContentSource {
        ContentSource { content: *self, position: 0, has_size: true, fails_at: None, delay: None }
    }

    /// A sink that compares what it is given with it.
    #[must_use]
    pub fn checker(&self) -> ContentChecker {
        ContentChecker { content: *self, seen: 0, wrong: None }
    }
}

/// Gives a content to an upload.
#[derive(Clone, Debug)]
pub struct ContentSource {
    content: Content,
    position: u64,
    has_size: bool,
    fails_at: Option<u64>,
    delay: Option<Duration>,
}

impl ContentSource {
    /// The same, as from a pipe.
    #[must_use]
    pub fn of_unknown_size(self) -> ContentSource {
        ContentSource { has_size: false, ..self }
    }

    /// The same, but it cannot be read from `offset` on. At the content's length, its end cannot be read.
    #[must_use]
    pub fn failing_at(self, offset: u64) -> ContentSource {
        ContentSource { fails_at: Some(offset), ..self }
    }

    /// The same, but every read takes so long.
    #[must_use]
    pub fn slow(self, delay: Duration) -> ContentSource {
        ContentSource { delay: Some(delay), ..self }
    }
}

impl Source for ContentSource {
    fn size(&self) -> Option<u64> {
        self.has_size.then_some(self.content.length)
    }

    async fn read(&mut self, max: usize) -> io::Result<Bytes> {
        if let Some(delay) = self.delay {
            tokio::time::sleep(delay).await;
        }
        if self.fails_at == Some(self.position) {
            return Err(io::Error::other(format!("the source fails at byte {}", self.position)));
        }
        let end = self.fails_at.map_or(self.content.length, |offset| offset.min(self.content.length));
        let length = usize::try_from(end - self.position).unwrap_or(usize::MAX).min(max).min(READ_BYTES);
        let mut bytes = vec![0; length];
        self.content.fill(self.position, &mut bytes);
        self.position += length as u64;
        Ok(bytes.into())
    }
}

/// Compares a download with a content. It takes wrong bytes too, and remembers the first.
#[derive(Clone, Debug)]
pub struct ContentChecker {
    content: Content,
    seen: u64,
    wrong: Option<WrongByte>,
}

/// A byte that is not the content's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} is {found:#04x}; it should be {}", described(*expected))]
pub struct WrongByte {
    /// Where it is.
    pub offset: u64,
    /// The content's byte there, if it has one.
    pub expected: Option<u8>,
    /// What was there instead.
    pub found: u8,
}

fn described(expected: Option<u8>) -> String {
    expected.map_or_else(|| "beyond the end".to_owned(), |byte| format!("{byte:#04x}"))
}

impl ContentChecker {
    /// How many bytes it was given, all of them right; or the first that was wrong. Whether a download was whole is
    /// for the caller to know, who knows whether it ended well.
    ///
    /// # Errors
    /// The first wrong byte.
    pub fn verdict(&self) -> Result<u64, WrongByte> {
        self.wrong.map_or(Ok(self.seen), Err)
    }

    fn check(&mut self, bytes: &[u8]) {
        let mut expected = [0; COMPARED_BYTES];
        let within = usize::try_from(self.content.length.saturating_sub(self.seen)).unwrap_or(usize::MAX);
        let (known, beyond) = bytes.split_at(within.min(bytes.len()));
        for found in known.chunks(COMPARED_BYTES) {
            let expected = &mut expected[..found.len()];
            self.content.fill(self.seen, expected);
            if expected != found {
                let place = expected.iter().zip(found).position(|(expected, found)| expected != found);
                let place = place.expect("slices of one length that differ do so somewhere");
                let offset = self.seen + place as u64;
                let wrong = WrongByte { offset, expected: Some(expected[place]), found: found[place] };
                self.wrong.get_or_insert(wrong);
            }
            self.seen += found.len() as u64;
        }
        if let Some(found) = beyond.first() {
            self.wrong.get_or_insert(WrongByte { offset: self.seen, expected: None, found: *found });
            self.seen += beyond.len() as u64;
        }
    }
}

/// For a download: `client.download(target, &mut checker, …)`.
impl Sink for ContentChecker {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.check(&bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    fn whole(content: Content) -> Vec<u8> {
        let mut bytes = vec![0; content.length as usize];
        content.fill(0, &mut bytes);
        bytes
    }

    async fn drain(mut source: ContentSource, max: usize) -> (Vec<u8>, io::Result<()>) {
        let mut all = Vec::new();
        loop {
            match source.read(max).await {
                Ok(bytes) if bytes.is_empty() => return (all, Ok(())),
                Ok(bytes) => all.extend_from_slice(&bytes),
                Err(error) => return (all, Err(error)),
            }
        }
    }

    #[test]
    fn a_content_is_the_same_from_wherever_it_is_read() {
        let content = Content::new(7, 5000);
        let bytes = whole(content);
        for offset in (0..300).chain([1023, 1024, 4093, 4999, 5000]) {
            for length in [0, 1, 2, 3, 4, 5, 63, 64, 65, 257, 5000 - offset] {
                let length = length.min(5000 - offset);
                let mut part = vec![0; length];
                content.fill(offset as u64, &mut part);
                assert_eq!(part, bytes[offset..offset + length], "{length} bytes at {offset}");
            }
        }
    }

    #[test]
    fn contents_of_other_seeds_and_other_places_are_other_bytes() {
        let (one, other) = (whole(Content::new(1, 4096)), whole(Content::new(2, 4096)));
        assert!(one.chunks(16).zip(other.chunks(16)).all(|(one, other)| one != other));
        assert!(one.chunks(16).skip(1).all(|part| part != &one[..16]));
        let mut far = [0; 16];
        Content::new(1, u64::MAX).fill(u64::MAX - 16, &mut far);
        assert_ne!(far, one[..16]);
    }

    #[tokio::test]
    async fn a_source_gives_its_content_in_pieces_of_any_size() {
        for (length, max) in [(0, 10), (1, 10), (1000, 7), (1000, 1000), (3_000_000, usize::MAX)] {
            let content = Content::new(3, length);
            let (bytes, ended) = drain(content.source(), max).await;
            assert!(bytes == whole(content) && ended.is_ok(), "{length} bytes by {max}");
        }
        assert_eq!(Content::new(3, 9).source().size(), Some(9));
        assert_eq!(Content::new(3, 9).source().of_unknown_size().size(), None);
    }

    #[tokio::test]
    async fn a_failing_source_gives_what_comes_before() {
        let content = Content::new(3, 100);
        for offset in [0, 37, 100] {
            let (bytes, ended) = drain(content.source().failing_at(offset), 10).await;
            assert_eq!(bytes, whole(content)[..offset as usize]);
            assert!(ended.is_err(), "at {offset}");
        }
        assert!(drain(content.source().failing_at(101), 10).await.1.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_source_takes_its_time() {
        let began = Instant::now();
        drain(Content::new(3, 100).source().slow(Duration::from_secs(1)), 10).await.1.unwrap();
        assert_eq!(began.elapsed(), Duration::from_secs(11));
    }

    #[tokio::test]
    async fn a_checker_finds_the_first_wrong_byte_wherever_it_is() {
        let content = Content::new(3, 100_000);
        for offset in [0, 1, COMPARED_BYTES - 1, COMPARED_BYTES, 40_000, 99_999] {
            let mut bytes = whole(content);
            let (expected, found) = (bytes[offset], !bytes[offset]);
            bytes[offset] = found;
            bytes[99_999] = !whole(content)[99_999];
            let mut checker = content.checker();
            for part in bytes.chunks(30_001) {
                checker.write(Bytes::copy_from_slice(part)).await.unwrap();
            }
            let wrong = WrongByte { offset: offset as u64, expected: Some(expected), found };
            assert_eq!(checker.verdict(), Err(wrong));
        }
    }

    #[tokio::test]
    async fn a_checker_counts_right_bytes_and_knows_the_end() {
        let content = Content::new(3, 50_000);
        let mut checker = content.checker();
        assert_eq!(checker.verdict(), Ok(0));
        for part in whole(content).chunks(7_777) {
            checker.write(Bytes::copy_from_slice(part)).await.unwrap();
        }
        assert_eq!(checker.verdict(), Ok(50_000));
        checker.write(Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(checker.verdict(), Err(WrongByte { offset: 50_000, expected: None, found: b'x' }));
    }
}
