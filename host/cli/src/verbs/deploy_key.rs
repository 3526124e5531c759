//! `windlass project deploy-key`: an SSH key that reads one project's repository.

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::api::DeployKeyView;

use super::project::done;
use crate::client;
use crate::exit::CliResult;
use crate::render::{date, harmless};
use crate::session::Session;

/// What to do with the key.
#[derive(Debug, Subcommand)]
pub(super) enum DeployKeyVerb {
    /// Make a key; one that was made before is replaced.
    Create,
    /// Show the public part, for the repository's deploy keys.
    Show,
    /// Forget the key.
    Remove,
    /// Forget the key that a host showed, after it was replaced there.
    ForgetHost {
        /// The host, as the failure names it: example.org, or [example.org]:2222.
        host: String,
    },
}

impl DeployKeyVerb {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<()> {
        let project = session.project()?;
        let path = client::path(&["v1", "projects", project.as_str(), "deploy-key"]);
        match self {
            Self::Create => {
                let view = session.client()?.send(Method::PUT, &path, &serde_json::json!({}))?;
                print(session, &view, true);
            }
            Self::Show => {
                let view = session.client()?.get(&path)?;
                print(session, &view, false);
            }
            Self::Remove => {
                session.client()?.delete(&path)?;
                let sentence = format!("the deploy key of {project} is removed");
                done(session, &sentence, "removed", project.as_str());
            }
            Self::ForgetHost { host } => {
                let segments = ["v1", "projects", project.as_str(), "known-hosts", &host];
                session.client()?.delete(&client::path(&segments))?;
                let sentence = format!("the key of {} is forgotten", harmless(&host));
                done(session, &sentence, "forgotten", &host);
            }
        }
        Ok(())
    }
}

fn print(session: &mut Session<'_, '_>, view: &DeployKeyView, is_new: bool) {
    if session.json() {
        session.print_json(view);
        return;
    }
    session.console.line(&harmless(&view.public_key));
    session.console.note(&format!("made {}", date(view.created_at)));
    if is_new {
        session.console.note(
            "add this line to the repository's deploy keys at its hosting service (reading is enough), \
             then deploy its SSH address: windlass deploy git@HOST:OWNER/NAME.git",
        );
    }
}
