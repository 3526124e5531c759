//! `windlass registry`: logins for private images.

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::api::{RegistryView, SetRegistryLogin};

use super::project::done;
use super::unreadable;
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::render::{harmless, table};
use crate::session::Session;

/// Store, list and remove logins of image registries, per project.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  printf %s \"$TOKEN\" | windlass registry login ghcr.io --username me --password-stdin --project shop
  windlass registry list --project shop
  windlass registry logout ghcr.io --project shop")]
pub struct Registry {
    #[command(subcommand)]
    verb: RegistryVerb,
}

#[derive(Debug, Subcommand)]
enum RegistryVerb {
    /// Store a login; the password is asked for, unless an option says where it is.
    Login {
        /// `ghcr.io`, `docker.io`, `localhost:5000`
        registry: String,
        /// Name.
        #[arg(short, long)]
        username: String,
        /// Take the password or token from standard input.
        #[arg(long, conflicts_with = "password_env")]
        password_stdin: bool,
        /// Take it from this environment variable.
        #[arg(long, value_name = "VAR")]
        password_env: Option<String>,
    },
    /// List registries with a login.
    List,
    /// Remove a login.
    Logout {
        /// The registry.
        registry: String,
    },
}

impl Registry {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self.verb {
            RegistryVerb::Login { registry, username, password_stdin, password_env } => {
                let password = password(session, &registry, password_stdin, password_env)?;
                login(session, SetRegistryLogin { registry, user: username, password })?;
            }
            RegistryVerb::List => list(session)?,
            RegistryVerb::Logout { registry } => {
                let path = path(session, &[&registry])?;
                session.client()?.delete(&path)?;
                let sentence = format!("the login for {} is removed", harmless(&registry));
                done(session, &sentence, "removed", &registry);
            }
        }
        Ok(Exit::Ok)
    }
}

fn path(session: &Session<'_, '_>, rest: &[&str]) -> CliResult<String> {
    let project = session.project()?;
    let mut segments = vec!["v1", "projects", project.as_str(), "registries"];
    segments.extend(rest);
    Ok(client::path(&segments))
}

pub(super) fn password(
    session: &mut Session<'_, '_>,
    registry: &str,
    stdin: bool,
    env: Option<String>,
) -> CliResult<String> {
    let text = match env {
        Some(variable) => std::env::var(&variable)
            .map_err(|e| unreadable(&format!("the password from {variable}"), e))?,
        None if stdin || !session.console.stdin_is_terminal() => {
            session.console.read_stdin().map_err(|e| unreadable("standard input", e))?
        }
        None => session
            .console
            .read_secret(&format!("Password or token for {} (not shown): ", harmless(registry)))
            .map_err(|e| unreadable("standard input", e))?,
    };
    Ok(text.trim().to_owned())
}

fn login(session: &mut Session<'_, '_>, body: SetRegistryLogin) -> CliResult<()> {
    let path = path(session, &[])?;
    session.client()?.send_only(Method::PUT, &path, &body)?;
    let sentence = format!("the login for {} is stored", harmless(&body.registry));
    done(session, &sentence, "stored", &body.registry);
    Ok(())
}

fn list(session: &mut Session<'_, '_>) -> CliResult<()> {
    let all: Vec<RegistryView> = session.client()?.get(&path(session, &[])?)?;
    if session.json() {
        session.print_json(&all);
        return Ok(());
    }
    let rows: Vec<Vec<String>> =
        all.iter().map(|one| vec![harmless(&one.registry), harmless(&one.user)]).collect();
    let text = match rows.is_empty() {
        true => "no logins\n".to_owned(),
        false => table(&["registry", "user"], &rows),
    };
    session.console.out(&text);
    Ok(())
}
