//! detect: run every detector, choose one.
//!
//! Undo: nothing. After a crash: again; the answers are cached.

use async_trait::async_trait;
use windlass_devtools::{Asking, choose};
use windlass_model::deployment::Chosen;
use windlass_model::plan::DetectReport;
use windlass_model::plugin::{PluginInfo, Stage};
use windlass_model::{Deployment, Failure};

use super::plan::{context, source};
use super::{Done, Run, Work, has_artifact, ready};
use crate::{failpoint, plugins};

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
        let detectors: Vec<_> = in_force.of(Stage::Detector).collect();
        let calls = host.plugins.sandbox.detect_all(&detectors, &source, &context).await;
        for (plugin, call) in detectors.into_iter().zip(calls) {
            cached &= call.report.cached;
            let report = plugins::answer(call, &run.log, &mut run.deployment.warnings)?;
            failpoint::reached("during:detect");
            say(run, plugin.info(), &report);
            reports.push((plugin.info().clone(), report));
        }
        let settings = run.settings()?.clone();
        let chosen = match choose(&reports, settings.build.framework.as_deref()) {
            Ok(chosen) => chosen,
            Err(failure) => {
                let asking = Asking {
                    sandbox: &host.plugins.sandbox,
                    plugins: in_force.all(),
                    source: &source,
                    context: &context,
                    settings: &settings,
                    port: None,
                    limits: &host.config.limits.build,
                };
                return Err(Box::pin(asking.explained(failure, &reports)).await);
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
