//! `windlass plugin list|show|remove|rollback|grant|enable|disable|configure|trust`.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Map, Value};
use ureq::http::Method;
use windlass_model::plugin::lock::Policy;
use windlass_model::plugin::manage::{
    Asked, PluginView, PluginsView, ProjectPlugin, SetGrants, SetProjectPlugin, SetSignatures,
    SignaturesView, check_not_private,
};
use windlass_model::plugin::{Capability, Give};

use crate::client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{self, harmless};
use crate::session::Session;
use crate::verbs::project::done;
use crate::verbs::{confirm_told, unreadable_file};

/// List plugins with the stages they fill, and those that could not be loaded.
#[derive(Debug, clap::Args)]
pub(super) struct List {}

impl List {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let view: PluginsView = session.client()?.get("/v1/plugins")?;
        if session.json() {
            session.print_json(&view);
        } else {
            let text = render::plugin::list(&view, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}

/// Show a plugin: what it may do, its versions and options, and who uses it.
#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// The plugin.
    name: String,
}

impl Show {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let view: PluginView = session.client()?.get(&one(&self.name, &[]))?;
        shown(session, &view);
        Ok(Exit::Ok)
    }
}

/// Remove an installed plugin with all its versions.
///
/// What projects chose of it goes too. What is live and used it goes on running; the next deployment there will not find
/// it. Both are said before.
#[derive(Debug, clap::Args)]
pub(super) struct Remove {
    /// The plugin.
    name: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Remove {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let what = ("the plugin", &*self.name, "all its versions");
        confirm_told(session, self.yes, what, |session| {
            let view: PluginView = match session.client()?.get(&one(&self.name, &[])) {
                Ok(view) => view,
                // One whose file does not load cannot be shown, and is removed all the same.
                Err(error) if error.exit == Exit::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            session.console.err(&render::plugin::at_stake(&view));
            Ok(())
        })?;
        session.client()?.delete(&one(&self.name, &[]))?;
        let sentence = format!("the plugin {} is removed", harmless(&self.name));
        done(session, &sentence, "removed", &self.name);
        Ok(Exit::Ok)
    }
}

/// Go back to the version before; once more takes that back.
#[derive(Debug, clap::Args)]
pub(super) struct Rollback {
    /// The plugin.
    name: String,
}

impl Rollback {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let view: PluginView = session.client()?.post(&one(&self.name, &["rollback"]))?;
        if session.json() {
            session.print_json(&view);
        } else {
            let manifest = &view.summary.info.manifest;
            let sentence = format!("{} is now {}", manifest.name, harmless(&manifest.version));
            session.console.line(&sentence);
        }
        Ok(Exit::Ok)
    }
}

/// Grant a plugin this and nothing else.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin grant scan all
  windlass plugin grant scan http,artifacts
  windlass plugin grant notify '[{\"name\": \"http\", \"hosts\": [\"hooks.slack.com\"], \"methods\": [\"POST\"]}]'
  windlass plugin grant scan none")]
pub(super) struct Grant {
    /// The plugin.
    name: String,
    /// `all` that it asks for, `none`, kinds of it such as `exec,http`, or a list of requests as JSON.
    what: Give,
}

impl Grant {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let body = SetGrants { grant: self.what };
        let path = one(&self.name, &["grants"]);
        let view: PluginView = session.client()?.send(Method::PUT, &path, &body)?;
        shown(session, &view);
        warn_unasked(session, &self.name, &body.grant, &view.asks);
        Ok(Exit::Ok)
    }
}

/// Says what of a grant has no effect, because the plugin does not ask for it.
pub(super) fn warn_unasked(session: &mut Session<'_, '_>, name: &str, give: &Give, asks: &[Asked]) {
    let asks: Vec<Capability> = asks.iter().map(|one| one.capability.clone()).collect();
    let unasked = give.unasked(&asks).join("; ");
    if !unasked.is_empty() {
        let (name, unasked) = (harmless(name), harmless(&unasked));
        session.console.err(&format!(
            "warning: {name} does not ask for {unasked}: only what it asks for is granted\n"
        ));
    }
}

/// Let a project use a plugin, in its active version or in one that it is pinned to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin enable scan --project shop
  windlass plugin enable scan --version 1.2.0 --project shop
  windlass plugin enable scan --version active --project shop")]
pub(super) struct Enable {
    /// The plugin.
    name: String,
    /// Pin this version, by its name or the beginning of its digest; `active` follows the active one.
    #[arg(long)]
    version: Option<String>,
}

impl Enable {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let body = SetProjectPlugin {
            enabled: Some(true),
            version: self.version,
            ..SetProjectPlugin::default()
        };
        choose(session, &self.name, &body)
    }
}

/// Keep a project from using a plugin.
#[derive(Debug, clap::Args)]
pub(super) struct Disable {
    /// The plugin.
    name: String,
}

