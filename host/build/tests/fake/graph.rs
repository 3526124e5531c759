//! Steps that are carried out at the same time.

use super::*;

/// Steps that each run one command of their name; `needs` are copied from.
fn graph(steps: &[(&str, &[&str])]) -> BuildPlan {
    let step = |(id, needs): &(&str, &[&str])| {
        let from = |id: &&str| {
            Op::Copy(Copy {
                origin: Origin::Step((*id).to_owned()),
                sources: vec![".".to_owned()],
                exclude: vec![],
                dest: "/".to_owned(),
                chown: None,
                chmod: None,
                parents: false,
            })
        };
        let mut ops: Vec<Op> = needs.iter().map(from).collect();
        ops.push(run(&[id]));
        BuildStep {
            id: (*id).to_owned(),
            name: (*id).to_owned(),
            base: Base::Scratch,
            env: vec![],
            cwd: "/".to_owned(),
            user: String::new(),
            ops,
        }
    };
    let last = steps.last().unwrap().0.to_owned();
    let artifact = OutputKind::Image { step: last, config: RunConfig::default() };
    BuildPlan {
        steps: steps.iter().map(step).collect(),
        outputs: vec![Output { name: "app".to_owned(), artifact }],
        ..BuildPlan::default()
    }
}

#[tokio::test]
async fn independent_steps_are_carried_out_at_once_and_told_one_after_the_other() {
    // Each of the three ends only when all three have begun.
    let begun: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&begun);
    let bench = scripted_bench(Limits::default(), move |spec| {
        let name = spec.argv[0].clone();
        seen.lock().unwrap().push(name.clone());
        let lines = vec![(Stream::Stdout, format!("{name} says"))];
        let exit = (name == "all").then_some((Duration::ZERO, 0));
        Behaviour { lines, exit, ..Behaviour::default() }
    });
    let plan = graph(&[("a", &[]), ("b", &[]), ("c", &[]), ("all", &["a", "b", "c"])]);
    let (builder, request) = (bench.builder.clone(), request(&bench, plan));
    let build = tokio::spawn(async move { builder.build(request).await });
    let start = std::time::Instant::now();
    while begun.lock().unwrap().len() < 3 {
        assert!(start.elapsed() < Duration::from_secs(20), "{begun:?}");
        assert!(!build.is_finished());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let ids: Vec<String> = bench.runtime.started().iter().map(|spec| spec.id.clone()).collect();
    // The last one ends first: its lines wait for those before it.
    for id in ids.iter().rev() {
        bench.runtime.crash(id, 0);
    }
    let built = build.await.unwrap().unwrap();
    let order: Vec<&str> = built.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(order, ["a", "b", "c", "all"]);
    let lines = bench.lines.lock().unwrap().clone();
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    for name in ["a", "b", "c"] {
        let first = texts.iter().position(|text| text.ends_with(&format!(" {name}"))).unwrap();
        let block = &texts[first..first + 3];
        let command = format!("$ {name}");
        assert_eq!(block[1..], [command, format!("{name} says")], "{texts:?}");
    }
}

#[tokio::test]
async fn no_more_steps_run_than_the_budget_has_places_for() {
    let running: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&running);
    let mut limits = Limits::default();
    limits.build.steps_running_max = 2;
    let bench = scripted_bench(limits, move |spec| {
        seen.lock().unwrap().push(spec.id.clone());
        Behaviour { exit: Some((Duration::from_millis(20), 0)), ..Behaviour::default() }
    });
    let plan = graph(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &["a", "b", "c"])]);
    let peak = Arc::new(Mutex::new(0_usize));
    let at_once: Arc<Mutex<usize>> = Arc::default();
    let mut request = request(&bench, plan);
    let (most, now) = (Arc::clone(&peak), Arc::clone(&at_once));
    request.cache.told = Arc::new(move |event| {
        let mut now = now.lock().unwrap();
        match event {
            StepEvent::Begun { .. } => *now += 1,
            StepEvent::Ended(_) => *now -= 1,
            StepEvent::Committing { .. } | StepEvent::Committed { .. } => {}
        }
        let mut most = most.lock().unwrap();
        *most = (*most).max(*now);
    });
    bench.builder.build(request).await.unwrap();
    assert_eq!(*peak.lock().unwrap(), 2);
    assert_eq!(running.lock().unwrap().len(), 4);
    let said = bench.lines.lock().unwrap().iter().any(|l| l.text.contains("waiting for a place"));
    assert!(said, "who waits is told why");
}

#[tokio::test]
async fn the_first_failure_ends_the_others_and_is_the_one_that_is_told() {
    let bench = scripted_bench(Limits::default(), |spec| match spec.argv[0].as_str() {
        "fails" => Behaviour::exits(7),
        _ => Behaviour::default(),
    });
    let plan = graph(&[("hangs", &[]), ("fails", &[]), ("never", &["hangs", "fails"])]);
    let failure = bench.builder.build(request(&bench, plan)).await.unwrap_err();
    assert_eq!(failure.code, "build.command-failed");
    assert!(failure.what.contains("fails"), "{failure:?}");
    assert!(!ran(&bench).contains(&"never".to_owned()));
    assert_eq!(bench.runtime.list(&Labels::new()).await.unwrap(), []);
    assert_eq!(bench.runtime.list_snapshots(&Labels::new()).await.unwrap(), []);
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn no_more_builds_run_than_the_budget_has_places_for() {
    let mut limits = Limits::default();
    limits.build.running_max = 1;
    let bench = scripted_bench(limits, |_| Behaviour::default());
    let build = |id: &str| {
        let (builder, request) = (bench.builder.clone(), request(&bench, graph(&[(id, &[])])));
        tokio::spawn(async move { builder.build(request).await })
    };
    let waits = || {
        let lines = bench.lines.lock().unwrap();
        lines.iter().any(|line| line.text.contains("other builds run: waiting"))
    };
    let first = build("first");
    until("the first begins", || ran(&bench) == ["first"]).await;
    assert!(!waits());
    let second = build("second");
    until("the second waits, and is told so", waits).await;
    assert_eq!(ran(&bench), ["first"]);
    let container = bench.runtime.started()[0].id.clone();
    bench.runtime.crash(&container, 0);
    first.await.unwrap().unwrap();
    until("the second has its place", || ran(&bench) == ["first", "second"]).await;
    let container = bench.runtime.started()[1].id.clone();
    bench.runtime.crash(&container, 0);
    second.await.unwrap().unwrap();
}
