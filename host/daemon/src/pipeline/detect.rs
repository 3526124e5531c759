//! detect: run every detector, choose one.
//!
//! Undo: nothing. After a crash: again; the answers are cached.

use async_trait::async_trait;
use windlass_devtools::{Asking, choose};
use windlass_model::deployment::Chosen;
use windlass_model::plan::DetectReport;
use windlass_model::plugin::account::{SwitchedOff, switched_off};
use windlass_model::plugin::{PluginInfo, Stage};
use windlass_model::{Deployment, Failure};

use super::plan::{context, source};
use super::{Done, Run, Work, has_artifact, ready};
use crate::failpoint;

pub(crate) struct Detect;

#[async_trait]
impl Work for Detect {
    fn skip(&self, deployment: &Deployment) -> Option<&'static str> {
        has_artifact(deployment)
    }

    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        if let Some(chosen) = ready::chosen(&run.deployment) {
            let summary = format!("{}: nothing to detect", chosen.detection.name);
            run.deployment.outputs.chosen = Some(chosen);
            return Ok(Done::skipped(summary));
        }
        let context = context(run)?;
        let source = source(run)?;
        let host = run.host.clone();
        let mut reports: Vec<(PluginInfo, DetectReport)> = Vec::new();
        let mut cached = true;
        let in_force = host.plugins.of_project(Some(&run.deployment.project));
        let (detectors, off) = in_force.to_ask(Stage::Detector);
        without(run, &off)?;
        let calls = in_force.sandbox().detect_all(&detectors, &source, &context).await;
        let mut failed = None;
        for (plugin, call) in detectors.into_iter().zip(calls) {
            cached &= call.report.cached;
            // How each of them ended is noted, also behind one that failed.
            match run.answer(plugin, call).await {
                Ok(report) => {
                    failpoint::reached("during:detect");
                    say(run, plugin.info(), &report);
                    reports.push((plugin.info().clone(), report));
                }
                Err(failure) => failed = failed.or(Some(failure)),
            }
        }
        if let Some(failure) = failed {
            return Err(failure);
        }
        let settings = run.settings()?.clone();
        let chosen = match choose(&reports, settings.build.framework.as_deref()) {
            Ok(chosen) => chosen,
            Err(failure) => {
                let asking = Asking {
                    sandbox: in_force.sandbox(),
                    plugins: in_force.all(),
                    source: &source,
                    context: &context,
                    settings: &settings,
                    port: None,
                    limits: &host.config.limits.build,
                };
                let failure = Box::pin(asking.explained(failure, &reports)).await;
                return Err(off.iter().fold(failure, |failure, off| also_off(failure, off)));
            }
        };
        let detection = &chosen.detection;
        let summary = format!("{}, {}% sure", detection.name, detection.confidence);
        run.log.say(format!("chosen: {summary} (by the plugin {})", chosen.plugin.manifest.name));
        run.deployment.outputs.chosen = Some(Chosen {
            plugin: chosen.plugin.manifest.name.clone(),
            version: chosen.plugin.manifest.version.clone(),
            digest: chosen.plugin.digest.clone(),
            detection: chosen.detection,
            others: chosen.others,
        });
        Ok(if cached { Done::cached(summary) } else { Done::new(summary) })
    }
}

/// Says which detectors are not asked. One that kept failing is passed over, so that it does not stand in the way of
/// applications that it knows nothing of. The one that decided what is live is not: another one would make something
/// else of the same application, a folder of files perhaps, and put that before its visitors. Who names the framework
/// in the settings has decided.
fn without(run: &mut Run, off: &[&SwitchedOff]) -> Result<(), Failure> {
    if off.is_empty() {
        return Ok(());
    }
    let Deployment { project, environment, .. } = &run.deployment;
    let live = run.host.live(project, environment)?;
    let decided = live.and_then(|(live, _)| live.outputs.chosen).map(|chosen| chosen.plugin);
    let is_free = run.settings()?.build.framework.is_some();
    for off in off {
        if !is_free && decided.as_ref() == Some(&off.plugin) {
            let mut failure = switched_off(off);
            failure.why = format!("it decided what is live here, and {}", failure.why);
            failure.fix = format!(
                "{}; or name what the application is with `build.framework` in windlass.toml",
                failure.fix
            );
            return Err(failure);
        }
        run.warn_off(off);
    }
    Ok(())
}

/// A failure to choose, where somebody was not asked.
fn also_off(failure: Failure, off: &SwitchedOff) -> Failure {
    let fix = format!("{}; {} was not asked: {}", failure.fix, off.plugin, off.fix());
    Failure { fix, ..failure }
}

fn say(run: &Run, plugin: &PluginInfo, report: &DetectReport) {
    for detection in &report.detections {
        let signs: Vec<String> =
            detection.evidence.iter().map(|e| format!("{} {}", e.path, e.detail)).collect();
        run.log.say(format!(
            "{}: {} with {}% ({})",
            plugin.manifest.name,
            detection.name,
            detection.confidence,
            signs.join("; ")
        ));
    }
    for miss in &report.near_misses {
        run.log.say(format!("{}: not {}: {}", plugin.manifest.name, miss.id, miss.reason));
    }
}
