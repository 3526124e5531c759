//! The verbs, one file each: its options, its help, and what it does.

use std::path::Path;

use clap::Subcommand;
use windlass_model::api::{DeploymentView, EnvironmentView, Page};

use crate::client::{self, Client};
use crate::exit::{CliError, CliResult, Exit};
use crate::session::Session;

pub(crate) mod artifact;
mod audit;
mod backup;
mod build;
mod cache;
mod cancel;
mod completions;
mod cron;
mod deploy;
mod deploy_key;
mod deployments;
mod detect;
mod disk;
mod doctor;
mod domain;
mod env;
mod environment;
mod events;
mod exec;
mod explain;
mod init;
mod key;
mod logs;
mod maintenance;
mod open;
mod pause;
mod pin;
mod plan;
mod plugin;
mod preview;
mod project;
mod promote;
mod proxy;
mod prune;
mod push;
mod recover;
mod redeploy;
mod registry;
mod restart;
mod restore;
mod rollback;
mod run;
pub(crate) mod running;
mod save;
mod scale;
mod serve;
mod service;
mod settings;
mod show;
mod start;
mod stats;
mod status;
mod stop;
mod teardown;
mod token;
mod volume;
mod wait;
mod webhook;
mod why;

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each verb's own type carries its help")]
pub enum Verb {
    Serve(serve::Serve),
    Proxy(proxy::Proxy),
    Doctor(doctor::Doctor),
    Init(init::Init),
    Detect(detect::Detect),
    Plan(plan::Plan),
    Deploy(deploy::Deploy),
    Build(build::Build),
    Redeploy(redeploy::Redeploy),
    Rollback(rollback::Rollback),
    Promote(promote::Promote),
    Deployments(deployments::Deployments),
    Show(show::Show),
    Push(push::Push),
    Save(save::Save),
    Artifact(artifact::Artifact),
    Status(status::Status),
    Logs(logs::Logs),
    Exec(exec::Exec),
    Run(run::Run),
    Cron(cron::Cron),
    Open(open::Open),
    Stats(stats::Stats),
    Events(events::Events),
    Cancel(cancel::Cancel),
    Why(why::Why),
    Cache(cache::Cache),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Pin(pin::Pin),
    Unpin(pin::Unpin),
    Explain(explain::Explain),
    Stop(stop::Stop),
    Start(start::Start),
    Restart(restart::Restart),
    Scale(scale::Scale),
    Maintenance(maintenance::Maintenance),
    Volume(volume::Volume),
    Disk(disk::Disk),
    Prune(prune::Prune),
    Project(project::Project),
    Environment(environment::Environment),
    Env(env::Env),
    Settings(settings::Settings),
    Domain(domain::Domain),
    Service(service::Service),
    Webhook(webhook::Webhook),
    Preview(preview::Preview),
    Token(token::Token),
    Audit(audit::Audit),
    Key(key::Key),
    Plugin(plugin::Plugin),
    Registry(registry::Registry),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Recover(recover::Recover),
    Teardown(teardown::Teardown),
    Completions(completions::Completions),
}

