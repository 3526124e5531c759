//! What the plugins say of a source ahead of its deployment: every stage is asked, nothing is carried out.
//!
//! The command line asks for a folder on this machine, the host for a repository before its first deployment.

use std::time::Instant;

use windlass_model::Failure;
use windlass_model::ahead::{DetectOutput, DetectorAnswer, PlanOutput, PlannedHealth};
use windlass_model::deployment::{ArtifactProcess, StoredPlan};
use windlass_model::limits::BuildLimits;
use windlass_model::plan::{
    BuildPlan, Context, DetectReport, HealthCheck, Migration, OutputKind, ProcessKind, ProcessPlan,
};
use windlass_model::plugin::{PluginInfo, Stage};
use windlass_model::settings::Settings;
use windlass_sandbox::{Call, LogLevel, Plugin, Sandbox, Source};

use crate::choose::{Chosen, UNKNOWN_FRAMEWORK, choose, require_builder, unknown_framework};

/// The port that a web process is told where nobody says another one.
pub const PORT_DEFAULT: u16 = 3000;

/// Who is asked, and about what.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// Calls plugins.
    pub sandbox: &'a Sandbox,
    /// All that are loaded, bundled ones first.
    pub plugins: &'a [Plugin],
    /// The source.
    pub source: &'a Source,
    /// What plugins may know beside it.
    pub context: &'a Context,
    /// The settings in force.
    pub settings: &'a Settings,
    /// The environment's variable `PORT`, where it is known.
    pub port: Option<u16>,
    /// Limits of plans.
    pub limits: &'a BuildLimits,
}

/// What was detected.
#[derive(Debug)]
pub struct Detected {
    /// The winner, or why there is none.
    pub outcome: Result<Chosen, Failure>,
    /// All answers.
    pub reports: Vec<(PluginInfo, DetectReport)>,
    /// Plugins that could not be loaded: file name and failure.
    pub problems: Vec<(String, Failure)>,
    /// The settings in force.
    pub settings: Settings,
    /// Wall clock of all detectors together, in milliseconds.
    pub took_ms: u64,
}

impl From<Detected> for DetectOutput {
    fn from(detected: Detected) -> Self {
        let (plugin, chosen, failure) = match detected.outcome {
            Ok(chosen) => (Some(chosen.plugin.manifest.name), Some(chosen.detection), None),
            Err(failure) => (None, None, Some(failure)),
        };
        let answer = |(plugin, report): (PluginInfo, DetectReport)| DetectorAnswer {
            plugin: plugin.manifest.name,
            version: plugin.manifest.version,
            report,
        };
        Self {
            plugin,
            chosen,
            failure,
            answers: detected.reports.into_iter().map(answer).collect(),
            problems: detected.problems,
            settings: detected.settings,
            took_ms: detected.took_ms,
        }
    }
}

