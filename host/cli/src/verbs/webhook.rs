//! `windlass webhook`: make, list, show, delete; secrets; deliveries.

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::ProjectName;
use windlass_model::api::Page;
use windlass_model::hooks::{
    CreateWebhook, RotateWebhook, SetStatusToken, WebhookView, WebhookWithSecret,
};
use windlass_model::settings::parse_duration_ms;
use windlass_model::webhook::{Delivery, DeliveryId, Provider, WebhookId};

use super::{confirm, project::done, unreadable};
use crate::client;
use crate::exit::{CliResult, Exit};
use crate::render::{cut, date, harmless, table};
use crate::session::Session;

/// Make, list, show and delete webhooks: a push deploys, and a pull request gets a preview.
///
/// The secret is shown once, when the webhook is made. Which branch deploys where: `windlass
/// environment set`. Previews: `windlass preview`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass webhook create --provider github
  windlass webhook create --provider gitlab --api-base https://gitlab.example.com/api/v4
  windlass webhook deliveries
  windlass webhook rotate 01jb2k… --keep 24h")]
pub struct Webhook {
    #[command(subcommand)]
    verb: WebhookVerb,
}

#[derive(Debug, Subcommand)]
enum WebhookVerb {
    /// Make a webhook; its address and secret are to be entered at the sender.
    Create {
        /// github, gitlab, gitea, forgejo, bitbucket or generic.
        #[arg(long)]
        provider: Provider,
        /// The repository that it may speak for [default: the one that the project is deployed from].
        #[arg(long, value_name = "URL")]
        repository: Option<String>,
        /// Base address of the provider's API, for commit statuses [default: the public one].
        #[arg(long, value_name = "URL")]
        api_base: Option<String>,
        /// Report no commit statuses.
        #[arg(long)]
        no_status: bool,
    },
    /// List webhooks.
    List,
    /// Show a webhook.
    Show {
        /// Its id [default: the project's only one].
        id: Option<WebhookId>,
    },
    /// Delete a webhook with its deliveries.
    Delete {
        /// Its id.
        id: WebhookId,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Replace its secret; the old one is accepted for a while.
    Rotate {
        /// Its id [default: the project's only one].
        id: Option<WebhookId>,
        /// How long the old secret is accepted too, at most 30 days.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = seconds)]
        keep: u64,
    },
    /// Store or remove a token of its own for commit statuses; without one the project's Git token is
    /// used. It is read from standard input unless an option says otherwise.
    StatusToken {
        /// Its id [default: the project's only one].
        id: Option<WebhookId>,
        /// Take it from this environment variable.
        #[arg(long, value_name = "VAR", conflicts_with = "remove")]
        env: Option<String>,
        /// Remove the stored one.
        #[arg(long)]
        remove: bool,
    },
    /// List its deliveries with their verdicts, newest first.
    Deliveries {
        /// Its id [default: the project's only one].
        id: Option<WebhookId>,
        /// At most so many.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Take a delivery up once more.
    Redeliver {
        /// The delivery, as `deliveries` shows it.
        delivery: DeliveryId,
        /// The webhook [default: the project's only one].
        #[arg(long)]
        webhook: Option<WebhookId>,
    },
}

/// `90s`, `30m`, `24h`, `7d` in seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let days = text.strip_suffix('d').and_then(|days| days.trim().parse::<u64>().ok());
    let ms = match days {
        Some(days) => days.checked_mul(24 * 3600 * 1000),
        None => parse_duration_ms(text),
    };
    ms.map(|ms| ms / 1000).ok_or_else(|| "a time is written like 90s, 30m, 24h or 7d".to_owned())
}

impl Webhook {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let project = session.project()?;
        match self.verb {
            WebhookVerb::Create { provider, repository, api_base, no_status } => {
                let reports_status = no_status.then_some(false);
                let body = CreateWebhook { provider, repository, api_base, reports_status };
                let all = path(&project, &[]);
                let made: WebhookWithSecret = session.client()?.send(Method::POST, &all, &body)?;
                created(session, &made);
            }
            WebhookVerb::List => list(session, &project)?,
            WebhookVerb::Show { id } => {
                let id = the(session, &project, id)?;
                let view: WebhookView = session.client()?.get(&path(&project, &[id.as_str()]))?;
                show(session, &view);
            }
            WebhookVerb::Delete { id, yes } => {
                confirm(session, yes, "webhook", id.as_str())?;
                session.client()?.delete(&path(&project, &[id.as_str()]))?;
                done(session, &format!("webhook {id} is deleted"), "deleted", id.as_str());
            }
            WebhookVerb::Rotate { id, keep } => {
                let id = the(session, &project, id)?;
                let body = RotateWebhook { keep_previous_s: Some(keep) };
                let rotate = path(&project, &[id.as_str(), "rotate"]);
                let made: WebhookWithSecret =
                    session.client()?.send(Method::POST, &rotate, &body)?;
                created(session, &made);
            }
            WebhookVerb::StatusToken { id, env, remove } => {
                let id = the(session, &project, id)?;
                status_token(session, &project, &id, env, remove)?;
            }
            WebhookVerb::Deliveries { id, limit } => {
                let id = the(session, &project, id)?;
                let all = path(&project, &[id.as_str(), "deliveries"]);
                let query = client::with_query(&all, &[("limit", &limit.to_string())]);
                deliveries(session, &session.client()?.get(&query)?);
            }
            WebhookVerb::Redeliver { delivery, webhook } => {
                let id = the(session, &project, webhook)?;
                let again = ["deliveries", delivery.as_str(), "redeliver"];
                let again = path(&project, &[&[id.as_str()], &again[..]].concat());
                let made: Delivery = session.client()?.post(&again)?;
                if session.json() {
                    session.print_json(&made);
                } else {
                    let text = format!("{delivery} is taken up again as {}", made.id);
                    session.console.line(&text);
                }
            }
        }
        Ok(Exit::Ok)
    }
}

