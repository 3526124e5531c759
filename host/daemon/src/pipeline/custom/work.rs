//! Running the stages of one hook: those that wait for nobody at once, the others as they may.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use windlass_model::deployment::Warning;
use windlass_model::event::Event;
use windlass_model::plan::Context;
use windlass_model::plugin::{Hook, Stage, narrowed_source};
use windlass_model::settings::OnFailure;
use windlass_model::stage::{Facts, Input, Outcome, StageStatus};
use windlass_model::variable::Variable;
use windlass_model::{Deployment, Failure, Timestamp};
use windlass_sandbox::{CustomCall, Plugin, PluginFault, Source};

use super::effects::{Counts, Granted};
use super::graph::{self, Node};
use super::record::{Folder, Kept};
use super::{background, facts, failed_as, withheld};
use crate::failpoint;
use crate::host::Host;
use crate::pipeline::{Run, needs_no_source, plan};
use crate::plugins::{self, Asker, InForce};
use crate::steplog::StepLog;

/// Globs of a grant that are said.
const GLOBS_SAID: usize = 5;

/// What the stages of one hook of one deployment work with.
pub(super) struct Job {
    pub host: Arc<Host>,
    pub deployment: Deployment,
    pub variables: Vec<Variable>,
    pub context: Context,
    /// Absent where there is none any more.
    pub source: Option<Source>,
    pub log: StepLog,
    pub folder: Folder,
    pub plugins: InForce,
}

impl Job {
    /// Of a deployment that is on its way.
    pub(super) fn of(run: &Run, hook: Hook) -> Result<Self, Failure> {
        let has_source = hook != Hook::AfterSwitch && needs_no_source(&run.deployment).is_none();
        let source = if has_source { Some(plan::source(run)?) } else { None };
        Ok(Self {
            host: run.host.clone(),
            deployment: run.deployment.clone(),
            variables: run.variables.clone(),
            context: plan::context(run)?,
            source,
            log: run.log.clone(),
            folder: Folder::of(&run.host.config.data_dir, &run.deployment.id),
            plugins: run.host.plugins.of_project(Some(&run.deployment.project)),
        })
    }
}

/// How often a stage is tried, and with which pauses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub tries_max: u32,
    pub pause_ms: u64,
    pub pause_ms_max: u64,
}

impl Patience {
    /// Once.
    const NONE: Self = Self { tries_max: 1, pause_ms: 0, pause_ms_max: 0 };

    /// The pause after so many tries: it doubles.
    fn pause(self, tries: u32) -> Duration {
        let doubled = self.pause_ms.saturating_mul(1_u64 << tries.saturating_sub(1).min(30));
        Duration::from_millis(doubled.min(self.pause_ms_max))
    }
}

/// What one try of a stage came to.
struct Tried {
    place: usize,
    version: String,
    result: Result<Outcome, (Failure, bool)>,
    warnings: Vec<Warning>,
}

/// Runs the stages of a hook while the deployment waits for them.
///
/// # Errors
/// The failure of the first stage whose setting does not let it pass; the others are ended.
pub(super) async fn foreground(job: &Arc<Job>, hook: Hook) -> Result<Vec<Warning>, Failure> {
    all(job, hook, Patience::NONE).await
}

/// Runs the stages of a hook that are not over, in their order, as many beside each other as may be.
pub(super) async fn all(
    job: &Arc<Job>,
    hook: Hook,
    patience: Patience,
) -> Result<Vec<Warning>, Failure> {
    let mut stages = Stages::of(job, hook)?;
    let told = Arc::new(facts::of(&job.host, &job.deployment, &job.variables, hook).await?);
    let mut tries = FuturesUnordered::new();
    let mut warnings = Vec::new();
    loop {
        for place in stages.begin()? {
            let kept = stages.kept[place].clone();
            tries.push(one(Arc::clone(job), kept, place, Arc::clone(&told)));
        }
        let Some(tried) = tries.next().await else { return Ok(warnings) };
        failpoint::reached("during:stage");
        warnings.extend(tried.warnings.iter().cloned());
        let on_failure = stages.kept[tried.place].node.on_failure;
        let failure = stages.ended(tried, patience)?;
        match failure {
            Some(failure) if patience.tries_max == 1 && on_failure == OnFailure::Fail => {
                drop(tries);
                stages.cancel_rest()?;
                return Err(failure);
            }
            Some(Failure { code, what, why, .. }) if patience.tries_max == 1 => {
                warnings.push(Warning { code, message: format!("{what}: {why}") });
            }
            _ => {}
        }
    }
}

