//! switch: store the intent, publish the next generation, wait for the proxy's acknowledgement.
//!
//! Undo: the version before is published again, because a publication whose answer was lost may be in
//! force all the same; unless the proxy acknowledges it, nothing else is undone. After a crash: publish
//! again; the generation is stored first, and publishing it twice is one publication.

use async_trait::async_trait;
use windlass_model::Failure;

use super::{Done, Run, Work, names};
use crate::{failpoint, routes};

pub(crate) struct Switch;

#[async_trait]
impl Work for Switch {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let _lock = run.host.environment_lock(&run.deployment, "route").await;
        if run.deployment.outputs.generation.is_none() {
            still_running(run).await?;
            let (generation, replaced) = run.host.next_generation(&run.deployment).await?;
            run.deployment.outputs.generation = Some(generation);
            run.deployment.outputs.replaced = replaced;
            run.save().await?;
        }
        failpoint::reached("during:switch");
        let route = routes::of(&run.host, &run.deployment)?;
        let generation = route.generation;
        run.host.proxy.put_route(&route).await.map_err(|e| routes::failed(&e))?;
        run.log.say(format!(
            "{} now leads here (generation {generation})",
            names::route(&run.deployment.project, &run.deployment.environment)
        ));
        Ok(Done::new(format!("generation {generation}")))
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        if run.deployment.outputs.generation.is_none() {
            return Ok(());
        }
        let _lock = run.host.environment_lock(&run.deployment, "route").await;
        routes::lead_back(&run.host, &run.deployment).await?;
        failpoint::reached("within-undo:switch");
        run.deployment.outputs.generation = None;
        Ok(())
    }
}

/// What was healthy in the check may have ended since, above all while the host was down: visitors are
/// not led there.
async fn still_running(run: &Run) -> Result<(), Failure> {
    for instance in &run.deployment.outputs.instances {
        if !run.host.still_runs(instance).await? {
            let log = names::instance_log(&instance.process, instance.ordinal);
            return Err(Failure::app(
                "switch.instance-ended",
                format!("{log} ended between its health check and the switch"),
                "it does not run any more; the running version was not touched",
                "read `windlass logs` for why it ended, then deploy again",
            ));
        }
    }
    Ok(())
}
