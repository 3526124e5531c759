//! `kill -9` of `serve` at every place of the pipeline.
//!
//! The matrix is generated from the step table. Each case deploys the next version on one host, is
//! killed at a failpoint that it proves was hit, starts `serve` again, and must end by the table's
//! rule, while visitors notice nothing and nothing is left behind.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use windlass_model::api::DeploymentView;
use windlass_model::{Deployment, DeploymentStatus, StepName};
use windlass_test_support::host::kill;
use windlass_test_support::load::Running;
use windlass_test_support::{GitRepo, Request, TestHost, http, leaks, sample, until, wait_for};

use crate::shop::{App, PROJECT, Shop, assert_unharmed};

/// How long a case may take from the restart to its end.
pub(crate) const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Within this time after `serve` was spawned a deployment has ended, or somebody works on it again. Ten
/// seconds are promised; a slow machine with other tests on it gets four times as much.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(40);
/// How long a migration lasts that is to be cut off: longer than any test waits.
const CUT_MS: u32 = 900_000;
/// How many cases of the matrix are played unless all are, beside one within each step.
const SAMPLE: usize = 4;

/// How its deployment must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Live,
    Failed(&'static str),
}

#[derive(Debug, Clone)]
struct Case {
    place: String,
    app: App,
    ends: Ends,
    /// How often its migration must have run.
    migrations: usize,
    /// Whether the migration is to be over before the host starts again.
    wait_migrated: bool,
}

impl Case {
    fn live(place: String) -> Self {
        let app = App::Good { migrates_ms: 0 };
        Self { place, app, ends: Ends::Live, migrations: 1, wait_migrated: false }
    }

    fn fails(place: String) -> Self {
        Self { app: App::CrashesAtStart, ends: Ends::Failed("check.exited"), ..Self::live(place) }
    }
}

/// Every place of the table, but for those of a started migration, which have a test of their own.
fn matrix() -> Vec<Case> {
    let places = ["before", "begun", "during", "done", "after"];
    let forward = StepName::ALL
        .into_iter()
        .flat_map(|step| places.map(|place| format!("{place}:{step}")))
        .filter(|place| place != "during:migrate")
        .chain(["after:live", "during:retire"].map(str::to_owned))
        .chain(["during:commit", "during:committed", "during:record"].map(str::to_owned));
    let begun = StepName::ALL.into_iter().take_while(|step| *step != StepName::Switch);
    let back = begun.flat_map(|step| [format!("undoing:{step}"), format!("undone:{step}")]);
    let within = ["before:undo", "within-undo:build", "within-undo:migrate", "within-undo:start"];
    let within = within.map(str::to_owned);
    forward.map(Case::live).chain(within.into_iter().chain(back).map(Case::fails)).collect()
}

/// Places of the undo of a switch: a version that the proxy refuses gets there, and no other. The step behind
/// it, finish, has nothing to undo.
fn refused() -> Vec<String> {
    let switch =
        ["undoing", "within-undo", "undone"].map(|at| format!("{at}:{}", StepName::Switch));
    [vec!["before:undo".to_owned()], switch.to_vec()].concat()
}

/// Those within a step are always played, the others as a sample.
fn played() -> Vec<Case> {
    let (within, others): (Vec<Case>, Vec<Case>) =
        matrix().into_iter().partition(|case| case.place.starts_with("during:"));
    within.into_iter().chain(sample::of(others, SAMPLE)).collect()
}

/// Version 1 is live, and the environment has a service that must answer: the application itself.
pub(crate) fn open() -> Shop {
    with_service(Shop::open())
}

/// The same, on a host that runs.
pub(crate) fn open_on(host: TestHost) -> Shop {
    with_service(Shop::open_on(host))
}

fn with_service(shop: Shop) -> Shop {
    let service = ["service", "add", "web", "--address", "web:3000", "--project", PROJECT];
    shop.host.cli(&service).ok();
    shop
}

impl Shop {
    /// Starts the host anew with this place armed.
    pub(crate) fn arm(&mut self, place: &str) {
        self.host.stop_serve();
        self.host.set_env(&[("WINDLASS_FAILPOINT", place)]);
        self.host.restart();
    }

    /// Asks for a deployment or a rollback. The host may be killed before it can answer.
    pub(crate) fn ask_what_dies(&self, what: &str, body: &serde_json::Value) {
        let path = format!("/v1/projects/{PROJECT}/environments/production/{what}");
        self.post_what_dies(&path, Some(&body.to_string()));
    }

