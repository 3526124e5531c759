//! Logs that nobody can ask for any more: their deployment's record is gone.
//!
//! **Invariant: a folder of logs is only removed when no record has its id.** A record is stored before
//! its deployment logs anything, and an id is never used again.

use windlass_model::{DeploymentId, EnvironmentName, Failure, ProjectName};
use windlass_store::HistoryFilter;

use crate::host::Host;

/// The deployments of a project, or of one of its environments, whose logs go with them: to be asked
/// before their records are deleted. Page by page: a long history is never held as a whole.
pub(crate) async fn of(
    host: &Host,
    project: &ProjectName,
    environment: Option<&EnvironmentName>,
) -> Result<Vec<DeploymentId>, Failure> {
    let (project, environment) = (project.clone(), environment.cloned());
    let mut filter = HistoryFilter { project, environment, before: None, limit: 200 };
    let mut ids = Vec::new();
    loop {
        let page = host.store.deployments(&filter).map_err(|e| e.to_failure())?;
        ids.extend(page.items.into_iter().map(|deployment| deployment.id));
        filter.before = page.next;
        if filter.before.is_none() {
            return Ok(ids);
        }
        tokio::task::yield_now().await;
    }
}

/// Removes all logs without a record, whatever left them.
pub(super) async fn sweep(host: &Host) -> Result<(), Failure> {
    let logs = host.logs.clone();
    let logged = tokio::task::spawn_blocking(move || logs.deployments()).await;
    let logged = logged.map_err(std::io::Error::other).flatten().map_err(|e| {
        Failure::host(
            "prune.logs",
            "logs that are no longer needed could not be looked for",
            e.to_string(),
            "check the permissions of `logs` in the data directory",
        )
    })?;
    let known = host.store.deployment_ids().map_err(|e| e.to_failure())?;
    host.forget_files(logged.into_iter().filter(|id| !known.contains(id)).collect()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::{Kind, Source};
    use windlass_model::project::Project;
    use windlass_model::secret::Masker;
    use windlass_model::{Deployment, DeploymentStatus, Limits, StepName};

    use super::super::sweep_once;
    use super::*;
    use crate::control::{Target, projects};
    use crate::testing::TestHost;

    /// A deployment that failed, and logged.
    async fn failed(host: &Host, environment: &str) -> DeploymentId {
        let (project, environment) = ("shop".parse().unwrap(), environment.parse().unwrap());
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let one =
            Deployment::queued(project, environment, 0, Kind::Deploy, source, "test".to_owned());
        let stored = host.store.create_deployment(one).await.unwrap();
        let mut one = stored.value;
        one.status = DeploymentStatus::Failed;
        host.save_deployment(&one, stored.revision).await.unwrap();
        log(host, &one.id);
        one.id
    }

    fn log(host: &Host, id: &DeploymentId) {
        host.logs.open(id, StepName::Build, Masker::default()).unwrap().say("a line");
        let instance = host.logs.instance_dir(id, "web-0");
        std::fs::create_dir_all(&instance).unwrap();
        std::fs::write(instance.join("log"), "a line").unwrap();
    }

    fn has_logs(host: &Host, id: &DeploymentId) -> bool {
        host.logs.deployment_dir(id).exists()
    }

    async fn shop() -> TestHost {
        let world = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
        let project = Project::new("shop".parse().unwrap());
        world.host.store.create_project(&project).await.unwrap();
        world
    }

    #[tokio::test]
    async fn the_sweep_removes_logs_without_a_record_and_nothing_else() {
        let world = shop().await;
        let host = &world.host;
        let kept = failed(host, "production").await;
        let gone = DeploymentId::generate();
        log(host, &gone);
        let other = host.config.data_dir.join("logs/not-a-deployment");
        std::fs::create_dir(&other).unwrap();
        sweep_once(host).await.unwrap();
        assert!(has_logs(host, &kept) && other.is_dir());
        assert!(!has_logs(host, &gone));
    }

    #[tokio::test]
    async fn logs_go_with_their_environment_and_their_project() {
        let world = shop().await;
        let host = &world.host;
        let mut staging = Vec::new();
        for _ in 0..3 {
            staging.push(failed(host, "staging").await);
        }
        let production = failed(host, "production").await;
        let target =
            Target { project: "shop".parse().unwrap(), environment: "staging".parse().unwrap() };
        projects::delete_environment(host, &target).await.unwrap();
        assert!(staging.iter().all(|id| !has_logs(host, id)));
        assert!(has_logs(host, &production), "it is another environment's");
        projects::delete(host, &target.project).await.unwrap();
        assert!(!has_logs(host, &production));
    }

    #[tokio::test]
    async fn a_refused_deletion_leaves_the_logs() {
        let world = shop().await;
        let host = &world.host;
        let done = failed(host, "production").await;
        let source = Source::Git { url: "file:///x".into(), reference: None };
        let (project, environment): (ProjectName, _) =
            ("shop".parse().unwrap(), EnvironmentName::production());
        let busy =
            Deployment::queued(project.clone(), environment, 0, Kind::Deploy, source, "t".into());
        host.store.create_deployment(busy).await.unwrap();
        let failure = projects::delete(host, &project).await.unwrap_err();
        assert_eq!(failure.code, "project.has-live");
        assert!(has_logs(host, &done));
    }
}
