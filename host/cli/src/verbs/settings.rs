//! `windlass settings`: what goes before windlass.toml in one environment.

use clap::Subcommand;
use ureq::http::Method;
use windlass_model::settings::{
    Overrides, SetSettings, SettingOrigin, SettingView, SettingsView, typed,
};

use super::environment_path;
use crate::client::Client;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{cut, harmless, table};
use crate::session::Session;

/// How often a change is made again when another one came between.
const TRIES: usize = 5;
/// Characters of a value in the table.
const VALUE_CHARS_MAX: usize = 48;

/// Show, set and unset settings of an environment.
///
/// They have the names of windlass.toml and go before it, from the next deployment on; how much is kept
/// (`deploy.keep_deployments`, `deploy.keep_artifacts`) from the next end of any deployment. Secrets
/// belong into variables: `windlass env set --secret`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass settings show
  windlass settings set run.memory=1GiB run.replicas=2 health.path=/up
  windlass settings set 'run.volumes=[{ name = \"uploads\", path = \"/app/uploads\" }]' -e staging
  windlass settings set deploy.keep_deployments=long  # 50; `minimal` 3, `archive` 100
  windlass settings unset run.memory deploy")]
pub struct Settings {
    #[command(subcommand)]
    verb: SettingsVerb,
}

#[derive(Debug, Subcommand)]
enum SettingsVerb {
    /// Show each value, who says it, and what is in force.
    Show,
    /// Set values: all or none.
    Set {
        /// A dotted name of windlass.toml with its value as there; what is no value there is text.
        #[arg(required = true, value_name = "KEY=VALUE")]
        values: Vec<String>,
    },
    /// Take back what was set: windlass.toml says it again.
    Unset {
        /// Their dotted names, or those of whole tables.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

impl Settings {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let path = environment_path(session, &["settings"])?;
        let view = match self.verb {
            SettingsVerb::Show => client.get(&path)?,
            SettingsVerb::Set { values } => {
                let pairs = values.iter().map(|text| pair(text)).collect::<CliResult<Vec<_>>>()?;
                change(&client, &path, |overrides| {
                    for (key, text) in &pairs {
                        overrides.set(key, typed(key, text));
                    }
                    Ok(())
                })?
            }
            SettingsVerb::Unset { keys } => change(&client, &path, |overrides| {
                match keys.iter().find(|key| !overrides.unset(key)) {
                    Some(key) => Err(not_set(key)),
                    None => Ok(()),
                }
            })?,
        };
        show(session, &view);
        Ok(Exit::Ok)
    }
}

fn pair(text: &str) -> CliResult<(&str, &str)> {
    let pair = text.split_once('=').map(|(key, value)| (key.trim(), value));
    pair.filter(|(key, _)| !key.is_empty() && key.split('.').all(|part| !part.is_empty()))
        .ok_or_else(|| {
            CliError::new(
                Exit::Usage,
                "cli.usage",
                format!("{:?} is no KEY=VALUE", harmless(text)),
                "a key is a dotted name of windlass.toml, joined to its value by `=`",
                "give it as run.memory=1GiB; `windlass settings set --help` has examples",
            )
        })
}

fn not_set(key: &str) -> Box<CliError> {
    CliError::new(
        Exit::NotFound,
        "cli.setting-not-set",
        format!("{} is not set for this environment", harmless(key)),
        "there is nothing to take back; what windlass.toml says is changed there",
        "`windlass settings show` lists what is set",
    )
}

/// Reads what is set, changes it, and stores it if nobody else did meanwhile.
fn change(
    client: &Client,
    path: &str,
    edit: impl Fn(&mut Overrides) -> CliResult<()>,
) -> CliResult<SettingsView> {
    let mut tries = 0;
    loop {
        let SettingsView { mut settings, revision, .. } = client.get(path)?;
        edit(&mut settings)?;
        let body = SetSettings { settings: settings.document().clone(), revision: Some(revision) };
        tries += 1;
        match client.send(Method::PUT, path, &body) {
            Err(error) if error.failure.code == "store.conflict" && tries < TRIES => {}
            answer => return answer,
        }
    }
}

fn show(session: &mut Session<'_, '_>, view: &SettingsView) {
    if session.json() {
        session.print_json(view);
        return;
    }
    if view.values.is_empty() {
        session.console.line("nothing is set; what serves has the defaults");
        return;
    }
    let rows: Vec<Vec<String>> = view.values.iter().map(|one| row(one, view.live_number)).collect();
    session.console.out(&table(&["setting", "value", "said by", "in force"], &rows));
}

fn row(one: &SettingView, live: Option<u64>) -> Vec<String> {
    let shown = |value: Option<&serde_json::Value>| match value {
        None => "default".to_owned(),
        Some(serde_json::Value::String(text)) => cut(&harmless(text), VALUE_CHARS_MAX),
        Some(other) => cut(&harmless(&other.to_string()), VALUE_CHARS_MAX),
    };
    let said_by = match one.origin {
        SettingOrigin::Environment if one.file.is_some() => "settings, over windlass.toml",
        SettingOrigin::Environment => "settings",
        SettingOrigin::File => "windlass.toml",
        SettingOrigin::Default => "nobody",
    };
    let in_force = match live {
        None => "with the first deployment".to_owned(),
        Some(number) if one.live == one.value => format!("in #{number}"),
        Some(number) => {
            format!("with the next deployment; #{number} has {}", shown(one.live.as_ref()))
        }
    };
    vec![harmless(&one.key), shown(one.value.as_ref()), said_by.to_owned(), in_force]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_and_its_value_are_parted_at_the_first_equals_sign() {
        assert_eq!(pair("run.command=A=b serve").unwrap(), ("run.command", "A=b serve"));
        assert_eq!(pair("health.path=").unwrap(), ("health.path", ""));
        for text in ["run.memory", "=1GiB", "run..memory=1", ".run=1"] {
            assert_eq!(pair(text).unwrap_err().exit, Exit::Usage, "{text}");
        }
    }

    #[test]
    fn a_row_says_who_says_it_and_from_when() {
        let mut one = SettingView {
            key: "run.memory".to_owned(),
            value: Some(json!("1GiB")),
            origin: SettingOrigin::Environment,
            file: Some(json!("64MiB")),
            live: Some(json!("64MiB")),
        };
        let next = "with the next deployment; #3 has 64MiB";
        assert_eq!(row(&one, Some(3))[1..], ["1GiB", "settings, over windlass.toml", next]);
        one.live = one.value.clone();
        assert_eq!(row(&one, Some(4))[3], "in #4");
        assert_eq!(row(&one, None)[3], "with the first deployment");
    }
}
