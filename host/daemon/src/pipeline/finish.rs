//! finish: live; the old deployment becomes `draining`; the environment's slot is free.
//!
//! Undo: none, it is behind the switch. After a crash: forward.

use async_trait::async_trait;
use windlass_model::Failure;

use super::{Done, Run, Work};
use crate::failpoint;

pub(crate) struct Finish;

#[async_trait]
impl Work for Finish {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        // The workspace has served its purpose; what is needed later is in the artifact.
        if let Err(failure) = run.host.release_workspace(&run.deployment.id).await {
            run.log.say(failure.to_string());
        }
        failpoint::reached("during:finish");
        match &run.deployment.outputs.replaced {
            Some(old) => Ok(Done::new(format!("{old} drains"))),
            None => Ok(Done::new("the first of its environment")),
        }
    }
}
