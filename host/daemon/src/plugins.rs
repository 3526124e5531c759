//! The plugins of this host, and calling them on behalf of a step.

use std::path::Path;

use windlass_model::api::PluginsView;
use windlass_model::deployment::Warning;
use windlass_model::plan::Context;
use windlass_model::plugin::{CallOutcome, CallReport, PluginInfo, Stage};
use windlass_model::{Failure, LogLine, Stream};
use windlass_sandbox::{Call, LoadProblem, LogLevel, Plugin, PluginFault, Sandbox};

use crate::steplog::StepLog;

/// What was loaded at start: bundled plugins, then installed ones.
pub struct Plugins {
    pub(crate) sandbox: Sandbox,
    loaded: Vec<Plugin>,
    problems: Vec<(String, Failure)>,
}

impl Plugins {
    /// Loads both folders. A component that cannot be loaded is a problem to show, not a reason not
    /// to start.
    pub(crate) fn load(sandbox: Sandbox, bundled: &Path, installed: &Path) -> Self {
        let (mut loaded, mut problems) = sandbox.load_dir(bundled, true);
        let (more, more_problems) = sandbox.load_dir(installed, false);
        loaded.extend(more);
        problems.extend(more_problems);
        let problems = problems
            .iter()
            .map(|problem| {
                let file = problem.path.file_name().unwrap_or_default().to_string_lossy();
                (file.into_owned(), not_loaded(problem))
            })
            .collect();
        Self { sandbox, loaded, problems }
    }

    /// All of them, bundled ones first.
    pub(crate) fn all(&self) -> &[Plugin] {
        &self.loaded
    }

    /// All that fill a stage, bundled ones first.
    pub(crate) fn of(&self, stage: Stage) -> impl Iterator<Item = &Plugin> {
        self.loaded.iter().filter(move |plugin| plugin.info().stages.contains(&stage))
    }

    /// The plugin of this name that fills the stage.
    pub(crate) fn named(&self, name: &str, stage: Stage) -> Result<&Plugin, Failure> {
        self.of(stage).find(|plugin| plugin.info().manifest.name == name).ok_or_else(|| {
            Failure::host(
                "plugin.missing",
                format!("the plugin {name} is not loaded"),
                format!("it is needed to decide as a {}", stage_name(stage)),
                "see `windlass plugin list` for what could not be loaded and why; put the plugin's \
                 file back and restart `windlass serve`",
            )
        })
    }

    /// What people see.
    pub fn view(&self) -> PluginsView {
        let plugins: Vec<PluginInfo> = self.loaded.iter().map(|p| p.info().clone()).collect();
        PluginsView { plugins, problems: self.problems.clone() }
    }
}

fn not_loaded(problem: &LoadProblem) -> Failure {
    let name = problem.path.file_stem().unwrap_or_default().to_string_lossy();
    Failure::plugin(
        name.clone(),
        "plugin.not-loadable",
        format!("the plugin {name} was not loaded"),
        problem.error.to_string(),
        problem.error.fix(),
    )
}

/// Writes a call's log and report into the step's log and gives the answer, or the failure that the
/// plugin is named in. Its warnings become the deployment's.
pub(crate) fn answer<T>(
    call: Call<T>,
    log: &StepLog,
    warnings: &mut Vec<Warning>,
) -> Result<T, Failure> {
    let plugin = call.report.plugin.clone();
    for (level, text) in &call.log {
        log.write(LogLine::now(Stream::Plugin, format!("{plugin}: {text}")));
        if *level == LogLevel::Warn {
            let warning =
                Warning { code: format!("plugin.{plugin}"), message: log.masker().mask(text) };
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    if call.report.outcome != CallOutcome::Answered || call.report.took_us > 100_000 {
        log.say(describe(&call.report));
    }
    let stage = call.report.stage;
    call.result.map_err(|fault: PluginFault| fault.to_failure(&plugin, stage))
}

fn describe(report: &CallReport) -> String {
    let cached = if report.cached { ", from the cache" } else { "" };
    format!(
        "{}.{}: {:?} after {} ms, {} KiB of memory at most, {} log bytes dropped{cached}",
        report.plugin,
        report.function,
        report.outcome,
        report.took_us / 1000,
        report.memory_peak_bytes / 1024,
        report.log_bytes_dropped,
    )
}

/// The host's platform, as the contract writes it.
pub(crate) fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{arch}")
}

/// A context without anything but the platform.
pub(crate) fn bare_context() -> Context {
    Context { platform: platform(), ..Context::default() }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Detector => "detector",
        Stage::Builder => "builder",
        Stage::Migrator => "migrator",
        Stage::Health => "health policy",
        Stage::Rollout => "rollout",
        Stage::Custom => "custom stage",
    }
}
