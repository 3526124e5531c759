//! `windlass deployments`: the history.

use jiff::Timestamp;
use windlass_model::api::{DeploymentView, Page};

use crate::client::with_query;
use crate::exit::{CliResult, Exit};
use crate::render;
use crate::session::Session;

/// List deployments, newest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass deployments
  windlass deployments --all --status failed --json")]
pub struct Deployments {
    /// Of all projects and environments.
    #[arg(long)]
    all: bool,
    /// Only those of this status.
    #[arg(long)]
    status: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    /// Only older ones: the `next` of an earlier answer.
    #[arg(long, value_name = "CURSOR")]
    before: Option<String>,
}

impl Deployments {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let limit = self.limit.to_string();
        let environment = session.environment();
        let project = if self.all { None } else { Some(session.project()?) };
        let mut query = vec![("limit", limit.as_str())];
        if let Some(project) = &project {
            query.push(("project", project.as_str()));
            query.push(("environment", environment.as_str()));
        }
        query.extend(self.status.as_deref().map(|status| ("status", status)));
        query.extend(self.before.as_deref().map(|before| ("before", before)));
        let page: Page<DeploymentView> = client.get(&with_query("/v1/deployments", &query))?;
        if session.json() {
            session.print_json(&page);
            return Ok(Exit::Ok);
        }
        let text = if page.items.is_empty() {
            "no deployments\n".to_owned()
        } else {
            render::deployment::list(&page.items, Timestamp::now())
        };
        session.console.out(&text);
        if let Some(next) = page.next {
            session.console.note(&format!("more: --before {next}"));
        }
        Ok(Exit::Ok)
    }
}
