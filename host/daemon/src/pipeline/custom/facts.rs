//! What a stage is told of its deployment.

use windlass_model::deployment::{Artifact, ArtifactKind, Source};
use windlass_model::plan::ProcessKind;
use windlass_model::plugin::{Effective, Hook};
use windlass_model::stage::{Facts, OutputKind, Process};
use windlass_model::variable::Variable;
use windlass_model::{Deployment, Failure};

use super::End;
use crate::control::views;
use crate::host::Host;

pub(super) async fn of(
    host: &Host,
    deployment: &Deployment,
    variables: &[Variable],
    hook: Hook,
) -> Result<Facts, Failure> {
    let outputs = &deployment.outputs;
    let fetched = outputs.fetched.as_ref();
    let image = match &deployment.source {
        Source::Image { .. } => fetched.and_then(|fetched| fetched.image.as_ref()),
        _ => None,
    };
    let previous = previous(host, deployment)?;
    let found = host.store.find_environment(&deployment.project, &deployment.environment);
    let urls = match found.map_err(|e| e.to_failure())? {
        Some(found) => {
            let addresses = views::Addresses::of(host).await;
            views::environment(host, &found.value, &addresses)?.urls
        }
        None => Vec::new(),
    };
    let artifact = outputs.artifact.as_ref();
    let before = previous.as_ref().and_then(|it| it.outputs.fetched.as_ref());
    let variables = variables.iter().filter(|variable| !variable.secret);
    Ok(Facts {
        hook,
        attempt: 1,
        project: deployment.project.to_string(),
        environment: deployment.environment.to_string(),
        deployment: deployment.id.to_string(),
        number: deployment.number,
        actor: deployment.actor.clone(),
        state: match (hook, End::of(deployment)) {
            (Hook::AfterSwitch, Some(End::Live)) => windlass_model::stage::State::Live,
            (Hook::AfterSwitch, Some(End::Failed)) => windlass_model::stage::State::Failed,
            (Hook::AfterSwitch, Some(End::Cancelled)) => windlass_model::stage::State::Cancelled,
            _ => windlass_model::stage::State::Running,
        },
        failure: deployment.failure.clone(),
        commit: fetched.and_then(|fetched| fetched.commit.clone()),
        commit_subject: match image {
            Some(image) => Some(image.reference.clone()),
            None => fetched.and_then(|fetched| fetched.subject.clone()),
        },
        commit_author: fetched.and_then(|fetched| fetched.author.clone()),
        detected: outputs.chosen.as_ref().map(|chosen| chosen.detection.clone()),
        outputs: artifact.map(outputs_of).unwrap_or_default(),
        processes: artifact.map(|it| processes(it, deployment)).unwrap_or_default(),
        urls,
        previous_number: previous.as_ref().map(|previous| previous.number),
        previous_commit: before.and_then(|fetched| fetched.commit.clone()),
        variables: variables
            .map(|variable| (variable.name.to_string(), variable.value.expose().clone()))
            .collect(),
    })
}

/// The facts as one plugin gets them, at one try.
pub(super) fn for_one(facts: &Facts, allowed: &Effective, attempt: u32) -> Facts {
    let mut facts = facts.clone();
    facts.variables.retain(|(name, _)| allowed.allows_variable(name));
    facts.attempt = attempt;
    facts
}

/// The version that was live before this one, or still is.
fn previous(host: &Host, deployment: &Deployment) -> Result<Option<Deployment>, Failure> {
    let found = match &deployment.outputs.replaced {
        Some(id) => host.deployment(id)?,
        None => host.live(&deployment.project, &deployment.environment)?,
    };
    Ok(found.map(|(found, _)| found).filter(|found| found.id != deployment.id))
}

fn outputs_of(artifact: &Artifact) -> Vec<(String, OutputKind)> {
    let kind = |kind: &ArtifactKind| match kind {
        ArtifactKind::Image { .. } => OutputKind::Image,
        ArtifactKind::StaticTree { .. } => OutputKind::StaticTree,
    };
    artifact.outputs.iter().map(|output| (output.name.clone(), kind(&output.kind))).collect()
}

fn processes(artifact: &Artifact, deployment: &Deployment) -> Vec<Process> {
    let addresses = |name: &str| {
        let own = deployment.outputs.instances.iter().filter(|it| it.process.as_str() == name);
        own.filter_map(|it| Some(format!("{}:{}", it.address, it.port?))).collect()
    };
    let one = |process: &windlass_model::deployment::ArtifactProcess| Process {
        name: process.name.to_string(),
        output: process.output.clone(),
        web: process.kind == ProcessKind::Web,
        addresses: addresses(process.name.as_str()),
    };
    artifact.processes.iter().map(one).collect()
}
