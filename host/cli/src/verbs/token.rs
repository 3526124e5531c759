//! `windlass token`: who else may ask the host for what.

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::ProjectName;
use windlass_model::access::{
    CreateToken, NewToken, RotateToken, TokenScope, TokenState, TokenView, WhoAmI,
};
use windlass_model::api::Page;
use windlass_model::id::TokenName;

use crate::client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{date, table};
use crate::session::Session;

/// Make, list, rotate and revoke API tokens.
///
/// A token has a name, under which everything is recorded that is done with it; a scope (`read`,
/// `deploy`, `admin`, each with those before it); and may be limited to projects and to a time. Its text
/// is shown once. All of this needs an admin token: on the host itself that is the default.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass token create ci --scope deploy --project shop --expires 30d
  windlass token list
  windlass token rotate ci
  windlass token rotate admin          # the host's own token
  windlass token revoke ci")]
pub struct Token {
    #[command(subcommand)]
    verb: TokenVerb,
}

#[derive(Debug, Subcommand)]
enum TokenVerb {
    /// Make a token and print its text, this once; limited to a project with --project.
    Create {
        /// What it is called: the actor of everything done with it.
        name: TokenName,
        /// What it may do: read, deploy or admin.
        #[arg(long)]
        scope: TokenScope,
        /// A further project that it is limited to; may be repeated.
        #[arg(long, value_name = "PROJECT")]
        and_project: Vec<ProjectName>,
        /// How long it lives, as `12h`, `30d` or `52w`; without it, until it is revoked.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// List tokens, revoked and expired ones too.
    List,
    /// Show what the token may do that is in use.
    Show,
    /// Give a token a new text, which is printed this once; the old one ends at once.
    Rotate {
        /// Its name or id; `admin` is the host's own.
        #[arg(value_name = "TOKEN")]
        name: String,
        /// How long it lives from now on; as long as it was given before when absent.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// Take a token back, at once and for good.
    Revoke {
        /// Its name or id.
        #[arg(value_name = "TOKEN")]
        name: String,
    },
}

impl Token {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self.verb {
            TokenVerb::Create { name, scope, and_project, expires } => {
                let mut projects = and_project;
                projects.extend(session.common.project.clone());
                let expires_in_s = expires.as_deref().map(seconds).transpose()?;
                let body = CreateToken { name, scope, projects, expires_in_s };
                let new = session.client()?.send(Method::POST, "/v1/tokens", &body)?;
                print_new(session, &new);
            }
            TokenVerb::List => list(session)?,
            TokenVerb::Show => show(session)?,
            TokenVerb::Rotate { name, expires } => {
                let expires_in_s = expires.as_deref().map(seconds).transpose()?;
                let path = client::path(&["v1", "tokens", &name, "rotate"]);
                let body = RotateToken { expires_in_s };
                let new = session.client()?.send(Method::POST, &path, &body)?;
                print_new(session, &new);
            }
            TokenVerb::Revoke { name } => {
                let path = client::path(&["v1", "tokens", &name]);
                let body = serde_json::json!({});
                let view: TokenView = session.client()?.send(Method::DELETE, &path, &body)?;
                if session.json() {
                    session.print_json(&view);
                } else {
                    session.console.line(&format!("token {} is revoked", view.name));
                }
            }
        }
        Ok(Exit::Ok)
    }
}

/// The text to standard output and the rest to standard error, so that it can be piped.
fn print_new(session: &mut Session<'_, '_>, new: &NewToken) {
    if session.json() {
        session.print_json(new);
        return;
    }
    let what = match &new.token {
        Some(view) => {
            let end = view.expires_at.map(|at| format!(" until {}", date(at))).unwrap_or_default();
            format!("{} may {}{}{end}", view.name, view.scope, limits(view))
        }
        None => "this is the host's own token now; the file `token` of the data directory holds it"
            .to_owned(),
    };
    session.console.err(&format!("{what}. The token, which is not shown again:\n"));
    session.console.line(&new.text);
}

fn limits(view: &TokenView) -> String {
    let names: Vec<&str> = view.projects.iter().map(ProjectName::as_str).collect();
    if names.is_empty() { String::new() } else { format!(" in {}", names.join(", ")) }
}

fn list(session: &mut Session<'_, '_>) -> CliResult<()> {
    let page: Page<TokenView> = session.client()?.get("/v1/tokens")?;
    if session.json() {
        session.print_json(&page);
        return Ok(());
    }
    if page.items.is_empty() {
        session.console.line("no tokens but the host's own");
        return Ok(());
    }
    let row = |view: &TokenView| {
        let names: Vec<&str> = view.projects.iter().map(ProjectName::as_str).collect();
        let projects = if names.is_empty() { "all".to_owned() } else { names.join(", ") };
        let state = match view.state {
            TokenState::Active => "active",
            TokenState::Expired => "expired",
            TokenState::Revoked => "revoked",
        };
        let when = |at: Option<jiff::Timestamp>, none: &str| at.map_or(none.to_owned(), date);
        vec![
            view.name.to_string(),
            view.id.to_string(),
            view.scope.to_string(),
            projects,
            state.to_owned(),
            when(view.expires_at, "never"),
            when(view.last_used_at, "–"),
        ]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    let heading = ["token", "id", "scope", "projects", "state", "expires", "last used"];
    session.console.out(&table(&heading, &rows));
    Ok(())
}

fn show(session: &mut Session<'_, '_>) -> CliResult<()> {
    let me: WhoAmI = session.client()?.get("/v1/token")?;
    if session.json() {
        session.print_json(&me);
        return Ok(());
    }
    let names: Vec<&str> = me.projects.iter().map(ProjectName::as_str).collect();
    let place = if names.is_empty() { "every project".to_owned() } else { names.join(", ") };
    session.console.line(&format!("{} may {} in {place}", me.actor, me.scope));
    Ok(())
}

/// Seconds of `12h`, `30d`, `52w`, `1d 12h`.
pub(super) fn seconds(text: &str) -> CliResult<u64> {
    let wrong = || {
        CliError::bad_input(
            "cli.bad-time",
            format!("{text:?} is not a length of time"),
            "it has numbers with units, from s, m, h, d and w, and is longer than nothing",
            "write for instance 90m, 12h, 30d or 52w",
        )
    };
    let span: jiff::Span = text.parse().map_err(|_| wrong())?;
    let days = jiff::SpanRelativeTo::days_are_24_hours();
    let time = span.to_duration(days).map_err(|_| wrong())?;
    u64::try_from(time.as_secs()).ok().filter(|s| *s > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read() {
        for (text, s) in [("90m", 5400), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)] {
            assert_eq!(seconds(text).unwrap(), s, "{text}");
        }
        for bad in ["", "soon", "30", "-3h", "0s", "1month"] {
            assert_eq!(seconds(bad).unwrap_err().failure.code, "cli.bad-time", "{bad}");
        }
    }
}
