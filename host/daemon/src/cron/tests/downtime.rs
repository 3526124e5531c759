//! What a host finds that was down, or whose state is from elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use windlass_containers::Runtime as _;
use windlass_model::cron::{Overlap, Schedule};
use windlass_model::running::{By, Maintenance};
use windlass_model::schedule::{Asked, CronHistory, RunStatus};
use windlass_model::{DeploymentId, Timestamp};

use super::{HOUR_S, World, ago, schedule};
use crate::control::cron;
use crate::cron::{Claim, change, recover};
use crate::pipeline::names;

#[tokio::test]
async fn a_restarted_host_waits_for_what_goes_on_and_says_what_is_lost() {
    let names = ["goes-on", "ended", "lost", "unmade", "stored", "in-time"];
    let schedules = names.map(|name| schedule(name, Overlap::Skip)).to_vec();
    let mut world = Box::pin(World::open(schedules.clone())).await;
    world.work.abort();
    let mut containers = Vec::new();
    for schedule in &schedules {
        containers.push(world.left_by_a_killed_host(schedule).await);
    }
    world.parts.runtime.crash(&containers[1], 9);
    world.parts.runtime.lose_task(&containers[2]);
    world.parts.runtime.crash(&containers[5], 0);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.start_again().await;
    for name in ["lost", "unmade"] {
        let lost = world.until(name, 1, RunStatus::Lost).await;
        assert_eq!(lost.failure.unwrap().code, "cron.lost");
    }
    assert_eq!(world.until("ended", 1, RunStatus::Failed).await.exit_code, Some(9));
    world.until("in-time", 1, RunStatus::Succeeded).await;
    assert_eq!(world.run("goes-on", 1).unwrap().status, RunStatus::Running);
    world.parts.runtime.crash(&containers[0], 0);
    world.until("goes-on", 1, RunStatus::Succeeded).await;
    world.until_clean().await;
    for name in names {
        let runs = cron::runs(world.host(), &world.target, name).unwrap();
        assert_eq!(runs.len(), 1, "{name} was not run again");
    }
}

#[tokio::test]
async fn in_a_state_from_a_backup_or_found_again_nothing_is_due_that_may_have_run_since() {
    let often = Schedule { cron: "* * * * *".to_owned(), ..schedule("often", Overlap::Skip) };
    let old = schedule("old", Overlap::Queue);
    let world = Box::pin(World::open(vec![old.clone()])).await;
    world.work.abort();
    let place = world.place();
    let ask = change(world.host(), &place, "old", |history| {
        let before = ago(2 * HOUR_S);
        history.decided_until = Some(before);
        Ok(Some(history.ask(Asked::Time(before), Overlap::Queue, before)))
    });
    ask.await.unwrap().unwrap();
    let before = Timestamp::now();
    recover::forgo(&world.host().store).await.unwrap();
    assert_eq!(world.run("old", 1).unwrap().status, RunStatus::Skipped);
    let live = Box::pin(world.go_live(vec![old, often], HOUR_S)).await;
    recover::begin_anew(&world.host().store, &live).await.unwrap();
    let (project, environment) = world.place();
    let histories = world.host().store.cron_histories(&project, &environment).unwrap();
    let names: Vec<&str> = histories.iter().map(|history| history.schedule.as_str()).collect();
    assert_eq!(names, ["often", "old"]);
    assert!(histories.iter().all(|history| history.decided_until.unwrap() >= before));
    assert_eq!(histories[1].runs.len(), 1, "what the backup tells is kept");
}

