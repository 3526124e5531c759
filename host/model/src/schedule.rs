//! When a schedule is due, and what became of its runs.
//!
//! **Invariant: everything here is a function of what it is given, the moment included.** Who calls it has a
//! clock; the rules are here, so that a test can go through a change of the clocks in a moment.

use std::fmt;
use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cron::Schedule;
use crate::failure::Failure;
use crate::id::DeploymentId;
use crate::spelling::distance;

mod history;
mod named;

pub use history::{Asked, CronHistory};
pub use named::{ScheduleSource, is_name, name_of_command};

/// Words of a command.
const ARGV_MAX: usize = 256;
/// Bytes of all words of a command.
const ARGV_BYTES_MAX: usize = 64 << 10;
/// A moment from which a schedule that never comes is found out, in whichever year it is read.
const LONG_AGO_S: i64 = 1_704_067_200;

/// The fields of an expression.
const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];

/// The rules of time zones, those that this version was built with.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// Why a schedule cannot be used. The message says the rule and is fit for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is no {field}: {why}")]
pub struct InvalidSchedule {
    /// Which part of it: `schedule`, `timezone`, `command`, `name`, ...
    pub field: &'static str,
    /// What was given.
    pub given: String,
    /// The rule that it breaks.
    pub why: String,
    /// What to write instead.
    pub fix: String,
}

/// When a schedule is due: its expression in its time zone.
///
/// Where clocks go forward, a time of day that is left out is due at the first moment after the gap, once; where
/// they go back, one that comes twice is due the first time. An expression with `*` or a step in its minutes or
/// hours goes by what the clock shows: what is left out does not come, and what comes twice is due twice.
#[derive(Debug, Clone)]
pub struct Times {
    cron: croner::Cron,
    zone: TimeZone,
}

/// What is to be done about a schedule at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    No,
    /// It is to run, once, for this time: the last one that is not too long ago.
    Run(Timestamp),
    /// This time, and maybe further ones, went by too long ago.
    Missed(Timestamp),
}

impl Times {
    /// Reads an expression: five fields (minute, hour, day of the month, month, day of the week), or `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`, `@yearly`. Without a time zone it is UTC. Rules of time zones are those
    /// that this version was built with.
    ///
    /// # Errors
    /// What is wrong with the expression or the zone; an expression that never comes is wrong.
    pub fn read(expression: &str, timezone: Option<&str>) -> Result<Self, InvalidSchedule> {
        let zone = match timezone {
            None => TimeZone::UTC,
            Some(name) => {
                let zone = ZONES.get(name);
                zone.map_err(|_| unknown_zone(name))?
            }
        };
        let times = Self { cron: expression_of(expression)?, zone };
        let long_ago = Timestamp::from_second(LONG_AGO_S).unwrap_or(Timestamp::UNIX_EPOCH);
        if times.after(long_ago).is_none() {
            let why = "no day has such a date, so it would never run";
            return Err(invalid_expression(expression, why));
        }
        Ok(times)
    }

    /// The first time after a moment; none in the next thousands of years.
    pub fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let from = moment.to_zoned(self.zone.clone());
        let found = self.cron.find_next_occurrence(&from, false).ok()?;
        Some(found.timestamp())
    }

    /// What is due at `now`, when everything up to `decided_until` was decided. A time that went by more than
    /// `late_s_max` seconds ago is missed; of several that did not, the last one is run.
    pub fn due(&self, decided_until: Timestamp, now: Timestamp, late_s_max: u64) -> Due {
        let late = SignedDuration::from_secs(i64::try_from(late_s_max).unwrap_or(i64::MAX));
        let earliest = now.checked_sub(late).unwrap_or(decided_until);
        // Times are whole seconds: one that is just as late as may be still counts.
        let before = earliest.checked_sub(SignedDuration::from_secs(1)).unwrap_or(earliest);
        let mut last = None;
        let mut from = decided_until.max(before);
        while let Some(next) = self.after(from).filter(|next| *next <= now) {
            last = Some(next);
            from = next;
        }
        match last {
            Some(time) => Due::Run(time),
            None => match self.after(decided_until).filter(|time| *time <= now) {
                Some(time) => Due::Missed(time),
                None => Due::No,
            },
        }
    }
}

