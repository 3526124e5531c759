//! The steps of a build: each looked up by its key, and carried out when it is not there.

use std::time::Instant;

use windlass_containers::Labels;
use windlass_containers::runtime::LABEL_GC_ROOT;
use windlass_model::plan::{Base, BuildStep, KeyValues, Mount, Op, Origin, RunConfig};
use windlass_model::{Digest, Failure, Timestamp};

use super::session::{Done, Session, blocking};
use super::{build_labels, needed};
use crate::artifact::{KIND_STEP, LABEL_KIND, LABEL_LAST_USED};
use crate::key::{KeyInput, platform};
use crate::ops::{self, OpContext};
use crate::request::StepOutcome;
use crate::source::CopySources;

/// A step with everything around it settled.
struct Prepared {
    parent: Option<String>,
    base: RunConfig,
    env: KeyValues,
    key: String,
}

impl Session {
    /// Carries out every step that an output needs.
    pub(super) async fn run_steps(&mut self) -> Result<(), Failure> {
        let plan = self.request.plan.clone();
        let needed = needed::needed(&plan);
        let steps: Vec<&BuildStep> =
            plan.steps.iter().filter(|step| needed.contains(step.id.as_str())).collect();
        for (n, step) in steps.iter().enumerate() {
            self.check_cancelled()?;
            let began = Instant::now();
            let place = format!("step {}/{} {}", n + 1, steps.len(), step.name);
            let prepared = self.prepare(step).await?;
            let cached = self.look_up(&prepared.key).await?;
            if cached {
                self.log.host(format!("{place}: cached"));
            } else {
                self.log.host(place);
                self.carry_out(n, step, &prepared).await?;
            }
            let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let Prepared { base, key, .. } = prepared;
            let (id, name) = (step.id.clone(), step.name.clone());
            self.outcomes.push(StepOutcome { id, name, cached, took_ms, key: key.clone() });
            self.done.insert(step.id.clone(), Done { snapshot: key, base });
        }
        Ok(())
    }

    async fn prepare(&mut self, step: &BuildStep) -> Result<Prepared, Failure> {
        let (parent, base) = match &step.base {
            Base::Scratch => (None, RunConfig::default()),
            Base::Step(id) => {
                let base = self.done.get(id).map(|done| done.base.clone()).unwrap_or_default();
                (Some(self.step_snapshot(id)?), base)
            }
            base => {
                let image = self.resolve(base).await?;
                (Some(image.snapshot), image.config)
            }
        };
        let mut inputs = Vec::with_capacity(step.ops.len());
        for op in &step.ops {
            inputs.push(self.inputs(op).await?);
        }
        let env = merged(&base.env, &step.env);
        let runs = step.ops.iter().any(|op| matches!(op, Op::Run(_)));
        let variables: Vec<(String, Digest)> = self
            .request
            .variables
            .iter()
            .filter(|_| runs)
            .map(|v| (v.name.clone(), Digest::of(v.value.expose().as_bytes())))
            .collect();
        let input = KeyInput {
            parent: parent.as_deref().unwrap_or_default(),
            platform: &platform(),
            env: &env,
            cwd: &step.cwd,
            user: &step.user,
            variables: &variables,
            ops: &step.ops,
            inputs: &inputs,
        };
        let key = input.key();
        Ok(Prepared { parent, base, env, key })
    }

    /// What an operation reads, as digests and keys.
    async fn inputs(&mut self, op: &Op) -> Result<Vec<String>, Failure> {
        let mut found = Vec::new();
        match op {
            Op::Copy(copy) => {
                let sources = CopySources {
                    sources: &copy.sources,
                    exclude: &copy.exclude,
                    dest: &copy.dest,
                    parents: copy.parents,
                    without_git: true,
                };
                found.push(self.origin_input(&copy.origin, &sources).await?);
            }
            Op::Extract { origin, archive, .. } => {
                found.push(
                    self.origin_input(origin, &one_path(std::slice::from_ref(archive))).await?,
                );
            }
            Op::Run(run) => {
                for mount in &run.mounts {
                    let Mount::Bind { from_step, path, .. } = mount else { continue };
                    let paths = [path.clone()];
                    found.push(if from_step.is_empty() {
                        self.origin_input(&Origin::Source, &one_path(&paths)).await?
                    } else {
                        self.step_snapshot(from_step)?
                    });
                }
            }
            Op::Place(place) => found.extend(ops::place_inputs(self, place).await?),
            Op::WriteFile { .. } | Op::Fetch { .. } | Op::MakeDir { .. } => {}
        }
        Ok(found)
    }

