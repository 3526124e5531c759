//! The settings in force: `windlass.toml`, and over it what a person set for the environment.

use std::path::Path;

use windlass_model::deployment::Kind;
use windlass_model::settings::{Overrides, Settings};
use windlass_model::{Deployment, DeploymentStatus, EnvironmentName, Failure, ProjectName, Source};

use super::super::{Run, ready};
use crate::host::Host;

/// What was set for the environment.
fn overrides(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
) -> Result<Overrides, Failure> {
    let stored = host.store.environment_settings(project, environment);
    let stored = stored.map_err(|e| e.to_failure())?;
    Ok(stored.map(|found| found.value.overrides).unwrap_or_default())
}

/// A rollback has the environment's present settings, as it has its present variables; what is part of the
/// artifact stays, and with `--with-its-env` all of them.
pub(super) fn again(run: &mut Run) -> Result<(), Failure> {
    let (stopped, kind) =
        (run.deployment.status == DeploymentStatus::Stopped, &run.deployment.kind);
    if stopped || matches!(kind, Kind::Rollback { with_its_env: true, .. }) {
        return Ok(());
    }
    let Some(then) = run.deployment.outputs.settings.clone() else { return Ok(()) };
    let Deployment { project, environment, .. } = &run.deployment;
    let overrides = overrides(&run.host, project, environment)?;
    if !then.is_without_layers() {
        let now = then.with(&overrides)?.for_artifact_of(&then);
        run.deployment.outputs.settings = Some(now);
    } else if !overrides.is_empty() {
        run.warn(
            "preflight.settings-of-then",
            "the settings of the environment are not in force: an older Windlass made this version and \
             did not note which of its settings stand in windlass.toml. A deployment of its commit has \
             them",
        );
    }
    Ok(())
}

/// `windlass.toml` with what was set for the environment, and what can be said of it without the
/// environment.
pub(super) fn read(run: &mut Run) -> Result<Settings, Failure> {
    let source = run.host.source_dir(&run.deployment.id);
    let Deployment { project, environment, .. } = &run.deployment;
    let settings = in_force(&run.host, project, environment, &source)?;
    without_effect(run, &settings);
    if let Some(name) = settings.name.as_ref().filter(|name| **name != run.deployment.project) {
        run.warn(
            "preflight.other-project",
            format!(
                "windlass.toml says that this is the project {name}, and it is deployed as {}",
                run.deployment.project
            ),
        );
    }
    Ok(settings)
}

/// The settings of a source, in an environment.
pub(in crate::pipeline) fn in_force(
    host: &Host,
    project: &ProjectName,
    environment: &EnvironmentName,
    source: &Path,
) -> Result<Settings, Failure> {
    let file = crate::source::read_settings(source, environment)?;
    let settings = file.with(&overrides(host, project, environment)?)?;
    if source.join(&settings.build.app_dir).is_dir() {
        return Ok(settings);
    }
    Err(Failure::app(
        "preflight.app-dir-missing",
        format!("there is no folder {:?} in the source", settings.build.app_dir),
        "`build.app_dir` names it as the application's folder",
        "correct `build.app_dir`, or push the folder",
    ))
}

