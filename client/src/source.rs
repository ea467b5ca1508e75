//! Where the bytes of an upload come from: a file, a pipe, or memory.

use bytes::Bytes;
use dfs_transport::world::Scope;
use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes that one read from a file or pipe asks for at most.
const READ_BYTES: usize = 1024 * 1024;

/// Bytes in order, of known or unknown length. An upload reads each byte once: what must be sent again comes from the
/// upload's own bounded buffer.
pub trait Source: Send {
    /// How many bytes there will be, where that is known. An upload whose source then gives another number fails.
    fn size(&self) -> Option<u64>;

    /// The next bytes, at least one and at most `max`; none at the end.
    ///
    /// # Errors
    /// The source cannot be read. The upload ends with [`ClientError::Source`](crate::ClientError::Source), or with
    /// [`ClientError::SourceChanged`](crate::ClientError::SourceChanged) if the error has a [`SourceChanged`] inside.
    fn read(&mut self, max: usize) -> impl Future<Output = io::Result<Bytes>> + Send;

    /// Leaves out the next `bytes` bytes, which are there: an earlier run of the upload has sent them.
    ///
    /// # Errors
    /// As [`read`](Source::read).
    fn skip(&mut self, bytes: u64) -> impl Future<Output = io::Result<()>> + Send {
        async move {
            let mut left = bytes;
            while left > 0 {
                let read = self.read(usize::try_from(left).unwrap_or(usize::MAX).min(READ_BYTES)).await?;
                if read.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                left = left.saturating_sub(read.len() as u64);
            }
            Ok(())
        }
    }
}

/// Memory.
impl Source for Bytes {
    fn size(&self) -> Option<u64> {
        Some(self.len() as u64)
    }

    async fn read(&mut self, max: usize) -> io::Result<Bytes> {
        Ok(self.split_to(max.min(self.len())))
    }
}

/// What a source has inside its error when it is not any more what it was when it was opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} changed while it was read")]
pub struct SourceChanged {
    /// What a user calls the source, such as its path.
    pub what: String,
}

impl From<SourceChanged> for io::Error {
    fn from(changed: SourceChanged) -> io::Error {
        io::Error::other(changed)
    }
}

/// A regular file, read from its beginning. If it changes while it is read, the upload fails.
#[derive(Debug)]
pub struct FileSource {
    reader: PipeSource<File>,
    path: PathBuf,
    size: u64,
    modified: Option<SystemTime>,
    remaining: u64,
    /// Whether it was found unchanged after its last byte was read.
    is_checked: bool,
}

impl FileSource {
    /// Opens a file. Blocking work is done in `scope`.
    ///
    /// # Errors
    /// It cannot be opened, or is not a regular file.
    pub async fn open(scope: &Scope, path: &Path) -> io::Result<FileSource> {
        let mut options = OpenOptions::new();
        options.read(true);
        FileSource::open_with(scope, path, options).await
    }

    /// Opens a file in another way, such as without following links.
    ///
    /// # Errors
    /// As [`FileSource::open`].
    pub async fn open_with(scope: &Scope, path: &Path, options: OpenOptions) -> io::Result<FileSource> {
        let owned = path.to_owned();
        let (file, metadata) = scope
            .blocking(move || {
                let file = options.open(owned)?;
                let metadata = file.metadata()?;
                io::Result::Ok((file, metadata))
            })
            .await??;
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a regular file", path.display()),
            ));
        }
        Ok(FileSource {
            reader: PipeSource::new(scope, file),
            path: path.to_owned(),
            size: metadata.len(),
            modified: metadata.modified().ok(),
            remaining: metadata.len(),
            is_checked: false,
        })
    }

    /// When the file was last modified, where the file system knows.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    fn changed(&self) -> io::Error {
        SourceChanged { what: self.path.display().to_string() }.into()
    }

    /// So many bytes are read. With the last of them the file must still be what it was.
    async fn take_away(&mut self, bytes: u64) -> io::Result<()> {
        self.remaining -= bytes;
        self.check_at_end().await
    }

    async fn check_at_end(&mut self) -> io::Result<()> {
        if self.remaining == 0 && !self.is_checked {
            self.check_unchanged().await?;
            self.is_checked = true;
        }
        Ok(())
    }

    /// Looks whether the file is still as it was when it was opened.
    async fn check_unchanged(&mut self) -> io::Result<()> {
        let metadata = self.reader.with(|file| file.metadata()).await?;
        let same = metadata.len() == self.size && metadata.modified().ok() == self.modified;
        if same { Ok(()) } else { Err(self.changed()) }
    }
}

impl Source for FileSource {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    async fn read(&mut self, max: usize) -> io::Result<Bytes> {
        let wanted = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(max);
        if wanted == 0 {
            self.check_at_end().await?;
            return Ok(Bytes::new());
        }
        let bytes = self.reader.read(wanted).await?;
        if bytes.is_empty() {
            return Err(self.changed());
        }
        self.take_away(bytes.len() as u64).await?;
        Ok(bytes)
    }