    async fn origin_input(
        &mut self,
        origin: &Origin,
        sources: &CopySources<'_>,
    ) -> Result<String, Failure> {
        match origin {
            Origin::Step(id) => self.step_snapshot(id),
            Origin::Image(reference) => {
                Ok(self.resolve(&Base::Image(reference.clone())).await?.snapshot)
            }
            Origin::Source => {
                let selection = self.source.select(sources).map_err(|e| ops::not_there(&e))?;
                let tree = std::sync::Arc::clone(&self.source);
                let digest = blocking(move || tree.digest(&selection)).await?;
                let digest =
                    digest.map_err(|e| ops::unreadable("The source cannot be read", &e))?;
                Ok(digest.to_string())
            }
        }
    }

    /// Whether the step was carried out before. Marks it as used.
    async fn look_up(&self, key: &str) -> Result<bool, Failure> {
        let failed =
            |e: windlass_containers::RuntimeError| e.failure("The step cache could not be read");
        let known = self.runtime.snapshot(key).await.map_err(failed)?;
        if !known.is_some_and(|snapshot| snapshot.committed) {
            return Ok(false);
        }
        let used = Labels::from([(LABEL_LAST_USED.to_owned(), Timestamp::now().to_string())]);
        self.runtime.label_snapshot(key, &used).await.map_err(failed)?;
        Ok(true)
    }

    async fn carry_out(
        &mut self,
        n: usize,
        step: &BuildStep,
        prepared: &Prepared,
    ) -> Result<(), Failure> {
        let active = format!("build-{}-{n}", self.request.deployment);
        let what = |e: windlass_containers::RuntimeError| {
            e.failure(format!("The step {:?} could not be carried out", step.name))
        };
        self.runtime
            .prepare_snapshot(&active, prepared.parent.as_deref(), &build_labels(&self.request))
            .await
            .map_err(what)?;
        let outcome = self.operate(n, step, prepared, &active).await;
        if let Err(failure) = outcome {
            if let Err(error) = self.runtime.remove_snapshot(&active).await {
                tracing::warn!(snapshot = active, %error, "a failed step's snapshot is left");
            }
            return Err(failure);
        }
        let now = Timestamp::now().to_string();
        let labels = Labels::from([
            (LABEL_KIND.to_owned(), KIND_STEP.to_owned()),
            (LABEL_LAST_USED.to_owned(), now.clone()),
            (LABEL_GC_ROOT.to_owned(), now),
        ]);
        self.runtime.commit_snapshot(&active, &prepared.key, &labels).await.map_err(what)?;
        Ok(())
    }

    async fn operate(
        &mut self,
        n: usize,
        step: &BuildStep,
        prepared: &Prepared,
        active: &str,
    ) -> Result<(), Failure> {
        for (number, op) in step.ops.iter().enumerate() {
            self.check_cancelled()?;
            let id = format!("build-{}-{n}-{number}", self.request.deployment);
            let context = OpContext { step, active, env: &prepared.env, id };
            ops::carry_out(self, &context, op).await?;
        }
        Ok(())
    }
}

fn one_path(paths: &[String]) -> CopySources<'_> {
    CopySources { sources: paths, exclude: &[], dest: "/", parents: false, without_git: true }
}

/// The lower variables with the upper ones in their place or behind them.
pub(super) fn merged(lower: &KeyValues, upper: &KeyValues) -> KeyValues {
    let mut merged = lower.clone();
    for (name, value) in upper {
        match merged.iter_mut().find(|(known, _)| known == name) {
            Some(slot) => slot.1.clone_from(value),
            None => merged.push((name.clone(), value.clone())),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upper_variables_win_and_keep_their_place() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let lower = vec![pair("PATH", "/bin"), pair("A", "1")];
        let upper = vec![pair("B", "2"), pair("PATH", "/app")];
        let expected = [pair("PATH", "/app"), pair("A", "1"), pair("B", "2")];
        assert_eq!(merged(&lower, &upper), expected);
    }
}
