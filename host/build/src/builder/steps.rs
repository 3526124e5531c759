//! One step of a build: looked up by its key, and carried out when it is not there.

use std::time::Instant;

use windlass_containers::Labels;
use windlass_containers::runtime::LABEL_GC_ROOT;
use windlass_model::build::{BasePart, KeyParts, Reason, StepRecord};
use windlass_model::plan::{Base, BuildStep, KeyValues, Mount, Op, Origin, RunConfig};
use windlass_model::{Failure, Timestamp};

use super::session::{Done, Session, blocking};
use super::{build_labels, record, variables};
use crate::artifact::{KIND_STEP, LABEL_KIND, LABEL_LAST_USED};
use crate::base::BaseImage;
use crate::key::{Input, InputFrom, KeyInput, keyed, platform};
use crate::ops::{self, Allowance, OpContext};
use crate::request::{StepEvent, StepOutcome};
use crate::settled;
use crate::source::CopySources;

/// On a step's snapshot: another one with the same key is newer, because it was asked for without the cache.
const LABEL_NEWER: &str = "windlass.newer";
/// Prefix of a label that names a project that uses a step.
pub(crate) const LABEL_USED_BY: &str = "windlass.used-by.";

/// A step that came to its end.
pub(super) struct StepDone {
    pub(super) done: Done,
    pub(super) outcome: StepOutcome,
    pub(super) images: Vec<BaseImage>,
}

/// A step with everything around it settled.
struct Prepared {
    parent: Option<String>,
    base: RunConfig,
    env: KeyValues,
    key: String,
    parts: KeyParts,
}

/// What is in the cache under a key.
enum Found {
    /// The result, under this name.
    Hit(String),
    /// Nothing: the result is to be committed under this name.
    Miss {
        name: String,
        /// Why, unless that is what the step's key says.
        why: Option<Reason>,
    },
}

impl Session {
    /// Looks the step up, or carries it out.
    pub(super) async fn run_step(
        &mut self,
        step: &BuildStep,
        shown: &str,
        began: Instant,
    ) -> Result<StepDone, Failure> {
        self.check_cancelled()?;
        let prepared = self.prepare(step).await?;
        let (cached, reasons, ended) = match self.look_up(&prepared.key).await? {
            Found::Hit(name) => {
                self.log.host(format!("{shown}: cached"));
                self.places.skip(step);
                (true, Vec::new(), Ok(name))
            }
            Found::Miss { name, why } => {
                self.places.expect(step);
                let reasons = match why {
                    Some(why) => vec![why],
                    None => self.why(step, &prepared).await?,
                };
                self.log.host(format!("{shown}{}", because(&reasons)));
                let carried = self.carry_out_in_turn(step, &prepared, &name).await;
                (false, reasons, carried.map(|()| name))
            }
        };
        let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (id, name) = (step.id.clone(), step.name.clone());
        let Prepared { base, key, parts, .. } = prepared;
        let succeeded = ended.is_ok();
        let record = StepRecord {
            place: self.place,
            id: id.clone(),
            name: name.clone(),
            key,
            cached,
            succeeded,
            took_ms,
            reasons,
            parts,
        };
        (self.request.cache.told)(StepEvent::Ended(Box::new(record)));
        let snapshot = ended?;
        let outcome = StepOutcome { id, name, cached, took_ms, key: snapshot.clone() };
        Ok(StepDone { done: Done { snapshot, base }, outcome, images: self.take_images() })
    }

    /// Why the step is carried out. Records of earlier builds may have to be read.
    async fn why(&self, step: &BuildStep, prepared: &Prepared) -> Result<Vec<Reason>, Failure> {
        let (bypass, earlier) = (self.request.cache.bypass, self.request.cache.earlier.clone());
        let names = self.request.plan.steps.iter().map(|step| step.name.clone()).collect();
        let (id, name) = (step.id.clone(), step.name.clone());
        let (key, parts) = (prepared.key.clone(), prepared.parts.clone());
        blocking(move || {
            let looked_for = record::LookedFor { id: &id, name: &name, names: &names };
            record::why(bypass, earlier.records(), &looked_for, &key, &parts)
        })
        .await
    }

    /// Waits for a place among the steps of this host, and carries the step out.
    async fn carry_out_in_turn(
        &mut self,
        step: &BuildStep,
        prepared: &Prepared,
        name: &str,
    ) -> Result<(), Failure> {
        let budget = self.budget.clone();
        let _place = budget.step(&self.wait()).await?;
        let (id, shown) = (step.id.clone(), step.name.clone());
        (self.request.cache.told)(StepEvent::Begun { id, name: shown });
        self.carry_out(step, prepared, name).await
    }

