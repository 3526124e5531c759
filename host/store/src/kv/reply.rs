//! The answer to a submitted transaction: awaited, or waited for on a plain thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::sync::oneshot;

use super::Revision;
use crate::error::{Result, StoreError};

/// The answer to a transaction, once there is one. Dropping it cancels nothing.
#[derive(Debug)]
#[must_use = "without its reply a transaction is not known to be durable"]
pub struct Reply(oneshot::Receiver<Result<Revision>>);

/// The other end of a [`Reply`].
pub(crate) type Responder = oneshot::Sender<Result<Revision>>;

impl Reply {
    pub(crate) fn channel() -> (Responder, Self) {
        let (send, receive) = oneshot::channel();
        (send, Self(receive))
    }

    pub(crate) fn ready(result: Result<Revision>) -> Self {
        let (send, reply) = Self::channel();
        let _ = send.send(result);
        reply
    }

    /// Blocks the thread until there is an answer; for callers that are not asynchronous.
    pub fn wait(mut self) -> Result<Revision> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl Future for Reply {
    type Output = Result<Revision>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(context);
        answer.map(|answer| answer.unwrap_or(Err(StoreError::Closed)))
    }
}
