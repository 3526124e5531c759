//! A stream of events that goes on through a host that restarts.
//!
//! **Invariant: no event is lost and none comes twice**: after a break the host is told the id of the last
//! event that arrived, and goes on behind it.

use std::time::{Duration, Instant};

use crate::client::{Client, Event, Events};
use crate::exit::{CliError, CliResult, Exit};

/// How long a host that went away is waited for.
const LOST_MAX: Duration = Duration::from_secs(60);
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// What comes.
pub(crate) enum News {
    /// An event.
    Event(Event),
    /// The connection broke and is being made again.
    Lost,
}

/// Events from this path on, for as long as the caller takes them.
pub(crate) fn events(client: Client, path: &str) -> impl Iterator<Item = CliResult<News>> {
    Resumed {
        client,
        path: path.to_owned(),
        open: None,
        last_id: String::new(),
        lost_at: None,
        pause: PAUSE_FIRST,
        is_over: false,
        had_any: false,
    }
}

struct Resumed {
    client: Client,
    path: String,
    open: Option<Events>,
    last_id: String,
    lost_at: Option<Instant>,
    pause: Duration,
    is_over: bool,
    /// Whether the host ever answered: one that was never there is said at once.
    had_any: bool,
}

impl Resumed {
    fn fail(&mut self, error: Box<CliError>) -> Option<CliResult<News>> {
        self.is_over = true;
        Some(Err(error))
    }

    fn connect(&mut self) -> CliResult<()> {
        self.open = Some(self.client.events_after(&self.path, &self.last_id)?);
        self.had_any = true;
        Ok(())
    }
}

impl Iterator for Resumed {
    type Item = CliResult<News>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            if let Some(open) = &mut self.open {
                if let Some(Ok(event)) = open.next() {
                    event.id.clone_into(&mut self.last_id);
                    self.lost_at = None;
                    self.pause = PAUSE_FIRST;
                    return Some(Ok(News::Event(event)));
                }
                self.open = None;
                if self.lost_at.is_none() {
                    self.lost_at = Some(Instant::now());
                    return Some(Ok(News::Lost));
                }
            }
            if self.lost_at.is_some() {
                std::thread::sleep(self.pause);
                self.pause = (self.pause * 2).min(PAUSE_MAX);
            }
            if let Err(error) = self.connect() {
                let waited = self.lost_at.is_some_and(|at| at.elapsed() > LOST_MAX);
                if waited || !self.had_any || error.exit != Exit::Unreachable {
                    return self.fail(error);
                }
            }
        }
        None
    }
}