    /// Asks for the end of the last deployment. The host may be killed before it can answer.
    fn cancel_what_dies(&self) {
        let path = format!("/v1/deployments/{}/cancel?project={PROJECT}", self.last);
        self.post_what_dies(&path, None);
    }

    fn post_what_dies(&self, path: &str, body: Option<&str>) {
        let headers = vec![
            ("authorization", format!("Bearer {}", self.host.token())),
            ("content-type", "application/json".to_owned()),
        ];
        let body = body.map(str::as_bytes);
        let request = Request { method: "POST", target: path, host: "localhost", headers, body };
        if let Ok(answer) = http::send(self.host.api_address(), &request) {
            assert_eq!(answer.status, 202, "{}", answer.text());
        }
    }

    /// Waits for the host's death at the armed place, which is proved to be hit.
    pub(crate) fn dies_at(&mut self, place: &str) {
        self.host.wait_serve_ended(ENDS_WITHIN);
        let hit = self.host.take_failpoint_hit();
        assert_eq!(hit.as_deref(), Some(place), "the place that was hit");
        self.host.set_env(&[]);
    }

    /// Starts the host, and asserts that the last deployment has ended or is worked on again in time: the
    /// time that the host takes to start counts too.
    #[expect(clippy::print_stderr, reason = "how long it took is told beside what it may take")]
    pub(crate) fn restart_and_go_on(&mut self) {
        let before = self.host.serve_log().len();
        let spawned = Instant::now();
        self.host.spawn_serve();
        wait_for("the deployment is taken up again", TAKEN_UP_WITHIN, || {
            assert!(self.host.serve_is_alive(), "serve has ended:\n{}", self.host.serve_log());
            let deployment = self.seen_last()?;
            let log = self.host.serve_log();
            let taken_up =
                |line: &str| line.contains("taken up") && line.contains(deployment.id.as_str());
            let goes_on = log.get(before..).unwrap_or_default().lines().any(taken_up);
            match is_over(deployment.status) || goes_on {
                true => Ok(()),
                false => Err(format!("{deployment:#?}")),
            }
        });
        eprintln!("ended or taken up again {} ms after the start", spawned.elapsed().as_millis());
        self.wait_ready();
    }

    /// The last deployment, if the host answers already.
    fn seen_last(&self) -> Result<Deployment, String> {
        let target = format!("/v1/deployments/{}?project={PROJECT}", self.last);
        let mut request = Request::get("localhost", &target);
        request.headers.push(("authorization", format!("Bearer {}", self.host.token())));
        let answer = http::send(self.host.api_address(), &request).map_err(|e| e.to_string())?;
        if answer.status != 200 {
            return Err(answer.text());
        }
        Ok(answer.json::<DeploymentView>().deployment)
    }

    /// Waits until a host that was spawned is ready.
    pub(crate) fn wait_ready(&self) {
        wait_for("the host is ready", ENDS_WITHIN, || {
            let answer = http::send(self.host.api_address(), &Request::get("localhost", "/readyz"));
            let answer = answer.map_err(|e| e.to_string())?;
            if answer.status == 200 { Ok(()) } else { Err(answer.text()) }
        });
    }

    /// Plays a case from its deployment to a settled host.
    #[expect(clippy::print_stderr, reason = "the case that fails must be known")]
    fn play(&mut self, case: &Case) -> Deployment {
        eprintln!("case: {case:?}");
        let load = self.load();
        self.arm(&case.place);
        let text = self.commit(case.app);
        self.ask_what_dies("deployments", &serde_json::json!({ "git_url": self.repo.url() }));
        self.dies_at(&case.place);
        if case.wait_migrated {
            until("the migration ends", ENDS_WITHIN, || self.has_stopped_task());
        }
        self.restart_and_go_on();
        let deployment = self.ended();
        let old = self.text.clone();
        let seen = match case.ends {
            Ends::Live => {
                assert_eq!(deployment.status, DeploymentStatus::Live, "{deployment:#?}");
                self.went_live(&load, &text);
                vec![old.as_str(), text.as_str()]
            }
            Ends::Failed(code) => {
                let failure = deployment.failure.clone().unwrap();
                assert_eq!(deployment.status, DeploymentStatus::Failed, "{failure:#?}");
                assert_eq!(failure.code, code, "{failure:#?}");
                load.wait_more(300);
                vec![old.as_str()]
            }
        };
        assert_unharmed(&load.stop(), &seen);
        assert_eq!(self.migrations_of(&deployment), case.migrations, "runs of the migration");
        self.assert_settled();
        deployment
    }

