//! Names of everything outside, derived from the deployment.
//!
//! **Invariant: the same deployment always gets the same names**, so that "create" is idempotent and
//! "what is this?" has an answer.

use windlass_containers::Labels;
use windlass_model::id::{DeploymentId, EnvironmentName, ProcessName, ProjectName};
use windlass_model::{Deployment, Digest, StepName};

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
    labels.insert(format!("{LABEL}.project"), deployment.project.to_string());
    labels.insert(format!("{LABEL}.environment"), deployment.environment.to_string());
    labels.insert(format!("{LABEL}.step"), step.to_string());
    labels
}

/// The label by which all containers of a deployment are found.
pub(crate) fn deployment_labels(deployment: &DeploymentId) -> Labels {
    Labels::from([(format!("{LABEL}.deployment"), deployment.to_string())])
}

/// The deployment that a container is labelled with.
pub(crate) fn labelled_deployment(labels: &Labels) -> Option<DeploymentId> {
    labels.get(&format!("{LABEL}.deployment"))?.parse().ok()
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
    fn an_instance_fits_the_runtimes_names() {
        let process: ProcessName = "p".repeat(40).parse().unwrap();
        assert!(instance(&DeploymentId::generate(), &process, 9999).len() <= 76);
    }
}
