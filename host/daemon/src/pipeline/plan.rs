//! plan: the builder plugin of the chosen detection answers with a plan, which is validated, hashed
//! and stored. The other decisions that plugins make later are asked for here too.
//!
//! Undo: nothing. After a crash: again; the answer is cached.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use windlass_model::deployment::{Artifact, ArtifactKind, ArtifactProcess, StoredPlan};
use windlass_model::plan::{
    BuildPlan, Context, HealthCheck, HealthPolicy, Migration, Observation, OutputKind, ProcessPlan,
    ServiceInfo, Verdict,
};
use windlass_model::plugin::Stage;
use windlass_model::plugin::account::switched_off;
use windlass_model::settings::Settings;
use windlass_model::variable::Variable;
use windlass_model::{Deployment, Digest, EnvironmentName, Failure, ProjectName};
use windlass_sandbox::{Plugin, Source};

use super::images::Images;
use super::{Done, Run, Work, has_artifact, missing, needs_no_source, ready, runtime_env};
use crate::host::Host;
use crate::plugins::InForce;
use crate::{failpoint, plugins};

pub(crate) struct Plan;

#[async_trait]
impl Work for Plan {
    fn skip(&self, deployment: &Deployment) -> Option<&'static str> {
        has_artifact(deployment)
    }

    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        if let Some(plan) = ready::plan(run)? {
            let digest = Digest::of_json(&plan);
            let stored = StoredPlan { plugin: ready::BY.to_owned(), plan };
            run.host.put_plan(&digest, stored).await?;
            run.deployment.outputs.plan = Some(digest);
            return Ok(Done::new("taken as it is"));
        }
        let chosen = run.deployment.outputs.chosen.clone().ok_or_else(|| missing("detection"))?;
        let host = run.host.clone();
        let in_force = host.plugins.of_project(Some(&run.deployment.project));
        let plugin = &in_force.that_decided(&chosen.plugin, &chosen.digest, Stage::Builder)?;
        // Nobody else knows how to build what it recognised.
        in_force.require_on(plugin, Stage::Builder)?;
        let images = Arc::new(Images::new(host.builder.clone(), super::build::access(run)?));
        let call = in_force
            .sandbox()
            .with_images(images.clone())
            .plan(plugin, &source(run)?, &context(run)?, &chosen.detection)
            .await;
        let cached = call.report.cached;
        let answer = run.answer(plugin, call).await;
        // The registry's own words say more than the plugin knows.
        let plan = answer.map_err(|failure| images.explain(failure))?;
        plan.validate(&host.config.limits.build).map_err(|problem| {
            Failure::plugin(
                &chosen.plugin,
                "plan.invalid",
                format!("the plugin {} gave a plan that cannot be carried out", chosen.plugin),
                problem.to_string(),
                format!(
                    "report it to the author of {}, or set `build.framework` in windlass.toml to \
                     choose another plugin",
                    chosen.plugin
                ),
            )
        })?;
        if !run.deployment.kind.is_build() {
            check_commands(&plan)?;
            check_schedules(run.settings()?, &plan)?;
        }
        let unused = run.settings()?.unused_by(&plan);
        for message in unused {
            run.warn("settings.ignored", message);
        }
        let digest = Digest::of_json(&plan);
        let summary = format!(
            "{} steps, {} outputs, {} processes ({})",
            plan.steps.len(),
            plan.outputs.len(),
            plan.processes.len(),
            digest.short()
        );
        for step in &plan.steps {
            run.log.say(format!("step {}: {}", step.id, step.name));
        }
        host.put_plan(&digest, StoredPlan { plugin: chosen.plugin, plan }).await?;
        failpoint::reached("during:plan");
        run.deployment.outputs.plan = Some(digest);
        Ok(if cached { Done::cached(summary) } else { Done::new(summary) })
    }
}

/// Refuses a process without a command before anything is built, where the plan says all that there is: an
/// output that is not whole may get one from the image at its bottom.
pub(super) fn check_commands(plan: &BuildPlan) -> Result<(), Failure> {
    let has_none = |process: &ProcessPlan| {
        let output = plan.outputs.iter().find(|output| output.name == process.output);
        let Some(OutputKind::Image { config, .. }) = output.map(|output| &output.artifact) else {
            return false;
        };
        let says_all = config.details.whole;
        says_all && [&process.argv, &config.entrypoint, &config.cmd].iter().all(|a| a.is_empty())
    };
    if plan.processes.iter().any(has_none) { Err(runtime_env::no_command()) } else { Ok(()) }
}

