//! What a custom stage is told of a deployment that there is not: part of a context.

use std::collections::BTreeMap;

use serde::Deserialize;
use windlass_model::Failure;
use windlass_model::plan::Detection;
use windlass_model::plugin::Hook;
use windlass_model::stage::{Facts, Input, OutputKind, Process, State};

/// All keys may be left out: the first deployment of the project `app`, at the first hook of the stage.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ToldFacts {
    hook: Option<Hook>,
    attempt: Option<u32>,
    project: Option<String>,
    environment: Option<String>,
    number: Option<u64>,
    actor: Option<String>,
    state: Option<ToldState>,
    failure: Option<ToldFailure>,
    commit: Option<String>,
    commit_subject: Option<String>,
    commit_author: Option<String>,
    /// Trees of files among the outputs; the others are images.
    static_outputs: Vec<String>,
    processes: Vec<ToldProcess>,
    urls: Vec<String>,
    previous_number: Option<u64>,
    previous_commit: Option<String>,
    /// Values of variables that were granted and are not secret.
    variables: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToldState {
    Running,
    Live,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldFailure {
    code: String,
    what: String,
    why: String,
    fix: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldProcess {
    name: String,
    output: String,
    #[serde(default)]
    web: bool,
    #[serde(default)]
    addresses: Vec<String>,
}

/// What another stage has answered.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToldInput {
    name: String,
    plugin: String,
    stage: String,
    #[serde(default)]
    outputs: serde_json::Map<String, serde_json::Value>,
}

impl ToldFacts {
    /// The facts at the first of these hooks, or at the one that is told.
    pub(super) fn facts(
        &self,
        hooks: &[Hook],
        detected: Option<Detection>,
        outputs: &[String],
    ) -> Facts {
        let hook = self.hook.or_else(|| hooks.first().copied()).unwrap_or(Hook::AfterFetch);
        let or = |told: &Option<String>, usual: &str| told.clone().unwrap_or_else(|| usual.into());
        let kind = |name: &String| match self.static_outputs.contains(name) {
            true => OutputKind::StaticTree,
            false => OutputKind::Image,
        };
        let process = |told: &ToldProcess| Process {
            name: told.name.clone(),
            output: told.output.clone(),
            web: told.web,
            addresses: told.addresses.clone(),
        };
        let failure = |told: &ToldFailure| {
            Failure::app(&told.code, told.what.clone(), told.why.clone(), told.fix.clone())
        };
        Facts {
            hook,
            attempt: self.attempt.unwrap_or(1),
            project: or(&self.project, "app"),
            environment: or(&self.environment, "production"),
            deployment: "01j00000000000000000000000".to_owned(),
            number: self.number.unwrap_or(1),
            actor: or(&self.actor, "test"),
            state: match self.state {
                Some(ToldState::Live) => State::Live,
                Some(ToldState::Failed) => State::Failed,
                Some(ToldState::Cancelled) => State::Cancelled,
                Some(ToldState::Running) | None => State::Running,
            },
            failure: self.failure.as_ref().map(failure),
            commit: self.commit.clone(),
            commit_subject: self.commit_subject.clone(),
            commit_author: self.commit_author.clone(),
            detected,
            outputs: outputs.iter().map(|name| (name.clone(), kind(name))).collect(),
            processes: self.processes.iter().map(process).collect(),
            urls: self.urls.clone(),
            previous_number: self.previous_number,
            previous_commit: self.previous_commit.clone(),
            variables: self.variables.clone().into_iter().collect(),
        }
    }
}

impl ToldInput {
    pub(super) fn input(&self) -> Input {
        Input {
            name: self.name.clone(),
            plugin: self.plugin.clone(),
            stage: self.stage.clone(),
            outputs: self.outputs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_told_its_first_hook_unless_the_context_says_another() {
        let hooks = [Hook::AfterBuild, Hook::AfterSwitch];
        let outputs = ["app".to_owned(), "site".to_owned()];
        let told: ToldFacts = toml::from_str(
            "state = \"failed\"\nnumber = 7\nstatic_outputs = [\"site\"]\nvariables = { A = \"1\" }\n\
             failure = { code = \"build.failed\", what = \"w\", why = \"y\", fix = \"f\" }",
        )
        .unwrap();
        let facts = told.facts(&hooks, None, &outputs);
        assert_eq!((facts.hook, facts.state, facts.number), (Hook::AfterBuild, State::Failed, 7));
        assert_eq!(facts.outputs[1], ("site".to_owned(), OutputKind::StaticTree));
        assert_eq!(facts.outputs[0].1, OutputKind::Image);
        assert_eq!(facts.failure.unwrap().code, "build.failed");
        assert_eq!(facts.variables, [("A".to_owned(), "1".to_owned())]);
        let told: ToldFacts = toml::from_str("hook = \"after-switch\"").unwrap();
        assert_eq!(told.facts(&hooks, None, &[]).hook, Hook::AfterSwitch);
    }
}
