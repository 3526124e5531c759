//! build: plan → artifact, on containerd.
//!
//! Undo: what the attempt left behind (containers, writable snapshots, the lease) is removed; steps
//! that succeeded stay as cache, the artifact's record goes. After a crash: the same, then again
//! through the cache.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use windlass_build::{
    Access, BuildRequest, BuildVariable, CacheUse, SourceDigests, StepEvent, StepSink,
};
use windlass_model::{Deployment, Failure, Source, StepName, StepStatus};

use super::{Done, Run, Work, has_artifact, names};
use crate::{failpoint, source};

pub(crate) mod progress;
pub(crate) mod record;

pub(crate) struct Build;

#[async_trait]
impl Work for Build {
    fn skip(&self, deployment: &Deployment) -> Option<&'static str> {
        has_artifact(deployment)
    }

    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let plan = run.host.plan(&run.deployment).await?;
        let app_dir = run.settings()?.build.app_dir.clone();
        let log = run.log.clone();
        let (told, mut bases) = mpsc::unbounded_channel();
        let request = BuildRequest {
            project: run.deployment.project.clone(),
            environment: run.deployment.environment.clone(),
            deployment: run.deployment.id.clone(),
            plan,
            source_dir: run.host.source_dir(&run.deployment.id),
            app_dir,
            source_digests: digests(run),
            variables: build_variables(run),
            log: Arc::new(move |line| {
                log.write(line);
                failpoint::reached("during:build");
            }),
            bases: Arc::new(move |reference, digest| {
                // Nobody listens any more when the step was ended.
                let _ended = told.send((reference.to_owned(), digest.clone()));
            }),
            cancel: run.cancel.clone(),
            access: access(run)?,
            cache: CacheUse {
                bypass: run.deployment.no_cache,
                earlier: record::earlier(&run.host, &run.deployment),
                told: told_steps(run),
            },
            labels: names::labels(&run.deployment, StepName::Build),
        };
        // Kept as they become known: also a build that fails, or is ended, says what it was based on.
        run.deployment.outputs.bases.clear();
        let builder = run.host.builder.clone();
        let mut build = std::pin::pin!(builder.build_held(request));
        let outcome = loop {
            tokio::select! {
                biased;
                Some(base) = bases.recv() => run.deployment.outputs.bases.push(base),
                outcome = &mut build => break outcome,
            }
        };
        while let Ok(base) = bases.try_recv() {
            run.deployment.outputs.bases.push(base);
        }
        let (outcome, held) = outcome?;
        run.held = Some(held);
        for warning in &outcome.warnings {
            run.warn(&warning.code, warning.message.clone());
        }
        let cached = outcome.steps.iter().filter(|step| step.cached).count();
        let summary = format!("{} steps, {cached} from the cache", outcome.steps.len());
        let status = if outcome.all_cached() { StepStatus::Cached } else { StepStatus::Succeeded };
        run.deployment.outputs.artifact = Some(outcome.artifact);
        Ok(Done { status, summary })
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        run.host.builder.clean_up(&run.deployment.id).await?;
        failpoint::reached("within-undo:build");
        run.held = None;
        if let Some(artifact) = run.deployment.outputs.artifact.clone() {
            let removing = run.host.builder.removing().await;
            // An unchanged redeploy yields the record of the deployment it repeats, and so may one that runs.
            if !run.host.artifact_in_use(&artifact.digest, &run.deployment.id)? {
                removing.delete(&artifact.digest).await?;
            }
            drop(removing);
            run.deployment.outputs.artifact = None;
        }
        Ok(())
    }
}

/// Writes down what becomes of the steps, and shows those that run.
fn told_steps(run: &Run) -> StepSink {
    let building = run.host.building.of(&run.deployment.id);
    let writer = record::Writer::open(&run.host, &run.deployment.id);
    Arc::new(move |event| match event {
        StepEvent::Begun { id, name } => building.begun(id, name),
        StepEvent::Committing { .. } => failpoint::reached("during:commit"),
        StepEvent::Committed { .. } => failpoint::reached("during:committed"),
        StepEvent::Ended(step) => {
            let carried_out = !step.cached;
            building.ended(&step.id);
            writer.put(*step);
            if carried_out {
                failpoint::reached("during:record");
            }
        }
    })
}

/// The project's logins, and the image that was uploaded, if one was.
pub(super) fn access(run: &Run) -> Result<Access, Failure> {
    let (project, data_dir) = (&run.deployment.project, &run.host.config.data_dir);
    let mut access = run.host.source_credentials(project)?.images(project);
    if let Source::ImageArchive { .. } = run.deployment.source {
        access.layout = Some(source::image::layout_dir(data_dir, &run.deployment.id));
    }
    Ok(access)
}

/// What fetch wrote down of the files, so that they need not be hashed again.
fn digests(run: &Run) -> Option<SourceDigests> {
    let file =
        source::work_dir(&run.host.config.data_dir, &run.deployment.id).join(source::TREE_FILE);
    let tree = source::Tree::read(&file).ok()?;
    Some(tree.entries.into_iter().map(|(path, entry)| (path, (entry.mode, entry.oid))).collect())
}

