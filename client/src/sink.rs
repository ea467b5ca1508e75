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

/// Any blocking writer, such as a file or standard output. It is neither flushed nor synced: its owner does that.
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

    /// The writer, if no cancelled write still has it.
    #[must_use]
    pub fn into_inner(self) -> Option<W> {
        self.writer
    }
}

impl<W: Write + Send + 'static> Sink for WriterSink<W> {
    async fn write(&mut self, bytes: Bytes) -> io::Result<()> {
        let mut writer = self.writer.take().ok_or(io::ErrorKind::Interrupted)?;
        let (writer, outcome) = self
            .scope
            .blocking(move || {
                let outcome = writer.write_all(&bytes);
                (writer, outcome)
            })
            .await?;
        self.writer = Some(writer);
        outcome
    }
}