/// Refuses a schedule of the settings for a process that the plan does not have.
pub(super) fn check_schedules(settings: &Settings, plan: &BuildPlan) -> Result<(), Failure> {
    let known = |name: &String| plan.processes.iter().any(|process| process.name == *name);
    // Of a plan that runs nothing it is said that they are ignored.
    let mut schedules = settings.cron.iter().filter(|_| !plan.processes.is_empty());
    let unknown =
        schedules.find_map(|it| Some((it, it.process.as_ref()?)).filter(|it| !known(it.1)));
    let Some((schedule, process)) = unknown else { return Ok(()) };
    let names: Vec<&str> = plan.processes.iter().map(|process| process.name.as_str()).collect();
    Err(Failure::app(
        "cron.unknown-process",
        format!("the schedule {} is to run in the process {process:?}", schedule.name),
        format!("the application has no such process, but {}", names.join(", ")),
        "correct `process` of the [[cron]] table in windlass.toml, or leave it out for the web process",
    ))
}

/// What a pure call may know of this deployment's application.
pub(crate) fn context(run: &Run) -> Result<Context, Failure> {
    let Deployment { project, environment, .. } = &run.deployment;
    context_of(&run.host, project, environment, run.settings()?, &run.variables)
}

/// The same of an environment, under these settings and with these variables.
pub(in crate::pipeline) fn context_of(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    settings: &Settings,
    variables: &[Variable],
) -> Result<Context, Failure> {
    let services = host.services(project, environment)?;
    let services = services
        .into_iter()
        .map(|service| ServiceInfo {
            name: service.name.to_string(),
            kind: service.kind,
            variable_names: service.variable_names.iter().map(ToString::to_string).collect(),
        })
        .collect();
    let live = host.live(project, environment)?;
    let previous_toolchains = live
        .and_then(|(live, _)| live.outputs.artifact)
        .map(|artifact| artifact.toolchains)
        .unwrap_or_default();
    Ok(Context {
        platform: plugins::platform(),
        app_dir: settings.build.app_dir.clone(),
        config_json: settings.plugin_config(),
        options_json: String::new(),
        variable_names: variables.iter().map(|v| v.name.to_string()).collect(),
        services,
        previous_toolchains,
    })
}

/// The workspace, as plugins see it.
pub(crate) fn source(run: &Run) -> Result<Source, Failure> {
    let fetched = run.deployment.outputs.fetched.as_ref().ok_or_else(|| missing("source"))?;
    opened(&run.host.source_dir(&run.deployment.id), fetched.tree.clone())
}

/// A workspace with this tree, as plugins see it.
pub(super) fn opened(root: &Path, tree: Digest) -> Result<Source, Failure> {
    Source::open(root, tree).map_err(|error| {
        Failure::host(
            "detect.workspace",
            "the source cannot be opened",
            error.to_string(),
            "check the data directory's disk, then deploy again",
        )
    })
}

/// Asks every migrator. One that is switched off is not passed over: a new version on a schema that nobody migrated
/// breaks behind the back of whoever deployed it.
pub(crate) async fn migrations(run: &mut Run) -> Result<Vec<Migration>, Failure> {
    let chosen = run.deployment.outputs.chosen.clone().ok_or_else(|| missing("detection"))?;
    let outputs: Vec<String> = run.artifact()?.outputs.iter().map(|o| o.name.clone()).collect();
    let (source, context) = (source(run)?, context(run)?);
    let host = run.host.clone();
    let mut found = Vec::new();
    let in_force = host.plugins.of_project(Some(&run.deployment.project));
    for plugin in in_force.of(Stage::Migrator) {
        in_force.require_on(plugin, Stage::Migrator)?;
        let call = in_force
            .sandbox()
            .migrations(plugin, &source, &context, &chosen.detection, &outputs)
            .await;
        found.extend(run.answer(plugin, call).await?);
    }
    Ok(found)
}

/// The health policy and the plugin that judges by it: a rollback keeps what its target had. A health component that
/// is switched off is passed over for the one before it, at last the one that came with Windlass: every one of them
/// asks the application whether it serves. Without any the deployment fails, as it would be put before visitors unseen.
pub(crate) async fn health_policy(run: &mut Run) -> Result<(String, HealthPolicy), Failure> {
    if needs_no_source(&run.deployment).is_some()
        && let Some(health) = &run.deployment.outputs.health
    {
        return Ok((health.plugin.clone(), health.policy.clone()));
    }
    let host = run.host.clone();
    let in_force = host.plugins.of_project(Some(&run.deployment.project));
    let plugin = judge_of(&in_force)?;
    let (_, off) = in_force.to_ask(Stage::Health);
    off.into_iter().for_each(|off| run.warn_off(off));
    let chosen = run.deployment.outputs.chosen.clone().ok_or_else(|| missing("detection"))?;
    // The ports as they are in force: settings come before the plan.
    let artifact = run.artifact()?;
    let mut processes = artifact.processes.clone();
    let checks: Vec<_> = processes.iter().map(|process| check(artifact, process)).collect();
    for process in &mut processes {
        let instance = run.deployment.outputs.instances.iter().find(|i| i.process == process.name);
        process.port = instance.and_then(|instance| instance.port);
    }
    let call = in_force
        .sandbox()
        .health_policy(
            plugin,
            &source(run)?,
            &context(run)?,
            &chosen.detection,
            &processes,
            &checks,
        )
        .await;
    let policy = run.answer(plugin, call).await?;
    Ok((plugin.info().manifest.name.clone(), policy))
}

