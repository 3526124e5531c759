//! Commands at their times: runs in containers of the live version, their overlap, limits, history and logs; what a
//! switch, a stop, a killed host and a lost state make of them.

use std::time::Duration;

use windlass_model::api::LogEntry;
use windlass_model::event::Event;
use windlass_model::schedule::{CronRun, RunStatus, ScheduleSource, ScheduleView, Suspended};
use windlass_test_support::{GitRepo, HostOptions, TestHost, wait_for};

use crate::recovery::lose_state;

const PROJECT: &str = "timed";
const IN_PROJECT: [&str; 2] = ["--project", PROJECT];
const SOON: Duration = Duration::from_secs(60);
/// A full minute comes, and its run ends.
const A_MINUTE: Duration = Duration::from_secs(90);
/// A time that does not come while the test runs.
const RARELY: &str = "0 0 29 2 *";

const SERVER: &str =
    "require('http').createServer((q, s) => s.end('v1')).listen(process.env.PORT, '0.0.0.0');\n";
const PACKAGE: &str = r#"{"name":"timed","version":"1.0.0","engines":{"node":"22"},
"scripts":{"start":"node server.js"},"dependencies":{}}"#;

/// One table of `[[cron]]`, with what is further said of it.
fn schedule(name: &str, when: &str, command: &str, more: &str) -> String {
    format!("[[cron]]\nname = '{name}'\nschedule = '{when}'\ncommand = \"{command}\"\n{more}\n")
}

struct World {
    host: TestHost,
    repo: GitRepo,
}

impl World {
    fn open(settings: &str) -> Self {
        let host = TestHost::start_with(HostOptions::default().limit("stop_grace_s", 2));
        host.cli(&["project", "create", PROJECT]).ok();
        host.cli(&["env", "set", "--project", PROJECT, "NOTE=the note"]).ok();
        let files = [("package.json", PACKAGE), ("server.js", SERVER), ("windlass.toml", settings)];
        let repo = GitRepo::of_files(&files);
        host.deploy_git(PROJECT, &repo, &[]).live();
        Self { host, repo }
    }

    fn cron(&self, args: &[&str]) -> windlass_test_support::CliOutput {
        self.host.cli_json(&[&["cron"], args, &IN_PROJECT].concat())
    }

    fn list(&self) -> Vec<ScheduleView> {
        self.cron(&["list"]).ok().json()
    }

    fn names(&self) -> Vec<String> {
        self.list().into_iter().map(|view| view.schedule.name).collect()
    }

    fn runs(&self, name: &str) -> Vec<CronRun> {
        self.cron(&["runs", name]).ok().json()
    }

    fn ask(&self, name: &str) -> u64 {
        self.cron(&["run", name]).ok().json::<CronRun>().number
    }

    /// Deletes the project, and with it what runs.
    fn delete(&self) {
        self.host.cli(&["stop", "--project", PROJECT]).ok();
        wait_for("the project is deleted", SOON, || {
            let deleted = self.host.cli(&["project", "delete", PROJECT, "--yes"]);
            if deleted.code == 0 { Ok(()) } else { Err(deleted.stderr) }
        });
    }

    /// A run that stands like this.
    fn until(&self, name: &str, number: u64, status: RunStatus) -> CronRun {
        let what = format!("{name} #{number} is {status}");
        wait_for(&what, SOON, || {
            let runs = self.runs(name);
            let found = runs.iter().find(|run| run.number == number && run.status == status);
            found.cloned().ok_or_else(|| format!("{runs:#?}"))
        })
    }

    /// What a run has written.
    fn said(&self, name: &str, number: u64) -> Vec<String> {
        let output = self.cron(&["logs", name, &number.to_string()]).ok();
        let lines = output.stdout.lines();
        lines.map(|line| serde_json::from_str::<LogEntry>(line).unwrap().line.text).collect()
    }

    /// A run that goes on and has begun to write.
    fn until_said(&self, name: &str, number: u64, text: &str) {
        self.until(name, number, RunStatus::Running);
        wait_for(&format!("{name} #{number} says {text:?}"), SOON, || {
            let said = self.said(name, number);
            if said.iter().any(|line| line == text) { Ok(()) } else { Err(format!("{said:?}")) }
        });
    }

