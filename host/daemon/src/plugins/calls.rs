//! Calling plugins on behalf of a step: what they say goes into its log, and how they end is noted.

use windlass_model::deployment::Warning;
use windlass_model::event::Event;
use windlass_model::plan::Context;
use windlass_model::plugin::account::SwitchedOff;
use windlass_model::plugin::{CallOutcome, CallReport};
use windlass_model::{Deployment, Failure, LogLine, Stream};
use windlass_sandbox::{Call, LogLevel, Plugin};

use crate::host::Host;
use crate::steplog::StepLog;

/// On whose behalf a plugin is asked.
pub(crate) struct Asker<'a> {
    pub host: &'a Host,
    pub deployment: &'a Deployment,
    /// The log of its step.
    pub log: &'a StepLog,
}

impl Asker<'_> {
    /// Writes a call's log and report into the step's log and gives the answer, or the failure that the
    /// plugin is named in. Its warnings become the deployment's. A plugin that failed too often in a row is switched
    /// off for the project; `custom` is the name of a custom stage.
    pub(crate) async fn answer<T>(
        &self,
        plugin: &Plugin,
        custom: Option<&str>,
        call: Call<T>,
        warnings: &mut Vec<Warning>,
    ) -> Result<T, Failure> {
        let Call { result, report, log } = call;
        let name = plugin.name();
        for (level, text) in &log {
            self.log.write(LogLine::now(Stream::Plugin, format!("{name}: {text}")));
            if *level == LogLevel::Warn {
                let warning = Warning {
                    code: format!("plugin.{name}"),
                    message: self.log.masker().mask(text),
                };
                if !warnings.contains(&warning) {
                    warnings.push(warning);
                }
            }
        }
        if report.outcome != CallOutcome::Answered || report.took_us > 100_000 {
            self.log.say(describe(&report));
        }
        let stage = report.stage;
        // What was answered before says nothing about the plugin as it is now.
        if !report.cached {
            let function = match custom {
                Some(custom) => format!("{} {custom}", report.function),
                None => report.function.clone(),
            };
            let (plugins, fault) = (&self.host.plugins, result.as_ref().err());
            let masker = self.log.masker();
            let noted = plugins.note(self.deployment, plugin, stage, function, fault, masker);
            if let Some(off) = noted.await {
                self.tell(&off);
            }
        }
        result.map_err(|fault| fault.to_failure(name, stage))
    }

    fn tell(&self, off: &SwitchedOff) {
        let said = self.log.masker().mask(&off.to_string());
        tracing::warn!(project = %off.project, plugin = off.plugin, "{said}");
        self.log.say(format!("{said}; {}", off.fix()));
        self.host.observe.events.record(Event {
            project: Some(off.project.clone()),
            environment: Some(off.environment.clone()),
            deployment: Some(off.deployment.clone()),
            number: Some(off.number),
            ..Event::now("plugin.switched-off", said)
        });
    }
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
