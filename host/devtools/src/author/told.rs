//! What a component is told beside the source: the file `context.toml` of a fixture.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use windlass_model::deployment::ArtifactProcess;
use windlass_model::plan::{
    Context, Detection, Evidence, Observation, ProbeOutcome, ProcessKind, RolloutState,
    ServiceInfo, Toolchain,
};
use windlass_model::settings::{self, Settings};
use windlass_model::{EnvironmentName, Failure};

use super::effects::Granted;
use super::stage::{ToldFacts, ToldInput};
use crate::ask::PORT_DEFAULT;

/// The platform that is told: always the same one, so that answers can be compared on any machine.
const PLATFORM: &str = "linux/amd64";

/// All keys may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Told {
    /// `linux/arm64` and the like; [`PLATFORM`] when absent.
    platform: Option<String>,
    /// The application's folder inside the source, over `build.app_dir`.
    app_dir: Option<String>,
    /// Tables as in `windlass.toml`, in place of the one in the source.
    settings: Option<toml::Table>,
    /// What is set for the plugin, or for the custom stage.
    options: toml::Table,
    /// Names of the environment's variables.
    variables: Vec<String>,
    /// Services of the environment.
    services: Vec<ToldService>,
    /// Toolchains of the last deployment, by name: `node = "22.11.0"`.
    previous_toolchains: BTreeMap<String, String>,
    /// What was detected, for stages that are told; what the plugin detects itself when absent.
    pub(super) detection: Option<ToldDetection>,
    /// Outputs of the plan; those of the plugin's own plan, or `app`, when empty.
    pub(super) outputs: Vec<String>,
    /// What runs; that of the plugin's own plan, or a web process, when empty.
    pub(super) processes: Vec<ToldProcess>,
    /// What the probes of the policy saw, oldest first; the judge is asked only where something was seen.
    seen: Vec<ToldSight>,
    /// How a rollout stands; a rollout component is asked only where it is told.
    pub(super) traffic: Option<RolloutState>,
    /// Of the deployment, for a custom stage.
    pub(super) facts: ToldFacts,
    /// What stages that it needs have answered.
    pub(super) inputs: Vec<ToldInput>,
    /// How a custom stage's commands and requests are answered.
    pub(super) granted: Granted,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldService {
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    variables: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToldDetection {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    ecosystem: String,
    #[serde(default)]
    app_dir: Option<String>,
    #[serde(default)]
    toolchains: BTreeMap<String, String>,
    /// Path and detail of each sign.
    #[serde(default)]
    evidence: BTreeMap<String, String>,
    /// The notes of the plugin that detected it.
    #[serde(default)]
    notes: toml::Table,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToldProcess {
    name: String,
    #[serde(default)]
    worker: bool,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    argv: Vec<String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldSight {
    #[serde(default)]
    probe: u32,
    #[serde(default)]
    at_ms: u64,
    #[serde(default)]
    took_ms: u32,
    outcome: ProbeOutcome,
}

impl Told {
    /// Reads a file.
    ///
    /// # Errors
    /// `plugin.context-invalid`.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(file).map_err(|e| invalid(file, &e.to_string()))?;
        toml::from_str(&text).map_err(|e| invalid(file, e.to_string().trim_end()))
    }

    /// The settings in force: those that are told, else those of the source's own file.
    ///
    /// # Errors
    /// Those of [`Settings::parse`].
    pub(super) fn settings(&self, source: &Path) -> Result<Settings, Failure> {
        let text = match &self.settings {
            Some(table) => table.to_string(),
            None => match std::fs::read_to_string(source.join(settings::FILE)) {
                Ok(text) => text,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(e) => return Err(invalid(&source.join(settings::FILE), &e.to_string())),
            },
        };
        let mut settings = Settings::parse(&text, &EnvironmentName::production())?;
        if let Some(app_dir) = &self.app_dir {
            app_dir.trim_matches('/').clone_into(&mut settings.build.app_dir);
        }
        Ok(settings)
    }

    /// The context with these settings.
    pub(super) fn context(&self, settings: &Settings) -> Context {
        let toolchain =
            |(name, requirement): (&String, &String)| toolchain(name.clone(), requirement.clone());
        let service = |told: &ToldService| ServiceInfo {
            name: told.name.clone(),
            kind: told.kind.clone(),
            variable_names: told.variables.clone(),
        };
        Context {
            platform: self.platform.clone().unwrap_or_else(|| PLATFORM.to_owned()),
            app_dir: settings.build.app_dir.clone(),
            config_json: settings.plugin_config(),
            options_json: json(&self.options),
            variable_names: self.variables.clone(),
            services: self.services.iter().map(service).collect(),
            previous_toolchains: self.previous_toolchains.iter().map(toolchain).collect(),
        }
    }

    /// What the probes saw.
    pub(super) fn seen(&self) -> Vec<Observation> {
        let sight = |told: &ToldSight| Observation {
            probe: told.probe,
            at_ms: told.at_ms,
            took_ms: told.took_ms,
            outcome: told.outcome,
        };
        self.seen.iter().map(sight).collect()
    }
}

impl ToldDetection {
    pub(super) fn detection(&self) -> Detection {
        Detection {
            id: self.id.clone(),
            name: self.name.clone().unwrap_or_else(|| self.id.clone()),
            ecosystem: self.ecosystem.clone(),
            toolchains: pairs(&self.toolchains, toolchain),
            confidence: 100,
            evidence: pairs(&self.evidence, |path, detail| Evidence { path, detail }),
            supersedes: Vec::new(),
            app_dir: self.app_dir.clone(),
            notes_json: json(&self.notes),
            refusal: None,
        }
    }

    /// What is told where nothing is known.
    pub(super) fn unknown() -> Self {
        Self {
            id: "app".to_owned(),
            name: None,
            ecosystem: String::new(),
            app_dir: None,
            toolchains: BTreeMap::new(),
            evidence: BTreeMap::new(),
            notes: toml::Table::new(),
        }
    }
}

impl ToldProcess {
    /// As a deployment would have it.
    ///
    /// # Errors
    /// `plugin.context-invalid`: its name is none.
    pub(super) fn process(&self, output: &str) -> Result<ArtifactProcess, Failure> {
        let name = self.name.parse();
        let name = name.map_err(|e: windlass_model::id::InvalidId| {
            invalid(Path::new("context.toml"), &format!("`processes`: {e}"))
        })?;
        let kind = if self.worker { ProcessKind::Worker } else { ProcessKind::Web };
        Ok(ArtifactProcess {
            name,
            output: self.output.clone().unwrap_or_else(|| output.to_owned()),
            kind,
            argv: self.argv.clone(),
            port: (kind == ProcessKind::Web).then(|| self.port.unwrap_or(PORT_DEFAULT)),
        })
    }

    /// What is told where nothing is known.
    pub(super) fn web() -> Self {
        let name = "web".to_owned();
        Self { name, worker: false, port: None, output: None, argv: Vec::new() }
    }
}

fn toolchain(name: String, requirement: String) -> Toolchain {
    Toolchain { name, requirement }
}

fn pairs<T>(map: &BTreeMap<String, String>, make: impl Fn(String, String) -> T) -> Vec<T> {
    map.iter().map(|(key, value)| make(key.clone(), value.clone())).collect()
}

fn json(table: &toml::Table) -> String {
    serde_json::to_string(table).unwrap_or_else(|_| "{}".to_owned())
}

fn invalid(file: &Path, why: &str) -> Failure {
    Failure::app(
        "plugin.context-invalid",
        format!("{} does not read", file.display()),
        why,
        "correct it; plugins/README.md lists the keys of a context",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Told {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_context_says_what_a_deployment_would() {
        let told = told(
            r#"
            app_dir = "apps/web"
            variables = ["DATABASE_URL"]
            services = [{ name = "db", kind = "postgres", variables = ["DATABASE_URL"] }]
            previous_toolchains = { node = "22.11.0" }
            options = { strict = true }
            seen = [{ outcome = "refused" }, { probe = 1, outcome = { status = 503 } }]
            [settings]
            run.port = 9000
            "#,
        );
        let folder = tempfile::tempdir().unwrap();
        let settings = told.settings(folder.path()).unwrap();
        let context = told.context(&settings);
        assert_eq!((context.app_dir.as_str(), context.platform.as_str()), ("apps/web", PLATFORM));
        assert!(context.config_json.contains("9000"), "{}", context.config_json);
        assert_eq!(context.options_json, r#"{"strict":true}"#);
        assert_eq!(context.services[0].variable_names, ["DATABASE_URL"]);
        assert_eq!(context.previous_toolchains[0].requirement, "22.11.0");
        assert_eq!(told.seen()[1].outcome, ProbeOutcome::Status(503));
    }

    #[test]
    fn the_source_s_own_settings_count_where_none_are_told() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("windlass.toml"), "run.port = 4000\n").unwrap();
        assert_eq!(told("").settings(folder.path()).unwrap().run.port, Some(4000));
        assert_eq!(told("[settings]\n").settings(folder.path()).unwrap().run.port, None);
    }

    #[test]
    fn a_key_that_is_not_known_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("context.toml");
        std::fs::write(&file, "variable = []\n").unwrap();
        let failure = Told::read(&file).unwrap_err();
        assert_eq!(failure.code, "plugin.context-invalid");
        assert!(failure.why.contains("variable"), "{}", failure.why);
    }
}
