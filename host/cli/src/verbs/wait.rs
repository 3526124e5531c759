//! What `deploy`, `redeploy` and `rollback` do after the host has accepted: show progress and the end.

use windlass_model::api::DeploymentView;

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

impl Wait {
    /// Waits if wanted, says how it ended, and gives the exit code.
    pub(super) fn finish(
        &self,
        session: &mut Session<'_, '_>,
        client: Client,
        accepted: DeploymentView,
    ) -> CliResult<Exit> {
        let (number, project) = (accepted.deployment.number, accepted.deployment.project.clone());
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
