//! Which migrations lie between the version that is gone back to and the database as it is.

use std::sync::Arc;

use windlass_model::deployment::{MigrationRecord, Warning};
use windlass_model::queue::MigrationBetween;
use windlass_model::{Deployment, Failure};
use windlass_store::HistoryFilter;

use crate::control::{Target, stored};
use crate::host::Host;

/// Records read at once.
const PAGE: usize = 50;

/// The migrations that deployments of the environment behind this number have run or may have run,
/// oldest first.
pub(super) fn since(
    host: &Arc<Host>,
    target: &Target,
    number: u64,
) -> Result<Vec<MigrationBetween>, Failure> {
    let mut filter = HistoryFilter {
        project: target.project.clone(),
        environment: Some(target.environment.clone()),
        before: None,
        limit: PAGE,
    };
    let mut found = Vec::new();
    loop {
        let page = host.store.deployments(&filter).map_err(stored)?;
        let newer = |deployment: &&Deployment| deployment.number > number;
        let reached = page.items.iter().any(|deployment| deployment.number <= number);
        found.extend(page.items.iter().filter(newer).filter_map(ran));
        filter.before = page.next.filter(|_| !reached);
        if filter.before.is_none() {
            found.reverse();
            return Ok(found);
        }
    }
}

fn ran(deployment: &Deployment) -> Option<MigrationBetween> {
    let MigrationRecord { migration, exit_code, .. } = deployment.outputs.migration.as_ref()?;
    Some(MigrationBetween {
        deployment: deployment.id.clone(),
        number: deployment.number,
        tool: migration.tool.clone(),
        command: migration.argv.clone(),
        exit_code: *exit_code,
    })
}

/// Says so, where there are any.
pub(super) fn warn(deployment: &mut Deployment, to: &str) {
    if deployment.migrations_between.is_empty() {
        return;
    }
    let message = format!(
        "{} since {to}, and stay in the database: a rollback never runs or reverts a migration. \
         Check that the version works with the database as it is",
        listed(&deployment.migrations_between)
    );
    let code = "rollback.migrations-between".to_owned();
    deployment.warnings.push(Warning { code, message });
}

/// The same of a commit that no kept deployment has.
pub(super) fn warn_unknown(deployment: &mut Deployment, commit: &str) {
    if deployment.migrations_between.is_empty() {
        return;
    }
    let message = format!(
        "{} in this environment, and which of them are newer than commit {} is not known, because no \
         deployment of it is kept. All stay in the database: check that the version works with it",
        listed(&deployment.migrations_between),
        commit.get(..8).unwrap_or(commit)
    );
    let code = "rollback.migrations-between".to_owned();
    deployment.warnings.push(Warning { code, message });
}

fn listed(between: &[MigrationBetween]) -> String {
    let one = |ran: &MigrationBetween| {
        let how = match ran.exit_code {
            Some(0) => String::new(),
            Some(code) => format!(", which ended with status {code}"),
            None => ", whose outcome is not known".to_owned(),
        };
        format!("{} by #{}{how}", ran.tool, ran.number)
    };
    let ran: Vec<String> = between.iter().map(one).collect();
    format!("migrations were run ({})", ran.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestHost, migrated};

    #[test]
    fn what_was_run_is_told_with_its_outcome() {
        let ran = |number, exit_code| MigrationBetween {
            deployment: windlass_model::DeploymentId::generate(),
            number,
            tool: "acme".into(),
            command: vec!["acme".into()],
            exit_code,
        };
        assert_eq!(
            listed(&[ran(2, Some(0)), ran(3, Some(1)), ran(4, None)]),
            "migrations were run (acme by #2; acme by #3, which ended with status 1; acme by \
             #4, whose outcome is not known)"
        );
    }

    #[tokio::test]
    async fn the_whole_history_since_is_read_and_nothing_of_before() {
        use windlass_model::deployment::Kind;
        use windlass_model::{EnvironmentName, Limits, Source};

        let parts = TestHost::with(Limits::default(), &crate::pipeline::TABLE).await;
        let (host, project) = (&parts.host, "shop".parse().unwrap());
        let target = Target { project, environment: EnvironmentName::production() };
        host.store.ensure_project(&target.project).await.unwrap();
        let newest = 2 * PAGE as u64 + 20;
        let with = [1, 3, PAGE as u64, PAGE as u64 + 1, newest];
        for number in 1..=newest {
            let Target { project, environment } = target.clone();
            let source = Source::Git { url: "file:///x".into(), reference: None };
            let made =
                Deployment::queued(project, environment, 0, Kind::Deploy, source, "test".into());
            let mut made = host.store.create_deployment(made).await.unwrap();
            assert_eq!(made.value.number, number);
            if with.contains(&number) {
                made.value.outputs.migration = Some(migrated());
                host.store.update_deployment(&made.value, made.revision).await.unwrap();
            }
        }
        let since = |number| -> Vec<u64> {
            let found = since(host, &target, number).unwrap();
            found.into_iter().map(|ran| ran.number).collect()
        };
        assert_eq!(since(0), with);
        assert_eq!(since(1), with[1..]);
        assert_eq!(since(2), with[1..]);
        assert_eq!(since(PAGE as u64), with[3..]);
        assert_eq!(since(newest), [0; 0]);
    }
}
