//! Standard output and standard error of a guest: both end in the call's log, line by line.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::log::{CallLog, LogLevel};

/// A line without an end is cut here.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Bytes that a guest may write at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// A standard stream. It takes whatever is written, at once: what is over the log's limit is dropped
/// and counted there.
pub(crate) struct LogStream {
    log: CallLog,
    line: Vec<u8>,
}

impl LogStream {
    pub(crate) fn new(log: &CallLog) -> Self {
        Self { log: log.clone(), line: Vec::new() }
    }

    fn take(&mut self, bytes: &[u8]) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            for piece in text.chunks(LINE_BYTES_MAX) {
                if self.line.len() + piece.len() > LINE_BYTES_MAX {
                    self.end_line();
                }
                self.line.extend_from_slice(piece);
            }
            if text.len() < part.len() {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        self.log.write(LogLevel::Debug, &String::from_utf8_lossy(&self.line));
        self.line.clear();
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Self::new(&self.log))
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self::new(&self.log))
    }
}

#[async_trait::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for LogStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_long_ones_are_cut() {
        let log = CallLog::new(1 << 20);
        let mut stream = LogStream::new(&log);
        stream.take(b"fir");
        stream.take(b"st\nsecond\n\nla");
        stream.take(&vec![b'x'; LINE_BYTES_MAX]);
        drop(stream);
        let lines: Vec<usize> = log.finish().entries.iter().map(|(_, text)| text.len()).collect();
        assert_eq!(lines, [5, 6, 2, LINE_BYTES_MAX]);
    }
}
