//! The runs of one schedule, oldest first, and the rules by which they follow each other.
//!
//! **Invariants.** At most one run of a schedule runs and at most one waits. A run that was begun is never begun
//! again. The history is bounded.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{CronRun, Due, RunStatus, Times};
use crate::cron::Overlap;
use crate::failure::Failure;
use crate::id::{DeploymentId, EnvironmentName, ProjectName};

/// A clock that is put back by more was wrong before: by less, nothing is run a second time.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24);

/// What is kept of a schedule of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CronHistory {
    /// The project.
    pub project: ProjectName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The schedule's name.
    pub schedule: String,
    /// Every time up to then was decided upon.
    #[serde(default)]
    pub decided_until: Option<Timestamp>,
    /// Number of the newest run.
    #[serde(default)]
    pub last_number: u64,
    /// Runs that were started.
    #[serde(default)]
    pub started: u64,
    /// Those of them that failed, took too long or were lost.
    #[serde(default)]
    pub failed: u64,
    /// The newest runs, oldest first.
    #[serde(default)]
    pub runs: Vec<CronRun>,
}

/// Who wants a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Its time has come.
    Time(Timestamp),
    /// A person.
    Person(String),
}

impl CronHistory {
    /// Of a schedule that was never due.
    pub fn new(project: ProjectName, environment: EnvironmentName, schedule: String) -> Self {
        Self {
            project,
            environment,
            schedule,
            decided_until: None,
            last_number: 0,
            started: 0,
            failed: 0,
            runs: Vec::new(),
        }
    }

    /// The run of this number, as long as it is kept.
    pub fn run(&self, number: u64) -> Option<&CronRun> {
        self.runs.iter().find(|run| run.number == number)
    }

    /// The one that runs.
    pub fn running(&self) -> Option<&CronRun> {
        self.runs.iter().find(|run| run.status == RunStatus::Running)
    }

    /// The one that waits.
    pub fn waiting(&self) -> Option<&CronRun> {
        self.runs.iter().find(|run| run.status == RunStatus::Waiting)
    }

