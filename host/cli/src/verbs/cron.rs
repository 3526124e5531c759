//! `windlass cron`: commands at their times.

use clap::Subcommand;
use jiff::Timestamp;
use windlass_model::schedule::{CronRun, RunStatus, ScheduleView};

use super::environment_path;
use super::logs::Logs;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{ago, between_ms, cut, date, harmless, table, took};
use crate::session::Session;

/// Show the schedules of the live version and their runs, and run one now.
///
/// Schedules are set with [[cron]] in windlass.toml, or registered by stages of plugins. Times are shown in UTC.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass cron list
  windlass cron runs node-cleanup-js
  windlass cron run node-cleanup-js
  windlass cron logs node-cleanup-js              # of the newest run
  windlass cron logs node-cleanup-js 12 -f")]
pub struct Cron {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List the schedules, each with its next and last run.
    List,
    /// List the runs of a schedule that are kept, newest first.
    Runs {
        /// The schedule.
        name: String,
    },
    /// Run the command of a schedule now.
    Run {
        /// The schedule.
        name: String,
    },
    /// Show what a run has written.
    Logs {
        /// The schedule.
        name: String,
        /// Number of the run [default: the newest that was started].
        number: Option<u64>,
        /// Go on with what it writes, until it ends.
        #[arg(long, short)]
        follow: bool,
        /// Only the last lines.
        #[arg(long, short = 'n', value_name = "N")]
        tail: Option<u32>,
    },
}

impl Cron {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        match self.what {
            What::List => {
                let all: Vec<ScheduleView> = client.get(&environment_path(session, &["cron"])?)?;
                if session.json() {
                    session.print_json(&all);
                } else {
                    session.console.out(&listed(&all, Timestamp::now()));
                }
            }
            What::Runs { name } => {
                let runs: Vec<CronRun> = client.get(&runs_path(session, &name)?)?;
                if session.json() {
                    session.print_json(&runs);
                } else {
                    session.console.out(&runs_table(&runs, Timestamp::now()));
                }
            }
            What::Run { name } => {
                let path = environment_path(session, &["cron", &name, "run"])?;
                let run: CronRun = client.post(&path)?;
                if session.json() {
                    session.print_json(&run);
                } else {
                    session.console.line(&format!("#{} of {name} is {}", run.number, run.status));
                    session.console.note(&format!(
                        "windlass cron logs {name} {} -f shows what it writes",
                        run.number
                    ));
                }
            }
            What::Logs { name, number, follow, tail } => {
                let runs: Vec<CronRun> = client.get(&runs_path(session, &name)?)?;
                let (deployment, log) = log_of(&runs, &name, number)?;
                return Logs::of_instance(deployment, log, follow, tail).run(session);
            }
        }
        Ok(Exit::Ok)
    }
}

fn runs_path(session: &Session<'_, '_>, name: &str) -> CliResult<String> {
    environment_path(session, &["cron", name, "runs"])
}

/// The deployment and the log of a run.
fn log_of(runs: &[CronRun], name: &str, number: Option<u64>) -> CliResult<(String, String)> {
    let is_meant = |run: &&CronRun| number.map_or(run.log.is_some(), |n| run.number == n);
    let run = runs.iter().find(is_meant);
    let log = run.and_then(|run| Some((run.deployment.as_ref()?.to_string(), run.log.clone()?)));
    log.ok_or_else(|| {
        let (what, why) = match (run, number) {
            (Some(run), _) => (format!("#{} of {name}", run.number), "it was never started"),
            (None, Some(number)) => (format!("#{number} of {name}"), "no such run is kept"),
            (None, None) => (name.to_owned(), "it was never started"),
        };
        CliError::new(
            Exit::NotFound,
            "cli.no-cron-log",
            format!("there is no log of {what}"),
            why,
            format!(
                "`windlass cron runs {name}` lists its runs, `windlass cron run {name}` starts one"
            ),
        )
    })
}

