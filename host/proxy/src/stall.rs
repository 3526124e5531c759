//! Ends connections whose visitor takes nothing of what is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A clock that runs only while something makes no progress.
pub(crate) struct StallClock {
    longest: Duration,
    running: Option<Pin<Box<Sleep>>>,
}

impl StallClock {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, running: None }
    }

    /// Something moved.
    pub(crate) fn moved(&mut self) {
        self.running = None;
    }

    /// Nothing moved: ready once that has been so for too long.
    pub(crate) fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let longest = self.longest;
        self.running.get_or_insert_with(|| Box::pin(sleep(longest))).as_mut().poll(cx)
    }
}

/// A stream of which writes that stall for too long are errors.
pub(crate) struct Patient<S> {
    inner: S,
    clock: StallClock,
}

impl<S> Patient<S> {
    pub(crate) fn new(inner: S, longest: Duration) -> Self {
        Self { inner, clock: StallClock::new(longest) }
    }

    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.clock.moved();
            return progress;
        }
        let error = || io::Error::new(io::ErrorKind::TimedOut, "the visitor takes nothing");
        self.clock.poll_stalled(cx).map(|()| Err(error()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.watch(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
