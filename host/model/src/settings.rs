//! `windlass.toml`, read strictly.
//!
//! **Invariant: no key is ever ignored.** A key is acted on, or refused as unknown (with the nearest
//! valid one); one that means nothing to what is built is a warning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::cron::Schedule;
use crate::destination::Destination;
use crate::failure::Failure;
use crate::id::{EnvironmentName, ProcessName, ProjectName, VolumeName};
use crate::variable::VariableName;

mod cron;
mod overrides;
mod schema;
mod secrets;
mod stages;
mod toolchain;
mod units;
mod unused;
mod view;

pub use overrides::{EnvironmentSettings, Layers, Overrides, typed};
pub use stages::{OnFailure, StageSettings, When};
pub use toolchain::TOOLCHAINS;
pub use units::{parse_bytes, parse_duration_ms};
pub use view::{SetSettings, SettingOrigin, SettingView, SettingsView};

/// Words for `deploy.keep_deployments`, with what they stand for.
pub const KEEP_PRESETS: [(&str, usize); 4] =
    [("minimal", 3), ("standard", 10), ("long", 50), ("archive", 100)];

/// Name of the file in the source's root.
pub const FILE: &str = "windlass.toml";

/// The settings of one environment, with the environment's own tables already laid over the common
/// ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Settings {
    /// Project that `windlass deploy` targets.
    pub name: Option<ProjectName>,
    /// `[build]`
    pub build: Build,
    /// `[run]`
    pub run: Run,
    /// `[migrate]`
    pub migrate: Option<Migrate>,
    /// `[health]`
    pub health: Health,
    /// `[deploy]`
    pub deploy: Deploy,
    /// `[validate]`
    #[serde(default)]
    pub validate: Validate,
    /// `[network]`
    #[serde(default)]
    pub network: Network,
    /// `[[stages]]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<StageSettings>,
    /// `[[cron]]`
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cron: Vec<Schedule>,
    /// Where the values come from.
    #[serde(default, skip_serializing_if = "Layers::is_empty")]
    pub layers: Layers,
}

/// `[validate]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Validate {
    /// Command that must end well in the new artifact before anything is migrated or started.
    pub command: Option<String>,
    /// Its time, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// `[network]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Network {
    /// What the environment's containers may reach beyond its own services and the public internet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Destination>,
}

/// `[build]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Build {
    /// Application's folder inside the source; empty for the root.
    pub app_dir: String,
    /// Id of a detection: overrides what is detected.
    pub framework: Option<String>,
    /// Toolchain name to requirement.
    pub toolchain: BTreeMap<String, String>,
    /// Install command.
    pub install: Option<String>,
    /// Build command.
    pub command: Option<String>,
    /// Folder of a static tree.
    pub output: Option<String>,
    /// File that says how the image is built, relative to the application's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<String>,
    /// The stage of it that is deployed; the last one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Values of its arguments.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// `false` deploys Git LFS pointers as they are; absent or `true` refuses a tree that has some.
    pub lfs: Option<bool>,
    /// Variables without which no deployment starts, because the build needs them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_variables: Vec<VariableName>,
}

/// `[run]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Run {
    /// Command of the web process.
    pub command: Option<String>,
    /// Port of the web process.
    pub port: Option<u16>,
    /// Memory of each instance, in bytes.
    pub memory_bytes: Option<u64>,
    /// CPU of each instance, in thousandths of a core.
    pub cpu_millis: Option<u32>,
    /// Instances of the web process.
    pub replicas: Option<u32>,
    /// Directories that outlive deployments.
    pub volumes: Vec<Volume>,
    /// Other processes.
    pub processes: BTreeMap<ProcessName, Process>,
    /// Variables without which no deployment starts, because the application needs them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub required_variables: Vec<VariableName>,
}

/// `[run.processes.NAME]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Process {
    /// Its command.
    pub command: String,
    /// Its instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
}

/// One of `run.volumes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Volume {
    /// Its name, unique in the environment.
    pub name: VolumeName,
    /// Where it is mounted in every instance: an absolute path.
    pub path: String,
    /// Whether two versions may have it mounted at once.
    #[serde(default)]
    pub shared: bool,
}

/// `deploy.strategy`
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// New instances beside the old, then the switch.
    #[default]
    BlueGreen,
    /// The old instances end before the new ones start; requests are held meanwhile.
    Recreate,
}