    /// Whether it was decided upon times that are far away, as after a clock that went wrong for a while. Nothing would
    /// be due until then.
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.decided_until.is_some_and(|until| until.duration_since(now) > AHEAD_MAX)
    }

    /// Decides upon everything that has become due of a schedule, none of which is older than `since`; whether there
    /// was anything. See [`Times::due`] for `late_s_max`.
    pub fn decide(
        &mut self,
        (times, overlap): (&Times, Overlap),
        since: Timestamp,
        late_s_max: u64,
        now: Timestamp,
    ) -> bool {
        let from = self.decided_until.map_or(since, |until| until.max(since));
        match times.due(from, now, late_s_max) {
            Due::No => return false,
            Due::Run(due) => {
                self.ask(Asked::Time(due), overlap, now);
            }
            Due::Missed(due) => {
                self.miss(due, now);
            }
        }
        self.decided_until = Some(now);
        true
    }

    /// Adds a run that is wanted now. It waits, even if only for a moment, or is left out because of another one;
    /// with [`Overlap::Replace`] the one that runs is asked to end. Returns its number.
    pub fn ask(&mut self, asked: Asked, overlap: Overlap, now: Timestamp) -> u64 {
        let in_the_way = match (self.waiting(), self.running()) {
            (Some(waiting), _) => Some(format!("#{} waits already", waiting.number)),
            (None, Some(running)) if overlap == Overlap::Skip => {
                Some(format!("#{} was still running", running.number))
            }
            _ => None,
        };
        let number = self.add(asked, RunStatus::Waiting, now);
        match in_the_way {
            Some(why) => self.end(number, RunStatus::Skipped, None, now, &why),
            None if overlap == Overlap::Replace => {
                self.end_for(&format!("#{number} took its place"));
            }
            None => {}
        }
        number
    }

    /// The run that runs, if one does, is asked to end. Returns its number.
    pub fn end_for(&mut self, why: &str) -> Option<u64> {
        let running = self.runs.iter_mut().find(|run| run.status == RunStatus::Running)?;
        if !running.ending {
            running.ending = true;
            why.clone_into(&mut running.summary);
        }
        Some(running.number)
    }

    /// Whatever was due up to now is not run any more; what waits is left out, for this reason. Returns its number.
    pub fn forgo(&mut self, now: Timestamp, why: &str) -> Option<u64> {
        self.decided_until = Some(now);
        let waiting = self.waiting().map(|run| run.number);
        if let Some(number) = waiting {
            self.end(number, RunStatus::Skipped, None, now, why);
        }
        waiting
    }

    /// Notes a time that went by while the host did not run.
    pub fn miss(&mut self, due: Timestamp, now: Timestamp) -> u64 {
        let number = self.add(Asked::Time(due), RunStatus::Missed, now);
        let why = "the host did not run then, and it is too long ago";
        self.end(number, RunStatus::Missed, None, now, why);
        number
    }

    fn add(&mut self, asked: Asked, status: RunStatus, now: Timestamp) -> u64 {
        self.last_number += 1;
        let (due_at, actor) = match asked {
            Asked::Time(due) => (Some(due), None),
            Asked::Person(actor) => (None, Some(actor)),
        };
        self.runs.push(CronRun { due_at, actor, ..unbegun(self.last_number, status, now) });
        self.last_number
    }

    /// The run that waits begins, in a container of this deployment (its id and number). `None` where none waits or
    /// another one runs.
    pub fn begin(
        &mut self,
        deployment: (DeploymentId, u64),
        timeout_ms: u64,
        now: Timestamp,
    ) -> Option<CronRun> {
        if self.running().is_some() {
            return None;
        }
        let number = self.waiting()?.number;
        self.set_off(number, deployment, timeout_ms, now)
    }

    /// Whether a run of this number was begun, as far as this history knows: one from before then does not.
    pub fn has_begun(&self, number: u64) -> bool {
        let known = self.run(number);
        known.map_or(number <= self.last_number, |run| run.started_at.is_some())
    }

    /// A run that is seen to go on is taken up, of which this history, from before then, does not know that it was
    /// begun. Its time counts from now. `None` where it was begun, or another one runs.
    pub fn take_up(
        &mut self,
        number: u64,
        deployment: (DeploymentId, u64),
        timeout_ms: u64,
        now: Timestamp,
    ) -> Option<CronRun> {
        if self.running().is_some() || self.has_begun(number) {
            return None;
        }
        if number > self.last_number {
            self.last_number = number;
            self.runs.push(unbegun(number, RunStatus::Waiting, now));
        }
        self.set_off(number, deployment, timeout_ms, now)
    }

    fn set_off(
        &mut self,
        number: u64,
        deployment: (DeploymentId, u64),
        timeout_ms: u64,
        now: Timestamp,
    ) -> Option<CronRun> {
        let run = self.runs.iter_mut().find(|run| run.number == number)?;
        run.status = RunStatus::Running;
        run.started_at = Some(now);
        run.ended_at = None;
        run.summary.clear();
        run.log = Some(format!("cron.{}.{number}", self.schedule));
        (run.deployment, run.deployment_number) = (Some(deployment.0), Some(deployment.1));
        run.timeout_ms = timeout_ms;
        self.started += 1;
        Some(run.clone())
    }

    /// A run has ended with this exit status.
    pub fn exited(&mut self, number: u64, exit_code: u32) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.number == number) {
            run.exit_code = Some(exit_code);
        }
    }

    /// A run is over, or is left out; an empty `summary` leaves what there is. One that was over before stays as
    /// it is.
    pub fn end(
        &mut self,
        number: u64,
        status: RunStatus,
        failure: Option<Failure>,
        now: Timestamp,
        summary: &str,
    ) {
        let open = |run: &&mut CronRun| run.number == number && run.ended_at.is_none();
        let Some(run) = self.runs.iter_mut().find(open) else { return };
        run.status = status;
        run.ended_at = Some(now);
        run.ending = false;
        run.failure = failure;
        if !summary.is_empty() {
            summary.clone_into(&mut run.summary);
        }
        if run.started_at.is_some() && status.is_failure() {
            self.failed += 1;
        }
    }

    /// Forgets the oldest runs that are over, beyond so many; they are returned, for their logs.
    pub fn forget_beyond(&mut self, kept_max: usize) -> Vec<CronRun> {
        let mut surplus = self.runs.len().saturating_sub(kept_max.max(1));
        let goes = |run: &mut CronRun| {
            let goes = surplus > 0 && run.status.is_over();
            surplus -= usize::from(goes);
            goes
        };
        self.runs.extract_if(.., goes).collect()
    }
}

