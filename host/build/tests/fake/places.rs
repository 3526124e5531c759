//! Places in the network, which commands find ready.

use std::collections::BTreeSet;
use std::time::Instant;

use windlass_containers::runtime::SPARE_PLACE;

use super::*;

const DEADLINE: Duration = Duration::from_secs(20);

/// Steps one after the other, each with one command of its name; those named here have a network.
fn chain(steps: &[&str], networked: &[&str]) -> BuildPlan {
    let mut plan = plan();
    plan.steps.clear();
    for id in steps {
        let base = plan.steps.last().map(|before: &BuildStep| Base::Step(before.id.clone()));
        let mut op = run(&[id]);
        if let Op::Run(run) = &mut op {
            run.network = networked.contains(id);
        }
        plan.steps.push(BuildStep {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
            base: base.unwrap_or(Base::Scratch),
            env: vec![],
            cwd: "/".to_owned(),
            user: String::new(),
            ops: vec![op],
        });
    }
    let step = steps.last().unwrap().to_string();
    plan.outputs[0].artifact = OutputKind::Image { step, config: RunConfig::default() };
    plan
}

/// The place of each container that was started, by its command.
fn places(bench: &Bench) -> BTreeMap<String, Option<String>> {
    let started = bench.runtime.started().into_iter();
    started.map(|spec| (spec.argv[0].clone(), spec.network.map(|it| it.place.unwrap()))).collect()
}