/// How a process's image says that it is asked. It is about the image's own command: a process with another one
/// has none.
fn check(artifact: &Artifact, process: &ArtifactProcess) -> Option<HealthCheck> {
    let output = artifact.output(&process.output).filter(|_| process.argv.is_empty())?;
    let ArtifactKind::Image { config } = &output.kind else { return None };
    config.details.health_check()
}

/// The health component that is asked: the last that may be.
fn judge_of(in_force: &InForce) -> Result<&Plugin, Failure> {
    let (on, off) = in_force.to_ask(Stage::Health);
    match (on.last(), off.last()) {
        (Some(plugin), _) => Ok(plugin),
        (None, Some(off)) => Err(switched_off(off)),
        (None, None) => {
            let named = in_force.named("health", Stage::Health);
            Err(named.err().unwrap_or_else(|| missing("health plugin")))
        }
    }
}

/// Asks the health component what it makes of what was seen. One that was switched off meanwhile, or since the
/// version that a rollback brings back, is not needed for that: a policy reads the same to all of them.
pub(crate) async fn judge(
    run: &mut Run,
    plugin: &str,
    policy: &HealthPolicy,
    seen: &[Observation],
) -> Result<Verdict, Failure> {
    let host = run.host.clone();
    let in_force = host.plugins.of_project(Some(&run.deployment.project));
    let named = in_force.named(plugin, Stage::Health)?;
    let plugin = match in_force.off(named, Stage::Health) {
        Some(_) => judge_of(&in_force)?,
        None => named,
    };
    let call = in_force.sandbox().judge(plugin, &plugins::bare_context(), policy, seen).await;
    run.answer(plugin, call).await
}

#[cfg(test)]
mod tests {
    use windlass_model::plan::{ImageDetails, Output, ProcessKind, RunConfig};

    use super::*;

    #[test]
    fn only_a_process_that_can_never_get_a_command_is_refused() {
        let plan = |argv: &[&str], cmd: &[&str], whole| {
            let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
            let details = Box::new(ImageDetails { whole, ..ImageDetails::default() });
            let config = RunConfig { cmd: words(cmd), details, ..RunConfig::default() };
            let process = ProcessPlan {
                name: "web".to_owned(),
                output: "app".to_owned(),
                kind: ProcessKind::Web,
                argv: words(argv),
                ports: Vec::new(),
            };
            let artifact = OutputKind::Image { step: "app".to_owned(), config };
            BuildPlan {
                processes: vec![process],
                outputs: vec![Output { name: "app".to_owned(), artifact }],
                ..BuildPlan::default()
            }
        };
        assert_eq!(check_commands(&plan(&[], &[], true)).unwrap_err().code, "start.no-command");
        for fine in [
            plan(&[], &[], false),
            plan(&["/a"], &[], true),
            plan(&[], &["/a"], true),
            BuildPlan { processes: Vec::new(), ..plan(&[], &[], true) },
        ] {
            check_commands(&fine).unwrap();
        }
    }

    #[test]
    fn a_schedule_for_a_process_that_is_not_there_is_refused_unless_nothing_runs() {
        let text = "[[cron]]\nschedule = '@daily'\ncommand = 'true'\nprocess = 'wokrer'";
        let settings = Settings::parse(text, &EnvironmentName::production()).unwrap();
        let process = |name: &str| ProcessPlan {
            name: name.to_owned(),
            output: "app".to_owned(),
            kind: ProcessKind::Worker,
            argv: vec!["work".to_owned()],
            ports: Vec::new(),
        };
        let plan = |names: &[&str]| BuildPlan {
            processes: names.iter().map(|name| process(name)).collect(),
            ..BuildPlan::default()
        };
        let refused = check_schedules(&settings, &plan(&["web", "worker"])).unwrap_err();
        assert_eq!(refused.code, "cron.unknown-process");
        assert!(refused.why.contains("web, worker"), "{}", refused.why);
        check_schedules(&settings, &plan(&["wokrer"])).unwrap();
        check_schedules(&settings, &plan(&[])).unwrap();
    }
}