/// Another state of a schedule than the one that is stored.
async fn rewrite(world: &World, name: &str, mut edit: impl FnMut(&mut CronHistory) + Send) {
    let place = world.place();
    let rewritten = change(world.host(), &place, name, |history| {
        edit(history);
        Ok(Some(()))
    });
    rewritten.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_run_that_goes_on_is_taken_up_by_a_state_from_before_it_was_begun() {
    let names = ["goes-on", "ended", "second", "left-out", "of-no-version"];
    let schedules = names.map(|name| schedule(name, Overlap::Queue)).to_vec();
    let mut world = Box::pin(World::open(schedules.clone())).await;
    world.work.abort();
    let mut containers = Vec::new();
    for schedule in &schedules {
        containers.push(world.left_by_a_killed_host(schedule).await);
    }
    let (project, environment) = world.place();
    let runtime = world.parts.runtime.clone();

    // In the state the first one still runs, of which the second one has taken the place.
    let before = world.host().store.cron_history(&project, &environment, "second").unwrap();
    let before = before.unwrap().value;
    let now = Timestamp::now();
    rewrite(&world, "second", |it| it.end(1, RunStatus::Succeeded, None, now, "")).await;
    runtime.delete(&containers[2]).await.unwrap();
    containers[2] = world.left_by_a_killed_host(&schedules[2]).await;
    rewrite(&world, "second", |it| *it = before.clone()).await;
    // This one waited when the state was saved.
    rewrite(&world, "left-out", |it| {
        it.runs[0].status = RunStatus::Waiting;
        it.runs[0].started_at = None;
        it.forgo(now, "it waited when the backup was made");
    })
    .await;
    for name in ["goes-on", "ended", "of-no-version"] {
        rewrite(&world, name, |it| {
            it.runs.clear();
            it.last_number = 0;
        })
        .await;
    }
    runtime.crash(&containers[1], 0);
    let mut started = runtime.started().into_iter();
    let mut stranger = started.find(|spec| spec.id == containers[4]).unwrap();
    runtime.delete(&containers[4]).await.unwrap();
    stranger.id = format!("{}.cron-0-1", DeploymentId::generate());
    runtime.create_and_start(&stranger).await.unwrap();
    let (live, _) = world.host().live(&project, &environment).unwrap().unwrap();
    let log = world.host().logs.instance_dir(&live.id, "cron.goes-on.1");
    std::fs::create_dir_all(&log).unwrap();

    world.start_again().await;
    let go_on = [("goes-on", 1, 0), ("second", 2, 2), ("left-out", 1, 3)];
    for (name, number, _) in go_on {
        let taken_up = world.run(name, number).unwrap();
        assert_eq!((taken_up.status, taken_up.deployment_number), (RunStatus::Running, Some(1)));
        assert_eq!(taken_up.summary, "");
    }
    let lost = world.run("second", 1).unwrap();
    let failure = lost.failure.unwrap();
    assert_eq!((lost.status, failure.code.as_str()), (RunStatus::Lost, "cron.lost"));
    assert!(failure.why.contains("run #2 goes on"), "{failure:?}");
    let told: Vec<_> = world.host().observe.events.after(0).collect();
    let told: Vec<_> = told.iter().filter(|event| event.kind == "cron.lost").collect();
    assert!(matches!(told[..], [one] if one.message.contains("run #2 goes on")), "{told:?}");
    assert!(log.exists(), "its log is kept");
    assert!(!world.containers().await.contains(&stranger.id), "nobody knows what it is");
    assert!(cron::runs(world.host(), &world.target, "of-no-version").unwrap().is_empty());
    world.until("ended", 1, RunStatus::Succeeded).await;
    for (name, number, container) in go_on {
        runtime.crash(&containers[container], 0);
        world.until(name, number, RunStatus::Succeeded).await;
    }
    world.until_clean().await;
}

/// A run that goes on, with its log, of which the state does not know.
async fn unknown(world: &World, schedule: &Schedule) -> (String, PathBuf) {
    let container = world.left_by_a_killed_host(schedule).await;
    rewrite(world, &schedule.name, |it| {
        it.runs.clear();
        it.last_number = 0;
    })
    .await;
    let (project, environment) = world.place();
    let (live, _) = world.host().live(&project, &environment).unwrap().unwrap();
    let log = world.host().logs.instance_dir(&live.id, &format!("cron.{}.1", schedule.name));
    std::fs::create_dir_all(&log).unwrap();
    (container, log)
}

#[tokio::test]
async fn a_run_that_cannot_be_taken_up_yet_costs_no_run_its_container_or_its_log() {
    let goes_on = schedule("goes-on", Overlap::Queue);
    let mut world = Box::pin(World::open(vec![goes_on.clone()])).await;
    world.work.abort();
    let (container, log) = unknown(&world, &goes_on).await;
    let runtime = world.parts.runtime.clone();
    let place = world.place();
    let (live, _) = world.host().live(&place.0, &place.1).unwrap().unwrap();
    // The store takes no name that is so long. It is looked at before the other one.
    let long = "a".repeat(600);
    let mut odd = runtime.started().pop().unwrap();
    odd.id = names::cron(&live.id, &long, 1);
    odd.labels = names::cron_labels(&live, &long, 1);
    runtime.create_and_start(&odd).await.unwrap();
    let log_of_odd = world.host().logs.instance_dir(&live.id, "cron.odd.1");
    std::fs::create_dir_all(&log_of_odd).unwrap();

    world.start_again().await;
    assert_eq!(world.run("goes-on", 1).unwrap().status, RunStatus::Running);
    assert!(log.exists() && log_of_odd.exists());
    assert!(world.containers().await.contains(&odd.id), "it may be a run");
    assert!(Claim::of(world.host(), &place, &long).is_none(), "nothing is begun beside it");
    runtime.crash(&container, 0);
    world.until("goes-on", 1, RunStatus::Succeeded).await;
}

#[tokio::test]
async fn containers_that_cannot_be_listed_cost_no_run_its_container_or_its_log() {
    let goes_on = schedule("goes-on", Overlap::Queue);
    let mut world = Box::pin(World::open(vec![goes_on.clone()])).await;
    world.work.abort();
    let (container, log) = unknown(&world, &goes_on).await;
    world.parts.start_anew().await;
    world.parts.runtime.cut_off_next_list();
    let failure = recover::reconcile(world.host()).await.unwrap_err();
    assert_eq!(failure.code, "containerd.unavailable");
    assert!(log.exists());
    assert_eq!(world.containers().await, std::slice::from_ref(&container));

    world.start_again().await;
    assert_eq!(world.run("goes-on", 1).unwrap().status, RunStatus::Running);
    world.parts.runtime.crash(&container, 0);
    world.until("goes-on", 1, RunStatus::Succeeded).await;
    world.until_clean().await;
}

#[tokio::test]
async fn a_run_that_nobody_watches_is_watched_at_the_next_look() {
    let left = schedule("left", Overlap::Queue);
    let world = Box::pin(World::open(vec![left.clone()])).await;
    let container = world.left_by_a_killed_host(&left).await;
    world.parts.runtime.crash(&container, 0);
    // The run that is asked for has it looked.
    world.ask("left").await;
    world.until("left", 1, RunStatus::Succeeded).await;
    let container = world.until_made("left", 2).await;
    world.parts.runtime.crash(&container, 0);
    world.until("left", 2, RunStatus::Succeeded).await;
    world.until_clean().await;
}

#[tokio::test]
async fn what_waits_is_left_out_when_its_environment_stops_and_missed_after_a_long_downtime() {
    let schedules = ["clean", "late", "soon"].map(|name| schedule(name, Overlap::Queue)).to_vec();
    let mut world = Box::pin(World::open(schedules)).await;
    let place = world.place();
    let (live, _) = world.host().live(&place.0, &place.1).unwrap().unwrap();
    let lock = world.host().environment_lock(&live, "instances").await;
    world.ask("clean").await;
    let maintain = world.host().change_running(&place.0, &place.1, |running| {
        let by = By::now("ann");
        running.maintenance = Some(Maintenance { message: "soon".into(), hold_ms: None, by });
        Ok(Some(()))
    });
    Box::pin(maintain).await.unwrap();
    let left_out = world.until("clean", 1, RunStatus::Skipped).await;
    assert_eq!(left_out.summary, "the environment was in maintenance");
    drop(lock);

    world.work.abort();
    for (name, ago_s) in [("late", 2 * HOUR_S), ("soon", HOUR_S / 2)] {
        let asked = change(world.host(), &place, name, |history| {
            Ok(Some(history.ask(Asked::Person("ann".into()), Overlap::Queue, ago(ago_s))))
        });
        asked.await.unwrap().unwrap();
    }
    world.parts.start_anew().await;
    recover::reconcile(world.host()).await.unwrap();
    assert_eq!(world.run("late", 1).unwrap().status, RunStatus::Missed);
    assert_eq!(world.run("soon", 1).unwrap().status, RunStatus::Waiting);
    let told = world.host().observe.events.after(0);
    assert_eq!(told.filter(|event| event.kind == "cron.missed").count(), 1);
    assert!(world.parts.runtime.started().is_empty());
}

#[tokio::test]
async fn what_was_due_while_the_host_was_down_runs_once_or_is_missed() {
    let often = Schedule { cron: "* * * * *".to_owned(), ..schedule("often", Overlap::Skip) };
    let world = Box::pin(World::open(vec![schedule("clean", Overlap::Skip), often])).await;
    // It went live a week ago, and the host was down since.
    let container = world.until_made("often", 1).await;
    assert!(world.run("often", 1).unwrap().due_at.unwrap() > ago(90));
    world.parts.runtime.crash(&container, 0);
    world.until("often", 1, RunStatus::Succeeded).await;
    assert!(cron::runs(world.host(), &world.target, "clean").unwrap().is_empty());

    let now = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let earlier = now.checked_sub(jiff::Span::new().hours(3)).unwrap();
    let daily = Schedule {
        cron: format!("{} {} * * *", earlier.minute(), earlier.hour()),
        ..schedule("daily", Overlap::Skip)
    };
    Box::pin(world.go_live(vec![daily], 20 * HOUR_S)).await;
    let missed = world.until("daily", 1, RunStatus::Missed).await;
    assert!(missed.started_at.is_none() && missed.due_at.unwrap() < ago(2 * HOUR_S));
    world.until_clean().await;
}
