//! All that a component answers about one source, in the order in which a deployment asks.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use windlass_model::Failure;
use windlass_model::author::Answered;
use windlass_model::deployment::ArtifactProcess;
use windlass_model::plan::{
    BuildPlan, Context, DetectReport, Detection, HealthPolicy, Migration, RolloutDecision, Verdict,
};
use windlass_model::plugin::{CallReport, CustomStage, Stage};
use windlass_model::settings::Settings;
use windlass_sandbox::{Call, CustomCall, LogEntry, LogLevel, PluginFault, Source};

use super::component::Loaded;
use super::effects::Remembering;
use super::stage::ToldInput;
use super::told::{Told, ToldDetection, ToldProcess};
use crate::ask::web_port;
use crate::choose::choose;
use crate::local::{self, Config};
use crate::tree::Tree;

/// A source with all that is told beside it.
pub(super) struct Subject {
    pub(super) context: Context,
    source: Source,
    settings: Settings,
    told: Told,
    /// Holds the copy that `source` shows.
    _tree: Tree,
}

impl Subject {
    /// Opens a folder.
    ///
    /// # Errors
    /// When the folder or its settings cannot be read, or do not fit each other.
    pub(super) fn open(
        config: &Config,
        folder: &std::path::Path,
        told: Told,
    ) -> Result<Self, Failure> {
        let settings = told.settings(folder)?;
        let tree = Tree::of_folder(folder, &config.cache_dir.join("sources"), &config.limits)?;
        local::require_app_dir(&tree, &settings)?;
        let source = local::opened(&tree)?;
        let context = told.context(&settings);
        Ok(Self { context, source, settings, told, _tree: tree })
    }
}

/// A function of a pure stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Detect,
    Plan,
    Migrations,
    Policy,
    Judge,
    Rollout,
}

impl Function {
    /// In the order in which a deployment asks.
    pub(super) const ALL: [Self; 6] =
        [Self::Detect, Self::Plan, Self::Migrations, Self::Policy, Self::Judge, Self::Rollout];

    /// Its name among the answers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Detect => "detect",
            Self::Plan => "plan",
            Self::Migrations => "migrations",
            Self::Policy => "policy",
            Self::Judge => "verdict",
            Self::Rollout => "decision",
        }
    }

    /// The stage that it belongs to.
    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Detect => Stage::Detector,
            Self::Plan => Stage::Builder,
            Self::Migrations => Stage::Migrator,
            Self::Policy | Self::Judge => Stage::Health,
            Self::Rollout => Stage::Rollout,
        }
    }
}

/// What a function answered.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Said {
    Report(DetectReport),
    Plan(BuildPlan),
    Migrations(Vec<Migration>),
    Policy(HealthPolicy),
    Verdict(Verdict),
    Decision(RolloutDecision),
}

/// What later functions are told of the answers of earlier ones.
#[derive(Debug, Clone)]
pub(super) struct Inputs {
    chosen: Detection,
    outputs: Vec<String>,
    processes: Vec<ArtifactProcess>,
    policy: Option<HealthPolicy>,
    /// Why the builder is not asked; `None` when it is.
    nothing_to_build: Option<String>,
}

impl Inputs {
    /// What is told before anything was answered.
    ///
    /// # Errors
    /// `plugin.context-invalid`.
    pub(super) fn of(subject: &Subject) -> Result<Self, Failure> {
        let told = &subject.told;
        let chosen = told.detection.as_ref().map(ToldDetection::detection);
        let none = "it fills no detector, and the context tells no `detection`";
        let nothing_to_build = chosen.is_none().then(|| none.to_owned());
        let mut outputs = told.outputs.clone();
        if outputs.is_empty() {
            outputs.push("app".to_owned());
        }
        let mut processes = told.processes.clone();
        if processes.is_empty() {
            processes.push(ToldProcess::web());
        }
        let process = |told: &ToldProcess| told.process(&outputs[0]);
        let processes = processes.iter().map(process).collect::<Result<Vec<_>, _>>()?;
        let chosen = chosen.unwrap_or_else(|| ToldDetection::unknown().detection());
        Ok(Self { chosen, outputs, processes, policy: None, nothing_to_build })
    }

