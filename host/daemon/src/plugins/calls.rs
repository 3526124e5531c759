//! Calling plugins on behalf of a step: what they say goes into its log.

use windlass_model::deployment::Warning;
use windlass_model::plan::Context;
use windlass_model::plugin::{CallOutcome, CallReport};
use windlass_model::{Failure, LogLine, Stream};
use windlass_sandbox::{Call, LogLevel, PluginFault};

use crate::steplog::StepLog;

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
