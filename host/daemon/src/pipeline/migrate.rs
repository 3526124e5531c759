//! migrate: run the migration once, in the output that it names, under a lock.
//!
//! Undo: none. It stops here, and the old version stays; only the container is removed.
//!
//! After a crash the container is adopted by name: running → wait; exited → its status; recorded as
//! started but missing → `migrate.outcome-unknown`. **It is never run twice.**

use async_trait::async_trait;
use windlass_containers::runtime::TaskStatus;
use windlass_model::deployment::MigrationRecord;
use windlass_model::plan::{Migration, MigrationVerdict};
use windlass_model::{Deployment, Failure, LogLine, StepName};

use super::runtime_env::{self, Command};
use super::{Done, Run, Work, names};
use crate::failpoint;

pub(crate) struct Migrate;

#[async_trait]
impl Work for Migrate {
    fn skip(&self, deployment: &Deployment) -> Option<&'static str> {
        deployment.kind.goes_back().then_some("a rollback never runs migrations again")
    }

    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        if let Some(record) = run.deployment.outputs.migration.clone() {
            return adopt(run, record).await;
        }
        let Some(migration) = decide(run).await? else {
            return Ok(Done::skipped("nothing to migrate"));
        };
        if let MigrationVerdict::Leave(reason) = &migration.verdict {
            run.log.say(format!("{} is left alone: {reason}", migration.tool));
            return Ok(Done::skipped(format!("{}: {reason}", migration.tool)));
        }
        let record = MigrationRecord {
            migration,
            container: names::migration(&run.deployment.id),
            exit_code: None,
        };
        let _lock = run.host.environment_lock(&run.deployment, "migrate").await;
        // Recorded before it is created: what is recorded and missing is never run again.
        run.deployment.outputs.migration = Some(record.clone());
        run.save().await?;
        failpoint::reached("recorded:migrate");
        start(run, &record).await?;
        failpoint::reached("during:migrate");
        finish(run, record).await
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        let Some(record) = run.deployment.outputs.migration.clone() else {
            return Ok(());
        };
        // A state that cannot be read may be "running": better said once too often.
        let status = run.host.runtime.status(&record.container).await;
        let cut = !matches!(status, Ok(Some(TaskStatus::Exited(_)) | None));
        if cut {
            run.warn(
                "migrate.cut",
                format!(
                    "the migration ({}) was still running and was cut off: check what it did to the \
                     database before the next deployment",
                    record.migration.tool
                ),
            );
            // Stored before it is cut: after a crash nobody can see any more that it was running.
            run.save().await?;
        }
        failpoint::reached("within-undo:migrate");
        run.host
            .runtime
            .delete(&record.container)
            .await
            .map_err(|e| e.failure("a container could not be deleted"))
    }
}

/// Asks the migrators; the one migration that is to be run, or the reason why none is.
async fn decide(run: &mut Run) -> Result<Option<Migration>, Failure> {
    let mut found = super::plan::migrations(run).await?;
    let mut to_run: Vec<usize> = Vec::new();
    for (n, migration) in found.iter().enumerate() {
        if migration.verdict == MigrationVerdict::Run {
            to_run.push(n);
        }
    }
    if to_run.len() > 1 {
        let tools: Vec<&str> = to_run.iter().map(|n| found[*n].tool.as_str()).collect();
        let tools = tools.join(", ");
        run.warn(
            "migrate.several",
            format!(
                "several migration tools were found ({tools}) and none was run: set \
                 `migrate.command` in windlass.toml to the one to run, or to false"
            ),
        );
        return Ok(None);
    }
    let chosen = to_run.first().copied().or(if found.is_empty() { None } else { Some(0) });
    Ok(chosen.map(|n| found.swap_remove(n)))
}