fn path(project: &ProjectName, rest: &[&str]) -> String {
    let mut segments = vec!["v1", "projects", project.as_str(), "webhooks"];
    segments.extend(rest);
    client::path(&segments)
}

/// The webhook that is meant: the one named, else the project's only one.
fn the(
    session: &mut Session<'_, '_>,
    project: &ProjectName,
    id: Option<WebhookId>,
) -> CliResult<WebhookId> {
    if let Some(id) = id {
        return Ok(id);
    }
    let page: Page<WebhookView> = session.client()?.get(&path(project, &[]))?;
    let mut ids = page.items.into_iter().map(|view| view.webhook.id);
    match (ids.next(), ids.next()) {
        (Some(only), None) => Ok(only),
        (first, _) => Err(crate::exit::CliError::new(
            if first.is_none() { Exit::NotFound } else { Exit::BadInput },
            "cli.which-webhook",
            "it is not clear which webhook is meant",
            match first {
                None => format!("{project} has none"),
                Some(_) => format!("{project} has several"),
            },
            "make one with `windlass webhook create`, or name one of `windlass webhook list`",
        )),
    }
}

fn address(session: &Session<'_, '_>, view: &WebhookView) -> String {
    format!("{}{}", session.common.url.trim_end_matches('/'), view.path)
}

/// A secret is shown this once.
fn created(session: &mut Session<'_, '_>, made: &WebhookWithSecret) {
    if session.json() {
        session.print_json(made);
        return;
    }
    let address = address(session, &made.view);
    let webhook = &made.view.webhook;
    session.console.line(&format!(
        "webhook {}\n  address  {address}\n  secret   {}\n",
        webhook.id, made.secret
    ));
    session.console.line(match webhook.provider {
        Provider::Github | Provider::Gitea => {
            "Enter both at the repository's webhooks: content type application/json, events push and \
             pull requests."
        }
        Provider::Gitlab => {
            "Enter both at the project's webhooks, the secret as signing token (as secret token where GitLab \
             has none): push events, tag push events, merge request events."
        }
        Provider::Bitbucket => {
            "Enter both at the repository's webhooks: repository push, pull request created, updated, \
             merged and declined."
        }
        Provider::Generic => "How deliveries are signed: OPERATIONS.md, \"Webhooks\".",
    });
    session.console.line("The secret is not shown again. The sender has to reach that address.");
    if let Some(until) = webhook.previous_until {
        session.console.line(&format!("The old secret is accepted until {}.", date(until)));
    }
}