/// The stages of a hook as they stand; every change is durable before anything follows from it.
struct Stages<'a> {
    job: &'a Job,
    hook: Hook,
    kept: Vec<Kept>,
    before: std::collections::BTreeMap<usize, BTreeSet<usize>>,
}

impl<'a> Stages<'a> {
    fn of(job: &'a Job, hook: Hook) -> Result<Self, Failure> {
        let mut kept = job.folder.stages()?;
        for one in kept.iter_mut().filter(|one| one.run.status == StageStatus::Running) {
            // A crash cut it off; one that was still in the pause before its try has not tried.
            one.run.status = StageStatus::Pending;
            if one.run.again_at.is_some_and(|at| at > Timestamp::now()) {
                one.run.attempt -= 1;
            }
        }
        let nodes: Vec<Node> = kept.iter().map(|one| one.node.clone()).collect();
        let before = graph::before(&nodes, hook);
        Ok(Self { job, hook, kept, before })
    }

    /// Marks as running those that wait for nobody any more, and as skipped those whose needs cannot come.
    fn begin(&mut self) -> Result<Vec<usize>, Failure> {
        let mut begun = Vec::new();
        let mut is_changed = true;
        let mut any = false;
        while std::mem::take(&mut is_changed) {
            for (place, first) in &self.before {
                let is_pending = self.kept[*place].run.status == StageStatus::Pending;
                let may = first.iter().all(|place| self.kept[*place].run.status.is_over());
                if !is_pending || !may {
                    continue;
                }
                let lost = self.lost(*place);
                let run = &mut self.kept[*place].run;
                if lost.is_empty() {
                    run.status = StageStatus::Running;
                    run.started_at = run.started_at.or_else(|| Some(Timestamp::now()));
                    run.attempt += 1;
                    begun.push(*place);
                } else {
                    run.status = StageStatus::Skipped;
                    run.ended_at = Some(Timestamp::now());
                    run.summary = format!("what it needs is missing: {}", lost.join(", "));
                }
                (is_changed, any) = (true, true);
            }
        }
        if any {
            self.job.folder.keep(&self.kept)?;
        }
        Ok(begun)
    }

    /// What a stage needs and will not get: everybody who provides it has failed.
    fn lost(&self, place: usize) -> Vec<String> {
        let node = &self.kept[place].node;
        let is_lost = |need: &&String| {
            let mut providers =
                self.kept.iter().filter(|other| other.node.provides.contains(need)).peekable();
            providers.peek().is_some()
                && providers.all(|other| {
                    matches!(
                        other.run.status,
                        StageStatus::Failed | StageStatus::Warned | StageStatus::Cancelled
                    )
                })
        };
        node.needs.iter().filter(is_lost).cloned().collect()
    }

    /// Notes what a try came to; the failure, if it was the last one.
    fn ended(&mut self, tried: Tried, patience: Patience) -> Result<Option<Failure>, Failure> {
        let Tried { place, version, result, .. } = tried;
        let Kept { node, run, schedules, withheld } = &mut self.kept[place];
        let name = node.name();
        run.version = version;
        run.again_at = None;
        let mut last = None;
        match result {
            Ok(outcome) => {
                self.job.folder.keep_outputs(&name, node.hook, &outcome.outputs)?;
                // The name of a schedule is the plugin's own; two plugins may have the same.
                *schedules = outcome.schedules;
                for one in schedules {
                    one.name = format!("{}.{}", node.plugin, one.name);
                }
                *withheld = outcome.withheld;
                let skipped = outcome.skipped;
                run.status = if skipped { StageStatus::Skipped } else { StageStatus::Succeeded };
                run.summary = self.job.log.masker().mask(&outcome.summary);
                run.failure = None;
            }
            Err((failure, again)) => {
                run.summary = failure.why.clone();
                if again && run.attempt < patience.tries_max {
                    run.status = StageStatus::Pending;
                    let at = Timestamp::now().checked_add(patience.pause(run.attempt));
                    run.again_at = at.ok();
                } else {
                    run.status = failed_as(node.on_failure);
                    last = Some(failure.clone());
                }
                run.failure = Some(failure);
            }
        }
        if run.status.is_over() {
            run.ended_at = Some(Timestamp::now());
            let line = format!("stage {name} at {}: {}", self.hook.as_str(), run.status.as_str());
            self.job.log.say(format!("{line} ({})", run.summary));
            tell(self.job, &name, run.status, &run.summary);
        } else {
            self.job.log.say(format!("stage {name} is tried again: {}", run.summary));
        }
        self.job.folder.keep(&self.kept)?;
        Ok(last)
    }

