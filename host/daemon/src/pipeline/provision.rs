//! provision: the services that the environment needs.
//!
//! This version starts none: a service is something that the operator runs and names with `windlass
//! service add`. The step makes the environment's network, opens it for `network.allow`, and says what
//! there is. Undo: the network and the services stay, they are shared; what was opened for this
//! deployment alone is closed. After a crash: ensure by name.

use async_trait::async_trait;
use windlass_model::{Deployment, Failure};

use super::{Done, Run, Work, egress, only_built};
use crate::failpoint;

pub(crate) struct Provision;

#[async_trait]
impl Work for Provision {
    fn skip(&self, deployment: &Deployment) -> Option<&'static str> {
        only_built(deployment)
    }

    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let deployment = &run.deployment;
        let has_processes = match &deployment.outputs.artifact {
            Some(artifact) => !artifact.processes.is_empty(),
            None => !run.host.plan(deployment).await?.processes.is_empty(),
        };
        if !has_processes {
            return Ok(Done::skipped("a static site needs no network"));
        }
        run.network().await?;
        egress::open(run).await?;
        failpoint::reached("during:provision");
        let deployment = &run.deployment;
        let services = run.host.services(&deployment.project, &deployment.environment)?;
        for service in &services {
            run.log
                .say(format!("service {}: {} at {}", service.name, service.kind, service.address));
        }
        Ok(match services.len() {
            0 => Done::new("no services"),
            n => Done::new(format!("{n} services")),
        })
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        run.deployment.outputs.allowed.clear();
        let deployment = &run.deployment;
        let (project, environment) = (&deployment.project, &deployment.environment);
        egress::settle(&run.host, project, environment, Some(&deployment.id)).await
    }
}