/// `[migrate]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Migrate {
    /// Run this command.
    Command(String),
    /// Run none.
    Never,
}

/// `[health]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Health {
    /// Path of the web process.
    pub path: Option<String>,
    /// Statuses that pass: `200-299` or `200,204`.
    pub status: Option<String>,
    /// Time for all tries, in milliseconds.
    pub timeout_ms: Option<u64>,
}

/// `[deploy]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Deploy {
    /// How a new version takes over, as it was set.
    pub strategy: Option<Strategy>,
    /// How long each kind of request may go on after a switch.
    pub drain: Drain,
    /// Deployments kept in history: a number, or one of [`KEEP_PRESETS`].
    pub keep_deployments: Option<usize>,
    /// Artifacts kept for rollback, the live one not counted.
    pub keep_artifacts: Option<usize>,
    /// Globs of paths whose change makes a push deploy; empty: every change does.
    pub paths: Vec<String>,
    /// Commands that are run in the new artifact after migrations and before the instances start;
    /// what they write is there when the instances start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before_switch: Vec<String>,
    /// What a newer deployment of the environment takes the place of.
    #[serde(default)]
    pub supersede: Supersede,
}

/// `deploy.supersede`
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Supersede {
    /// Of those that wait.
    #[default]
    Queued,
    /// Of the one that runs, too, unless it is migrating.
    Running,
}

/// `deploy.drain`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Drain {
    /// Plain requests.
    pub plain_ms: u64,
    /// Streaming responses.
    pub streaming_ms: u64,
    /// Upgraded connections.
    pub upgraded_ms: u64,
}

impl Default for Drain {
    fn default() -> Self {
        Self { plain_ms: 30_000, streaming_ms: 300_000, upgraded_ms: 3_600_000 }
    }
}

/// Whether `windlass.toml` has a key of this name; `*` stands for any name.
pub fn is_key(path: &str) -> bool {
    schema::is_key(path)
}

impl Settings {
    /// Reads the file's text for one environment.
    ///
    /// # Errors
    /// `settings.syntax`, `settings.unknown-key`, `settings.wrong-value` or `settings.secret-in-file`, each with
    /// the line or the key.
    pub fn parse(text: &str, environment: &EnvironmentName) -> Result<Self, Failure> {
        let table: toml::Table = toml::from_str(text).map_err(|e| schema::syntax(text, &e))?;
        secrets::refuse(&table)?;
        schema::check(&table)?;
        let table = schema::of_environment(table, environment);
        let file = Overrides::of_table(&table);
        let mut settings = schema::read(table)?;
        settings.layers.file = file;
        Ok(settings)
    }

    /// How a new version takes over: as it was set, else by its volumes.
    pub fn strategy(&self) -> Strategy {
        let exclusive = self.run.volumes.iter().any(|volume| !volume.shared);
        let implied = if exclusive { Strategy::Recreate } else { Strategy::BlueGreen };
        self.deploy.strategy.unwrap_or(implied)
    }

    /// The tables that plugins may see, as the JSON that the contract documents in `wit/README.md`.
    pub fn plugin_config(&self) -> String {
        let migrate = match &self.migrate {
            None => serde_json::Value::Null,
            Some(Migrate::Never) => serde_json::Value::Bool(false),
            Some(Migrate::Command(command)) => serde_json::json!({ "command": command }),
        };
        let processes: BTreeMap<&str, serde_json::Value> = self
            .run
            .processes
            .iter()
            .map(|(name, p)| (name.as_str(), serde_json::json!({ "command": p.command })))
            .collect();
        let volumes: Vec<&str> = self.run.volumes.iter().map(|v| v.path.as_str()).collect();
        let config = serde_json::json!({
            "build": {
                "framework": self.build.framework,
                "install": self.build.install,
                "command": self.build.command,
                "output": self.build.output,
                "toolchain": self.build.toolchain,
                "dockerfile": self.build.dockerfile,
                "target": self.build.target,
                "args": Some(&self.build.args).filter(|args| !args.is_empty()),
            },
            "run": {
                "command": self.run.command,
                "port": self.run.port,
                "processes": processes,
                "volumes": Some(volumes).filter(|volumes| !volumes.is_empty()),
            },
            "migrate": migrate,
            "health": {
                "path": self.health.path,
                "status": self.health.status,
                "timeout": self.health.timeout_ms.map(|ms| format!("{ms}ms")),
            },
        });
        without_nulls(config).to_string()
    }
}