/// A run of which nothing is known but that it was decided upon.
fn unbegun(number: u64, status: RunStatus, now: Timestamp) -> CronRun {
    CronRun {
        number,
        status,
        due_at: None,
        actor: None,
        asked_at: now,
        started_at: None,
        ended_at: None,
        exit_code: None,
        deployment: None,
        deployment_number: None,
        log: None,
        timeout_ms: 0,
        ending: false,
        summary: String::new(),
        failure: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> CronHistory {
        let environment = EnvironmentName::production();
        CronHistory::new("shop".parse().unwrap(), environment, "clean-up".to_owned())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ask(history: &mut CronHistory, overlap: Overlap, second: i64) -> RunStatus {
        let number = history.ask(Asked::Time(at(second)), overlap, at(second));
        history.run(number).unwrap().status
    }

    fn begin(history: &mut CronHistory, second: i64) -> Option<u64> {
        let deployment = (DeploymentId::generate(), 7);
        history.begin(deployment, 1000, at(second)).map(|run| run.number)
    }

    #[test]
    fn a_run_is_asked_for_begun_once_and_ended() {
        let mut history = history();
        assert_eq!(ask(&mut history, Overlap::Skip, 60), RunStatus::Waiting);
        assert_eq!(begin(&mut history, 60), Some(1));
        assert_eq!(begin(&mut history, 60), None, "what was begun is not begun again");
        let log = history.run(1).unwrap().log.clone();
        assert_eq!(log.as_deref(), Some("cron.clean-up.1"));
        history.exited(1, 3);
        history.end(1, RunStatus::Failed, None, at(70), "");
        history.end(1, RunStatus::Succeeded, None, at(80), "");
        let run = history.run(1).unwrap();
        let how = (run.status, run.ended_at, run.exit_code);
        assert_eq!(how, (RunStatus::Failed, Some(at(70)), Some(3)));
        assert_eq!((history.started, history.failed), (1, 1));
    }

    #[test]
    fn what_comes_while_one_runs_is_left_out_waits_or_takes_its_place() {
        let mut skip = history();
        ask(&mut skip, Overlap::Skip, 60);
        begin(&mut skip, 60);
        assert_eq!(ask(&mut skip, Overlap::Skip, 120), RunStatus::Skipped);
        assert_eq!(skip.run(2).unwrap().summary, "#1 was still running");
        assert_eq!(skip.failed, 0, "one that was left out has not failed");

        let mut queue = history();
        ask(&mut queue, Overlap::Queue, 60);
        begin(&mut queue, 60);
        assert_eq!(ask(&mut queue, Overlap::Queue, 120), RunStatus::Waiting);
        assert_eq!(ask(&mut queue, Overlap::Queue, 180), RunStatus::Skipped);
        assert_eq!(begin(&mut queue, 180), None, "it waits for the end of the first");
        queue.end(1, RunStatus::Succeeded, None, at(200), "");
        assert_eq!(begin(&mut queue, 200), Some(2));

        let mut replace = history();
        ask(&mut replace, Overlap::Replace, 60);
        begin(&mut replace, 60);
        assert_eq!(ask(&mut replace, Overlap::Replace, 120), RunStatus::Waiting);
        assert!(replace.running().unwrap().ending);
        replace.end(1, RunStatus::Ended, None, at(121), "");
        assert_eq!(replace.run(1).unwrap().summary, "#2 took its place");
        assert_eq!((begin(&mut replace, 121), replace.failed), (Some(2), 0));
    }

    #[test]
    fn each_time_is_decided_upon_once_whatever_happens_to_the_clock() {
        let times = Times::read("* * * * *", None).unwrap();
        let mut history = history();
        let mut decide = |since: i64, now: i64| {
            let before = history.last_number;
            history.decide((&times, Overlap::Queue), at(since), 600, at(now));
            history.last_number - before
        };
        assert_eq!(decide(30, 59), 0, "nothing is due yet");
        assert_eq!(decide(30, 60), 1);
        assert_eq!(decide(30, 61), 0, "and not once more");
        assert_eq!(decide(30, 50), 0, "nor after the clock was put back");
        assert_eq!(decide(30, 60), 0);
        assert_eq!(decide(30, 300), 1, "what was missed is one run");
        assert_eq!(decide(290, 310), 0, "a version counts from its going live");
        assert_eq!(decide(355, 361), 1);
        let late = history.runs.iter().find(|run| run.due_at == Some(at(300)));
        assert_eq!(late.map(|run| run.asked_at), Some(at(300)));
        let mut old = CronHistory { runs: Vec::new(), ..history };
        assert!(old.decide((&times, Overlap::Skip), at(0), 10, at(10_019)));
        assert_eq!(old.runs[0].status, RunStatus::Missed);
        assert!(!old.decide((&times, Overlap::Skip), at(0), 10, at(10_019)));
    }

    #[test]
    fn what_was_decided_by_a_wrong_clock_is_known() {
        let mut history = history();
        assert!(!history.is_ahead(at(0)));
        history.decided_until = Some(at(24 * 3600));
        assert!(!history.is_ahead(at(0)), "it may have been put back");
        history.decided_until = Some(at(24 * 3600 + 1));
        assert!(history.is_ahead(at(0)));
    }

    #[test]
    fn what_is_forgone_does_not_wait_and_is_not_due_later() {
        let times = Times::read("* * * * *", None).unwrap();
        let mut history = history();
        ask(&mut history, Overlap::Queue, 60);
        begin(&mut history, 60);
        ask(&mut history, Overlap::Queue, 120);
        assert_eq!(history.forgo(at(150), "it was stopped"), Some(2));
        let left_out = history.run(2).unwrap();
        assert_eq!(
            (left_out.status, left_out.summary.as_str()),
            (RunStatus::Skipped, "it was stopped")
        );
        assert!(history.running().is_some(), "what runs goes on");
        assert!(!history.decide((&times, Overlap::Queue), at(0), 600, at(179)));
        assert!(history.decide((&times, Overlap::Queue), at(0), 600, at(180)));
    }

    #[test]
    fn a_run_that_an_older_history_has_not_begun_is_taken_up_once() {
        let mut history = history();
        let take_up = |history: &mut CronHistory, number| {
            let taken = history.take_up(number, (DeploymentId::generate(), 7), 1000, at(200));
            taken.map(|run| (run.number, run.log.unwrap()))
        };
        ask(&mut history, Overlap::Queue, 60);
        begin(&mut history, 60);
        ask(&mut history, Overlap::Queue, 120);
        history.forgo(at(150), "the state is from a backup");
        assert_eq!(take_up(&mut history, 1), None, "it was begun");
        assert_eq!(take_up(&mut history, 2), None, "the first one runs");
        history.end(1, RunStatus::Lost, None, at(200), "");
        assert_eq!(take_up(&mut history, 2), Some((2, "cron.clean-up.2".to_owned())));
        let taken = history.run(2).unwrap();
        assert_eq!((taken.due_at, taken.ended_at), (Some(at(120)), None));
        assert_eq!(taken.summary, "");
        history.end(2, RunStatus::Succeeded, None, at(210), "");
        assert_eq!(take_up(&mut history, 2), None);
        assert_eq!(take_up(&mut history, 9).map(|taken| taken.0), Some(9));
        let numbers: Vec<u64> = history.runs.iter().map(|run| run.number).collect();
        assert_eq!((numbers, history.started), (vec![1, 2, 9], 3));
        history.end(9, RunStatus::Ended, None, at(220), "");
        assert_eq!(take_up(&mut history, 5), None, "what is forgotten by now was known");
        assert_eq!(ask(&mut history, Overlap::Queue, 240), RunStatus::Waiting);
        assert_eq!(begin(&mut history, 240), Some(10));
    }

    #[test]
    fn a_missed_time_is_noted_and_is_no_start() {
        let mut history = history();
        let number = history.miss(at(60), at(9000));
        let run = history.run(number).unwrap();
        assert_eq!((run.status, run.due_at), (RunStatus::Missed, Some(at(60))));
        assert_eq!((history.started, history.failed), (0, 0));
    }

    #[test]
    fn the_oldest_are_forgotten_and_none_that_goes_on() {
        let mut history = history();
        ask(&mut history, Overlap::Skip, 0);
        begin(&mut history, 0);
        for second in 1..=5 {
            ask(&mut history, Overlap::Skip, second);
        }
        let gone: Vec<u64> = history.forget_beyond(3).iter().map(|run| run.number).collect();
        assert_eq!(gone, [2, 3, 4]);
        let kept: Vec<u64> = history.runs.iter().map(|run| run.number).collect();
        assert_eq!(kept, [1, 5, 6], "the first one still runs");
        let stored = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<CronHistory>(&stored).unwrap(), history);
    }
}