fn list(session: &mut Session<'_, '_>, project: &ProjectName) -> CliResult<()> {
    let page: Page<WebhookView> = session.client()?.get(&path(project, &[]))?;
    if session.json() {
        session.print_json(&page);
        return Ok(());
    }
    if page.items.is_empty() {
        session.console.line("no webhooks; make one with `windlass webhook create`");
        return Ok(());
    }
    let row = |view: &WebhookView| {
        let webhook = &view.webhook;
        let repository = webhook.repository.clone().unwrap_or_else(|| "the project's".to_owned());
        vec![
            webhook.id.to_string(),
            webhook.provider.to_string(),
            harmless(&repository),
            date(webhook.created_at),
        ]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    session.console.out(&table(&["webhook", "provider", "repository", "created"], &rows));
    Ok(())
}

fn show(session: &mut Session<'_, '_>, view: &WebhookView) {
    if session.json() {
        session.print_json(view);
        return;
    }
    let address = address(session, view);
    let webhook = &view.webhook;
    let or = |text: &Option<String>, other: &str| {
        text.as_deref().map_or_else(|| other.to_owned(), harmless)
    };
    let until =
        webhook.previous_until.map_or_else(|| "no".to_owned(), |at| format!("until {}", date(at)));
    let statuses = match (webhook.reports_status, &webhook.status_problem) {
        (false, _) => "not reported".to_owned(),
        (true, None) => "reported".to_owned(),
        (true, Some(why)) => format!("the last one was not taken: {}", harmless(why)),
    };
    let token = if view.has_status_token { "its own" } else { "the project's Git token" };
    session.console.line(&format!(
        "{}\n  address     {address}\n  provider    {}\n  repository  {}\n  created     {}\n  old secret  \
         {until}\n  statuses    {statuses}\n  API         {}\n  token       {token}",
        webhook.id,
        webhook.provider,
        or(&webhook.repository, "the project's"),
        date(webhook.created_at),
        or(&webhook.api_base, webhook.provider.api_base().unwrap_or("–")),
    ));
}

fn status_token(
    session: &mut Session<'_, '_>,
    project: &ProjectName,
    id: &WebhookId,
    env: Option<String>,
    remove: bool,
) -> CliResult<()> {
    let path = path(project, &[id.as_str(), "status-token"]);
    if remove {
        session.client()?.delete(&path)?;
        done(session, &format!("the status token of {id} is removed"), "removed", id.as_str());
        return Ok(());
    }
    let token = match env {
        Some(variable) => std::env::var(&variable)
            .map_err(|e| unreadable(&format!("the token from {variable}"), e))?,
        None if session.console.stdin_is_terminal() => session
            .console
            .read_secret("Token for commit statuses (not shown): ")
            .map_err(|e| unreadable("standard input", e))?,
        None => session.console.read_stdin().map_err(|e| unreadable("standard input", e))?,
    };
    let body = SetStatusToken { token: token.trim().to_owned() };
    session.client()?.send_only(Method::PUT, &path, &body)?;
    done(session, &format!("the status token of {id} is stored"), "stored", id.as_str());
    Ok(())
}

fn deliveries(session: &mut Session<'_, '_>, page: &Page<Delivery>) {
    const REASON_CHARS_MAX: usize = 100;
    if session.json() {
        session.print_json(page);
        return;
    }
    if page.items.is_empty() {
        session.console.line("no deliveries yet");
        return;
    }
    let row = |one: &Delivery| {
        vec![
            one.id.to_string(),
            date(one.received_at),
            harmless(&one.event),
            one.verdict.to_string(),
            harmless(&one.code),
            cut(&harmless(&one.reason), REASON_CHARS_MAX),
        ]
    };
    let rows: Vec<Vec<String>> = page.items.iter().map(row).collect();
    let heading = ["delivery", "received", "event", "verdict", "code", "reason"];
    session.console.out(&table(&heading, &rows));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_seconds() {
        for (text, s) in [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800), ("0s", 0)] {
            assert_eq!(seconds(text), Ok(s), "{text}");
        }
        assert!(seconds("soon").is_err() && seconds("d").is_err());
    }
}
