//! `windlass preview`: what previews are made for, which there are, and their end.

use clap::{Subcommand, ValueEnum};
use ureq::http::Method;
use windlass_model::hooks::{PreviewView, PreviewsView, SetPreviews};
use windlass_model::webhook::PreviewSettings;
use windlass_model::{EnvironmentName, ProjectName};

use super::confirm;
use super::project::done;
use super::webhook::seconds;
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::render::{date, harmless, table, took};
use crate::session::Session;

/// List, configure and remove previews: an environment for each pull request or branch.
///
/// Webhooks make and remove them. They take their variables and services from the environment
/// `preview`, never from production.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass preview set --pull-requests on --domain preview.example.com
  windlass preview set --branches 'feature/*' --max 10 --expire 3d
  windlass preview list
  windlass preview remove pr-12")]
pub struct Preview {
    #[command(subcommand)]
    verb: PreviewVerb,
}

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

impl Switch {
    pub(super) fn is_on(self) -> bool {
        self == Self::On
    }
}

#[derive(Debug, Subcommand)]
enum PreviewVerb {
    /// List the project's previews, and what it has them for.
    List,
    /// Change what the project has previews for; what is not named stays.
    Set {
        /// One for each open pull request.
        #[arg(long, value_name = "on|off")]
        pull_requests: Option<Switch>,
        /// One for each branch of this pattern; an empty one for none.
        #[arg(long, value_name = "PATTERN")]
        branches: Option<String>,
        /// They answer under ENVIRONMENT-PROJECT.DOMAIN; an empty one for none.
        #[arg(long)]
        domain: Option<String>,
        /// At most so many at a time.
        #[arg(long, value_name = "N")]
        max: Option<u32>,
        /// One goes so long after its last deployment.
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        expire: Option<u64>,
        /// Also for pull requests from forks: strangers' code runs here. They get no secret variables.
        #[arg(long, value_name = "on|off")]
        forks: Option<Switch>,
    },
    /// Remove a preview with all that it has.
    Remove {
        /// Its environment.
        name: EnvironmentName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

impl Preview {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let project = session.project()?;
        match self.verb {
            PreviewVerb::List => list(session, &project)?,
            PreviewVerb::Set { pull_requests, branches, domain, max, expire, forks } => {
                let body = SetPreviews {
                    pull_requests: pull_requests.map(Switch::is_on),
                    branches,
                    domain,
                    count_max: max,
                    expires_after_s: expire,
                    forks: forks.map(Switch::is_on),
                };
                let path = client::path(&["v1", "projects", project.as_str(), "preview-settings"]);
                let set: PreviewSettings = session.client()?.send(Method::PUT, &path, &body)?;
                if session.json() {
                    session.print_json(&set);
                } else {
                    session.console.line(&in_words(&set));
                }
            }
            PreviewVerb::Remove { name, yes } => {
                confirm(session, yes, "preview", name.as_str())?;
                let path = ["v1", "projects", project.as_str(), "previews", name.as_str()];
                session.client()?.delete(&client::path(&path))?;
                done(session, &format!("{name} is being removed"), "removing", name.as_str());
            }
        }
        Ok(Exit::Ok)
    }
}

fn in_words(settings: &PreviewSettings) -> String {
    let on = |on| if on { "on" } else { "off" };
    let or_none =
        |text: &Option<String>| text.as_deref().map_or_else(|| "none".to_owned(), harmless);
    format!(
        "pull requests  {}\nbranches       {}\nforks          {}\ndomain         {}\nat most        {}\n\
         expire after   {}",
        on(settings.pull_requests),
        or_none(&settings.branches),
        on(settings.forks),
        or_none(&settings.domain),
        settings.count_max,
        took(settings.expires_after_s.saturating_mul(1000)),
    )
}

fn list(session: &mut Session<'_, '_>, project: &ProjectName) -> CliResult<()> {
    let path = client::path(&["v1", "projects", project.as_str(), "previews"]);
    let view: PreviewsView = session.client()?.get(&path)?;
    if session.json() {
        session.print_json(&view);
        return Ok(());
    }
    session.console.line(&in_words(&view.settings));
    if view.previews.is_empty() {
        session.console.line("\nno previews");
        return Ok(());
    }
    let row = |one: &PreviewView| {
        let live = one.live_number.map_or_else(|| "–".to_owned(), |n| format!("#{n}"));
        let end = match &one.preview.removing {
            Some(_) => "being removed".to_owned(),
            None => date(one.expires_at),
        };
        vec![
            one.preview.environment.to_string(),
            harmless(&one.preview.origin.to_string()),
            live,
            end,
            harmless(&one.urls.join(", ")),
        ]
    };
    let rows: Vec<Vec<String>> = view.previews.iter().map(row).collect();
    session.console.line("");
    session.console.out(&table(&["preview", "of", "live", "expires", "addresses"], &rows));
    Ok(())
}