    /// Rolls back to the version before, is killed on the way, and must end there.
    #[expect(clippy::print_stderr, reason = "the case that fails must be known")]
    fn play_rollback(&mut self, place: &str, text: &str) {
        eprintln!("rollback to {text}, killed at {place}");
        let load = self.load();
        self.arm(place);
        self.last += 1;
        self.ask_what_dies("rollback", &serde_json::json!({}));
        self.dies_at(place);
        self.restart_and_go_on();
        let deployment = self.ended();
        assert_eq!(deployment.status, DeploymentStatus::Live, "{deployment:#?}");
        let old = self.text.clone();
        self.went_live(&load, text);
        assert_unharmed(&load.stop(), &[&old, text]);
        assert_eq!(self.migrations_of(&deployment), 0, "a rollback runs no migration");
        self.assert_settled();
    }

    /// Deploys a site whose files are gone when visitors are to be led there: the proxy refuses it. The host
    /// may be killed at a place of the undo.
    #[expect(clippy::print_stderr, reason = "the case that fails must be known")]
    fn play_refused(&mut self, place: Option<&str>) {
        eprintln!("a refused publication, killed at {place:?}");
        let load = self.load();
        self.arm("before:switch");
        self.last += 1;
        // Its files are like those of no other case: what a case took away is in no cache of the next.
        let site = GitRepo::of_files(&[("index.html", &format!("the site, {}\n", self.last))]);
        self.ask_what_dies("deployments", &serde_json::json!({ "git_url": site.url() }));
        self.dies_at("before:switch");
        let trees = std::fs::read_dir(self.host.data_dir().join("static")).unwrap();
        let trees: Vec<PathBuf> = trees.map(|entry| entry.unwrap().path()).collect();
        assert_eq!(trees.len(), 1, "the site's files: {trees:#?}");
        std::fs::remove_dir_all(&trees[0]).unwrap();
        if let Some(place) = place {
            self.host.set_env(&[("WINDLASS_FAILPOINT", place)]);
            self.host.spawn_serve();
            self.dies_at(place);
        }
        self.restart_and_go_on();
        let deployment = self.ended();
        let failure = deployment.failure.clone().unwrap_or_else(|| panic!("{deployment:#?}"));
        assert_eq!(deployment.status, DeploymentStatus::Failed, "{failure:#?}");
        assert_eq!(failure.code, "switch.proxy-refused", "{failure:#?}");
        assert_eq!(failure.step, Some(StepName::Switch), "{failure:#?}");
        assert!(deployment.outputs.generation.is_none(), "no generation leads to it any more");
        load.wait_more(300);
        assert_unharmed(&load.stop(), &[&self.text]);
        self.assert_settled();
    }

    /// Cancels the next version within its migration, which is told of. The host may be killed at a place of
    /// the undo.
    #[expect(clippy::print_stderr, reason = "the case that fails must be known")]
    fn cut_migration(&mut self, place: Option<&str>) {
        eprintln!("cancelled within its migration, killed at {place:?}");
        let load = self.load();
        self.arm(place.unwrap_or("pause@during:migrate"));
        self.commit(App::Good { migrates_ms: CUT_MS });
        self.ask();
        wait_for("the migration runs", ENDS_WITHIN, || {
            let deployment = self.seen_last()?;
            let path = format!("/v1/deployments/{}/logs?instance=migrate", deployment.id);
            let log = self.host.api("GET", &path, None).text();
            let runs = log.contains(&format!("migrating for {}", deployment.id));
            if runs { Ok(()) } else { Err(format!("{log}\n{deployment:#?}")) }
        });
        if let Some(place) = place {
            self.cancel_what_dies();
            self.dies_at(place);
            self.restart_and_go_on();
        } else {
            self.host.wait_held_at("during:migrate", ENDS_WITHIN);
            self.host.cli(&["cancel", &self.last.to_string(), "--project", PROJECT]).ok();
            let hit = self.host.take_failpoint_hit();
            assert_eq!(hit.as_deref(), Some("during:migrate"));
            self.host.set_env(&[]);
        }
        let cancelled = self.ended();
        assert_eq!(cancelled.status, DeploymentStatus::Cancelled, "{cancelled:#?}");
        assert!(cancelled.failure.is_none() && cancelled.live_at.is_none(), "{cancelled:#?}");
        let told = cancelled.warnings.iter().filter(|warning| warning.code == "migrate.cut");
        assert_eq!(told.count(), 1, "told, and once: {:#?}", cancelled.warnings);
        let shown = self.host.cli(&["show", &self.last.to_string(), "--project", PROJECT]).stdout;
        assert!(shown.contains("(migrate.cut)"), "{shown}");
        assert_eq!(self.migrations_of(&cancelled), 1, "it is not run again");
        load.wait_more(300);
        assert_unharmed(&load.stop(), &[&self.text]);
        self.assert_settled();
    }

