//! `windlass project`: make, list, show, delete; its Git token.

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::ProjectName;
use windlass_model::api::{CreateProject, Page, ProjectView, SetGitToken};

use super::{confirm, unreadable};
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::render::{self, date, harmless, table};
use crate::session::Session;

/// Make, list, show and delete projects.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass project list
  windlass project delete shop
  printf %s \"$TOKEN\" | windlass project token shop --stdin")]
pub struct Project {
    #[command(subcommand)]
    verb: ProjectVerb,
}

#[derive(Debug, Subcommand)]
enum ProjectVerb {
    /// Make a project; `windlass deploy` does it by itself.
    Create {
        /// Its name.
        name: ProjectName,
    },
    /// List projects.
    List,
    /// Show a project with its environments.
    Show {
        /// Its name [default: as --project].
        name: Option<ProjectName>,
    },
    /// Delete a project with its environments, variables and history; refused while something of it
    /// is live.
    Delete {
        /// Its name.
        name: ProjectName,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
        /// Delete its volumes too; they stay otherwise.
        #[arg(long)]
        with_volumes: bool,
    },
    /// Make, show or remove the SSH key for its private Git repository (the project is --project).
    DeployKey {
        #[command(subcommand)]
        verb: super::deploy_key::DeployKeyVerb,
    },
    /// Store or remove the HTTPS token for its private Git repository; without an option it is asked
    /// for.
    Token {
        /// Its name [default: as --project].
        name: Option<ProjectName>,
        /// Take it from standard input.
        #[arg(long, conflicts_with_all = ["env", "remove"])]
        stdin: bool,
        /// Take it from this environment variable.
        #[arg(long, value_name = "VAR", conflicts_with = "remove")]
        env: Option<String>,
        /// Remove the stored one.
        #[arg(long)]
        remove: bool,
    },
}

impl Project {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self.verb {
            ProjectVerb::Create { name } => create(session, name)?,
            ProjectVerb::List => list(session)?,
            ProjectVerb::Show { name } => show(session, name)?,
            ProjectVerb::Delete { name, yes, with_volumes } => {
                delete(session, &name, yes, with_volumes)?;
            }
            ProjectVerb::DeployKey { verb } => verb.run(session)?,
            ProjectVerb::Token { name, remove: true, .. } => remove_token(session, name)?,
            ProjectVerb::Token { name, stdin, env, .. } => set_token(session, name, stdin, env)?,
        }
        Ok(Exit::Ok)
    }
}

fn create(session: &mut Session<'_, '_>, name: ProjectName) -> CliResult<()> {
    let view: ProjectView =
        session.client()?.send(Method::POST, "/v1/projects", &CreateProject { name })?;
    if session.json() {
        session.print_json(&view);
    } else {
        session.console.line(&format!("project {} is made", view.name));
    }
    Ok(())
}

fn list(session: &mut Session<'_, '_>) -> CliResult<()> {
    let page: Page<ProjectView> = session.client()?.get("/v1/projects")?;
    if session.json() {
        session.print_json(&page);
        return Ok(());
    }
    let rows: Vec<Vec<String>> = page
        .items
        .iter()
        .map(|project| {
            let names: Vec<String> =
                project.environments.iter().map(|e| e.name.to_string()).collect();
            vec![project.name.to_string(), names.join(", "), date(project.created_at)]
        })
        .collect();
    let text = if rows.is_empty() {
        "no projects\n".to_owned()
    } else {
        table(&["project", "environments", "created"], &rows)
    };
    session.console.out(&text);
    Ok(())
}

fn show(session: &mut Session<'_, '_>, name: Option<ProjectName>) -> CliResult<()> {
    let name = name.map_or_else(|| session.project(), Ok)?;
    let view: ProjectView =
        session.client()?.get(&client::path(&["v1", "projects", name.as_str()]))?;
    if session.json() {
        session.print_json(&view);
        return Ok(());
    }
    let token = if view.has_git_token { "stored" } else { "none" };
    session.console.line(&format!(
        "{}\n  created    {}\n  git token  {token}\n",
        view.name,
        date(view.created_at)
    ));
    let rows: Vec<Vec<String>> = view
        .environments
        .iter()
        .map(|one| {
            let live = one.live_number.map_or_else(|| "–".to_owned(), |n| format!("#{n}"));
            vec![one.name.to_string(), live, harmless(&one.urls.join(", "))]
        })
        .collect();
    session.console.out(&table(&["environment", "live", "addresses"], &rows));
    session.console.out(&render::plugin::off(&view.plugins_off));
    Ok(())
}

fn delete(
    session: &mut Session<'_, '_>,
    name: &ProjectName,
    yes: bool,
    with_volumes: bool,
) -> CliResult<()> {
    let client = session.client()?;
    let path = client::path(&["v1", "projects", name.as_str()]);
    // Nobody is asked to confirm the end of what is not there.
    let _there: ProjectView = client.get(&path)?;
    confirm(session, yes, "project", name.as_str())?;
    client.delete(&super::environment::deleting(path, with_volumes))?;
    done(session, &format!("project {name} is deleted"), "deleted", name.as_str());
    Ok(())
}

/// Says that something is done: a sentence, or `{"<what>": "<name>"}`.
pub(super) fn done(session: &mut Session<'_, '_>, sentence: &str, what: &str, name: &str) {
    if session.json() {
        session.print_json(&std::collections::BTreeMap::from([(what, name)]));
    } else {
        session.console.line(sentence);
    }
}

fn token_path(name: &ProjectName) -> String {
    client::path(&["v1", "projects", name.as_str(), "git-token"])
}

fn set_token(
    session: &mut Session<'_, '_>,
    name: Option<ProjectName>,
    stdin: bool,
    env: Option<String>,
) -> CliResult<()> {
    let name = name.map_or_else(|| session.project(), Ok)?;
    let token = match env {
        Some(variable) => std::env::var(&variable)
            .map_err(|e| unreadable(&format!("the token from {variable}"), e))?,
        None if stdin || !session.console.stdin_is_terminal() => {
            session.console.read_stdin().map_err(|e| unreadable("standard input", e))?
        }
        None => session
            .console
            .read_secret(&format!("Git token of {name} (not shown): "))
            .map_err(|e| unreadable("standard input", e))?,
    };
    let body = SetGitToken { token: token.trim().to_owned() };
    session.client()?.send_only(Method::PUT, &token_path(&name), &body)?;
    done(session, &format!("the Git token of {name} is stored"), "stored", name.as_str());
    Ok(())
}

fn remove_token(session: &mut Session<'_, '_>, name: Option<ProjectName>) -> CliResult<()> {
    let name = name.map_or_else(|| session.project(), Ok)?;
    session.client()?.delete(&token_path(&name))?;
    done(session, &format!("the Git token of {name} is removed"), "removed", name.as_str());
    Ok(())
}