impl Verb {
    /// Does it.
    ///
    /// # Errors
    /// What the verb could not do, with its exit code.
    pub fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self {
            Self::Serve(verb) => verb.run(session),
            Self::Proxy(verb) => verb.run(session),
            Self::Doctor(verb) => verb.run(session),
            Self::Init(verb) => verb.run(session),
            Self::Detect(verb) => verb.run(session),
            Self::Plan(verb) => verb.run(session),
            Self::Deploy(verb) => verb.run(session),
            Self::Build(verb) => verb.run(session),
            Self::Redeploy(verb) => verb.run(session),
            Self::Rollback(verb) => verb.run(session),
            Self::Promote(verb) => verb.run(session),
            Self::Deployments(verb) => verb.run(session),
            Self::Show(verb) => verb.run(session),
            Self::Push(verb) => verb.run(session),
            Self::Save(verb) => verb.run(session),
            Self::Artifact(verb) => verb.run(session),
            Self::Status(verb) => verb.run(session),
            Self::Logs(verb) => verb.run(session),
            Self::Exec(verb) => verb.run(session),
            Self::Run(verb) => verb.run(session),
            Self::Cron(verb) => verb.run(session),
            Self::Open(verb) => verb.run(session),
            Self::Stats(verb) => verb.run(session),
            Self::Events(verb) => verb.run(session),
            Self::Cancel(verb) => verb.run(session),
            Self::Why(verb) => verb.run(session),
            Self::Cache(verb) => verb.run(session),
            Self::Pause(verb) => verb.run(session),
            Self::Resume(verb) => verb.run(session),
            Self::Pin(verb) => verb.run(session),
            Self::Unpin(verb) => verb.run(session),
            Self::Explain(verb) => verb.run(session),
            Self::Stop(verb) => verb.run(session),
            Self::Start(verb) => verb.run(session),
            Self::Restart(verb) => verb.run(session),
            Self::Scale(verb) => verb.run(session),
            Self::Maintenance(verb) => verb.run(session),
            Self::Volume(verb) => verb.run(session),
            Self::Disk(verb) => verb.run(session),
            Self::Prune(verb) => verb.run(session),
            Self::Project(verb) => verb.run(session),
            Self::Environment(verb) => verb.run(session),
            Self::Env(verb) => verb.run(session),
            Self::Settings(verb) => verb.run(session),
            Self::Domain(verb) => verb.run(session),
            Self::Service(verb) => verb.run(session),
            Self::Webhook(verb) => verb.run(session),
            Self::Preview(verb) => verb.run(session),
            Self::Token(verb) => verb.run(session),
            Self::Audit(verb) => verb.run(session),
            Self::Key(verb) => verb.run(session),
            Self::Plugin(verb) => verb.run(session),
            Self::Registry(verb) => verb.run(session),
            Self::Backup(verb) => verb.run(session),
            Self::Restore(verb) => verb.run(session),
            Self::Recover(verb) => verb.run(session),
            Self::Teardown(verb) => verb.run(session),
            Self::Completions(verb) => verb.run(session),
        }
    }
}

/// Path below the chosen project and environment.
fn environment_path(session: &Session<'_, '_>, rest: &[&str]) -> CliResult<String> {
    let (project, environment) = (session.project()?, session.environment());
    let mut segments =
        vec!["v1", "projects", project.as_str(), "environments", environment.as_str()];
    segments.extend(rest);
    Ok(client::path(&segments))
}

/// Newest deployments of the chosen project and environment.
fn recent(
    session: &Session<'_, '_>,
    client: &Client,
    limit: &str,
) -> CliResult<Page<DeploymentView>> {
    let (project, environment) = (session.project()?, session.environment());
    let query =
        [("project", project.as_str()), ("environment", environment.as_str()), ("limit", limit)];
    client.get(&client::with_query("/v1/deployments", &query))
}

/// The deployment that a person means: an id, the unique start of one, a number (`12`, `#12`), or,
/// when nothing is said, the newest of the environment.
fn resolve(
    session: &Session<'_, '_>,
    client: &Client,
    reference: Option<&str>,
) -> CliResult<DeploymentView> {
    let Some(reference) = reference else {
        return newest(session, client);
    };
    let number = reference.trim_start_matches('#');
    let path = client::path(&["v1", "deployments", number]);
    if number.bytes().all(|b| b.is_ascii_digit()) {
        let project = session.project()?;
        client.get(&client::with_query(&path, &[("project", project.as_str())]))
    } else {
        client.get(&path)
    }
}

/// The same as it is shown on its own, with what a page of several leaves out: its stages, what plugins noted on it and
/// attached to it.
fn resolve_in_full(
    session: &Session<'_, '_>,
    client: &Client,
    reference: Option<&str>,
) -> CliResult<DeploymentView> {
    let found = resolve(session, client, reference)?;
    match reference {
        Some(_) => Ok(found),
        None => client.get(&client::path(&["v1", "deployments", found.deployment.id.as_str()])),
    }
}

