//! Wakes a flush that nobody else will wake: see the module above.

use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::database::Database;
use crate::error::{Result, StoreError};

/// How long a flush may take before it is nudged.
const PATIENCE: Duration = Duration::from_secs(1);

enum Message {
    Begun(Weak<Database>),
    Ended,
}

pub(super) struct Watchdog(Sender<Message>);

impl Watchdog {
    pub(super) fn start(dir: &std::path::Path) -> Result<Self> {
        let (send, receive) = channel();
        std::thread::Builder::new()
            .name("store-watchdog".into())
            .spawn(move || run(&receive))
            .map_err(StoreError::io("starting the watchdog of", dir))?;
        Ok(Self(send))
    }

    /// Runs a flush under watch.
    pub(super) fn watch<T>(&self, open: Weak<Database>, flush: impl FnOnce() -> T) -> T {
        let _ = self.0.send(Message::Begun(open));
        let result = flush();
        let _ = self.0.send(Message::Ended);
        result
    }
}

/// Ends when the writer drops its end.
fn run(messages: &Receiver<Message>) {
    while let Ok(message) = messages.recv() {
        let Message::Begun(open) = message else {
            continue;
        };
        while let Err(RecvTimeoutError::Timeout) = messages.recv_timeout(PATIENCE) {
            if let Some(open) = open.upgrade() {
                // It looks for an earlier error first, and tells everyone who waits.
                let nudged = open.db.flush();
                tracing::warn!(ok = nudged.is_ok(), "a flush of the store takes long");
            }
        }
    }
}