    async fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let bytes = bytes.min(self.remaining);
        let offset = i64::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        self.reader.with(move |file| file.seek(SeekFrom::Current(offset))).await?;
        self.take_away(bytes).await
    }
}

/// Any blocking reader whose length is not known, such as standard input. It may wait for its writer for ever; such a
/// wait occupies a thread, also beyond the end of a cancelled upload.
#[derive(Debug)]
pub struct PipeSource<R> {
    scope: Scope,
    reader: Option<R>,
}

impl<R: Read + Send + 'static> PipeSource<R> {
    /// Wraps a reader. Blocking work is done in `scope`.
    pub fn new(scope: &Scope, reader: R) -> PipeSource<R> {
        PipeSource { scope: scope.clone(), reader: Some(reader) }
    }

    /// Does something blocking with the reader.
    async fn with<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut R) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // The reader is away while a cancelled read has not ended; such a source is not read again.
        let mut reader = self.reader.take().ok_or(io::ErrorKind::Interrupted)?;
        let (reader, outcome) = self
            .scope
            .blocking(move || {
                let outcome = work(&mut reader);
                (reader, outcome)
            })
            .await?;
        self.reader = Some(reader);
        outcome
    }
}

impl<R: Read + Send + 'static> Source for PipeSource<R> {
    fn size(&self) -> Option<u64> {
        None
    }

    async fn read(&mut self, max: usize) -> io::Result<Bytes> {
        let wanted = max.min(READ_BYTES);
        self.with(move |reader| {
            let mut bytes = Vec::with_capacity(wanted);
            // A pipe gives what its writer wrote at once; pieces are gathered, so that they are few and large.
            reader.by_ref().take(wanted as u64).read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_transport::world::World;
    use std::io::Write;

    async fn drain(source: &mut impl Source) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            match source.read(300_000).await? {
                bytes if bytes.is_empty() => return Ok(all),
                bytes => all.extend_from_slice(&bytes),
            }
        }
    }

    #[tokio::test]
    async fn memory_files_and_pipes_give_the_same_bytes() {
        let world = World::production("test");
        let content: Vec<u8> = (0..2_500_000_u32).map(|i| (i % 251) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        let mut from_file = FileSource::open(&world.scope, file.path()).await.unwrap();
        assert_eq!(from_file.size(), Some(2_500_000));
        assert_eq!(drain(&mut from_file).await.unwrap(), content);
        let mut from_pipe = PipeSource::new(&world.scope, io::Cursor::new(content.clone()));
        assert_eq!(from_pipe.size(), None);
        assert_eq!(drain(&mut from_pipe).await.unwrap(), content);
        assert_eq!(drain(&mut Bytes::from(content.clone())).await.unwrap(), content);
    }

    #[tokio::test]
    async fn a_file_that_changes_while_it_is_read_is_an_error_that_names_it() {
        let world = World::production("test");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 1000]).unwrap();
        for (length, new_length) in [(1000, 1001), (1000, 10), (0, 1)] {
            file.as_file().set_len(length).unwrap();
            let mut source = FileSource::open(&world.scope, file.path()).await.unwrap();
            if length > 0 {
                source.read(100).await.unwrap();
            }
            file.as_file().set_len(new_length).unwrap();
            let error = drain(&mut source).await.unwrap_err().downcast::<SourceChanged>().unwrap();
            assert_eq!(error.what, file.path().display().to_string());
        }
    }

    #[tokio::test]
    async fn what_is_skipped_is_left_out_of_files_and_memory_alike() {
        let world = World::production("test");
        let content: Vec<u8> = (0..2_500_000_u32).map(|i| (i % 251) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        for skipped in [1_000_000, 2_500_000] {
            let mut from_file = FileSource::open(&world.scope, file.path()).await.unwrap();
            from_file.skip(skipped).await.unwrap();
            assert_eq!(drain(&mut from_file).await.unwrap(), content[skipped as usize..]);
            let mut from_memory = Bytes::from(content.clone());
            from_memory.skip(skipped).await.unwrap();
            assert_eq!(drain(&mut from_memory).await.unwrap(), content[skipped as usize..]);
        }
        assert!(Bytes::from_static(b"short").skip(6).await.is_err());
        let mut changing = FileSource::open(&world.scope, file.path()).await.unwrap();
        file.as_file().set_len(10).unwrap();
        changing.skip(2_500_000).await.unwrap_err().downcast::<SourceChanged>().unwrap();
    }

    #[tokio::test]
    async fn a_directory_is_not_a_source() {
        let world = World::production("test");
        let directory = tempfile::tempdir().unwrap();
        assert!(FileSource::open(&world.scope, directory.path()).await.is_err());
    }
}
