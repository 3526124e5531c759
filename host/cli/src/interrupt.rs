//! Ctrl-C as a message instead of a sudden end.

use std::sync::mpsc::Sender;

use signal_hook::consts::SIGINT;
use signal_hook::iterator::{Handle, Signals};

/// Sends a message at each Ctrl-C while it lives. Afterwards Ctrl-C does nothing: let it live as long
/// as the command waits.
pub(crate) struct Interrupts {
    handle: Option<Handle>,
}

impl Interrupts {
    /// Sends `message()` to `to` at each SIGINT. Where signals cannot be watched, they end the process
    /// as usual.
    pub(crate) fn watch<T: Send + 'static>(
        to: Sender<T>,
        message: impl Fn() -> T + Send + 'static,
    ) -> Self {
        let Ok(mut signals) = Signals::new([SIGINT]) else {
            return Self { handle: None };
        };
        let handle = signals.handle();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                if to.send(message()).is_err() {
                    break;
                }
            }
        });
        Self { handle: Some(handle) }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.close();
        }
    }
}
