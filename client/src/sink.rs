//! Where the bytes of a download go: a writer, or memory.

use bytes::Bytes;
use dfs_transport::world::Scope;
use std::future::Future;
use std::io::{self, Write};

/// Takes the bytes of a download, in order. All of them have been checked.
pub trait Sink: Send {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// They cannot be taken. The download ends with [`ClientError::Sink`](crate::ClientError::Sink).
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

/// A borrowed sink, so that its owner can go on with it after the download.
impl<S: Sink> Sink for &mut S {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        (**self).write(bytes).await
    }
}

/// Memory, for small files.
impl Sink for Vec<u8> {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.extend_from_slice(&bytes);
        Ok(())
    }
}

/// Any blocking writer, such as a file or standard output. A download neither flushes nor syncs it: its owner does that.
#[derive(Debug)]
pub struct WriterSink<W> {
    scope: Scope,
    writer: Option<W>,
}

impl<W: Write + Send + 'static> WriterSink<W> {
    /// Wraps a writer. Blocking work is done in `scope`.
    pub fn new(scope: &Scope, writer: W) -> WriterSink<W> {
        WriterSink { scope: scope.clone(), writer: Some(writer) }
    }

    /// Flushes the writer: what it has buffered reaches where it writes to, or the error is known.
    ///
    /// # Errors
    /// The rest cannot be written.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.with(W::flush).await
    }

    /// The writer, if no cancelled write still has it.
    #[must_use]
    pub fn into_inner(self) -> Option<W> {
        self.writer
    }

    /// Does something blocking with the writer.
    async fn with(&mut self, work: impl FnOnce(&mut W) -> io::Result<()> + Send + 'static) -> io::Result<()> {
        let mut writer = self.writer.take().ok_or(io::ErrorKind::Interrupted)?;
        let (writer, outcome) = self
            .scope
            .blocking(move || {
                let outcome = work(&mut writer);
                (writer, outcome)
            })
            .await?;
        self.writer = Some(writer);
        outcome
    }
}

impl<W: Write + Send + 'static> Sink for WriterSink<W> {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        self.with(move |writer| writer.write_all(&bytes)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfs_transport::world::World;
    use std::io::LineWriter;

    /// A disk that is full.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_tail_that_is_buffered_is_not_lost_unseen() {
        let world = World::production("test");
        let mut sink = WriterSink::new(&world.scope, LineWriter::new(Full));
        sink.write(Bytes::from_static(b"no end of a line")).await.unwrap();
        assert_eq!(sink.flush().await.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