fn expression_of(expression: &str) -> Result<croner::Cron, InvalidSchedule> {
    use croner::parser::{CronParser, Seconds, Year};
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|_| {
        let fields: Vec<&str> = expression.split_whitespace().collect();
        let alone = |place: usize| {
            let with = |n| if n == place { fields[n] } else { "*" };
            (0..FIELDS.len()).map(with).collect::<Vec<_>>().join(" ")
        };
        let why = if fields.is_empty() {
            "it is empty".to_owned()
        } else if expression.contains('@') {
            "there is no such word".to_owned()
        } else if fields.len() == FIELDS.len() {
            let wrong = (0..FIELDS.len()).find(|place| parser.parse(&alone(*place)).is_err());
            let place = wrong.unwrap_or_default();
            format!("{:?} is no {}", fields[place], FIELDS[place])
        } else {
            format!("it has {} fields, and not 5", fields.len())
        };
        invalid_expression(expression, &why)
    })
}

fn invalid_expression(given: &str, why: &str) -> InvalidSchedule {
    InvalidSchedule {
        field: "schedule",
        given: given.to_owned(),
        why: why.to_owned(),
        fix: "write minute, hour, day of the month, month and day of the week, as \"0 3 * * *\" for three \
              o'clock every day, or one of @hourly, @daily, @weekly, @monthly and @yearly"
            .to_owned(),
    }
}

fn unknown_zone(given: &str) -> InvalidSchedule {
    let nearest = ZONES
        .available()
        .map(|name| name.as_str().to_owned())
        .min_by_key(|name| (distance(&given.to_lowercase(), &name.to_lowercase()), name.len()));
    InvalidSchedule {
        field: "timezone",
        given: given.to_owned(),
        why: "there is no time zone of this name".to_owned(),
        fix: format!(
            "write a name such as \"Europe/Vienna\"; the nearest is {:?}",
            nearest.unwrap_or_else(|| "UTC".to_owned())
        ),
    }
}

impl Schedule {
    /// Checks all of it, and says when it is due.
    ///
    /// # Errors
    /// The first part that cannot be used.
    pub fn times(&self) -> Result<Times, InvalidSchedule> {
        let wrong = |field, given: &str, why: &str, fix: &str| InvalidSchedule {
            field,
            given: given.to_owned(),
            why: why.to_owned(),
            fix: fix.to_owned(),
        };
        let own = self.name.split_once('.');
        if !own.map_or(is_name(&self.name), |(plugin, name)| is_name(plugin) && is_name(name)) {
            let why = "a name has 1 to 40 lower-case letters, digits and hyphens";
            return Err(wrong("name", &self.name, why, "write one such as \"clean-up\""));
        }
        let bytes: usize = self.argv.iter().map(String::len).sum();
        let is_command = self.argv.first().is_some_and(|program| !program.is_empty())
            && self.argv.len() <= ARGV_MAX
            && bytes <= ARGV_BYTES_MAX
            && !self.argv.iter().any(|word| word.contains('\0'));
        if !is_command {
            let shown: String = self.argv.join(" ").chars().take(80).collect();
            let why = "it is empty, too long, or holds a zero byte";
            return Err(wrong("command", &shown, why, "name a program and its arguments"));
        }
        Times::read(&self.cron, self.timezone.as_deref())
    }
}

/// How a run of a schedule stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunStatus {
    /// Its time has come, and it waits for the end of another one or for a free place.
    Waiting,
    /// It runs.
    Running,
    /// It ended with status 0.
    Succeeded,
    /// It ended with another status, or could not be started.
    Failed,
    /// It was ended, because it took too long.
    TimedOut,
    /// It was ended, because another one took its place or its version had to make way.
    Ended,
    /// It was left out, because of another one.
    Skipped,
    /// Its time went by while the host did not run.
    Missed,
    /// The host, or the machine, went down while it ran, and nobody knows how it ended.
    Lost,
}