    fn only_the_instance_is_left(&self) {
        wait_for("only the instance is left", SOON, || {
            let containers = self.host.ctr(&["containers", "list", "-q"]);
            if containers.len() == 1 { Ok(()) } else { Err(format!("{containers:?}")) }
        });
    }

    /// Lines of a file in the instance's volume.
    fn noted(&self) -> Vec<String> {
        let args = ["exec", "--project", PROJECT, "--", "cat", "/data/noted"];
        self.host.cli_with_input(&args, "").ok().stdout.lines().map(str::to_owned).collect()
    }
}

#[test]
fn runs_have_the_live_version_s_image_and_variables_and_their_history_and_logs_are_kept() {
    let settings = [
        schedule("report", RARELY, "echo report $NOTE; pwd; test -f server.js", ""),
        schedule("fails", RARELY, "echo oh no >&2; exit 7", "timezone = 'Europe/Vienna'"),
        schedule("hangs", RARELY, "trap '' TERM; echo begun; sleep 600", "timeout = '2s'"),
        schedule("minute", "* * * * *", "echo $WINDLASS_PROCESS", ""),
        "[[cron]]\nschedule = '@daily'\ncommand = ['no-such-program']\n".to_owned(),
    ];
    let world = World::open(&settings.concat());
    let all = world.list();
    assert_eq!(
        all.iter().map(|view| view.schedule.name.as_str()).collect::<Vec<_>>(),
        ["fails", "hangs", "minute", "no-such-program", "report"]
    );
    assert!(
        all.iter().all(|view| view.next_at.is_some() && view.deployment_number == 1),
        "{all:#?}"
    );

    world.ask("report");
    let done = world.until("report", 1, RunStatus::Succeeded);
    assert_eq!((done.exit_code, done.deployment_number), (Some(0), Some(1)));
    assert!(done.due_at.is_none() && done.actor.is_some(), "{done:#?}");
    assert_eq!(world.said("report", 1)[..2], ["report the note", "/app"]);
    let args = ["logs", "1", "--project", PROJECT, "--process", "cron.report"];
    assert!(world.host.cli(&args).ok().stdout.contains("report the note"));

    world.ask("fails");
    let failed = world.until("fails", 1, RunStatus::Failed);
    assert_eq!((failed.exit_code, failed.failure.unwrap().code.as_str()), (Some(7), "cron.failed"));
    assert_eq!(world.said("fails", 1), ["oh no"]);
    world.ask("hangs");
    let ended = world.until("hangs", 1, RunStatus::TimedOut);
    assert_eq!(ended.failure.unwrap().code, "cron.timed-out");
    world.ask("no-such-program");
    let failed = world.until("no-such-program", 1, RunStatus::Failed);
    assert!(failed.failure.is_some(), "{failed:#?}");

    let events = world.host.cli_json(&["events", "--project", PROJECT]).ok().stdout;
    let events = events.lines().map(|line| serde_json::from_str::<Event>(line).unwrap());
    let kinds: Vec<String> = events.map(|event| event.kind).collect();
    for kind in ["failed", "timed-out"] {
        assert!(kinds.contains(&format!("cron.{kind}")), "{kind}: {kinds:?}");
    }
    wait_for("a full minute has come", A_MINUTE, || {
        let runs = world.runs("minute");
        let is_done = |run: &&CronRun| run.status == RunStatus::Succeeded;
        runs.iter().find(is_done).map(|_| ()).ok_or_else(|| format!("{runs:#?}"))
    });
    let run = world.runs("minute").pop().unwrap();
    assert!(run.actor.is_none() && run.started_at > run.due_at, "{run:#?}");
    assert_eq!(world.said("minute", run.number), ["cron.minute"]);
    let view = world.list().into_iter().find(|view| view.schedule.name == "fails").unwrap();
    assert_eq!((view.runs, view.failures), (1, 1));
    assert_eq!(world.cron(&["run", "none"]).failure().code, "cron.not-found");
    assert_eq!(world.cron(&["logs", "report", "9"]).failure().code, "cli.no-cron-log");
    world.host.cli(&["stop", "--project", PROJECT]).ok();
    wait_for("it is stopped", SOON, || {
        let suspended = world.list().iter().all(|it| it.suspended == Some(Suspended::Stopped));
        let code = world.cron(&["run", "report"]).failure().code;
        if suspended && code == "cron.suspended" { Ok(()) } else { Err(code) }
    });
    world.host.finish();
}