    fn cancel_rest(&mut self) -> Result<(), Failure> {
        for one in self.kept.iter_mut().filter(|one| one.node.hook == self.hook) {
            if !one.run.status.is_over() {
                one.run.status = StageStatus::Cancelled;
                one.run.ended_at = Some(Timestamp::now());
            }
        }
        self.job.folder.keep(&self.kept)
    }
}

/// One try of one stage, after its pause.
async fn one(job: Arc<Job>, kept: Kept, place: usize, told: Arc<Facts>) -> Tried {
    if let Some(at) = kept.run.again_at {
        let left = at.duration_since(Timestamp::now());
        tokio::time::sleep(left.try_into().unwrap_or(Duration::ZERO)).await;
    }
    let mut tried = Tried {
        place,
        version: String::new(),
        result: Ok(Outcome::default()),
        warnings: Vec::new(),
    };
    tried.result = match call(&job, &kept, &told, &mut tried.version, &mut tried.warnings).await {
        Ok(outcome) => Ok(outcome),
        Err((mut failure, again)) => {
            let (name, at) = (kept.node.name(), kept.node.hook.as_str());
            failure.what = format!("{} (stage {name} at {at})", failure.what);
            let masker = job.log.masker();
            failure.why = masker.mask(&failure.why);
            Err((failure, again))
        }
    };
    tried
}

async fn call(
    job: &Job,
    kept: &Kept,
    told: &Facts,
    version: &mut String,
    warnings: &mut Vec<Warning>,
) -> Result<Outcome, (Failure, bool)> {
    let node = &kept.node;
    let plugin =
        job.plugins.named(&node.plugin, Stage::Custom).map_err(|failure| (failure, true))?;
    plugin.info().manifest.version.clone_into(version);
    // Whether that fails the deployment is said by the stage's `on_failure`, as for every failure of it.
    job.plugins.require_on(plugin, Stage::Custom).map_err(|failure| (failure, false))?;
    if !plugin.missing().is_empty() {
        let asks = &plugin.info().manifest.capabilities;
        let failure = plugins::not_granted(plugin.name(), asks, plugin.grants(), true);
        return Err((failure, false));
    }
    let mut options = plugin.options().into_owned();
    options.extend(node.options.clone());
    let plugin = plugin.with_options(options);
    let allowed = plugin.effective().clone();
    let facts = facts::for_one(told, &allowed, kept.run.attempt);
    let inputs = inputs(job, kept);
    let effects = Granted {
        host: job.host.clone(),
        deployment: job.deployment.clone(),
        plugin: plugin.name().to_owned(),
        allowed,
        variables: job.variables.clone(),
        log: job.log.clone(),
        folder: job.folder.clone(),
        counts: Counts::new(&job.host.config.limits.stages),
        sums: Arc::default(),
    };
    let narrowed = job.source.as_ref().and_then(|_| narrowed(&plugin));
    let _place = job.host.stages.places_at(node.hook).acquire().await;
    job.log.say(format!("stage {} begins", node.name()));
    if let Some(narrowed) = &narrowed {
        job.log.say(format!("stage {}: {narrowed}", node.name()));
    }
    let call =
        CustomCall { stage: &node.stage, context: &job.context, facts: &facts, inputs: &inputs };
    let sandbox = job.plugins.sandbox();
    let effects = Arc::new(effects);
    let calling = sandbox.custom(&plugin, job.source.as_ref(), call, effects.clone());
    let limit = limit_of_a_try(job, node.hook);
    let Ok(called) = tokio::time::timeout(limit, calling).await else {
        effects.counts.all_ended().await;
        return Err((background::too_long(limit), true));
    };
    let again = called.result.as_ref().err().is_some_and(is_worth_another);
    let asker = Asker { host: &job.host, deployment: &job.deployment, log: &job.log };
    let answer = asker.answer(&plugin, Some(&node.stage), called, warnings).await;
    let mut outcome = answer.map_err(|failure| (failure, again))?;
    let mut lines = withheld::keep(&effects, &node.stage, &outcome.withheld).await;
    // What a stage did not find may lie where it could not look.
    lines.extend(narrowed);
    outcome.summary = summed_up(outcome.summary, lines);
    Ok(outcome)
}

