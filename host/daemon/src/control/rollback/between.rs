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
}