#[test]
fn overlapping_runs_follow_their_policy_and_a_switch_brings_the_schedules_of_its_version() {
    let nap = "echo begun; sleep 600";
    let settings = [
        schedule("skip", RARELY, nap, ""),
        schedule("queue", RARELY, "echo begun; sleep 5", "overlap = 'queue'"),
        schedule("replace", RARELY, nap, "overlap = 'replace'"),
        schedule("goes-on", RARELY, "echo begun; sleep 25; cat server.js", ""),
    ];
    let world = World::open(&settings.concat());
    world.ask("skip");
    world.until_said("skip", 1, "begun");
    assert_eq!(world.cron(&["run", "skip"]).failure().code, "cron.still-running");
    world.ask("replace");
    world.until_said("replace", 1, "begun");
    world.ask("replace");
    let ended = world.until("replace", 1, RunStatus::Ended);
    assert_eq!(ended.summary, "#2 took its place");
    world.until_said("replace", 2, "begun");
    world.ask("queue");
    world.until_said("queue", 1, "begun");
    world.ask("queue");
    assert_eq!(world.cron(&["run", "queue"]).failure().code, "cron.still-running", "one waits");
    let first = world.until("queue", 1, RunStatus::Succeeded);
    let second = world.until("queue", 2, RunStatus::Succeeded);
    assert!(second.started_at >= first.ended_at, "{first:#?} {second:#?}");

    world.ask("goes-on");
    world.until_said("goes-on", 1, "begun");
    world.repo.edit("server.js", "'v1'", "'v2'");
    world.repo.write("windlass.toml", &schedule("new", RARELY, "cat server.js", ""));
    world.repo.commit("v2");
    world.host.deploy_git(PROJECT, &world.repo, &[]).live();
    assert_eq!(world.names(), ["new"]);
    assert_eq!(world.cron(&["run", "skip"]).failure().code, "cron.not-found");
    world.ask("new");
    world.until("new", 1, RunStatus::Succeeded);
    assert!(world.said("new", 1)[0].contains("'v2'"));
    let old = world.until("goes-on", 1, RunStatus::Succeeded);
    assert_eq!(old.deployment_number, Some(1), "it ended by itself, in its own version");
    assert!(world.said("goes-on", 1)[1].contains("'v1'"));
    world.host.cli(&["rollback", "--project", PROJECT]).ok();
    assert_eq!(world.names(), ["goes-on", "queue", "replace", "skip"]);
    // Those of the first version that are still asleep are ended by those that take their place, or with the project.
    world.ask("replace");
    world.until("replace", 2, RunStatus::Ended);
    world.delete();
    world.host.finish();
}

#[test]
fn a_killed_host_runs_nothing_twice_and_leaves_nothing() {
    let volume = "[run]\nvolumes = [{ name = 'notes', path = '/data', shared = true }]\n";
    let job = schedule("job", RARELY, "echo $WINDLASS_INSTANCE >> /data/noted; sleep 5", "");
    let mut world = World::open(&format!("{volume}{job}"));
    for (number, place, status) in [
        // Whether it was made is not known any more: it is said, and not made up for.
        (1, "recorded:cron", RunStatus::Lost),
        // It runs and is waited for again.
        (2, "during:cron", RunStatus::Succeeded),
        // Its end is stored, its container was left.
        (3, "exited:cron", RunStatus::Succeeded),
    ] {
        world.host.stop_serve();
        world.host.set_env(&[("WINDLASS_FAILPOINT", place)]);
        world.host.restart();
        // The host may be killed before it has answered.
        let _ = world.cron(&["run", "job"]);
        world.host.wait_serve_ended(SOON);
        assert_eq!(world.host.take_failpoint_hit().as_deref(), Some(place));
        world.host.set_env(&[]);
        world.host.restart();
        let ended = world.until("job", number, status);
        let code = ended.failure.map(|failure| failure.code);
        assert_eq!(code.as_deref(), (status == RunStatus::Lost).then_some("cron.lost"));
        world.only_the_instance_is_left();
    }
    assert_eq!(world.noted(), ["cron.job.2", "cron.job.3"], "each at most once");

    world.ask("job");
    wait_for("the fourth run has begun", SOON, || match world.noted().len() {
        3 => Ok(()),
        notes => Err(format!("{notes} notes")),
    });
    world.host.kill9_serve();
    world.host.restart();
    assert_eq!(world.until("job", 4, RunStatus::Succeeded).exit_code, Some(0));
    world.only_the_instance_is_left();
    assert_eq!(world.runs("job").len(), 4);
    assert_eq!(world.noted().len(), 3);

    // What runs when its environment is deleted goes with it.
    world.ask("job");
    world.until("job", 5, RunStatus::Running);
    world.delete();
    let containers = world.host.ctr(&["containers", "list", "-q"]);
    assert!(containers.is_empty(), "{containers:?}");
    world.host.finish();
}