impl Asking<'_> {
    /// Asks every detector. That nothing is recognised, or that one fails, is part of the answer.
    pub async fn detect(self) -> Detected {
        let started = Instant::now();
        let mut reports = Vec::new();
        let mut failed = None;
        let detectors: Vec<_> = self.of(Stage::Detector).collect();
        let calls = self.sandbox.detect_all(&detectors, self.source, self.context).await;
        for (plugin, call) in detectors.into_iter().zip(calls) {
            match call.result {
                Ok(report) => reports.push((plugin.info().clone(), report)),
                // One detector less could make another win: as in a deployment, that is a failure.
                Err(fault) if failed.is_none() => {
                    failed = Some(fault.to_failure(plugin.name(), Stage::Detector));
                }
                Err(_) => {}
            }
        }
        let outcome = match failed {
            Some(failure) => Err(failure),
            None => choose(&reports, self.settings.build.framework.as_deref()),
        };
        let outcome = match outcome {
            Err(failure) => Err(Box::pin(self.explained(failure, &reports)).await),
            chosen => chosen,
        };
        Detected {
            outcome,
            reports,
            problems: Vec::new(),
            settings: self.settings.clone(),
            took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The failure of [`choose`]; where nothing is what `build.framework` names, with what the source is instead.
    /// For that the detectors are asked once more, because under the setting they hide everything else. One that
    /// fails is left out.
    pub async fn explained(
        self,
        failure: Failure,
        reports: &[(PluginInfo, DetectReport)],
    ) -> Failure {
        let Some(framework) = &self.settings.build.framework else { return failure };
        if failure.code != UNKNOWN_FRAMEWORK {
            return failure;
        }
        let mut settings = self.settings.clone();
        settings.build.framework = None;
        let context = Context { config_json: settings.plugin_config(), ..self.context.clone() };
        let detectors: Vec<&Plugin> = self.of(Stage::Detector).collect();
        let calls = self.sandbox.detect_all(&detectors, self.source, &context).await;
        let answered = detectors.into_iter().zip(calls);
        let plain: Vec<(PluginInfo, DetectReport)> = answered
            .filter_map(|(plugin, call)| Some((plugin.info().clone(), call.result.ok()?)))
            .collect();
        unknown_framework(framework, reports, &plain)
    }

    /// Asks for the plan of what was chosen, for migrations, and how it is asked whether it is well.
    ///
    /// # Errors
    /// `detect.no-builder`, `plugin.missing`, `plan.invalid`, and those of the plugins.
    pub async fn plan(self, chosen: &Chosen) -> Result<PlanOutput, Failure> {
        require_builder(chosen)?;
        let name = chosen.plugin.manifest.name.clone();
        let plugin = self
            .plugins
            .iter()
            .find(|plugin| plugin.info().digest == chosen.plugin.digest)
            .ok_or_else(|| missing(&name))?;
        let detection = &chosen.detection;
        let mut log = Vec::new();
        let call = self.sandbox.plan(plugin, self.source, self.context, detection).await;
        let plan = answer(call, &mut log)?;
        plan.validate(self.limits).map_err(|problem| invalid(&name, problem.to_string()))?;
        let migrations = self.migrations(chosen, &plan, &mut log).await?;
        let health = self.health(chosen, &plan, &mut log).await?;
        log.extend(self.settings.unused_by(&plan));
        let stored = StoredPlan { plugin: name, plan };
        Ok(PlanOutput {
            detection: detection.clone(),
            stored,
            migrations,
            health,
            log,
            near_misses: chosen.near_misses.clone(),
        })
    }

    async fn migrations(
        self,
        chosen: &Chosen,
        plan: &BuildPlan,
        log: &mut Vec<String>,
    ) -> Result<Vec<Migration>, Failure> {
        let outputs: Vec<String> = plan.outputs.iter().map(|output| output.name.clone()).collect();
        let mut found = Vec::new();
        for plugin in self.of(Stage::Migrator) {
            let (source, detection) = (self.source, &chosen.detection);
            let call =
                self.sandbox.migrations(plugin, source, self.context, detection, &outputs).await;
            found.extend(answer(call, log)?);
        }
        Ok(found)
    }

    /// As a deployment asks: the last health plugin is the one, and a site is not asked.
    async fn health(
        self,
        chosen: &Chosen,
        plan: &BuildPlan,
        log: &mut Vec<String>,
    ) -> Result<Option<PlannedHealth>, Failure> {
        let Some(plugin) = self.of(Stage::Health).last().filter(|_| !plan.processes.is_empty())
        else {
            return Ok(None);
        };
        let process = |process| self.process(process);
        let processes = plan.processes.iter().map(process).collect::<Result<Vec<_>, _>>();
        let processes = processes.map_err(|why| invalid(&chosen.plugin.manifest.name, why))?;
        let checks: Vec<_> = plan.processes.iter().map(|process| check(plan, process)).collect();
        let (source, detection) = (self.source, &chosen.detection);
        let call = self
            .sandbox
            .health_policy(plugin, source, self.context, detection, &processes, &checks)
            .await;
        let policy = answer(call, log)?;
        Ok(Some(PlannedHealth { plugin: plugin.name().to_owned(), policy }))
    }

    /// A process as its deployment would have it.
    fn process(self, plan: &ProcessPlan) -> Result<ArtifactProcess, String> {
        Ok(ArtifactProcess {
            name: plan.name.parse().map_err(|e: windlass_model::id::InvalidId| e.to_string())?,
            output: plan.output.clone(),
            kind: plan.kind,
            argv: plan.argv.clone(),
            port: web_port(
                plan.kind,
                self.port,
                self.settings.run.port,
                plan.ports.first().copied(),
            ),
        })
    }

    fn of(&self, stage: Stage) -> impl Iterator<Item = &Plugin> {
        self.plugins.iter().filter(move |plugin| plugin.fills(stage))
    }
}

/// The environment's variable `PORT`, else `run.port` of the settings, else the plan's, else the default; none
/// for a worker.
pub fn web_port(
    kind: ProcessKind,
    variable: Option<u16>,
    set: Option<u16>,
    plan: Option<u16>,
) -> Option<u16> {
    let is_web = kind == ProcessKind::Web;
    is_web.then(|| variable.or(set).or(plan).unwrap_or(PORT_DEFAULT))
}

/// How the image of a process says that it is asked; of one with a command of its own it says nothing.
fn check(plan: &BuildPlan, process: &ProcessPlan) -> Option<HealthCheck> {
    let output = plan.outputs.iter().find(|output| output.name == process.output)?;
    match &output.artifact {
        OutputKind::Image { config, .. } if process.argv.is_empty() => {
            config.details.health_check()
        }
        _ => None,
    }
}

/// A call's answer; what it said goes into the log once, debug lines left out.
fn answer<T>(call: Call<T>, log: &mut Vec<String>) -> Result<T, Failure> {
    for (level, text) in call.log {
        if level != LogLevel::Debug && !log.contains(&text) {
            log.push(text);
        }
    }
    let report = call.report;
    call.result.map_err(|fault| fault.to_failure(&report.plugin, report.stage))
}

fn invalid(plugin: &str, why: String) -> Failure {
    Failure::plugin(
        plugin,
        "plan.invalid",
        format!("the plugin {plugin} gave a plan that cannot be carried out"),
        why,
        format!(
            "report it to the author of {plugin}, or set `build.framework` in windlass.toml to choose \
             another plugin"
        ),
    )
}

fn missing(name: &str) -> Failure {
    Failure::host(
        "plugin.missing",
        format!("the plugin {name} is not loaded"),
        "it answered a moment ago and is gone",
        "try again",
    )
}

#[cfg(test)]
mod tests {
    use windlass_model::plan::{ImageDetails, Output, RunConfig};

    use super::*;

    #[test]
    fn a_web_process_always_has_a_port_and_a_worker_none() {
        let port = |variable, set, plan| web_port(ProcessKind::Web, variable, set, plan);
        assert_eq!(port(None, None, None), Some(PORT_DEFAULT));
        assert_eq!(port(None, None, Some(8000)), Some(8000));
        assert_eq!(port(None, Some(4000), Some(8000)), Some(4000));
        assert_eq!(port(Some(5000), Some(4000), Some(8000)), Some(5000));
        assert_eq!(web_port(ProcessKind::Worker, Some(5000), None, Some(8000)), None);
    }

    #[test]
    fn the_check_of_an_image_is_about_its_own_command() {
        let health = HealthCheck {
            test: vec!["CMD-SHELL".into(), "curl localhost".into()],
            ..HealthCheck::default()
        };
        let shell = vec!["/bin/bash".to_owned(), "-c".to_owned()];
        let details = ImageDetails { health: Some(health), shell, ..ImageDetails::default() };
        let config = RunConfig { details: Box::new(details), ..RunConfig::default() };
        let artifact = OutputKind::Image { step: "app".into(), config };
        let plan = BuildPlan {
            outputs: vec![Output { name: "app".into(), artifact }],
            ..BuildPlan::default()
        };
        let mut process = ProcessPlan {
            name: "web".into(),
            output: "app".into(),
            kind: ProcessKind::Web,
            argv: vec![],
            ports: vec![],
        };
        let asked = check(&plan, &process).map(|check| check.test);
        assert_eq!(asked.unwrap(), ["CMD", "/bin/bash", "-c", "curl localhost"]);
        process.argv = vec!["./other".into()];
        assert_eq!(check(&plan, &process), None);
    }
}