    fn has_stopped_task(&self) -> bool {
        self.host.ctr_lines(&["tasks", "list"]).iter().any(|line| line.ends_with("STOPPED"))
    }

    /// The new version is the one that is seen, and the old one is retired.
    pub(crate) fn went_live(&mut self, load: &Running, text: &str) {
        load.wait_body(text);
        load.wait_body(&format!("slow {text}"));
        let what = "the old one is retired";
        self.host.wait_deployment(PROJECT, self.live, what, ENDS_WITHIN, |view| {
            view.deployment.status == DeploymentStatus::Retired
        });
        self.live = self.last;
        text.clone_into(&mut self.text);
    }

    pub(crate) fn ended(&self) -> Deployment {
        let what = "the deployment ends after the crash";
        let view = self.host.wait_deployment(PROJECT, self.last, what, ENDS_WITHIN, |view| {
            is_over(view.deployment.status)
        });
        view.deployment
    }

    /// How often the migration of a deployment ran: each run leaves one line in its container's log.
    pub(crate) fn migrations_of(&self, deployment: &Deployment) -> usize {
        let path = format!("/v1/deployments/{}/logs?instance=migrate", deployment.id);
        let answer = self.host.api("GET", &path, None);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text().matches(&format!("migrating for {}", deployment.id)).count()
    }

    /// Exactly one deployment is live, and nothing is held but what it needs.
    pub(crate) fn assert_settled(&self) {
        let path = format!("/v1/deployments?project={PROJECT}&status=live");
        let live: serde_json::Value = self.host.api("GET", &path, None).json();
        let numbers: Vec<u64> =
            live["items"].as_array().unwrap().iter().filter_map(|d| d["number"].as_u64()).collect();
        assert_eq!(numbers, [self.live], "the live deployments");
        let instances = self.host.show(PROJECT, self.live).deployment.outputs.instances;
        let expected: Vec<String> = instances.into_iter().map(|instance| instance.id).collect();
        assert_eq!(expected.len(), 1);
        wait_for("only the live version's things are left", ENDS_WITHIN, || {
            let left = self.beyond(&expected);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        });
    }

    /// What the host holds beyond these instances.
    fn beyond(&self, instances: &[String]) -> Vec<(&'static str, Vec<String>)> {
        let mut beyond = self.host.holdings();
        beyond.push(("writable snapshots", self.host.writable_snapshots()));
        let work = std::fs::read_dir(self.host.data_dir().join("work")).into_iter().flatten();
        let work = work.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        beyond.push(("workspaces", work.collect()));
        for kept in ["build", "cache/changes"] {
            let dir = std::fs::read_dir(self.host.data_dir().join(kept)).into_iter().flatten();
            let names = dir.flatten().filter_map(|entry| entry.file_name().into_string().ok());
            beyond.push(("scratch files of builds", names.collect()));
        }
        // The control group that all of the host's containers lie in stays.
        let own_group = format!("/windlass-{}", self.host.id());
        for (_, names) in &mut beyond {
            let belongs = |name: &String| instances.iter().any(|id| name.contains(id));
            names.retain(|name| !belongs(name) && !name.ends_with(&own_group));
        }
        beyond.retain(|(_, names)| !names.is_empty());
        beyond
    }
}

fn is_over(status: DeploymentStatus) -> bool {
    use DeploymentStatus as S;
    // Those that were live for a moment count too.
    matches!(
        status,
        S::Live | S::Draining | S::Retired | S::Stopped | S::Failed | S::Cancelled | S::Stuck
    )
}

