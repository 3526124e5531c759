//! The bundled plugins, natively, and the host's rule that chooses among them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use windlass_model::Digest;
use windlass_model::plan::{DetectReport, Detection, Evidence, NearMiss, Refusal, Toolchain};
use windlass_model::plugin::{Manifest, PluginInfo, Stage};
use windlass_sdk::plan::{Artifact, BuildPlan};
use windlass_sdk::testing::Harness;
use windlass_sdk::{Builder, Detector, PluginError};

/// A plugin's two stages.
struct Plugin {
    name: &'static str,
    detect: fn(&Harness) -> Result<windlass_sdk::DetectReport, PluginError>,
    plan: fn(&Harness, &windlass_sdk::Detection) -> Result<BuildPlan, PluginError>,
}

impl Plugin {
    const fn of<P: Detector + Builder>(name: &'static str) -> Self {
        Self { name, detect: Harness::detect::<P>, plan: Harness::plan::<P> }
    }
}

const PLUGINS: &[Plugin] = &[
    #[cfg(feature = "node")]
    Plugin::of::<windlass_plugin_node::Node>("node"),
    #[cfg(feature = "python")]
    Plugin::of::<windlass_plugin_python::Python>("python"),
    #[cfg(feature = "static")]
    Plugin::of::<windlass_plugin_static::Static>("static"),
    #[cfg(feature = "dockerfile")]
    Plugin::of::<windlass_plugin_dockerfile::Docker>("dockerfile"),
    #[cfg(feature = "go")]
    Plugin::of::<windlass_plugin_go::Go>("go"),
    #[cfg(feature = "rust")]
    Plugin::of::<windlass_plugin_rust::Rust>("rust"),
    #[cfg(feature = "ruby")]
    Plugin::of::<windlass_plugin_ruby::Ruby>("ruby"),
    #[cfg(feature = "php")]
    Plugin::of::<windlass_plugin_php::Php>("php"),
    #[cfg(feature = "jvm")]
    Plugin::of::<windlass_plugin_jvm::Jvm>("jvm"),
    #[cfg(feature = "dotnet")]
    Plugin::of::<windlass_plugin_dotnet::Dotnet>("dotnet"),
    #[cfg(feature = "beam")]
    Plugin::of::<windlass_plugin_beam::Beam>("beam"),
    #[cfg(feature = "native")]
    Plugin::of::<windlass_plugin_native::Native>("native"),
    #[cfg(feature = "scripts")]
    Plugin::of::<windlass_plugin_scripts::Scripts>("scripts"),
    #[cfg(feature = "deno")]
    Plugin::of::<windlass_plugin_deno::Deno>("deno"),
];

/// What was made of a tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    /// Id, ecosystem and confidence of what was chosen.
    pub(crate) chosen: Option<(String, String, u8)>,
    /// Ids of the others that matched, strongest first.
    pub(crate) others: Vec<String>,
    /// Why nothing was chosen, or why there is no plan.
    pub(crate) problem: Option<String>,
    /// How the plan starts it.
    pub(crate) start: Option<Planned>,
}

/// How a plan starts an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Planned {
    /// A tree of files, which the host serves.
    Served,
    /// A command and its folder below the application's.
    Command { argv: Vec<String>, folder: String },
}

/// Asks every plugin, chooses, and asks the chosen one for a plan.
pub(crate) fn ask(folder: &Path) -> Answer {
    let harness = Harness::new(folder);
    let mut asked = Vec::new();
    let mut problems = Vec::new();
    for plugin in PLUGINS {
        match guarded(|| (plugin.detect)(&harness)) {
            Ok(report) => asked.push((info(plugin), report)),
            Err(problem) => problems.push(format!("{}: {problem}", plugin.name)),
        }
    }
    // A refusal is said beside the choice: what it was recognised as is right or wrong all the same.
    let reports: Vec<(PluginInfo, DetectReport)> =
        asked.iter().map(|(info, report)| (info.clone(), without_refusals(report))).collect();
    let mut answer = match windlass_devtools::choose(&reports, None) {
        Ok(chosen) => planned(&harness, &asked, &chosen),
        Err(failure) => Answer {
            others: reports.iter().flat_map(|(_, report)| ids(report)).collect(),
            problem: Some(format!("{}: {}", failure.code, failure.what)),
            ..Answer::default()
        },
    };
    if !problems.is_empty() {
        problems.extend(answer.problem.take());
        answer.problem = Some(problems.join("; "));
    }
    answer
}

fn planned(
    harness: &Harness,
    asked: &[(PluginInfo, windlass_sdk::DetectReport)],
    chosen: &windlass_devtools::Chosen,
) -> Answer {
    let (id, name) = (&chosen.detection.id, &chosen.plugin.manifest.name);
    let mut answer = Answer {
        chosen: Some((id.clone(), chosen.detection.ecosystem.clone(), chosen.detection.confidence)),
        others: chosen.others.clone(),
        ..Answer::default()
    };
    let mine = asked.iter().filter(|(info, _)| info.manifest.name == *name);
    let detections = mine.flat_map(|(_, report)| &report.detections);
    let found = detections.filter(|one| one.id == *id).max_by_key(|one| one.confidence);
    let plugin = PLUGINS.iter().find(|plugin| plugin.name == name);
    let (Some(found), Some(plugin)) = (found, plugin) else {
        return answer;
    };
    if let Some(refusal) = &found.refusal {
        answer.problem = Some(format!("refused: {}: {}", refusal.code, refusal.message));
        return answer;
    }
    match guarded(|| (plugin.plan)(harness, found)) {
        Ok(plan) => answer.start = start(&plan),
        Err(problem) => answer.problem = Some(format!("no plan: {problem}")),
    }
    answer
}