#[test]
fn a_run_goes_on_through_the_loss_of_the_state_and_its_end_is_kept() {
    let volume = "[run]\nvolumes = [{ name = 'notes', path = '/data', shared = true }]\n";
    let command = "echo begun; until test -f /data/go; do sleep 1; done; echo done";
    let mut world = World::open(&format!("{volume}{}", schedule("slow", RARELY, command, "")));
    world.ask("slow");
    world.until_said("slow", 1, "begun");
    lose_state(&mut world.host);
    world.host.cli_json(&["recover"]).ok();
    world.host.restart();
    let taken_up = world.until("slow", 1, RunStatus::Running);
    assert_eq!(taken_up.deployment_number, Some(1));
    let go_on = ["exec", "--project", PROJECT, "--", "touch", "/data/go"];
    world.host.cli_with_input(&go_on, "").ok();
    assert_eq!(world.until("slow", 1, RunStatus::Succeeded).exit_code, Some(0));
    assert_eq!(world.said("slow", 1), ["begun", "done"]);
    assert_eq!(world.ask("slow"), 2, "no number is given twice");
    world.until("slow", 2, RunStatus::Succeeded);
    world.only_the_instance_is_left();
    world.delete();
    world.host.finish();
}

#[test]
fn a_crontab_is_registered_by_the_bundled_stage_and_comes_back_with_a_rollback() {
    let world = World::open(&schedule("own", RARELY, "true", ""));
    world.host.cli(&["plugin", "grant", "cron", "all"]).ok();
    let table = "MAILTO=ops@example.com\n0 0 29 2 * echo from the table in $WINDLASS_PROCESS\n@reboot true\n";
    world.repo.write("crontab", table);
    let own = schedule("own", RARELY, "true", "");
    world.repo.write("windlass.toml", &format!("{own}[[stages]]\nplugin = 'cron'\n"));
    world.repo.commit("A crontab");
    let view = world.host.deploy_git(PROJECT, &world.repo, &[]).live().view;
    let [stage] = &view.stages[..] else { panic!("{:#?}", view.stages) };
    assert!(stage.summary.starts_with("1 schedule registered, 1 left out"), "{}", stage.summary);
    let name = "cron.echo-from-the-table-in-windlass-process";
    assert_eq!(world.names(), [name, "own"]);
    let plugin = ScheduleSource::Plugin { plugin: "cron".to_owned() };
    assert_eq!(world.list()[0].source, plugin);
    world.ask(name);
    world.until(name, 1, RunStatus::Succeeded);
    assert_eq!(world.said(name, 1), [format!("from the table in cron.{name}")]);

    world.repo.remove("crontab");
    world.repo.commit("No crontab");
    world.host.deploy_git(PROJECT, &world.repo, &[]).live();
    assert_eq!(world.names(), ["own"]);
    world.host.cli(&["rollback", "--project", PROJECT]).ok();
    assert_eq!(world.names(), [name, "own"], "they are the version's");

    world.repo.write("crontab", "0 25 * * * true\n");
    world.repo.commit("A wrong hour");
    let deployed = world.host.deploy_git(PROJECT, &world.repo, &[]);
    let failure = deployed.failed("cron.schedule-invalid");
    assert!(format!("{failure:?}").contains("line 1 of crontab"), "{failure:#?}");

    // What only the host can know: nobody blames the plugin.
    world.repo.write("crontab", "CRON_TZ=Europe/Viena\n0 3 * * * true\n");
    world.repo.commit("A zone that is none");
    let deployed = world.host.deploy_git(PROJECT, &world.repo, &[]);
    let failure = deployed.failed("cron.unusable");
    let said = format!("{failure:?}");
    assert!(said.contains("the schedule true: ") && said.contains("Europe/Viena"), "{failure:#?}");
    world.host.finish();
}