#[test]
fn a_crash_at_any_place_of_the_table_loses_no_request_and_leaves_nothing() {
    let mut shop = open();
    for case in played() {
        shop.play(&case);
    }
    shop.host.finish();
}

#[test]
fn a_crash_at_any_place_of_a_rollback_ends_at_the_version_before() {
    let mut shop = open();
    shop.deploy_next();
    let skipped = ["fetch", "detect", "plan", "build", "migrate"];
    let steps = StepName::ALL.into_iter().filter(|step| !skipped.contains(&step.as_str()));
    let places = ["before", "begun", "during", "done", "after"];
    let matrix: Vec<String> = steps
        .flat_map(|step| places.map(|place| format!("{place}:{step}")))
        .chain(["after:live".to_owned(), "during:retire".to_owned()])
        .collect();
    let mut versions = ["v1", "v2"].into_iter().cycle();
    for place in sample::of(matrix, SAMPLE - 1) {
        shop.play_rollback(&place, versions.next().unwrap());
    }
    shop.host.finish();
}

#[test]
fn a_migration_is_adopted_after_a_crash_and_never_run_twice() {
    let mut shop = open();
    // Recorded, and killed before its container was made: nobody can know, so it is not run.
    let place = "recorded:migrate".to_owned();
    let ends = Ends::Failed("migrate.outcome-unknown");
    let failed = shop.play(&Case { ends, migrations: 0, ..Case::live(place) });
    let failure = failed.failure.unwrap();
    assert_eq!(failure.step, Some(StepName::Migrate), "{failure:#?}");
    assert!(failure.fix.contains("database"), "{failure:#?}");

    // Running when the host comes back; ended when it comes back.
    for (migrates_ms, wait_migrated) in [(4000, false), (0, true)] {
        let place = "during:migrate".to_owned();
        let app = App::Good { migrates_ms };
        let adopted = shop.play(&Case { app, wait_migrated, ..Case::live(place) });
        let path = format!("/v1/deployments/{}/logs?step=migrate", adopted.id);
        let log = shop.host.api("GET", &path, None).text();
        assert!(log.contains("the migration's container was found again"), "{log}");
    }
    shop.host.finish();
}

#[test]
fn a_publication_that_the_proxy_refuses_is_taken_back_and_a_crash_in_that_harms_nobody() {
    let mut shop = open();
    shop.play_refused(None);
    for place in sample::of(refused(), 1) {
        shop.play_refused(Some(&place));
    }
    shop.deploy_next();
    shop.host.finish();
}

#[test]
fn a_migration_that_is_cancelled_is_cut_off_with_a_warning_that_a_crash_does_not_lose() {
    let mut shop = open();
    shop.cut_migration(None);
    // Its container is gone when the host comes back: only what was stored tells of it.
    shop.cut_migration(Some("undone:migrate"));
    if sample::is_full() {
        shop.cut_migration(Some("within-undo:migrate"));
    }
    shop.deploy_next();
    shop.host.finish();
}

#[test]
fn a_build_that_a_crash_left_running_is_killed_and_done_again() {
    let mut shop = Shop::open();
    let load = shop.load();
    // Long enough to be killed in, and told apart from the naps of other tests.
    let nap = format!("sleep 8.{:07}", std::process::id());
    shop.set_build(Some(&nap));
    let text = shop.commit(App::Good { migrates_ms: 0 });
    shop.ask();
    let naps = || -> Vec<u32> {
        let line = |pid: &u32| std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let pids = leaks::pids_naming(&nap);
        pids.into_iter().filter(|pid| line(pid).starts_with(b"sleep")).collect()
    };
    until("the build sleeps", ENDS_WITHIN, || !naps().is_empty());
    let before = naps();
    shop.host.kill9_serve();
    shop.host.restart();
    let again = wait_for("the build sleeps again", ENDS_WITHIN, || {
        let now = naps();
        if now.is_empty() || now == before { Err(format!("{now:?}")) } else { Ok(now) }
    });
    assert!(again.iter().all(|pid| !before.contains(pid)), "{again:?} beside {before:?}");
    let deployment = shop.ended();
    assert_eq!(deployment.status, DeploymentStatus::Live, "{deployment:#?}");
    shop.went_live(&load, &text);
    assert_unharmed(&load.stop(), &["v1", "v2"]);
    shop.assert_settled();
    shop.host.finish();
}