/// The web process, or the first where there is none; a plan without processes has files to serve.
fn start(plan: &BuildPlan) -> Option<Planned> {
    use windlass_sdk::plan::ProcessKind;
    let web = plan.processes.iter().find(|process| process.kind == ProcessKind::Web);
    let Some(process) = web.or(plan.processes.first()) else {
        let files = |output: &windlass_sdk::plan::Output| {
            matches!(output.artifact, Artifact::StaticTree(_))
        };
        return plan.outputs.iter().any(files).then_some(Planned::Served);
    };
    let output = plan.outputs.iter().find(|output| output.name == process.output);
    let Some(Artifact::Image(image)) = output.map(|output| &output.artifact) else {
        return Some(Planned::Command { argv: process.argv.clone(), folder: String::new() });
    };
    let own = image.config.entrypoint.iter().chain(&image.config.cmd).cloned().collect();
    let argv = if process.argv.is_empty() { own } else { process.argv.clone() };
    let folder = image.config.cwd.strip_prefix("/app").unwrap_or_default();
    Some(Planned::Command { argv, folder: folder.trim_matches('/').to_owned() })
}

/// A call that may panic: one broken plugin does not hide the others' answers.
fn guarded<T>(call: impl FnOnce() -> Result<T, PluginError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{}: {}", error.code, error.message)),
        Err(_) => Err("it panicked".to_owned()),
    }
}

fn info(plugin: &Plugin) -> PluginInfo {
    let manifest = Manifest {
        name: plugin.name.to_owned(),
        version: "0.0.0".to_owned(),
        summary: String::new(),
        licence: String::new(),
        capabilities: Vec::new(),
        options_schema: String::new(),
        custom: Vec::new(),
        failures: Vec::new(),
    };
    PluginInfo {
        manifest,
        digest: Digest::of(plugin.name.as_bytes()),
        stages: vec![Stage::Detector, Stage::Builder],
        bundled: true,
        bytes: 0,
    }
}

fn ids(report: &DetectReport) -> impl Iterator<Item = String> {
    report.detections.iter().map(|one| one.id.clone())
}

fn without_refusals(report: &windlass_sdk::DetectReport) -> DetectReport {
    let mut report = host(report);
    for detection in &mut report.detections {
        detection.refusal = None;
    }
    report
}

/// A report as the host holds it.
fn host(report: &windlass_sdk::DetectReport) -> DetectReport {
    let near = |miss: &windlass_sdk::NearMiss| NearMiss {
        id: miss.id.clone(),
        reason: miss.reason.clone(),
    };
    DetectReport {
        detections: report.detections.iter().map(detection).collect(),
        near_misses: report.near_misses.iter().map(near).collect(),
    }
}

fn detection(one: &windlass_sdk::Detection) -> Detection {
    let toolchain = |it: &windlass_sdk::Toolchain| Toolchain {
        name: it.name.clone(),
        requirement: it.requirement.clone(),
    };
    let evidence =
        |it: &windlass_sdk::Evidence| Evidence { path: it.path.clone(), detail: it.detail.clone() };
    let refusal = |it: &PluginError| Refusal {
        code: it.code.clone(),
        message: it.message.clone(),
        hint: it.hint.clone(),
        retryable: it.retryable,
    };
    Detection {
        id: one.id.clone(),
        name: one.name.clone(),
        ecosystem: one.ecosystem.clone(),
        toolchains: one.toolchains.iter().map(toolchain).collect(),
        confidence: one.confidence,
        evidence: one.evidence.iter().map(evidence).collect(),
        supersedes: one.supersedes.clone(),
        app_dir: one.app_dir.clone(),
        notes_json: one.notes_json.clone(),
        refusal: one.refusal.as_ref().map(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Tree;

    fn asked(files: &[(&str, &str)]) -> Answer {
        let folder = tempfile::tempdir().unwrap();
        let manifests =
            files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Tree { manifests, ..Tree::default() }.write(folder.path()).unwrap();
        ask(folder.path())
    }

    #[test]
    #[cfg(feature = "node")]
    fn an_application_is_chosen_and_planned() {
        let package = r#"{"private":true,"scripts":{"start":"node x.js"}}"#;
        let answer = asked(&[("package.json", package), ("x.js", "")]);
        assert_eq!(answer.chosen.unwrap().0, "node");
        let argv = vec!["node".to_owned(), "x.js".to_owned()];
        assert_eq!(answer.start, Some(Planned::Command { argv, folder: String::new() }));
    }

    #[test]
    #[cfg(feature = "static")]
    fn files_are_served() {
        assert_eq!(asked(&[("index.html", "")]).start, Some(Planned::Served));
    }

    #[test]
    fn nothing_is_a_problem_with_the_hosts_code() {
        let answer = asked(&[("notes.txt", "")]);
        assert_eq!(answer.chosen, None);
        assert!(answer.problem.unwrap().starts_with("detect.no-match"));
    }
}
