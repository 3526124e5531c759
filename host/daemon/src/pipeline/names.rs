//! Names of everything outside, derived from the deployment.
//!
//! **Invariant: the same deployment always gets the same names**, so that "create" is idempotent and
//! "what is this?" has an answer.

use windlass_containers::Labels;
use windlass_model::id::{DeploymentId, EnvironmentName, ProcessName, ProjectName};
use windlass_model::{Deployment, Digest, Source, StepName};

/// Prefix of every label.
const LABEL: &str = "dev.windlass";

/// Container of an instance.
pub(crate) fn instance(deployment: &DeploymentId, process: &ProcessName, ordinal: u32) -> String {
    // A process name has up to 40 characters, an id 26: below the runtime's 76.
    format!("{deployment}.{process}.{ordinal}")
}

/// What people see of an instance, and the folder of its log: `web.0`.
pub(crate) fn instance_log(process: &ProcessName, ordinal: u32) -> String {
    format!("{process}.{ordinal}")
}

/// Container of the migration.
pub(crate) fn migration(deployment: &DeploymentId) -> String {
    format!("{deployment}.migrate")
}

/// Container of the boot command.
pub(crate) fn validation(deployment: &DeploymentId) -> String {
    format!("{deployment}.validate")
}

/// The folder of its output below the deployment's instance logs.
pub(crate) const VALIDATION_LOG: &str = "validate";

/// Snapshot that the commands before the switch write, and what it is committed as.
pub(crate) fn preparing(deployment: &DeploymentId) -> String {
    format!("{deployment}.before-switch")
}

/// See [`preparing`].
pub(crate) fn prepared(deployment: &DeploymentId) -> String {
    format!("{deployment}.prepared")
}

/// Container that runs one of the commands before the switch.
pub(crate) fn preparation(deployment: &DeploymentId, n: usize) -> String {
    format!("{deployment}.before-switch.{n}")
}

/// The folder of its output below the deployment's instance logs.
pub(crate) const PREPARATION_LOG: &str = "before-switch";

/// The folder of the migration's output below the deployment's instance logs.
pub(crate) const MIGRATION_LOG: &str = "migrate";

/// Network of an environment: readable, and told apart by a digest, because `a-b` and `c` would
/// otherwise be `a` and `b-c`.
pub(crate) fn network(project: &ProjectName, environment: &EnvironmentName) -> String {
    let digest = Digest::of(route(project, environment).as_bytes());
    format!("{project}-{environment}-{}", &digest.hex()[..8])
}

/// Route of an environment.
pub(crate) fn route(project: &ProjectName, environment: &EnvironmentName) -> String {
    format!("{project}/{environment}")
}

/// Labels of what belongs to a deployment.
pub(crate) fn labels(deployment: &Deployment, step: StepName) -> Labels {
    let mut labels = deployment_labels(&deployment.id);
    labels.extend(environment_labels(&deployment.project, &deployment.environment));
    labels.insert(format!("{LABEL}.step"), step.to_string());
    labels.extend(recovery_labels(deployment));
    labels
}

/// Labels of what belongs to an environment.
pub(crate) fn environment_labels(project: &ProjectName, environment: &EnvironmentName) -> Labels {
    Labels::from([
        (format!("{LABEL}.project"), project.to_string()),
        (format!("{LABEL}.environment"), environment.to_string()),
    ])
}

/// The label by which all containers of a deployment are found.
pub(crate) fn deployment_labels(deployment: &DeploymentId) -> Labels {
    Labels::from([(format!("{LABEL}.deployment"), deployment.to_string())])
}

/// Whether a container is an instance, by the step that made it.
pub(crate) fn is_instance(labels: &Labels) -> bool {
    labels.get(&format!("{LABEL}.step")).is_some_and(|step| step == StepName::Start.as_str())
}

/// The environment of a route's name.
pub(crate) fn of_route(name: &str) -> Option<(ProjectName, EnvironmentName)> {
    let (project, environment) = name.split_once('/')?;
    Some((project.parse().ok()?, environment.parse().ok()?))
}

/// The deployment that a container is labelled with.
pub(crate) fn labelled_deployment(labels: &Labels) -> Option<DeploymentId> {
    labels.get(&format!("{LABEL}.deployment"))?.parse().ok()
}

/// Longest label that containerd takes is 4096 bytes with its key; a longer source is left out.
const SOURCE_LABEL_BYTES_MAX: usize = 3500;

/// What is needed to know a deployment again from its containers alone.
fn recovery_labels(deployment: &Deployment) -> Labels {
    let mut labels = Labels::from([(format!("{LABEL}.number"), deployment.number.to_string())]);
    if let Some(artifact) = &deployment.outputs.artifact {
        labels.insert(format!("{LABEL}.artifact"), artifact.digest.to_string());
    }
    if let Ok(source) = serde_json::to_string(&deployment.source)
        && source.len() <= SOURCE_LABEL_BYTES_MAX
    {
        labels.insert(format!("{LABEL}.source"), source);
    }
    labels
}

/// The label of an instance's port.
pub(crate) fn port_label(port: u16) -> (String, String) {
    (format!("{LABEL}.port"), port.to_string())
}

/// The label of the signal that asks a container to end, if it is not SIGTERM.
pub(crate) fn stop_signal_label(signal: i32) -> (String, String) {
    (format!("{LABEL}.stop-signal"), signal.to_string())
}

pub(crate) fn labelled_stop_signal(labels: &Labels) -> Option<i32> {
    labelled(labels, "stop-signal")
}

