//! What `deploy`, `redeploy` and `rollback` do after the host has accepted: show progress and the end.

use windlass_model::api::DeploymentView;
use windlass_model::deployment::Kind;

use crate::client::Client;
use crate::exit::{CliResult, Exit};
use crate::render;
use crate::session::Session;
use crate::watch::{Watched, exit_of, until_settled};

/// Whether to wait.
#[derive(Debug, clap::Args)]
pub(super) struct Wait {
    /// Do not wait: end when the host has accepted it.
    #[arg(long)]
    no_wait: bool,
}

/// How to ask for a deployment so that it can be asked for again.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Once {
    /// A fresh key of your own: sent again with it, the same request makes nothing again, and answers
    /// with the deployment that it made.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Once {
    /// The client that sends the key.
    pub(super) fn client(&self, session: &Session<'_, '_>) -> CliResult<Client> {
        Ok(session.client()?.keyed(self.idempotency_key.clone()))
    }
}

impl Wait {
    /// Waits if wanted, says how it ended, and gives the exit code.
    pub(super) fn finish(
        &self,
        session: &mut Session<'_, '_>,
        client: Client,
        accepted: DeploymentView,
    ) -> CliResult<Exit> {
        let (number, project) = (accepted.deployment.number, accepted.deployment.project.clone());
        if !session.json() {
            for line in remarks(&accepted) {
                session.console.note(&line);
            }
        }
        if self.no_wait {
            if session.json() {
                session.print_json(&accepted);
            } else {
                let place = format!("{project}/{}", accepted.deployment.environment);
                session
                    .console
                    .line(&format!("{place} #{number} is accepted ({})", accepted.deployment.id));
                session.console.line(&format!("see: windlass show --project {project} {number}"));
            }
            return Ok(Exit::Ok);
        }
        match until_settled(session, client, accepted)? {
            Watched::Settled(view) => Ok(report(session, &view)),
            Watched::Interrupted => {
                session.console.note(&format!(
                    "\ninterrupted: {project} #{number} goes on; stop it with `windlass cancel --project {project} {number}`"
                ));
                Ok(Exit::Interrupted)
            }
        }
    }
}

/// What is worth knowing at once about what was accepted.
fn remarks(view: &DeploymentView) -> Vec<String> {
    let deployment = &view.deployment;
    let mut lines = Vec::new();
    if view.replayed {
        lines.push(format!("this key was used before: it made #{}", deployment.number));
    }
    match &deployment.kind {
        Kind::Rollback { rebuild: true, .. } => {
            lines.push("its artifact is built again, at exactly its version".to_owned());
        }
        Kind::RollbackToCommit { commit } => {
            lines.push(format!("no artifact of commit {commit} is kept: it is built"));
        }
        _ => {}
    }
    lines
}

fn report(session: &mut Session<'_, '_>, view: &DeploymentView) -> Exit {
    let exit = exit_of(view.deployment.status);
    if session.json() {
        session.print_json(view);
    } else if exit == Exit::Ok {
        let text = render::deployment::success(view, session.console.color());
        session.console.out(&text);
    } else {
        let text = render::deployment::ending(view, session.console.color());
        session.console.err(&text);
    }
    exit
}
