//! The application's settings, as a plugin gets them in [`Context::config_json`].
//!
//! The shape is documented in `wit/README.md`. Keys that this version does not know are ignored, so
//! that a plugin goes on working with a newer host.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{Context, PluginError};

/// The tables of `windlass.toml` that concern plugins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// `[build]`
    pub build: Build,
    /// `[run]`
    pub run: Run,
    /// `[migrate]`, or `migrate = false`.
    pub migrate: Migrate,
    /// `[health]`
    pub health: Health,
}

/// `[build]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Build {
    /// Overrides detection: the id that must be chosen.
    pub framework: Option<String>,
    /// Command line that installs dependencies.
    pub install: Option<String>,
    /// Command line that builds.
    pub command: Option<String>,
    /// Folder of the static tree that the build leaves, relative to the application.
    pub output: Option<String>,
    /// Versions by toolchain: `node` → `22`.
    pub toolchain: BTreeMap<String, String>,
    /// File that says how the image is built, relative to the application.
    pub dockerfile: Option<String>,
    /// The stage of it that is deployed.
    pub target: Option<String>,
    /// Values of its arguments.
    pub args: BTreeMap<String, String>,
}

/// `[run]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Run {
    /// Command line of the web process.
    pub command: Option<String>,
    /// Port of the web process.
    pub port: Option<u16>,
    /// Other processes by name.
    pub processes: BTreeMap<String, Process>,
    /// Where the environment's volumes are mounted.
    pub volumes: Vec<String>,
}

/// `[run.processes.<name>]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Process {
    /// Its command line.
    pub command: String,
}

/// `[migrate]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "MigrateForm")]
pub enum Migrate {
    /// Nothing was set: look for a migration.
    #[default]
    Unset,
    /// `migrate = false`: run none.
    Off,
    /// This command line.
    Command(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MigrateForm {
    Switch(bool),
    Table { command: Option<MigrateCommand> },
    Null(()),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum MigrateCommand {
    Switch(bool),
    Line(String),
}

impl From<MigrateForm> for Migrate {
    fn from(form: MigrateForm) -> Self {
        match form {
            MigrateForm::Switch(false)
            | MigrateForm::Table { command: Some(MigrateCommand::Switch(false)) } => Self::Off,
            MigrateForm::Table { command: Some(MigrateCommand::Line(line)) } => Self::Command(line),
            MigrateForm::Switch(true) | MigrateForm::Table { .. } | MigrateForm::Null(()) => {
                Self::Unset
            }
        }
    }
}

/// `[health]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Health {
    /// Path to probe.
    pub path: Option<String>,
    /// Statuses that pass: `200-299`, `200,204,301-302`.
    pub status: Option<String>,
    /// Budget of the whole check: `300s`, `5m`, `500ms`.
    pub timeout: Option<String>,
}

impl Settings {
    /// The settings in a context.
    ///
    /// # Errors
    /// Code `settings.invalid` if the JSON is not of the documented shape.
    pub fn of(ctx: &Context) -> Result<Self, PluginError> {
        let text = ctx.config_json.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(text).map_err(|error| {
            PluginError::new("settings.invalid", format!("the settings do not read: {error}"))
                .hint("compare windlass.toml with the documentation of its tables")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> Settings {
        Settings::of(&Context { config_json: json.to_owned(), ..Context::empty() }).unwrap()
    }

    #[test]
    fn every_documented_key_is_read() {
        let all = settings(
            r#"{"build":{"framework":"nextjs","install":"i","command":"b","output":"dist",
                "toolchain":{"node":"22"}},
                "run":{"command":"r","port":3000,"processes":{"worker":{"command":"w"}},
                       "volumes":["/data"]},
                "migrate":{"command":"m"},
                "health":{"path":"/up","status":"200-299","timeout":"300s"}}"#,
        );
        assert_eq!(all.build.toolchain["node"], "22");
        assert_eq!(all.run.processes["worker"].command, "w");
        assert_eq!(all.run.volumes, ["/data"]);
        assert_eq!(all.migrate, Migrate::Command("m".to_owned()));
        assert_eq!(all.health.path.as_deref(), Some("/up"));
    }

    #[test]
    fn a_migration_can_be_switched_off_in_each_form() {
        assert_eq!(settings(r#"{"migrate":false}"#).migrate, Migrate::Off);
        assert_eq!(settings(r#"{"migrate":{"command":false}}"#).migrate, Migrate::Off);
        assert_eq!(settings(r#"{"migrate":null}"#).migrate, Migrate::Unset);
        assert_eq!(settings("{}").migrate, Migrate::Unset);
        assert_eq!(settings("").migrate, Migrate::Unset);
    }

    #[test]
    fn unknown_keys_are_for_a_newer_plugin_and_wrong_types_are_errors() {
        assert_eq!(settings(r#"{"build":{"new":1},"other":{}}"#), Settings::default());
        let ctx = Context { config_json: r#"{"run":{"port":"x"}}"#.into(), ..Context::empty() };
        assert_eq!(Settings::of(&ctx).unwrap_err().code, "settings.invalid");
    }
}
