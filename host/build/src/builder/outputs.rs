//! From finished steps to the recorded artifact.

use windlass_model::deployment::{Artifact, ArtifactKind, ArtifactOutput, ArtifactProcess};
use windlass_model::plan::{OutputKind, ProcessKind, ProcessPlan, RunConfig};
use windlass_model::{Digest, Failure};

use super::session::{Results, Session};
use super::steps::merged;
use crate::artifact::{self, Record};
use crate::request::BuildOutcome;
use crate::tree::{self, StaticSource};

impl Session {
    /// Carries out the steps, exports static trees, and records the artifact.
    pub(super) async fn build(&mut self) -> Result<BuildOutcome, Failure> {
        let results = self.run_steps().await?;
        let mut outputs = Vec::new();
        let mut static_trees = Vec::new();
        for output in self.request.plan.outputs.clone() {
            self.check_cancelled()?;
            let (step, kind) = match output.artifact {
                OutputKind::Image { step, config } => {
                    let base = self.done.get(&step).map(|done| done.base.clone());
                    let config = completed(config, &base.unwrap_or_default());
                    (step, ArtifactKind::Image { config })
                }
                OutputKind::StaticTree { step, root, spa_fallback, not_found } => {
                    let snapshot = self.step_snapshot(&step)?;
                    let source = StaticSource { snapshot, root };
                    let tree = tree::export(self, &source).await?;
                    let dir = artifact::static_dir(&self.config.data_dir, &tree.digest);
                    static_trees.push((tree.digest.clone(), dir));
                    let (files, bytes) = (tree.files, tree.bytes);
                    let tree = tree.digest;
                    let kind =
                        ArtifactKind::StaticTree { tree, spa_fallback, not_found, files, bytes };
                    (step, kind)
                }
            };
            let snapshot = self.step_snapshot(&step)?;
            outputs.push(ArtifactOutput { name: output.name, snapshot, kind });
        }
        let artifact = self.record(outputs, &results).await?;
        let (steps, warnings) = (results.outcomes, self.warnings());
        Ok(BuildOutcome { artifact, steps, static_trees, warnings })
    }

    async fn record(
        &self,
        outputs: Vec<ArtifactOutput>,
        results: &Results,
    ) -> Result<Artifact, Failure> {
        let plan = &self.request.plan;
        let processes: Result<Vec<_>, Failure> = plan.processes.iter().map(process).collect();
        let toolchains =
            if results.toolchains.is_empty() { &plan.toolchains } else { &results.toolchains };
        let record = Record {
            format: artifact::FORMAT,
            outputs,
            processes: processes?,
            bases: results.bases_used.clone().into_iter().collect(),
            toolchains: toolchains.clone(),
            plan: Digest::of_json(plan),
        };
        artifact::write(&*self.runtime, record, &self.held).await
    }
}

/// The configuration of the plan, completed by that of the image at the bottom; of a plan that says nothing it
/// is all of the image's.
fn completed(config: RunConfig, base: &RunConfig) -> RunConfig {
    if config.details.whole {
        return config;
    }
    if config == RunConfig::default() {
        return base.clone();
    }
    let or = |own: String, other: &String| if own.is_empty() { other.clone() } else { own };
    let no_command = config.entrypoint.is_empty() && config.cmd.is_empty();
    let (entrypoint, cmd) = if no_command {
        (base.entrypoint.clone(), base.cmd.clone())
    } else {
        (config.entrypoint, config.cmd)
    };
    let exposed = if config.exposed.is_empty() { base.exposed.clone() } else { config.exposed };
    RunConfig {
        entrypoint,
        cmd,
        exposed,
        env: merged(&base.env, &config.env),
        user: or(config.user, &base.user),
        cwd: or(config.cwd, &base.cwd),
        stop_signal: config.stop_signal.or_else(|| base.stop_signal.clone()),
        ..config
    }
}

fn process(plan: &ProcessPlan) -> Result<ArtifactProcess, Failure> {
    let name = plan.name.parse().map_err(|e: windlass_model::id::InvalidId| {
        let fix = "report this to the plugin's author";
        Failure::plugin(
            "builder",
            "build.plan-invalid",
            "The plan is not valid",
            e.to_string(),
            fix,
        )
    })?;
    let is_web = plan.kind == ProcessKind::Web;
    Ok(ArtifactProcess {
        name,
        output: plan.output.clone(),
        kind: plan.kind,
        argv: plan.argv.clone(),
        port: plan.ports.first().copied().filter(|_| is_web),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_completed_by_the_base_and_never_overruled() {
        let base = RunConfig {
            cmd: vec!["node".into()],
            env: vec![("PATH".into(), "/bin".into()), ("A".into(), "base".into())],
            user: "node".into(),
            cwd: "/home".into(),
            labels: vec![("of".into(), "the base".into())],
            ..RunConfig::default()
        };
        let own = RunConfig {
            cmd: vec!["npm".into(), "start".into()],
            env: vec![("A".into(), "own".into())],
            cwd: "/app".into(),
            ..RunConfig::default()
        };
        let done = completed(own, &base);
        assert_eq!(done.cmd, ["npm", "start"]);
        assert_eq!(done.env, [("PATH".into(), "/bin".into()), ("A".into(), "own".into())]);
        assert_eq!((done.cwd.as_str(), done.user.as_str()), ("/app", "node"));
        assert_eq!(completed(RunConfig::default(), &base), base);
    }
}