async fn left(bench: &Bench) -> Vec<String> {
    bench.runtime.list_places("build-").await.unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Commands run until they are ended.
fn endless() -> Bench {
    scripted_bench(Limits::default(), |_| Behaviour::default())
}

#[tokio::test]
async fn commands_one_after_the_other_are_in_one_place_which_goes_before_the_build_has_ended() {
    let bench = endless();
    let chain = chain(&["offline", "first", "second", "last"], &["first", "second"]);
    let (builder, request) = (bench.builder.clone(), request(&bench, chain));
    let build = tokio::spawn(async move { builder.build(request).await });
    for (n, ready) in [true, true, true, false].into_iter().enumerate() {
        until("the next command runs", async || bench.runtime.started().len() > n).await;
        until("a place is ready as long as one is needed", async || {
            left(&bench).await.is_empty() != ready
        })
        .await;
        bench.runtime.crash(&bench.runtime.started()[n].id, 0);
    }
    build.await.unwrap().unwrap();
    let places = places(&bench);
    assert!(places["first"].is_some() && places["first"] == places["second"], "{places:?}");
    assert_eq!((&places["offline"], &places["last"]), (&None, &None));
    assert_eq!(left(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_next_build_with_a_network_finds_a_place_ready_which_is_its_own() {
    let bench = endless();
    let spare = async || bench.runtime.list_places(SPARE_PLACE).await.unwrap();
    let mut ready = spare().await;
    assert_eq!(ready, Vec::<String>::new(), "nothing was built yet");
    for (n, id) in ["first", "offline", "second"].into_iter().enumerate() {
        let networked = if id == "offline" { &[][..] } else { &[id] };
        let (builder, request) = (bench.builder.clone(), request(&bench, chain(&[id], networked)));
        let build = tokio::spawn(async move { builder.build(request).await });
        until("the command runs", async || bench.runtime.started().len() > n).await;
        if id == "second" {
            // What would be made behind it has its turns.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert_eq!(spare().await, ready, "none is made while a command runs");
        }
        bench.runtime.crash(&bench.runtime.started()[n].id, 0);
        build.await.unwrap().unwrap();
        assert_eq!(left(&bench).await, Vec::<String>::new());
        let place = places(&bench)[id].clone();
        match id {
            "first" => assert!(!place.unwrap().starts_with(SPARE_PLACE)),
            "second" => assert_eq!(place.as_ref(), ready.first()),
            _ => assert_eq!((place, spare().await), (None, ready.clone())),
        }
        if id != "offline" {
            let before = ready.clone();
            until("another is ready", async || spare().await.iter().any(|it| !before.contains(it)))
                .await;
        }
        ready = spare().await;
        assert_eq!(ready.len(), 1, "it is of one build alone");
    }
}

#[tokio::test]
async fn a_place_that_no_command_came_to_is_gone_at_the_end_of_the_build() {
    let bench = endless();
    let plan = chain(&["fails", "never"], &["never"]);
    let (builder, request) = (bench.builder.clone(), request(&bench, plan));
    let build = tokio::spawn(async move { builder.build(request).await });
    until("a place is ready", async || {
        !bench.runtime.started().is_empty() && left(&bench).await.len() == 1
    })
    .await;
    bench.runtime.crash(&bench.runtime.started()[0].id, 7);
    assert_eq!(build.await.unwrap().unwrap_err().code, "build.command-failed");
    assert_eq!(left(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn builds_and_steps_at_once_are_in_places_of_their_own() {
    let mut limits = Limits::default();
    limits.build.running_max = 2;
    limits.build.steps_running_max = 4;
    let bench = scripted_bench(limits, |_| Behaviour::default());
    let mut beside = plan();
    beside.steps.truncate(2);
    for (step, name) in beside.steps.iter_mut().zip(["left", "right"]) {
        (step.base, step.ops) = (Base::Scratch, vec![run(&[name])]);
    }
    let outputs = ["deps", "app"].map(|step| Output {
        name: step.to_owned(),
        artifact: OutputKind::Image { step: step.to_owned(), config: RunConfig::default() },
    });
    beside.outputs = outputs.to_vec();
    let requests = [chain(&["other"], &["other"]), beside].map(|plan| request(&bench, plan));
    let builds = requests.map(|request| {
        let builder = bench.builder.clone();
        tokio::spawn(async move { builder.build(request).await })
    });
    until("all three run", async || bench.runtime.started().len() == 3).await;
    let found = places(&bench);
    let different: BTreeSet<_> = found.values().flatten().collect();
    assert_eq!(different.len(), 3, "{found:?}");
    for spec in bench.runtime.started() {
        bench.runtime.crash(&spec.id, 0);
    }
    for build in builds {
        build.await.unwrap().unwrap();
    }
    let all = async || bench.runtime.list_places("").await.unwrap();
    until("nothing is left but one for the next build", async || all().await.len() <= 1).await;
    assert_eq!(left(&bench).await, Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_made_for_steps_that_are_cached_or_have_no_network() {
    let bench = bench(0);
    let plan = chain(&["one", "two"], &["one"]);
    bench.builder.build(request(&bench, plan.clone())).await.unwrap();
    let all = async || bench.runtime.list_places("").await.unwrap();
    until("one is ready for the next build", async || all().await.len() == 1).await;
    let ready = all().await;
    assert!(bench.builder.build(request(&bench, plan)).await.unwrap().all_cached());
    bench.builder.build(request(&bench, chain(&["offline"], &[]))).await.unwrap();
    assert_eq!(all().await, ready);
}

#[tokio::test]
async fn places_of_a_build_that_nobody_waits_for_go_and_so_do_those_of_an_earlier_attempt() {
    let bench = endless();
    let plan = chain(&["first", "second"], &["first", "second"]);
    let (builder, request) = (bench.builder.clone(), request(&bench, plan));
    let deployment = request.deployment.clone();
    let build = tokio::spawn(async move { builder.build(request).await });
    until("the first runs", async || !bench.runtime.started().is_empty()).await;
    assert_eq!(left(&bench).await.len(), 1);
    build.abort();
    assert!(build.await.unwrap_err().is_cancelled());
    until("its place is gone", async || left(&bench).await.is_empty()).await;

    let network = windlass_containers::runtime::Attachment::build();
    let name = format!("build-{deployment}-net-0");
    bench.runtime.ensure_place(&name, &network).await.unwrap();
    bench.runtime.ensure_place("build-of-another-net-0", &network).await.unwrap();
    bench.builder.clean_up(&deployment).await.unwrap();
    assert_eq!(left(&bench).await, ["build-of-another-net-0"]);
}