/// Says which settings an image or finished files cannot heed: nothing of them is built, and of files
/// nothing runs.
fn without_effect(run: &mut Run, settings: &Settings) {
    if ready::chosen(&run.deployment).is_none() {
        return;
    }
    let set = settings.layers.environment.flat();
    let nothing_runs = matches!(run.deployment.source, Source::Static { .. });
    let idle = |key: &&String| {
        ((key.starts_with("run.") || key.as_str() == "cron") && nothing_runs)
            || (key.starts_with("build.") && !key.ends_with(".app_dir"))
    };
    let keys: Vec<&str> = set.keys().filter(idle).map(String::as_str).collect();
    if !keys.is_empty() {
        run.warn(
            "preflight.settings-without-effect",
            format!(
                "nothing is built of an image or of finished files, and of these nothing runs: {} changes \
                 nothing here",
                keys.join(", ")
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;
    use windlass_model::secret::Masker;
    use windlass_model::settings::EnvironmentSettings;
    use windlass_model::{Limits, StepName, Timestamp};

    use super::*;
    use crate::testing::TestHost;

    struct World {
        parts: TestHost,
    }

    impl World {
        async fn new() -> Self {
            let parts = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
            let (project, environment) = names();
            parts.host.store.ensure_project(&project).await.unwrap();
            parts.host.store.ensure_environment(&project, &environment).await.unwrap();
            Self { parts }
        }

        async fn set(&self, document: serde_json::Value) {
            let settings = EnvironmentSettings {
                overrides: Overrides::read(serde_json::from_value(document).unwrap()).unwrap(),
                updated_at: Timestamp::now(),
                updated_by: "test".to_owned(),
                retention_owed: false,
            };
            let (project, environment) = names();
            let store = &self.parts.host.store;
            store.put_environment_settings(&project, &environment, &settings, None).await.unwrap();
        }

        /// A run whose workspace holds this `windlass.toml`, or nothing.
        fn run(&self, source: Source, file: Option<&str>) -> Run {
            let (project, environment) = names();
            let kind = Kind::Deploy;
            let deployment =
                Deployment::queued(project, environment, 1, kind, source, "test".into());
            let host = self.parts.host.clone();
            let dir = host.source_dir(&deployment.id);
            std::fs::create_dir_all(&dir).unwrap();
            if let Some(file) = file {
                std::fs::write(dir.join("windlass.toml"), file).unwrap();
            }
            let log = host.logs.open(&deployment.id, StepName::Preflight, Masker::default());
            Run {
                host,
                deployment,
                revision: 0,
                unsaved: None,
                held: None,
                log: log.unwrap(),
                cancel: CancellationToken::new(),
                variables: Vec::new(),
            }
        }
    }

    fn names() -> (ProjectName, EnvironmentName) {
        ("shop".parse().unwrap(), EnvironmentName::production())
    }

    fn git() -> Source {
        Source::Git { url: "file:///x".into(), reference: None }
    }

    fn image() -> Source {
        Source::Image { reference: "example.com/shop:1".into() }
    }

    fn codes(run: &Run) -> Vec<&str> {
        run.deployment.warnings.iter().map(|warning| warning.code.as_str()).collect()
    }

    #[tokio::test]
    async fn what_is_set_goes_before_the_file_and_is_all_where_there_is_none() {
        let world = World::new().await;
        let file = "[run]\nmemory = '64MiB'\nport = 4000";
        assert_eq!(read(&mut world.run(git(), Some(file))).unwrap().run.port, Some(4000));
        world.set(serde_json::json!({"run": {"memory": "1GiB", "replicas": 2}})).await;
        let run = &mut world.run(git(), Some(file));
        let settings = read(run).unwrap().run;
        assert_eq!((settings.memory_bytes, settings.port), (Some(1 << 30), Some(4000)));
        let run = &mut world.run(image(), None);
        let settings = read(run).unwrap().run;
        assert_eq!((settings.memory_bytes, settings.replicas), (Some(1 << 30), Some(2)));
        assert!(codes(run).is_empty());

        world.set(serde_json::json!({"build": {"output": "dist"}})).await;
        let run = &mut world.run(image(), None);
        read(run).unwrap();
        assert_eq!(codes(run), ["preflight.settings-without-effect"]);
        let run = &mut world.run(git(), None);
        read(run).unwrap();
        assert!(codes(run).is_empty());
        world.set(serde_json::json!({"build": {"app_dir": "nowhere"}})).await;
        let missing = read(&mut world.run(git(), None)).unwrap_err();
        assert_eq!(missing.code, "preflight.app-dir-missing");
    }

    #[tokio::test]
    async fn a_rollback_has_the_settings_of_now_unless_it_is_to_have_those_of_then() {
        let world = World::new().await;
        world.set(serde_json::json!({"run": {"memory": "64MiB", "cpu": 0.5}})).await;
        let then = read(&mut world.run(git(), Some("[run]\nport = 4000"))).unwrap();
        world.set(serde_json::json!({"run": {"memory": "1GiB", "command": "other"}})).await;
        let back = |with_its_env| {
            let mut run = world.run(git(), None);
            let to = windlass_model::DeploymentId::generate();
            run.deployment.kind = Kind::Rollback { to, with_its_env, rebuild: false };
            run.deployment.outputs.settings = Some(then.clone());
            run
        };
        let run = &mut back(false);
        for _again_after_a_crash in 0..2 {
            again(run).unwrap();
            let now = run.deployment.outputs.settings.clone().unwrap().run;
            assert_eq!((now.memory_bytes, now.cpu_millis), (Some(1 << 30), None));
            assert_eq!((now.port, now.command), (Some(4000), None));
        }
        let run = &mut back(true);
        again(run).unwrap();
        assert_eq!(run.deployment.outputs.settings.as_ref(), Some(&then));

        // What an older version stored stays as it was, and that is said.
        let run = &mut back(false);
        let old = Settings { layers: windlass_model::settings::Layers::default(), ..then.clone() };
        run.deployment.outputs.settings = Some(old.clone());
        again(run).unwrap();
        assert_eq!(run.deployment.outputs.settings.as_ref(), Some(&old));
        assert_eq!(codes(run), ["preflight.settings-of-then"]);
    }
}