impl RunStatus {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Ended => "ended",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
            Self::Lost => "lost",
        }
    }

    /// Whether nothing more happens to it.
    pub const fn is_over(self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }

    /// Whether somebody should look at it.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Lost | Self::Missed)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One run of a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CronRun {
    /// 1, 2, ... within the schedule.
    pub number: u64,
    /// How it stands.
    pub status: RunStatus,
    /// The time that it is for; absent where a person asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// The person who asked for it; absent where its time had come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// When it was decided upon.
    pub asked_at: Timestamp,
    /// When it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended, or was left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Its exit status; 128 + signal when a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
    /// The deployment in whose image it runs; absent where it was never begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// The deployment's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment_number: Option<u64>,
    /// Its log among those of the deployment's instances: `cron.NAME.NUMBER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// How long it may take, in milliseconds.
    #[serde(default)]
    pub timeout_ms: u64,
    /// It was asked to end, so that another one can begin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ending: bool,
    /// One line for people: why it was left out or ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
}

/// Why the schedules of an environment do not run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Suspended {
    /// It is stopped, or being stopped.
    Stopped,
    /// It is in maintenance.
    Maintenance,
    /// A deployment with `strategy = "recreate"` is replacing it.
    Recreating,
    /// It is a preview: its schedules run when a person asks for it, and not by themselves.
    Preview,
}

impl Suspended {
    /// As it is stored and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Maintenance => "maintenance",
            Self::Recreating => "recreating",
            Self::Preview => "preview",
        }
    }
}