/// What a stage sees of the source, for people, where its grant shows it less than its plugin asks for.
fn narrowed(plugin: &Plugin) -> Option<String> {
    let capabilities = &plugin.info().manifest.capabilities;
    let seen = narrowed_source(capabilities, plugin.effective())?;
    let (first, more) = seen.split_at(seen.len().min(GLOBS_SAID));
    let globs = match more.len() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    };
    Some(match globs.is_empty() {
        true => "it sees nothing of the source: `source` is not granted".to_owned(),
        false => format!("it sees only {globs} of the source: granted so"),
    })
}

/// A stage's summary, if it has one, with further lines of the host.
fn summed_up(summary: String, lines: Vec<String>) -> String {
    let parts = std::iter::once(summary).filter(|summary| !summary.is_empty()).chain(lines);
    parts.collect::<Vec<_>>().join("; ")
}

/// How long one try may take. While a deployment waits, its stages at the hook have a limit together.
fn limit_of_a_try(job: &Job, hook: Hook) -> Duration {
    match hook {
        Hook::AfterSwitch => Duration::from_secs(job.host.config.limits.stages.background_s),
        Hook::AfterFetch | Hook::AfterBuild | Hook::BeforeSwitch => Duration::MAX,
    }
}

/// Whether the same call may end otherwise.
fn is_worth_another(fault: &PluginFault) -> bool {
    match fault {
        PluginFault::Refused(refusal) => refusal.retryable,
        PluginFault::WallTimedOut { .. } | PluginFault::HostFailed(_) => true,
        _ => false,
    }
}

/// What the stages have answered that this one needs. A version whose artifact was taken over has what was found
/// out when that was built.
fn inputs(job: &Job, kept: &Kept) -> Vec<Input> {
    if kept.node.needs.is_empty() {
        return Vec::new();
    }
    let all = job.folder.stages().unwrap_or_default();
    let built_by = job.deployment.kind.artifact_of();
    let earlier = built_by.map(|id| Folder::of(&job.host.config.data_dir, id));
    let mut inputs = Vec::new();
    for need in &kept.node.needs {
        for other in all.iter().filter(|other| other.node.provides.contains(need)) {
            let (name, hook) = (other.node.name(), other.node.hook);
            let own = job.folder.outputs(&name, hook);
            let outputs = own.or_else(|| earlier.as_ref()?.outputs(&name, hook));
            inputs.extend(outputs.map(|outputs| Input {
                name: need.clone(),
                plugin: other.node.plugin.clone(),
                stage: other.node.stage.clone(),
                outputs,
            }));
        }
    }
    inputs
}

/// Tells what became of a stage.
fn tell(job: &Job, name: &str, status: StageStatus, summary: &str) {
    let deployment = &job.deployment;
    let message = if summary.is_empty() { name.to_owned() } else { format!("{name}: {summary}") };
    job.host.observe.events.record(Event {
        project: Some(deployment.project.clone()),
        environment: Some(deployment.environment.clone()),
        deployment: Some(deployment.id.clone()),
        number: Some(deployment.number),
        ..Event::now(format!("stage.{}", status.as_str()), message)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let patience = Patience { tries_max: 9, pause_ms: 1_000, pause_ms_max: 5_000 };
        let pauses: Vec<u128> =
            [1, 2, 3, 4, 100].map(|tries| patience.pause(tries).as_millis()).to_vec();
        assert_eq!(pauses, [1_000, 2_000, 4_000, 5_000, 5_000]);
    }

    #[test]
    fn a_summary_is_followed_by_what_the_host_says_and_may_be_empty() {
        let lines = || ["kept".to_owned(), "not kept".to_owned()].to_vec();
        assert_eq!(summed_up("done".to_owned(), lines()), "done; kept; not kept");
        assert_eq!(summed_up(String::new(), lines()), "kept; not kept");
        assert_eq!(summed_up("done".to_owned(), Vec::new()), "done");
        assert_eq!(summed_up(String::new(), Vec::new()), "");
    }

    #[test]
    fn only_what_may_end_otherwise_is_tried_again() {
        let refusal = |retryable| {
            let (code, message) = ("a.b".to_owned(), "m".to_owned());
            PluginFault::Refused(windlass_model::plan::Refusal {
                code,
                message,
                hint: None,
                retryable,
            })
        };
        assert!(is_worth_another(&refusal(true)));
        assert!(is_worth_another(&PluginFault::WallTimedOut { limit_ms: 1 }));
        assert!(!is_worth_another(&refusal(false)));
        assert!(!is_worth_another(&PluginFault::Trapped { reason: String::new() }));
    }
}