/// The deployment whose image a person means: that which is live in an environment of this name, else as
/// [`resolve`] finds it.
fn taken(session: &Session<'_, '_>, client: &Client, named: &str) -> CliResult<DeploymentView> {
    let environment = named.parse::<windlass_model::EnvironmentName>().is_ok()
        && !named.bytes().all(|b| b.is_ascii_digit());
    if environment && let Ok(project) = session.project() {
        let path = client::path(&["v1", "projects", project.as_str(), "environments", named]);
        match client.get::<EnvironmentView>(&path) {
            Ok(EnvironmentView { live: Some(id), .. }) => {
                return client.get(&client::path(&["v1", "deployments", id.as_str()]));
            }
            Ok(_) => {
                return Err(CliError::new(
                    Exit::Refused,
                    "cli.no-deployment",
                    format!("nothing is live in {project}/{named}"),
                    "an environment stands for what is live in it",
                    "name a deployment by its number: windlass deployments",
                ));
            }
            Err(error) if error.exit == Exit::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    resolve(session, client, Some(named))
}

fn newest(session: &Session<'_, '_>, client: &Client) -> CliResult<DeploymentView> {
    let page = recent(session, client, "1")?;
    page.items.into_iter().next().ok_or_else(|| {
        let project = session.project().map(|p| p.to_string()).unwrap_or_default();
        CliError::new(
            Exit::NotFound,
            "cli.no-deployment",
            format!("{project}/{} has no deployment", session.common.environment),
            "nothing was deployed there yet",
            "deploy something with `windlass deploy`, or name another with --project and -e",
        )
    })
}

/// Asks for a name as confirmation, unless `--yes` was given.
fn confirm(session: &mut Session<'_, '_>, yes: bool, what: &str, name: &str) -> CliResult<()> {
    confirm_told(session, yes, (what, name, "everything in it"), |_| Ok(()))
}

/// The same of `(what, name, what goes with it)`. What else it means is told before, with `--yes` too.
fn confirm_told(
    session: &mut Session<'_, '_>,
    yes: bool,
    (what, name, with): (&str, &str, &str),
    tell: impl FnOnce(&mut Session<'_, '_>) -> CliResult<()>,
) -> CliResult<()> {
    let declined = |why: &str| {
        CliError::new(
            Exit::Refused,
            "cli.not-confirmed",
            format!("{what} {name} was not deleted"),
            why,
            "type its name when asked, or give --yes",
        )
    };
    if !yes && (!session.console.stdin_is_terminal() || session.json()) {
        return Err(declined("nobody is there to confirm it"));
    }
    tell(session)?;
    if yes {
        return Ok(());
    }
    session.console.err(&format!("This deletes {what} {name} with {with}. Type its name: "));
    let typed = session.console.read_line().unwrap_or_default();
    if typed.trim() == name { Ok(()) } else { Err(declined("another name was typed")) }
}

/// Refuses what is done to a whole host, unless `--yes` was given.
fn require_yes(yes: bool, not_done: String, why: &str) -> CliResult<()> {
    if yes {
        return Ok(());
    }
    let fix = "run it again with --yes";
    Err(CliError::new(Exit::Refused, "cli.not-confirmed", not_done, why, fix))
}

/// A file or a folder that could not be opened, or that had to be text and is none.
fn unreadable_file(path: &Path, error: &std::io::Error) -> Box<CliError> {
    let fix = match error.kind() {
        std::io::ErrorKind::InvalidData => "give a file that is UTF-8 text",
        _ => "check the path, and that you may read it",
    };
    let what = format!("cannot read {}", path.display());
    CliError::bad_input("cli.unreadable", what, error.to_string(), fix)
}

/// What could not be read from standard input, a file or the environment.
fn unreadable(what: &str, why: impl std::fmt::Display) -> Box<CliError> {
    CliError::bad_input(
        "cli.unreadable",
        format!("cannot read {what}"),
        why.to_string(),
        "check that it is there, readable and UTF-8 text",
    )
}
