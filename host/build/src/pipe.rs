//! From code that writes and blocks to a stream that is read elsewhere.

use std::io::{self, Write};

use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

const CHUNK_BYTES: usize = 128 * 1024;

/// The blocking end of a stream: what is written is sent on in chunks, and the last of it by a flush.
pub(crate) struct Pipe {
    send: mpsc::Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
}

impl Pipe {
    /// Into this channel.
    pub(crate) fn new(send: mpsc::Sender<io::Result<Bytes>>) -> Self {
        Self { send, chunk: Vec::with_capacity(CHUNK_BYTES) }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        let sent = self.send.blocking_send(Ok(chunk.into()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