fn build_variables(run: &Run) -> Vec<BuildVariable> {
    run.variables
        .iter()
        .filter(|variable| variable.scope.in_build())
        .map(|variable| BuildVariable {
            name: variable.name.to_string(),
            value: variable.value.clone(),
            secret: variable.secret,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use windlass_build::Layout;
    use windlass_model::deployment::{Artifact, Kind, StoredPlan};
    use windlass_model::plan::{
        Base, BuildPlan, BuildStep, Copy, Op, Origin, Output, OutputKind, RunConfig,
    };
    use windlass_model::project::Project;
    use windlass_model::settings::Settings;
    use windlass_model::{DeploymentStatus, Digest, EnvironmentName, Limits, Timestamp};

    use super::super::ticket::Ticket;
    use super::super::{Row, runner};
    use super::*;
    use crate::testing::TestHost;

    static BUILD_ALONE: [Row; 1] =
        [Row { step: StepName::Build, work: &Build, deadline_s: |limits| limits.build_s }];

    fn deployment(source: Source) -> Deployment {
        let (project, environment) = ("shop".parse().unwrap(), EnvironmentName::production());
        Deployment::queued(project, environment, 0, Kind::Deploy, source, "test".into())
    }

    /// An image without layers, as `docker save` packs it.
    fn image(dir: &Path) -> Layout {
        std::fs::create_dir_all(dir).unwrap();
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = serde_json::json!({
            "architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
        let manifest = r#"[{"Config":"config.json","Layers":[]}]"#;
        std::fs::write(dir.join("manifest.json"), manifest).unwrap();
        Layout::open(dir).unwrap()
    }

    /// One step, which copies a file that is not there.
    fn failing_plan(base: String) -> BuildPlan {
        let copy = Copy {
            origin: Origin::Source,
            sources: vec!["no-such-file".into()],
            exclude: vec![],
            dest: "/".into(),
            chown: None,
            chmod: None,
            parents: false,
        };
        let step = BuildStep {
            id: "app".into(),
            name: "app".into(),
            base: Base::Image(base),
            env: vec![],
            cwd: "/".into(),
            user: String::new(),
            ops: vec![Op::Copy(copy)],
        };
        let artifact = OutputKind::Image { step: "app".into(), config: RunConfig::default() };
        let outputs = vec![Output { name: "app".into(), artifact }];
        BuildPlan { steps: vec![step], outputs, ..BuildPlan::default() }
    }

    #[tokio::test]
    async fn a_build_that_fails_keeps_its_bases_and_names_the_one_that_changed() {
        let world = TestHost::with(Limits::default(), &BUILD_ALONE).await;
        let host = world.host.clone();
        let project = Project::new("shop".parse().unwrap());
        host.store.create_project(&project).await.unwrap();
        let source = Source::ImageArchive { digest: Digest::of(b"image"), name: "image".into() };
        let good = host.store.create_deployment(deployment(source.clone())).await.unwrap();
        let next = host.store.create_deployment(deployment(source)).await.unwrap();
        let data_dir = &host.config.data_dir;
        let image = image(&source::image::layout_dir(data_dir, &next.value.id));
        std::fs::create_dir_all(host.source_dir(&next.value.id)).unwrap();

        let (mut one, old) = (good.value, Digest::of(b"what the name meant before"));
        one.status = DeploymentStatus::Retired;
        one.live_at = Some(Timestamp::now());
        one.outputs.artifact = Some(Artifact {
            digest: Digest::of(b"artifact"),
            outputs: vec![],
            processes: vec![],
            bases: vec![(image.reference(), old.clone())],
            toolchains: vec![],
            plan: Digest::of(b"plan"),
        });
        host.save_deployment(&one, good.revision).await.unwrap();

        let stored = StoredPlan { plugin: "test".into(), plan: failing_plan(image.reference()) };
        let plan = Digest::of_json(&stored.plan);
        host.store.put_plan(&plan, &stored).await.unwrap();
        let mut failing = next.value;
        for step in failing.steps.iter_mut().filter(|step| step.name < StepName::Build) {
            step.status = StepStatus::Succeeded;
        }
        failing.outputs.plan = Some(plan);
        failing.outputs.settings = Some(Settings::default());
        let id = failing.id.clone();
        let revision = host.save_deployment(&failing, next.revision).await.unwrap();
        Box::pin(runner::run(host.clone(), failing, revision, Ticket::new())).await;

        let failed = host.deployment(&id).unwrap().unwrap().0;
        let failure = failed.failure.unwrap();
        assert_eq!(
            (failed.status, failure.step),
            (DeploymentStatus::Failed, Some(StepName::Build))
        );
        let new = image.image().digest.clone();
        assert_eq!(failed.outputs.bases, [(image.reference(), new.clone())], "{failure:?}");
        let changes = failed.changes.unwrap();
        assert_eq!(changes.bases.len(), 1, "{changes:?}");
        let base = &changes.bases[0];
        assert_eq!(base.name, image.reference());
        assert_eq!((&base.from, &base.to), (&Some(old.to_string()), &Some(new.to_string())));
    }
}