impl Disable {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let body = SetProjectPlugin { enabled: Some(false), ..SetProjectPlugin::default() };
        choose(session, &self.name, &body)
    }
}

/// Set options of a plugin for a project; they are checked against its schema.
///
/// A value is JSON where it reads as JSON, else text. `windlass plugin show` gives the schema.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin configure scan fail_on=high --project shop
  windlass plugin configure scan 'ignore=[\"CVE-2024-1\"]' --project shop
  windlass plugin configure scan --unset ignore --project shop")]
pub(super) struct Configure {
    /// The plugin.
    name: String,
    /// What is set; without any, the options are shown.
    #[arg(value_name = "KEY=VALUE", value_parser = pair)]
    set: Vec<(String, Value)>,
    /// What goes back to its default.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
}

fn pair(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.to_owned(), value))
}

impl Configure {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let path = of_project(session, &self.name)?;
        let now: ProjectPlugin = session.client()?.get(&path)?;
        if self.set.is_empty() && self.unset.is_empty() {
            answered(session, &now);
            return Ok(Exit::Ok);
        }
        let mut options: Map<String, Value> = now.options;
        options.extend(self.set);
        options.retain(|key, _| !self.unset.contains(key));
        let body = SetProjectPlugin { options: Some(options), ..SetProjectPlugin::default() };
        choose(session, &self.name, &body)
    }
}

/// Say whose signatures count when a plugin is installed; without options, show it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin trust --add acme=minisign.pub --policy require
  windlass plugin trust --add acme=cosign.pub
  windlass plugin trust --remove acme")]
pub(super) struct Trust {
    /// What happens to what no trusted key signed: `require` refuses it, `warn` says so, `off` does not look.
    #[arg(long, value_parser = policy)]
    policy: Option<Policy>,
    /// Trust a key: the file of a public key of minisign or cosign, under a name.
    #[arg(long, value_name = "NAME=FILE")]
    add: Vec<String>,
    /// Trust a key no more.
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
}

pub(super) fn policy(text: &str) -> Result<Policy, String> {
    match text {
        "require" => Ok(Policy::Require),
        "warn" => Ok(Policy::Warn),
        "off" => Ok(Policy::Off),
        _ => Err("use require, warn or off".to_owned()),
    }
}

impl Trust {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        const PATH: &str = "/v1/plugin-signatures";
        let body =
            SetSignatures { policy: self.policy, add: keys(&self.add)?, remove: self.remove };
        let view: SignaturesView = match body == SetSignatures::default() {
            true => session.client()?.get(PATH)?,
            false => session.client()?.send(Method::PUT, PATH, &body)?,
        };
        if session.json() {
            session.print_json(&view);
        } else {
            session.console.out(&render::plugin::signatures(&view));
        }
        Ok(Exit::Ok)
    }
}

fn keys(named: &[String]) -> CliResult<BTreeMap<String, String>> {
    let read = |text: &String| {
        let Some((name, file)) = text.split_once('=') else {
            return Err(CliError::bad_input(
                "cli.usage",
                format!("{text:?} names no key"),
                "a key has a name and a file",
                "--add NAME=FILE",
            ));
        };
        Ok((name.to_owned(), public_key(name, Path::new(file))?))
    };
    named.iter().map(read).collect()
}

/// The text of a public key's file. A private one stays on this machine.
pub(super) fn public_key(name: &str, file: &Path) -> CliResult<String> {
    let shown = file.display().to_string();
    let key = std::fs::read_to_string(file).map_err(|e| unreadable_file(file, &e))?;
    check_not_private(name, &shown, &key).map_err(CliError::of_role)?;
    Ok(key)
}

fn one(name: &str, rest: &[&str]) -> String {
    let mut segments = vec!["v1", "plugins", name];
    segments.extend(rest);
    client::path(&segments)
}

fn of_project(session: &Session<'_, '_>, name: &str) -> CliResult<String> {
    let project = session.project()?;
    Ok(client::path(&["v1", "projects", project.as_str(), "plugins", name]))
}

fn choose(session: &mut Session<'_, '_>, name: &str, body: &SetProjectPlugin) -> CliResult<Exit> {
    let path = of_project(session, name)?;
    let chosen: ProjectPlugin = session.client()?.send(Method::PUT, &path, body)?;
    answered(session, &chosen);
    Ok(Exit::Ok)
}

fn answered(session: &mut Session<'_, '_>, chosen: &ProjectPlugin) {
    if session.json() {
        session.print_json(chosen);
    } else {
        session.console.line(&render::plugin::chosen(chosen));
    }
}

fn shown(session: &mut Session<'_, '_>, view: &PluginView) {
    if session.json() {
        session.print_json(view);
    } else {
        let text = render::plugin::full(view, Timestamp::now());
        session.console.out(&text);
    }
}