/// A schedule of the live version, as `GET …/cron` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ScheduleView {
    /// What runs, and when.
    #[serde(flatten)]
    pub schedule: Schedule,
    /// Who set it.
    pub source: ScheduleSource,
    /// Number of the deployment that is live.
    pub deployment_number: u64,
    /// When it is due next; absent while the environment's schedules are suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
    /// Why none of them runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended: Option<Suspended>,
    /// The newest run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run: Option<CronRun>,
    /// Runs that were started since the environment has it, also those that are forgotten by now.
    pub runs: u64,
    /// Those of them that failed, took too long or were lost.
    pub failures: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cron::Overlap;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn next(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let times = Times::read(expression, Some(zone)).unwrap();
        let mut from = at(from);
        let step = |_| {
            from = times.after(from).unwrap();
            from.to_string()
        };
        (0..count).map(step).collect()
    }

    #[test]
    fn five_fields_and_the_words_are_read() {
        assert_eq!(next("0 3 * * *", "UTC", "2026-01-01T03:00:00Z", 1), ["2026-01-02T03:00:00Z"]);
        assert_eq!(next("@hourly", "UTC", "2026-01-01T03:00:59.9Z", 1), ["2026-01-01T04:00:00Z"]);
        assert_eq!(next("@weekly", "UTC", "2026-01-01T00:00:00Z", 1), ["2026-01-04T00:00:00Z"]);
        // A day of the month or a day of the week, as cron has it.
        assert_eq!(
            next("0 0 13 * FRI", "UTC", "2026-01-08T00:00:00Z", 3),
            ["2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z", "2026-01-16T00:00:00Z"]
        );
        assert_eq!(
            next("*/20 9-10 * * *", "Europe/Vienna", "2026-01-01T08:30:00Z", 3),
            ["2026-01-01T08:40:00Z", "2026-01-01T09:00:00Z", "2026-01-01T09:20:00Z"]
        );
    }

    #[test]
    fn what_cannot_be_read_says_which_part_and_how_to_mend_it() {
        for (expression, zone, field, says) in [
            ("", None, "schedule", "empty"),
            ("* * * *", None, "schedule", "4 fields"),
            ("* * * * * *", None, "schedule", "6 fields"),
            ("0 0 * * * * 2030", None, "schedule", "7 fields"),
            ("61 * * * *", None, "schedule", "\"61\" is no minute"),
            ("0 0 * * FUN", None, "schedule", "\"FUN\" is no day of the week"),
            ("@reboot", None, "schedule", "no such word"),
            ("0 0 30 2 *", None, "schedule", "never"),
            ("0 3 * * *", Some("Europe/Viena"), "timezone", "no time zone"),
            ("0 3 * * *", Some(""), "timezone", "no time zone"),
        ] {
            let wrong = Times::read(expression, zone).unwrap_err();
            assert_eq!(wrong.field, field, "{wrong}");
            assert!(wrong.why.contains(says) && !wrong.fix.is_empty(), "{wrong}: {}", wrong.fix);
        }
        let zone = Times::read("@daily", Some("europe/viena")).unwrap_err();
        assert!(zone.fix.contains("Europe/Vienna"), "{}", zone.fix);
    }

    #[test]
    fn a_time_that_the_clocks_leave_out_comes_once_right_after_the_gap() {
        // Vienna, 2026-03-29: 02:00 is followed by 03:00 (01:00Z).
        assert_eq!(
            next("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        // Every half hour goes on as the clock shows it: 01:30, 03:00.
        assert_eq!(
            next("*/30 * * * *", "Europe/Vienna", "2026-03-29T00:15:00Z", 2),
            ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"]
        );
    }

    #[test]
    fn a_time_that_comes_twice_is_due_the_first_time_alone() {
        // Vienna, 2026-10-25: 03:00 summer time (01:00Z) is 02:00 again.
        assert_eq!(
            next("30 2 * * *", "Europe/Vienna", "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // Every half hour runs through both of them.
        assert_eq!(
            next("*/30 * * * *", "Europe/Vienna", "2026-10-25T00:15:00Z", 3),
            ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"]
        );
    }

    #[test]
    fn what_was_missed_for_a_short_time_runs_once_and_what_is_older_does_not() {
        let times = Times::read("*/10 * * * *", None).unwrap();
        let now = at("2026-01-01T12:05:00Z");
        assert_eq!(times.due(at("2026-01-01T12:00:00Z"), now, 3600), Due::No);
        let last = Due::Run(at("2026-01-01T12:00:00Z"));
        assert_eq!(times.due(at("2026-01-01T11:59:00Z"), now, 3600), last);
        assert_eq!(
            times.due(at("2025-06-01T00:00:00Z"), now, 3600),
            last,
            "five times are one run"
        );
        assert_eq!(times.due(at("2026-01-01T11:59:00Z"), now, 300), last, "just as late as may be");
        let missed = Due::Missed(at("2026-01-01T12:00:00Z"));
        assert_eq!(times.due(at("2026-01-01T11:59:00Z"), now, 299), missed);
        // A clock that was put back runs nothing twice.
        assert_eq!(times.due(at("2026-01-01T13:00:00Z"), now, 3600), Due::No);
        let daily = Times::read("0 3 * * *", None).unwrap();
        let missed = Due::Missed(at("2025-12-30T03:00:00Z"));
        assert_eq!(daily.due(at("2025-12-29T12:00:00Z"), now, 3600), missed);
    }

    #[test]
    fn a_schedule_is_checked_as_a_whole() {
        let schedule = |name: &str, argv: &[&str]| Schedule {
            name: name.to_owned(),
            cron: "@daily".to_owned(),
            timezone: None,
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            process: None,
            overlap: Overlap::Skip,
            timeout_ms: 0,
        };
        schedule("clean-up", &["true"]).times().unwrap();
        schedule("cron.clean-up", &["true", ""]).times().unwrap();
        for (name, argv, field) in [
            ("Clean up", &["true"][..], "name"),
            ("", &["true"], "name"),
            ("a.b.c", &["true"], "name"),
            ("a", &[], "command"),
            ("a", &[""], "command"),
            ("a", &["tr\0ue"], "command"),
        ] {
            assert_eq!(schedule(name, argv).times().unwrap_err().field, field, "{name} {argv:?}");
        }
    }
}