fn without_nulls(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => serde_json::Value::Object(
            map.into_iter()
                .filter(|(_, v)| !v.is_null())
                .map(|(k, v)| (k, without_nulls(v)))
                .collect(),
        ),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, code: &str, says: &str) {
        let failure = Settings::parse(text, &EnvironmentName::production()).unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        let all = format!("{} {} {}", failure.what, failure.why, failure.fix);
        assert!(all.contains(says), "{all}");
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let settings = Settings::parse("", &EnvironmentName::production()).unwrap();
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn everything_supported_is_read() {
        let text = r#"
            name = "shop"
            [build]
            app_dir = "apps/web"
            framework = "some-site"
            toolchain = { node = "22" }
            install = "pnpm install"
            command = "pnpm build"
            output = "dist"
            lfs = false
            dockerfile = "docker/Dockerfile"
            target = "release"
            args = { VERSION = "1.2" }
            [run]
            command = "node server.js"
            port = 4000
            memory = "256MiB"
            cpu = 0.5
            [run.processes.worker]
            command = "node worker.js"
            [migrate]
            command = "npm run migrate"
            [health]
            path = "/up"
            status = "200-299"
            timeout = "20s"
            [deploy]
            strategy = "blue-green"
            drain = { plain = "5s", streaming = "1m", upgraded = "1h" }
            keep_deployments = 5
            keep_artifacts = 2
            paths = ["apps/web/**", "packages/ui/**"]
            [environments.staging]
            run.port = 5000
        "#;
        let settings = Settings::parse(text, &EnvironmentName::production()).unwrap();
        assert_eq!(settings.run.port, Some(4000));
        assert_eq!(settings.run.memory_bytes, Some(256 << 20));
        assert_eq!(settings.run.cpu_millis, Some(500));
        assert_eq!(settings.health.timeout_ms, Some(20_000));
        assert!(settings.plugin_config().contains(r#""timeout":"20000ms""#));
        assert_eq!(settings.deploy.drain.streaming_ms, 60_000);
        assert_eq!(settings.deploy.paths, ["apps/web/**", "packages/ui/**"]);
        assert_eq!(settings.build.lfs, Some(false));
        assert_eq!(settings.build.target.as_deref(), Some("release"));
        assert!(settings.plugin_config().contains(r#""args":{"VERSION":"1.2"}"#));
        assert_eq!(settings.migrate, Some(Migrate::Command("npm run migrate".into())));
        let staging = Settings::parse(text, &"staging".parse().unwrap()).unwrap();
        assert_eq!(staging.run.port, Some(5000));
        assert_eq!(staging.run.command.as_deref(), Some("node server.js"));
        assert!(settings.plugin_config().contains(r#""framework":"some-site""#));
    }

    #[test]
    fn migrate_may_be_switched_off() {
        let settings = Settings::parse("migrate = false", &EnvironmentName::production()).unwrap();
        assert_eq!(settings.migrate, Some(Migrate::Never));
        let settings =
            Settings::parse("[migrate]\ncommand = false", &EnvironmentName::production()).unwrap();
        assert_eq!(settings.migrate, Some(Migrate::Never));
    }

    #[test]
    fn an_unknown_key_names_the_nearest_valid_one() {
        refused("[build]\ncomand = 'x'", "settings.unknown-key", "build.command");
        refused("[biuld]\ncommand = 'x'", "settings.unknown-key", "build");
        refused("[environments.staging]\nrun.prot = 1", "settings.unknown-key", "run.port");
    }

    #[test]
    fn replicas_and_volumes_are_read_and_what_contradicts_itself_is_refused() {
        let text = r#"
            [run]
            replicas = 3
            volumes = [{ name = "uploads", path = "/app/uploads/", shared = true }]
            [run.processes.worker]
            command = "node worker.js"
            replicas = 0
        "#;
        let settings = Settings::parse(text, &EnvironmentName::production()).unwrap();
        assert_eq!(settings.run.replicas, Some(3));
        let worker = settings.run.processes.get(&"worker".parse().unwrap()).unwrap();
        assert_eq!(worker.replicas, Some(0));
        assert_eq!(settings.run.volumes[0].path, "/app/uploads");
        assert_eq!(settings.strategy(), Strategy::BlueGreen);
        let one = "[run]\nvolumes = [{ name = 'data', path = '/data' }]\n";
        let settings = Settings::parse(one, &EnvironmentName::production()).unwrap();
        assert_eq!(settings.strategy(), Strategy::Recreate);
        refused("[run]\nreplicas = 0", "settings.wrong-value", "from 1");
        refused(&format!("{one}replicas = 2"), "settings.wrong-value", "shared");
        let blue = format!("{one}[deploy]\nstrategy = 'blue-green'");
        refused(&blue, "settings.wrong-value", "recreate");
        for volumes in [
            "[{ name = 'a', path = '/' }]",
            "[{ name = 'a', path = 'data' }]",
            "[{ name = 'a', path = '/a/../b' }]",
            "[{ name = '../a', path = '/a' }]",
            "[{ name = 'a', path = '/a', mode = 1 }]",
            "[{ name = 'a', path = '/a' }, { name = 'a', path = '/b' }]",
            "3",
        ] {
            refused(&format!("[run]\nvolumes = {volumes}"), "settings.wrong-value", "run.volumes");
        }
    }

    #[test]
    fn wrong_values_say_what_is_expected() {
        refused("[run]\nport = 'x'", "settings.wrong-value", "run.port");
        refused("[run]\nport = 70000", "settings.wrong-value", "65535");
        refused("[run]\nmemory = 'much'", "settings.wrong-value", "512MiB");
        refused("[deploy]\npaths = 'apps'", "settings.wrong-value", "deploy.paths");
        refused("[build]\nlfs = 'no'", "settings.wrong-value", "build.lfs");
        refused("[health]\ntimeout = '5 parsecs'", "settings.wrong-value", "30s");
        refused("[build]\napp_dir = '../x'", "settings.wrong-value", "inside");
        refused("[build]\ndockerfile = '/x'", "settings.wrong-value", "inside");
        refused("[build.args]\nA = 1", "settings.wrong-value", "quotes");
        let toolchain = |pin: &str| format!("[build]\ntoolchain = {{ {pin} }}");
        refused(&toolchain("pyhton = '3.11'"), "settings.unknown-key", "build.toolchain.python");
        let of_a_plugin = toolchain("fortran-77 = '1'");
        Settings::parse(&of_a_plugin, &EnvironmentName::production()).unwrap();
        refused(&toolchain("node = 'abc'"), "settings.wrong-value", ">=20 <23");
        let staging = "[environments.staging]\nbuild.toolchain.nodejs = '22'";
        refused(staging, "settings.unknown-key", "environments.staging.build.toolchain.node");
        refused("name = 'My Shop'", "settings.wrong-value", "lower-case");
        refused("= 1", "settings.syntax", "line 1");
    }

    #[test]
    fn required_variables_destinations_and_commands_are_read() {
        let text = r#"
            [build]
            required_variables = ["NPM_TOKEN"]
            [run]
            required_variables = ["DATABASE_URL", "SECRET_KEY"]
            [validate]
            command = "node check.js"
            timeout = "20s"
            [deploy]
            before_switch = ["node cache.js"]
            [network]
            allow = ["db.internal:5432", "10.0.0.5:6379"]
        "#;
        let settings = Settings::parse(text, &EnvironmentName::production()).unwrap();
        assert_eq!(settings.run.required_variables[1].as_str(), "SECRET_KEY");
        assert_eq!(settings.build.required_variables[0].as_str(), "NPM_TOKEN");
        assert_eq!(settings.validate.timeout_ms, Some(20_000));
        assert_eq!(settings.deploy.before_switch, ["node cache.js"]);
        assert_eq!(settings.network.allow[1].to_string(), "10.0.0.5:6379");
        let stored = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&stored).unwrap(), settings);

        refused("[network]\nallow = ['10.0.0.0/8:80']", "settings.wrong-value", "network.allow");
        refused("[network]\nallow = ['169.254.169.254:80']", "settings.wrong-value", "link-local");
        refused("[run]\nrequired_variables = ['a-b']", "settings.wrong-value", "underscore");
        refused("[deploy]\nbefore_switch = 'x'", "settings.wrong-value", "list");
        refused("[run]\nrequired = []", "settings.unknown-key", "run.required_variables");
    }

    #[test]
    fn a_secret_in_the_file_is_an_error() {
        refused(
            "[run]\ncommand = 'DATABASE_URL=postgres://u:hunter2@db/x node .'",
            "settings.secret-in-file",
            "run.command",
        );
    }
}