fn labelled<T: std::str::FromStr>(labels: &Labels, name: &str) -> Option<T> {
    labels.get(&format!("{LABEL}.{name}"))?.parse().ok()
}

pub(crate) fn labelled_port(labels: &Labels) -> Option<u16> {
    labelled(labels, "port")
}

pub(crate) fn labelled_number(labels: &Labels) -> Option<u64> {
    labelled(labels, "number")
}

pub(crate) fn labelled_step(labels: &Labels) -> Option<StepName> {
    labelled(labels, "step")
}

pub(crate) fn labelled_artifact(labels: &Labels) -> Option<Digest> {
    labelled(labels, "artifact")
}

pub(crate) fn labelled_source(labels: &Labels) -> Option<Source> {
    serde_json::from_str(labels.get(&format!("{LABEL}.source"))?).ok()
}

pub(crate) fn labelled_environment(labels: &Labels) -> Option<(ProjectName, EnvironmentName)> {
    Some((labelled(labels, "project")?, labelled(labels, "environment")?))
}

/// The deployment that an instance's name says.
pub(crate) fn of_instance(name: &str) -> Option<DeploymentId> {
    name.split('.').next()?.parse().ok()
}

/// The process and the ordinal that an instance's name says.
pub(crate) fn instance_place(name: &str) -> Option<(ProcessName, u32)> {
    let (rest, ordinal) = name.rsplit_once('.')?;
    let (_, process) = rest.split_once('.')?;
    Some((process.parse().ok()?, ordinal.parse().ok()?))
}

/// A run's container. Names of schedules are longer than the runtime's can be.
pub(crate) fn cron(deployment: &DeploymentId, schedule: &str, number: u64) -> String {
    let digest = Digest::of(schedule.as_bytes());
    format!("{deployment}.cron-{}-{number}", &digest.hex()[..12])
}

/// Labels of a run's container. It has no [`deployment_labels`]: it outlives the version that it was started in.
pub(crate) fn cron_labels(deployment: &Deployment, schedule: &str, number: u64) -> Labels {
    let mut labels = environment_labels(&deployment.project, &deployment.environment);
    labels.insert(format!("{LABEL}.cron.schedule"), schedule.to_owned());
    labels.insert(format!("{LABEL}.cron.run"), number.to_string());
    labels
}

/// Whether a container is that of a run.
pub(crate) fn is_cron(labels: &Labels) -> bool {
    labels.contains_key(&format!("{LABEL}.cron.schedule"))
}

/// The schedule and the number of a run, as its container is labelled.
pub(crate) fn labelled_cron(labels: &Labels) -> Option<(String, u64)> {
    Some((labelled(labels, "cron.schedule")?, labelled(labels, "cron.run")?))
}

/// Parts of a one-off command's labels: its name, its deployment, and whether a person works with it. It has no
/// [`deployment_labels`]: it outlives the deployment that it was started in.
pub(crate) const RUN_NAME: &str = "name";
/// See [`RUN_NAME`].
pub(crate) const RUN_OF: &str = "of";
/// See [`RUN_NAME`].
pub(crate) const RUN_ATTACHED: &str = "attached";
/// See [`RUN_NAME`].
pub(crate) const RUN_DETACHED: &str = "detached";

/// A label of a one-off command.
pub(crate) fn run_label(part: &str) -> String {
    format!("{LABEL}.run.{part}")
}

/// Whether a container is that of a one-off command.
pub(crate) fn is_run(labels: &Labels) -> bool {
    labels.contains_key(&run_label(RUN_NAME))
}

/// Labels of a one-off command's container.
pub(crate) fn run_labels(deployment: &Deployment, name: &str) -> Labels {
    Labels::from([
        (run_label(RUN_NAME), name.to_owned()),
        (run_label(RUN_OF), deployment.id.to_string()),
        (format!("{LABEL}.project"), deployment.project.to_string()),
        (format!("{LABEL}.environment"), deployment.environment.to_string()),
    ])
}

/// Whether a container belongs to the project, and to this environment of it.
pub(crate) fn is_of(
    labels: &Labels,
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
) -> bool {
    let is = |part: &str, name: &str| {
        labels.get(&format!("{LABEL}.{part}")).is_some_and(|value| value == name)
    };
    is("project", project.as_str())
        && environment.is_none_or(|environment| is("environment", environment.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_stay_apart_and_fit_the_runtimes_names() {
        let name = |text: &str| text.parse().unwrap();
        let environment = |text: &str| text.parse().unwrap();
        assert_ne!(
            network(&name("a-b"), &environment("c")),
            network(&name("a"), &environment("b-c"))
        );
        let long = "a".repeat(40);
        assert!(network(&name(&long), &environment(&long)).len() <= 100);
    }

    #[test]
    fn an_instance_is_known_again_by_its_name() {
        let id = DeploymentId::generate();
        let process: ProcessName = "worker".parse().unwrap();
        let name = instance(&id, &process, 3);
        assert_eq!(of_instance(&name), Some(id.clone()));
        assert_eq!(instance_place(&name), Some((process, 3)));
        assert_eq!(instance_place(&migration(&id)), None);
    }

    #[test]
    fn an_instance_fits_the_runtimes_names() {
        let process: ProcessName = "p".repeat(40).parse().unwrap();
        assert!(instance(&DeploymentId::generate(), &process, 9999).len() <= 76);
        let run = cron(&DeploymentId::generate(), &"s".repeat(81), u64::MAX);
        assert!(run.len() <= 76, "{run}");
        assert_eq!(instance_place(&run), None);
    }
}