async fn start(run: &mut Run, record: &MigrationRecord) -> Result<(), Failure> {
    let migration = &record.migration;
    run.log.say(format!("running {}: {}", migration.tool, migration.argv.join(" ")));
    let artifact = run.artifact()?.clone();
    let output = artifact.output(&migration.output).ok_or_else(|| {
        Failure::plugin(
            runtime_env::plugin(&run.deployment),
            "migrate.no-such-output",
            format!("the migration wants to run in the output {:?}", migration.output),
            "the build has no output of this name",
            "set `migrate.command` in windlass.toml, or report it to the plugin's author",
        )
    })?;
    let spec = runtime_env::container(
        run,
        Command {
            id: record.container.clone(),
            log: names::MIGRATION_LOG,
            step: StepName::Migrate,
            output,
            argv: &migration.argv,
            cwd: (!migration.cwd.is_empty()).then_some(migration.cwd.as_str()),
            port: None,
            aliases: Vec::new(),
        },
    )?;
    run.host
        .runtime
        .create_and_start(&spec)
        .await
        .map_err(|e| e.failure("a container could not be started"))?;
    Ok(())
}

/// After a crash: takes up the container that an earlier run of the host started.
async fn adopt(run: &mut Run, record: MigrationRecord) -> Result<Done, Failure> {
    if record.exit_code.is_some() {
        return conclude(run, &record, false).await;
    }
    let status = run
        .host
        .runtime
        .status(&record.container)
        .await
        .map_err(|e| e.failure("the state of a container could not be read"))?;
    match status {
        Some(TaskStatus::Running { .. } | TaskStatus::Exited(_)) => {
            run.log.say("the host was restarted; the migration's container was found again");
            finish(run, record).await
        }
        Some(TaskStatus::Created | TaskStatus::Missing) | None => Err(outcome_unknown(&record)),
    }
}

async fn finish(run: &mut Run, mut record: MigrationRecord) -> Result<Done, Failure> {
    let exit = run
        .host
        .runtime
        .wait(&record.container)
        .await
        .map_err(|e| e.failure("the end of a container could not be waited for"))?;
    record.exit_code = Some(i32::try_from(exit.code).unwrap_or(i32::MAX));
    run.deployment.outputs.migration = Some(record.clone());
    run.save().await?;
    failpoint::reached("exited:migrate");
    conclude(run, &record, exit.oom).await
}

/// The container's end is recorded: takes its output over, removes it, and judges.
async fn conclude(run: &mut Run, record: &MigrationRecord, oom: bool) -> Result<Done, Failure> {
    run.host
        .runtime
        .delete(&record.container)
        .await
        .map_err(|e| e.failure("a container could not be deleted"))?;
    // Its log is shown as the step's: see `logs::place`.
    failpoint::reached("deleted:migrate");
    if record.exit_code == Some(0) {
        return Ok(Done::new(format!("{} ended well", record.migration.tool)));
    }
    let lines = run.host.instance_tail(&run.deployment.id, names::MIGRATION_LOG);
    Err(failed(record, oom, lines))
}

fn failed(record: &MigrationRecord, oom: bool, log: Vec<LogLine>) -> Failure {
    let command = record.migration.argv.join(" ");
    let status = record.exit_code.unwrap_or_default();
    if oom {
        return Failure::app(
            "migrate.out-of-memory",
            format!("the migration `{command}` was killed"),
            "it used more memory than an instance may have",
            "raise `run.memory` in windlass.toml and deploy again",
        )
        .with_log(log);
    }
    Failure::app(
        "migrate.failed",
        format!("the migration `{command}` failed"),
        format!("it ended with status {status}; the running version was not touched"),
        "read its last lines, correct the migration or the database, and deploy again; \
         `windlass logs --step migrate` shows all of them",
    )
    .with_log(log)
}

fn outcome_unknown(record: &MigrationRecord) -> Failure {
    Failure::host(
        "migrate.outcome-unknown",
        format!("it is not known whether the migration with {} ran", record.migration.tool),
        "the host went down while the migration was started, and its container is gone",
        "look into the database: if the migration is complete or had not begun, deploy again; a \
         migration is never run twice by itself",
    )
}