#[test]
fn an_instance_that_ended_while_the_host_was_down_is_not_switched_to() {
    let mut shop = open();
    let old = shop.instances();
    let load = shop.load();
    shop.arm("begun:switch");
    shop.commit(App::Good { migrates_ms: 0 });
    shop.ask_what_dies("deployments", &serde_json::json!({ "git_url": shop.repo.url() }));
    shop.dies_at("begun:switch");
    let tasks = shop.host.ctr_lines(&["tasks", "list"]);
    let new = tasks.iter().find(|line| line.ends_with("RUNNING") && !line.contains(&old[0].0));
    let pid = new.unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    kill(pid, rustix::process::Signal::KILL);
    until("the new instance ends", ENDS_WITHIN, || shop.has_stopped_task());
    shop.host.restart();
    let deployment = shop.ended();
    let failure = deployment.failure.clone().unwrap();
    assert_eq!(deployment.status, DeploymentStatus::Failed, "{failure:#?}");
    assert_eq!(failure.code, "switch.instance-ended", "{failure:#?}");
    load.wait_more(300);
    assert_unharmed(&load.stop(), &["v1"]);
    shop.assert_settled();
    shop.host.finish();
}

#[test]
fn the_matrix_has_every_place_of_every_step() {
    let cases = matrix().into_iter().map(|case| case.place);
    let places: BTreeSet<String> = cases.chain(refused()).collect();
    for step in StepName::ALL {
        let of = |place: &&String| place.ends_with(&format!(":{step}"));
        let expected = match step {
            // It has no undo.
            StepName::Finish => 5,
            StepName::Switch | StepName::Build | StepName::Start => 8,
            // The place within migrate has a test of its own, and its undo has one more.
            _ => 7,
        };
        assert_eq!(places.iter().filter(of).count(), expected, "{step}");
    }
    let within = played().iter().filter(|case| case.place.starts_with("during:")).count();
    assert!(within >= StepName::ALL.len() - 1, "only {within} cases within a step");
}

/// Places within a step that only some applications reach: commands of the deployment in containers of
/// their own, and the strategy `recreate`, under which the new version is started after the old one ended.
#[test]
fn a_crash_within_a_command_of_a_deployment_or_while_it_recreates_ends_by_the_table() {
    let mut shop = open();
    let command = "node --version";
    let settings = format!(
        "[validate]\ncommand = \"{command}\"\n\n[deploy]\nbefore_switch = [\"{command}\"]\n"
    );
    shop.repo.write("windlass.toml", &settings);
    let commands =
        ["during:validate-command", "during:before-switch", "exited:migrate", "deleted:migrate"];
    for place in sample::of(commands.to_vec(), 2) {
        shop.play(&Case::live(place.to_owned()));
    }
    shop.repo.write("windlass.toml", &format!("{settings}strategy = \"recreate\"\n"));
    for place in sample::of(vec!["held:start", "ended:start"], 1) {
        shop.play(&Case::live(place.to_owned()));
    }
    shop.host.finish();
}

/// Within a migration see `a_migration_that_is_cancelled_is_cut_off_with_a_warning_that_a_crash_does_not_lose`.
#[test]
fn a_cancel_within_any_step_before_the_switch_changes_nothing_and_leaves_nothing() {
    let mut shop = open();
    let steps = StepName::ALL.into_iter().take_while(|step| *step != StepName::Switch);
    let steps: Vec<StepName> = steps.filter(|step| *step != StepName::Migrate).collect();
    for step in sample::of(steps, 3) {
        eprintln!("cancelled within {step}");
        let load = shop.load();
        let place = format!("during:{step}");
        shop.arm(&format!("pause@{place}"));
        shop.commit(App::Good { migrates_ms: 0 });
        shop.ask();
        shop.host.wait_held_at(&place, ENDS_WITHIN);
        shop.host.cli(&["cancel", &shop.last.to_string(), "--project", PROJECT]).ok();
        assert_eq!(shop.host.take_failpoint_hit().as_deref(), Some(place.as_str()));
        shop.host.set_env(&[]);
        let cancelled = shop.ended();
        assert_eq!(cancelled.status, DeploymentStatus::Cancelled, "{cancelled:#?}");
        assert!(cancelled.failure.is_none() && cancelled.live_at.is_none(), "{cancelled:#?}");
        load.wait_more(100);
        assert_unharmed(&load.stop(), &[&shop.text]);
        shop.assert_settled();
    }
    shop.deploy_next();
    shop.host.finish();
}
