//! What custom stages are told.

use windlass_model::plugin::Hook;
use windlass_model::stage::{Facts, Input, OutputKind, State};

use super::detection;
use crate::bindings::custom;

pub(crate) fn stage_facts(facts: &Facts) -> custom::Facts {
    let failure = facts.failure.as_ref().map(|failure| custom::Failure {
        code: failure.code.clone(),
        step: failure.step.map(|step| step.to_string()),
        what: failure.what.clone(),
        why: failure.why.clone(),
        fix: failure.fix.clone(),
    });
    let outputs = facts.outputs.iter().map(|(name, kind)| custom::Output {
        name: name.clone(),
        kind: match kind {
            OutputKind::Image => custom::OutputKind::Image,
            OutputKind::StaticTree => custom::OutputKind::StaticTree,
        },
    });
    let processes = facts.processes.iter().map(|process| custom::Process {
        name: process.name.clone(),
        output: process.output.clone(),
        web: process.web,
        addresses: process.addresses.clone(),
    });
    custom::Facts {
        hook: hook(facts.hook),
        attempt: facts.attempt,
        project: facts.project.clone(),
        environment: facts.environment.clone(),
        deployment: facts.deployment.clone(),
        number: facts.number,
        actor: facts.actor.clone(),
        state: match facts.state {
            State::Running => custom::State::Running,
            State::Live => custom::State::Live,
            State::Failed => custom::State::Failed,
            State::Cancelled => custom::State::Cancelled,
        },
        failure,
        commit: facts.commit.clone(),
        commit_subject: facts.commit_subject.clone(),
        commit_author: facts.commit_author.clone(),
        detected: facts.detected.as_ref().map(detection),
        outputs: outputs.collect(),
        processes: processes.collect(),
        urls: facts.urls.clone(),
        previous_number: facts.previous_number,
        previous_commit: facts.previous_commit.clone(),
        variables: facts.variables.clone(),
    }
}

fn hook(hook: Hook) -> custom::Hook {
    match hook {
        Hook::AfterFetch => custom::Hook::AfterFetch,
        Hook::AfterBuild => custom::Hook::AfterBuild,
        Hook::BeforeSwitch => custom::Hook::BeforeSwitch,
        Hook::AfterSwitch => custom::Hook::AfterSwitch,
    }
}

pub(crate) fn stage_input(input: &Input) -> custom::Input {
    custom::Input {
        name: input.name.clone(),
        plugin: input.plugin.clone(),
        stage: input.stage.clone(),
        outputs_json: serde_json::Value::Object(input.outputs.clone()).to_string(),
    }
}