    async fn prepare(&mut self, step: &BuildStep) -> Result<Prepared, Failure> {
        let mut part = BasePart::default();
        let (parent, base) = match &step.base {
            Base::Scratch => (None, RunConfig::default()),
            Base::Step(id) => {
                part.step = Some(self.step_name(id));
                let base = self.done.get(id).map(|done| done.base.clone()).unwrap_or_default();
                (Some(self.step_snapshot(id)?), base)
            }
            base => {
                let image = self.resolve(base).await?;
                part.image = format!("{} ({})", image.reference, image.digest.short());
                (Some(image.snapshot), image.config)
            }
        };
        part.snapshot = parent.clone().unwrap_or_default();
        let mut inputs = Vec::with_capacity(step.ops.len());
        for op in &step.ops {
            inputs.push(self.inputs(op).await.map_err(|failure| placed(failure, step))?);
        }
        let env = merged(&base.env, &step.env);
        let variables = variables::keyed(&self.request, step, &self.salt);
        let ops: Vec<Op> = step.ops.iter().map(keyed).collect();
        let input = KeyInput {
            parent: parent.as_deref().unwrap_or_default(),
            platform: &platform(),
            env: &env,
            cwd: &step.cwd,
            user: &step.user,
            variables: &variables,
            ops: &ops,
            inputs: &inputs,
        };
        let (key, parts) = (input.key(), input.parts(part));
        Ok(Prepared { parent, base, env, key, parts })
    }