fn listed(all: &[ScheduleView], now: Timestamp) -> String {
    if all.is_empty() {
        return "no schedules: set [[cron]] in windlass.toml\n".to_owned();
    }
    let row = |view: &ScheduleView| {
        let schedule = &view.schedule;
        let zone = schedule.timezone.as_deref().unwrap_or("UTC");
        let next = match (view.suspended, view.next_at) {
            (Some(why), _) => format!("- ({})", why.as_str()),
            (None, Some(next)) => date(next),
            (None, None) => "-".to_owned(),
        };
        let last = view.last_run.as_ref().map_or("-".to_owned(), |run| {
            format!("#{} {} {}", run.number, run.status, ago(run.asked_at, now))
        });
        vec![
            harmless(&schedule.name),
            harmless(&schedule.cron),
            harmless(zone),
            next,
            last,
            format!("{} / {}", view.runs, view.failures),
            harmless(&view.source.to_string()),
            cut(&harmless(&command(&schedule.argv)), 40),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let heads =
        ["name", "schedule", "zone", "next", "last run", "runs / failed", "from", "command"];
    table(&heads, &rows)
}

/// What a person wrote: the line, where the shell runs one.
fn command(argv: &[String]) -> String {
    match argv {
        [shell, c, line] if shell == "/bin/sh" && c == "-c" => line.clone(),
        words => words.join(" "),
    }
}

fn runs_table(runs: &[CronRun], now: Timestamp) -> String {
    let row = |run: &CronRun| {
        let time = run.started_at.map(|from| took(between_ms(from, run.ended_at.unwrap_or(now))));
        let state = match (run.status, run.exit_code) {
            (RunStatus::Failed, Some(code)) => format!("failed with {code}"),
            (status, _) => status.to_string(),
        };
        let why = run.failure.as_ref().map_or(run.summary.as_str(), |failure| &failure.why);
        vec![
            format!("#{}", run.number),
            state,
            run.due_at.map_or_else(|| "-".to_owned(), date),
            run.started_at.map_or_else(|| "-".to_owned(), |at| ago(at, now)),
            time.unwrap_or_else(|| "-".to_owned()),
            run.deployment_number.map_or_else(|| "-".to_owned(), |number| format!("#{number}")),
            harmless(run.actor.as_deref().unwrap_or("schedule")),
            cut(&harmless(why), 60),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    table(&["run", "state", "due", "started", "took", "deployment", "by", "why"], &rows)
}

#[cfg(test)]
mod tests {
    use windlass_model::cron::{Overlap, Schedule};
    use windlass_model::schedule::{ScheduleSource, Suspended};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn run(number: u64, status: RunStatus) -> CronRun {
        CronRun {
            number,
            status,
            due_at: Some(at(60)),
            actor: None,
            asked_at: at(60),
            started_at: Some(at(61)),
            ended_at: Some(at(75)),
            exit_code: Some(3),
            deployment: Some(windlass_model::DeploymentId::generate()),
            deployment_number: Some(7),
            log: Some(format!("cron.clean-up.{number}")),
            timeout_ms: 1000,
            ending: false,
            summary: String::new(),
            failure: None,
        }
    }

    #[test]
    fn schedules_are_listed_with_their_next_and_last_run() {
        let view = |name: &str, suspended| {
            let line = ["/bin/sh", "-c", "node clean.js"].map(str::to_owned).to_vec();
            ScheduleView {
                schedule: Schedule {
                    name: name.to_owned(),
                    cron: "*/5 * * * *".to_owned(),
                    timezone: None,
                    argv: line,
                    process: None,
                    overlap: Overlap::Skip,
                    timeout_ms: 0,
                },
                source: ScheduleSource::Settings,
                deployment_number: 7,
                next_at: Some(at(300)),
                suspended,
                last_run: Some(run(4, RunStatus::Failed)),
                runs: 4,
                failures: 1,
            }
        };
        let all = [view("clean-up", None), view("other", Some(Suspended::Maintenance))];
        insta::assert_snapshot!(listed(&all, at(180)), @r"
        NAME      SCHEDULE     ZONE  NEXT                     LAST RUN             RUNS / FAILED  FROM      COMMAND
        clean-up  */5 * * * *  UTC   1970-01-01 00:05:00 UTC  #4 failed 2 min ago  4 / 1          [[cron]]  node clean.js
        other     */5 * * * *  UTC   - (maintenance)          #4 failed 2 min ago  4 / 1          [[cron]]  node clean.js
        ");
    }

    #[test]
    fn runs_say_how_and_why_each_ended() {
        let mut skipped = run(5, RunStatus::Skipped);
        skipped.started_at = None;
        skipped.summary = "#4 was still running".to_owned();
        skipped.actor = Some("ann".to_owned());
        insta::assert_snapshot!(runs_table(&[skipped, run(4, RunStatus::Failed)], at(180)), @r"
        RUN  STATE          DUE                      STARTED    TOOK    DEPLOYMENT  BY        WHY
        #5   skipped        1970-01-01 00:01:00 UTC  -          -       #7          ann       #4 was still running
        #4   failed with 3  1970-01-01 00:01:00 UTC  1 min ago  14.0 s  #7          schedule
        ");
    }

    #[test]
    fn the_log_is_that_of_the_newest_run_that_was_started() {
        let mut waiting = run(6, RunStatus::Waiting);
        waiting.log = None;
        let runs = [waiting, run(5, RunStatus::Failed), run(4, RunStatus::Succeeded)];
        assert_eq!(log_of(&runs, "clean-up", None).unwrap().1, "cron.clean-up.5");
        assert_eq!(log_of(&runs, "clean-up", Some(4)).unwrap().1, "cron.clean-up.4");
        for (number, says) in [(Some(6), "never started"), (Some(1), "no such run")] {
            let error = log_of(&runs, "clean-up", number).unwrap_err();
            assert!(format!("{error:?}").contains(says), "{error:?}");
        }
        assert!(log_of(&[], "clean-up", None).is_err());
    }
}
