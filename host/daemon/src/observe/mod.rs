//! What people see of what happens: events, sessions, and what instances use.
//!
//! Reading order: [`events`] (the file of events), [`recorder`] (deployments' changes as events), [`stats`],
//! [`metrics`].

pub(crate) mod events;
pub(crate) mod metrics;
pub(crate) mod recorder;
pub(crate) mod stats;

use std::path::Path;

use windlass_model::event::Event;
use windlass_model::{Deployment, Limits};

use crate::sessions::{Asked, Sessions};
use events::EventLog;

/// The parts of a host that observing needs.
#[derive(Debug)]
pub(crate) struct Observe {
    /// What happened.
    pub(crate) events: EventLog,
    /// Open sessions.
    pub(crate) sessions: Sessions,
}

impl Observe {
    pub(crate) fn new(data_dir: &Path, limits: &Limits) -> Self {
        Self { events: EventLog::open(&data_dir.join("events")), sessions: Sessions::new(limits) }
    }

    /// Records who began to work with what; the program is said, its arguments are not: they may hold
    /// secrets. Returns the text for the log.
    pub(crate) fn audit_session(
        &self,
        asked: &Asked,
        deployment: &Deployment,
        name: &str,
        argv: &[String],
    ) -> String {
        let program = argv.first().map_or("a shell", String::as_str);
        let place =
            format!("{}/{} #{} {name}", asked.project, asked.environment, deployment.number);
        let what = format!("{}: {program} in {name}", asked.kind.as_str());
        self.events.record(Event {
            project: Some(asked.project.clone()),
            environment: Some(asked.environment.clone()),
            deployment: Some(deployment.id.clone()),
            number: Some(deployment.number),
            actor: Some(asked.actor.clone()),
            ..Event::now(format!("session.{}", asked.kind.as_str()), what)
        });
        place
    }
}