    /// Takes an answer into account; what the context tells comes first.
    fn learn(&mut self, said: &Said, subject: &Subject, plugin: &Loaded) {
        match said {
            Said::Report(report) if subject.told.detection.is_none() => {
                let reports = [(plugin.plugin.info().clone(), report.clone())];
                match choose(&reports, subject.settings.build.framework.as_deref()) {
                    Ok(chosen) => {
                        self.chosen = chosen.detection;
                        self.nothing_to_build = None;
                    }
                    Err(failure) => {
                        self.nothing_to_build = Some(format!("{}: {}", failure.what, failure.why));
                    }
                }
            }
            Said::Plan(plan) => {
                if subject.told.outputs.is_empty() {
                    self.outputs = plan.outputs.iter().map(|output| output.name.clone()).collect();
                }
                if subject.told.processes.is_empty() {
                    self.processes = processes(plan, subject.settings.run.port);
                }
            }
            Said::Policy(policy) => self.policy = Some(policy.clone()),
            Said::Report(_) | Said::Migrations(_) | Said::Verdict(_) | Said::Decision(_) => {}
        }
    }
}

fn processes(plan: &BuildPlan, set: Option<u16>) -> Vec<ArtifactProcess> {
    let process = |one: &windlass_model::plan::ProcessPlan| {
        Some(ArtifactProcess {
            name: one.name.parse().ok()?,
            output: one.output.clone(),
            kind: one.kind,
            argv: one.argv.clone(),
            port: web_port(one.kind, None, set, one.ports.first().copied()),
        })
    };
    plan.processes.iter().filter_map(process).collect()
}

/// Asks one function, or says why it is not asked.
pub(super) async fn one(
    plugin: &Loaded,
    function: Function,
    subject: &Subject,
    context: &Context,
    inputs: &Inputs,
) -> Result<Call<Said>, String> {
    let Loaded { sandbox, plugin, .. } = plugin;
    let (source, chosen) = (&subject.source, &inputs.chosen);
    Ok(match function {
        Function::Detect => said(sandbox.detect(plugin, source, context).await, Said::Report),
        Function::Plan => {
            if let Some(why) = &inputs.nothing_to_build {
                return Err(why.clone());
            }
            said(sandbox.plan(plugin, source, context, chosen).await, Said::Plan)
        }
        Function::Migrations => {
            let outputs = &inputs.outputs;
            let call = sandbox.migrations(plugin, source, context, chosen, outputs).await;
            said(call, Said::Migrations)
        }
        Function::Policy => {
            let processes = &inputs.processes;
            if processes.is_empty() {
                return Err("nothing runs: the plan has no processes".to_owned());
            }
            let checks = vec![None; processes.len()];
            let call =
                sandbox.health_policy(plugin, source, context, chosen, processes, &checks).await;
            said(call, Said::Policy)
        }
        Function::Judge => {
            let policy = inputs.policy.as_ref().ok_or("there is no policy to judge by")?;
            let seen = subject.told.seen();
            if seen.is_empty() {
                return Err("the context tells nothing that was `seen`".to_owned());
            }
            said(sandbox.judge(plugin, context, policy, &seen).await, Said::Verdict)
        }
        Function::Rollout => {
            let state = subject.told.traffic.ok_or("the context tells no `traffic`")?;
            said(sandbox.rollout(plugin, context, &state).await, Said::Decision)
        }
    })
}

fn said<T>(call: Call<T>, what: impl Fn(T) -> Said) -> Call<Said> {
    Call { result: call.result.map(what), report: call.report, log: call.log }
}

/// What a component can be asked about a source.
pub(super) struct Askable {
    /// The functions of pure stages, each with what it is told.
    pub(super) functions: Vec<(Function, Inputs)>,
    /// What its custom stages are told.
    pub(super) learned: Inputs,
    /// What is not asked, and why.
    pub(super) not_asked: Vec<String>,
}

/// What a component, or one stage of it, can be asked about a source.
///
/// # Errors
/// `plugin.context-invalid`, `plugin.stage-not-filled`.
pub(super) async fn askable(
    plugin: &Loaded,
    subject: &Subject,
    only: Option<Stage>,
) -> Result<Askable, Failure> {
    require_filled(plugin, only)?;
    let mut inputs = Inputs::of(subject)?;
    let (mut functions, mut not_asked) = (Vec::new(), Vec::new());
    for function in Function::ALL.into_iter().filter(|one| plugin.plugin.fills(one.stage())) {
        let is_wanted = only.is_none_or(|stage| stage == function.stage());
        match one(plugin, function, subject, &subject.context, &inputs).await {
            Ok(call) => {
                if is_wanted {
                    functions.push((function, inputs.clone()));
                }
                if let Ok(said) = &call.result {
                    inputs.learn(said, subject, plugin);
                }
            }
            Err(why) if is_wanted => not_asked.push(format!("{}: {why}", function.name())),
            Err(_) => {}
        }
    }
    Ok(Askable { functions, learned: inputs, not_asked })
}

