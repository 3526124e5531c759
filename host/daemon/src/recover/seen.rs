//! What is seen from outside of the deployments of a host that has lost its state: containers with
//! their labels, and the routes that the proxy serves.

use std::collections::BTreeMap;

use windlass_containers::Runtime;
use windlass_containers::runtime::{Container, TaskStatus};
use windlass_model::deployment::{Artifact, ArtifactKind, Instance, Kind, Source, Warning};
use windlass_model::project::Project;
use windlass_model::{
    Deployment, DeploymentId, DeploymentStatus, EnvironmentName, Failure, ProjectName, StepName,
    StepStatus, Timestamp,
};
use windlass_proxy::{Route, Targets};

use super::record::LiveRecord;
use crate::pipeline::names;

/// Everything that is seen.
pub(super) struct Seen {
    pub(super) routes: Vec<Route>,
    pub(super) containers: Vec<Container>,
}

impl Seen {
    /// The instances of a deployment that run.
    pub(super) fn instances(&self, deployment: &DeploymentId) -> Vec<Instance> {
        let of = |container: &&Container| {
            names::labelled_deployment(&container.labels).as_ref() == Some(deployment)
        };
        let mut found: Vec<Instance> =
            self.containers.iter().filter(of).filter_map(|c| self.instance(c)).collect();
        found.sort_by(|a, b| (&a.process, a.ordinal).cmp(&(&b.process, b.ordinal)));
        found
    }

    /// The container as an instance: its place is in its name, its port in its labels, else in the route.
    fn instance(&self, container: &Container) -> Option<Instance> {
        let TaskStatus::Running { pid } = container.status else { return None };
        let (process, ordinal) = names::instance_place(&container.id)?;
        let address = container.address?;
        let routed = self.routes.iter().find_map(|route| match &route.targets {
            Targets::Instances { instances } => {
                instances.iter().find(|i| i.id == container.id).map(|i| i.address.port())
            }
            _ => None,
        });
        Some(Instance {
            id: container.id.clone(),
            process,
            ordinal,
            address,
            port: names::labelled_port(&container.labels).or(routed),
            pid,
            started_at: Timestamp::now(),
        })
    }

    /// The route of an environment.
    pub(super) fn route(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
    ) -> Option<&Route> {
        let name = names::route(project, environment);
        self.routes.iter().find(|route| route.name == name)
    }

    /// Whether visitors are led to this deployment, or would be once it answers: the proxy leads there,
    /// or it has containers and the proxy leads nowhere else.
    pub(super) fn is_live(&self, deployment: &Deployment) -> bool {
        let has_containers = self.containers.iter().any(|container| {
            names::labelled_deployment(&container.labels).as_ref() == Some(&deployment.id)
        });
        match self.route(&deployment.project, &deployment.environment).map(|route| &route.targets) {
            Some(Targets::Instances { instances }) => instances
                .iter()
                .any(|instance| names::of_instance(&instance.id).as_ref() == Some(&deployment.id)),
            Some(Targets::Static { root, .. }) => {
                trees(deployment.outputs.artifact.as_ref()).any(|tree| root.ends_with(tree))
            }
            Some(Targets::None { .. }) | None => has_containers,
        }
    }

    /// Deployments that have instances which were started to serve, and no record, newest first; each
    /// with the labels of one of its containers.
    pub(super) fn without_record(&self, records: &[LiveRecord]) -> Vec<(DeploymentId, &Container)> {
        let mut found = BTreeMap::new();
        for container in &self.containers {
            let Some(id) = names::labelled_deployment(&container.labels) else { continue };
            let known = records.iter().any(|record| record.deployment.id == id);
            let serves = names::labelled_step(&container.labels) == Some(StepName::Start);
            if !known && serves {
                found.entry(id).or_insert(container);
            }
        }
        found.into_iter().rev().collect()
    }
}

fn trees(artifact: Option<&Artifact>) -> impl Iterator<Item = &str> {
    let outputs = artifact.into_iter().flat_map(|artifact| &artifact.outputs);
    outputs.filter_map(|output| match &output.kind {
        ArtifactKind::StaticTree { tree, .. } => Some(tree.hex()),
        ArtifactKind::Image { .. } => None,
    })
}

/// A record from labels alone: what it was made of is not known, what runs is.
pub(super) async fn from_labels(
    runtime: &dyn Runtime,
    id: &DeploymentId,
    container: &Container,
) -> Result<Option<LiveRecord>, Failure> {
    let Some((project, environment)) = names::labelled_environment(&container.labels) else {
        return Ok(None);
    };
    let artifact = match names::labelled_artifact(&container.labels) {
        Some(digest) => windlass_build::read_artifact(runtime, &digest).await?,
        None => None,
    };
    let number = names::labelled_number(&container.labels).unwrap_or(1);
    let source = names::labelled_source(&container.labels)
        .unwrap_or(Source::Git { url: String::new(), reference: None });
    let mut deployment = Deployment::queued(
        project.clone(),
        environment,
        number,
        Kind::Deploy,
        source.clone(),
        "windlass recover".to_owned(),
    );
    deployment.id = id.clone();
    deployment.status = DeploymentStatus::Live;
    deployment.live_at = Some(Timestamp::now());
    deployment.outputs.artifact = artifact;
    for step in &mut deployment.steps {
        step.status = StepStatus::Succeeded;
    }
    deployment.warnings.push(Warning {
        code: "recover.from-labels".to_owned(),
        message: "rebuilt from the labels of its containers: its settings and its plan are not \
                  known; deploy again to have them"
            .to_owned(),
    });
    let mut project = Project::new(project);
    project.source = Some(source);
    Ok(Some(LiveRecord::bare(project, deployment)))
}