    /// What an operation reads, as digests and keys.
    async fn inputs(&mut self, op: &Op) -> Result<Vec<Input>, Failure> {
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
                let paths = [below_app(archive)];
                found.push(self.origin_input(origin, &one_path(&paths)).await?);
            }
            Op::Run(run) => {
                for mount in &run.mounts {
                    let Mount::Bind { from_step, path, .. } = mount else { continue };
                    let paths = [below_app(path)];
                    let origin = match from_step.as_str() {
                        "" => Origin::Source,
                        step => Origin::Step(step.to_owned()),
                    };
                    found.push(self.origin_input(&origin, &one_path(&paths)).await?);
                }
            }
            Op::Place(place) => found.extend(ops::place_inputs(self, place).await?),
            Op::Fetch { url, sha256: None, .. } => {
                found.push(ops::download_input(self, url).await?);
            }
            Op::WriteFile { .. } | Op::Fetch { .. } | Op::MakeDir { .. } => {}
        }
        Ok(found)
    }

    async fn origin_input(
        &mut self,
        origin: &Origin,
        sources: &CopySources<'_>,
    ) -> Result<Input, Failure> {
        match origin {
            Origin::Step(id) => {
                let digest = self.step_snapshot(id)?;
                Ok(Input { from: InputFrom::Step(self.step_name(id)), digest })
            }
            Origin::Image(reference) => {
                let image = self.resolve(&Base::Image(reference.clone())).await?;
                let shown = format!("{} ({})", image.reference, image.digest.short());
                Ok(Input { from: InputFrom::Image(shown), digest: image.snapshot })
            }
            Origin::Source => {
                let tree = std::sync::Arc::clone(self.source_of(sources.sources));
                let listing = std::sync::Arc::clone(&tree);
                let listed = blocking(move || listing.entries().map(drop)).await?;
                listed.map_err(|e| ops::unreadable("The source cannot be read", &e))?;
                let selection = tree.select(sources).map_err(|e| ops::not_there(&e))?;
                let read = move || Ok((tree.digest(&selection)?, tree.named(&selection)?));
                let (digest, files) = blocking(read).await?.map_err(|e: std::io::Error| {
                    ops::unreadable("The source cannot be read", &e)
                })?;
                Ok(Input { from: InputFrom::Source(files), digest: digest.to_string() })
            }
        }
    }

    /// Whether the step was carried out before. Marks it as used.
    async fn look_up(&self, key: &str) -> Result<Found, Failure> {
        let failed =
            |e: windlass_containers::RuntimeError| e.failure("The step cache could not be read");
        let mut name = key.to_owned();
        // A result of its own, because the old one may be part of an artifact.
        let fresh = settled::beside(&format!("{key}-{}", self.request.deployment));
        let looking = self.guard().looking().await;
        looking.pin(key);
        looking.pin(&fresh);
        let known = self.runtime.snapshot(key).await.map_err(failed)?;
        let Some(mut known) = known.filter(|snapshot| snapshot.committed) else {
            return Ok(Found::Miss { name, why: None });
        };
        if self.request.cache.bypass {
            return Ok(Found::Miss { name: fresh, why: None });
        }
        if let Some(newer) = known.labels.get(LABEL_NEWER).cloned() {
            looking.pin(&newer);
            let found = self.runtime.snapshot(&newer).await.map_err(failed)?;
            let Some(found) = found.filter(|snapshot| snapshot.committed) else {
                return Ok(Found::Miss { name: fresh, why: None });
            };
            (known, name) = (found, newer);
        }
        if settled::is_suspect(&known) {
            return Ok(Found::Miss { name: fresh, why: Some(Reason::Unsynced) });
        }
        let used = self.used();
        self.runtime.label_snapshot(&known.key, &used).await.map_err(failed)?;
        if known.key != key {
            // It leads to the newer one: without it the result is not found any more.
            self.runtime.label_snapshot(key, &used).await.map_err(failed)?;
        }
        Ok(Found::Hit(name))
    }

    /// Labels that say by whom a step was used, and when.
    fn used(&self) -> Labels {
        let now = Timestamp::now().to_string();
        let by = format!("{LABEL_USED_BY}{}", self.request.project);
        Labels::from([(LABEL_LAST_USED.to_owned(), now.clone()), (by, now)])
    }

    async fn carry_out(
        &mut self,
        step: &BuildStep,
        prepared: &Prepared,
        name: &str,
    ) -> Result<(), Failure> {
        let active = format!("build-{}-{}", self.request.deployment, self.place);
        let what = |e: windlass_containers::RuntimeError| {
            e.failure(format!("The step {:?} could not be carried out", step.name))
        };
        // Of an attempt that was cut off, whose lease ended before: it would be gone on with.
        self.runtime.remove_snapshot(&active).await.map_err(what)?;
        self.runtime
            .prepare_snapshot(&active, prepared.parent.as_deref(), &build_labels(&self.request))
            .await
            .map_err(what)?;
        let outcome = self.operate(step, prepared, &active).await;
        if let Err(failure) = outcome {
            if let Err(error) = self.runtime.remove_snapshot(&active).await {
                tracing::warn!(snapshot = active, %error, "a failed step's snapshot is left");
            }
            return Err(failure);
        }
        (self.request.cache.told)(StepEvent::Committing { id: step.id.clone() });
        let mut labels = self.used();
        labels.extend([settled::unsynced()]);
        labels.insert(LABEL_KIND.to_owned(), KIND_STEP.to_owned());
        labels.insert(LABEL_GC_ROOT.to_owned(), Timestamp::now().to_string());
        let committing = self.guard().looking().await;
        committing.pin(name);
        self.runtime.commit_snapshot(&active, name, &labels).await.map_err(what)?;
        (self.request.cache.told)(StepEvent::Committed { id: step.id.clone() });
        if name != prepared.key {
            let mut newer = self.used();
            newer.insert(LABEL_NEWER.to_owned(), name.to_owned());
            self.runtime.label_snapshot(&prepared.key, &newer).await.map_err(what)?;
        }
        Ok(())
    }

    async fn operate(
        &mut self,
        step: &BuildStep,
        prepared: &Prepared,
        active: &str,
    ) -> Result<(), Failure> {
        for (number, op) in step.ops.iter().enumerate() {
            self.check_cancelled()?;
            let id = format!("build-{}-{}-{number}", self.request.deployment, self.place);
            // What is copied for a command lies beside the step's files, and stays until the build is over.
            let noted = match op {
                Op::Run(_) => format!("{id}-host"),
                _ => active.to_owned(),
            };
            let allowance = Allowance::of(self, noted);
            let context = OpContext { step, active, env: &prepared.env, id, allowance };
            ops::carry_out(self, &context, op).await.map_err(|failure| placed(failure, step))?;
        }
        Ok(())
    }
}

/// The reasons behind a step's line in the log, the first few.
fn because(reasons: &[Reason]) -> String {
    const SAID_MAX: usize = 3;
    if matches!(reasons, [] | [Reason::NoEarlierBuild]) {
        return String::new();
    }
    let said: Vec<String> = reasons.iter().take(SAID_MAX).map(Reason::to_string).collect();
    let more = if reasons.len() > SAID_MAX { ", ..." } else { "" };
    format!(" ({}{more})", said.join(", "))
}

/// A failure with its step, where only that says which line of a build file is meant: many lines may copy a file of the
/// same name.
fn placed(mut failure: Failure, step: &BuildStep) -> Failure {
    if failure.code == ops::COPY_MISSING {
        failure.what = format!("{}, in the step {:?}", failure.what, step.name);
    }
    failure
}

/// The path of a mount or an archive: from the application's folder, with a slash in front or without.
fn below_app(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
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