/// Asks everything that a component fills, or one stage, and says what was not asked and why.
///
/// # Errors
/// `plugin.context-invalid`, `plugin.stage-not-filled`.
pub(super) async fn all(
    plugin: &Loaded,
    subject: &Subject,
    only: Option<Stage>,
) -> Result<(Vec<Answered>, Vec<String>), Failure> {
    require_filled(plugin, only)?;
    let mut inputs = Inputs::of(subject)?;
    let (mut answers, mut not_asked) = (Vec::new(), Vec::new());
    let wanted = |stage: Stage| only.is_none_or(|only| only == stage);
    for function in Function::ALL.into_iter().filter(|one| plugin.plugin.fills(one.stage())) {
        match one(plugin, function, subject, &subject.context, &inputs).await {
            Ok(call) => {
                if let Ok(said) = &call.result {
                    inputs.learn(said, subject, plugin);
                }
                if wanted(function.stage()) {
                    answers.push(answered(function.name(), call));
                }
            }
            Err(why) if wanted(function.stage()) => {
                not_asked.push(format!("{}: {why}", function.name()));
            }
            Err(_) => {}
        }
    }
    if wanted(Stage::Custom) {
        for stage in &plugin.plugin.info().manifest.custom {
            answers.push(custom(plugin, stage, subject, &subject.context, &inputs).await);
        }
    }
    Ok((answers, not_asked))
}

/// Runs a custom stage; what it did besides its answer is part of the answer.
pub(super) async fn custom(
    plugin: &Loaded,
    stage: &CustomStage,
    subject: &Subject,
    context: &Context,
    inputs: &Inputs,
) -> Answered {
    let told = &subject.told;
    let detected = inputs.nothing_to_build.is_none().then(|| inputs.chosen.clone());
    let facts = told.facts.facts(&stage.hooks, detected, &inputs.outputs);
    let given: Vec<_> = told.inputs.iter().map(ToldInput::input).collect();
    let effects = Arc::new(Remembering::new(told.granted.clone()));
    let call = CustomCall { stage: &stage.name, context, facts: &facts, inputs: &given };
    let source = Some(&subject.source);
    let call = plugin.sandbox.custom(&plugin.plugin, source, call, effects.clone()).await;
    let mut answered = answered(&format!("stage {}", stage.name), call);
    if let Some(outcome) = answered.answer.take() {
        let mut whole = effects.told();
        whole.insert("outcome".to_owned(), outcome);
        answered.answer = Some(shown(Value::Object(whole)));
    }
    answered
}

fn require_filled(plugin: &Loaded, only: Option<Stage>) -> Result<(), Failure> {
    let Some(stage) = only.filter(|stage| !plugin.plugin.fills(*stage)) else { return Ok(()) };
    let fills: Vec<&str> = plugin.plugin.info().stages.iter().map(|one| one.as_str()).collect();
    Err(Failure::app(
        "plugin.stage-not-filled",
        format!("{} fills no {}", plugin.name(), stage.as_str()),
        format!("it exports {}", fills.join(", ")),
        "ask one of these with --stage, or leave --stage out for all of them",
    ))
}

/// An answer as it is shown and compared.
pub(super) fn answered<T: Serialize>(name: &str, call: Call<T>) -> Answered {
    let CallReport { plugin, stage, .. } = &call.report;
    let (answer, failure) = match &call.result {
        Ok(answer) => (Some(shown(serde_json::to_value(answer).unwrap_or_default())), None),
        Err(PluginFault::Refused(refusal)) => (Some(json!({ "refused": refusal })), None),
        Err(fault) => (None, Some(fault.to_failure(plugin, *stage))),
    };
    let log = call.log.iter().map(line).collect();
    Answered { name: name.to_owned(), answer, failure, report: call.report, log }
}

fn line((level, text): &LogEntry) -> String {
    match level {
        LogLevel::Info => text.clone(),
        LogLevel::Debug => format!("debug: {text}"),
        LogLevel::Warn => format!("warning: {text}"),
        LogLevel::Error => format!("error: {text}"),
    }
}

/// The same with the contents of files as texts: a list of numbers is nothing to read or compare.
fn shown(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) => {
            for (key, inner) in map.iter_mut() {
                let bytes = if key == "content" { bytes(inner) } else { None };
                *inner = match bytes {
                    Some(bytes) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
                    None => shown(inner.take()),
                };
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|inner| *inner = shown(inner.take())),
        _ => {}
    }
    value
}

fn bytes(value: &Value) -> Option<Vec<u8>> {
    let byte = |one: &Value| one.as_u64().and_then(|byte| u8::try_from(byte).ok());
    value.as_array()?.iter().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_of_files_are_texts() {
        let plan =
            json!({ "ops": [{ "path": "/a", "content": [104, 105] }], "content": "as it is" });
        let expected = json!({ "ops": [{ "path": "/a", "content": "hi" }], "content": "as it is" });
        assert_eq!(shown(plan), expected);
    }
}
