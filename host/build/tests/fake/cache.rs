//! What the record says of each step, builds without the cache, and clearing it.

use super::*;

/// A build that keeps its record, compared with the records before it.
pub(super) async fn recorded(
    bench: &Bench,
    change: impl FnOnce(&mut BuildRequest),
    earlier: &[BuildRecord],
) -> (Result<windlass_build::BuildOutcome, windlass_model::Failure>, BuildRecord) {
    let seen: Arc<Mutex<BuildRecord>> = Arc::default();
    let told = Arc::clone(&seen);
    let mut request = request(bench, plan());
    let earlier = earlier.to_vec();
    request.cache.earlier = Earlier::read_by(move || earlier);
    request.cache.told = Arc::new(move |event| {
        if let StepEvent::Ended(step) = event {
            told.lock().unwrap().steps.push(*step);
        }
    });
    change(&mut request);
    let built = bench.builder.build(request).await;
    let record = seen.lock().unwrap().clone();
    (built, record)
}

pub(super) fn said(record: &BuildRecord, id: &str) -> Vec<String> {
    record.step(id).unwrap().reasons.iter().map(Reason::to_string).collect()
}

#[tokio::test]
async fn the_record_says_what_changed_of_each_step() {
    let bench = bench(0);
    let (_, first) = recorded(&bench, |_| (), &[]).await;
    assert_eq!(said(&first, "deps"), ["no earlier build of it is known"]);
    let before = [first];
    let (_, again) = recorded(&bench, |_| (), &before).await;
    assert!(again.steps.iter().all(|step| step.cached && step.reasons.is_empty()), "{again:?}");

    std::fs::write(bench.source.path().join("index.js"), "2").unwrap();
    std::fs::write(bench.source.path().join("new.js"), "2").unwrap();
    let (_, file) = recorded(&bench, |_| (), &before).await;
    assert!(file.step("deps").unwrap().cached);
    assert_eq!(said(&file, "app"), ["index.js changed", "new.js is new"]);

    std::fs::write(bench.source.path().join("package.json"), "{ }").unwrap();
    let (_, both) = recorded(&bench, |_| (), &[file]).await;
    assert_eq!(said(&both, "deps"), ["package.json changed"]);
    assert_eq!(
        said(&both, "app"),
        ["the step \"deps\" has another result", "package.json changed"]
    );

    let with_key = |value: &'static str| {
        move |request: &mut BuildRequest| {
            request.variables = vec![BuildVariable {
                name: "API_KEY".to_owned(),
                value: Secret::new(value.to_owned()),
                secret: true,
            }];
        }
    };
    let (_, keyed) = recorded(&bench, with_key("one-of-a-kind"), &[both]).await;
    assert_eq!(said(&keyed, "deps"), ["the variable API_KEY is new"]);
    let (_, other) = recorded(&bench, with_key("another"), std::slice::from_ref(&keyed)).await;
    assert_eq!(said(&other, "deps"), ["the variable API_KEY changed"]);
    let text = serde_json::to_string(&keyed).unwrap();
    let digest = Digest::of(b"one-of-a-kind");
    assert!(!text.contains("one-of-a-kind") && !text.contains(&digest.hex()[..16]), "{text}");

    let command = |request: &mut BuildRequest| {
        with_key("another")(request);
        request.plan.steps[1].ops[1] = run(&["npm", "run", "build:other"]);
    };
    let (_, command) = recorded(&bench, command, &[other]).await;
    assert_eq!(said(&command, "app"), ["`npm run build:other` changed"]);
    assert!(bench.lines.lock().unwrap().iter().any(|line| line.text.contains("(index.js changed")));
}

#[tokio::test]
async fn without_the_cache_all_is_done_again_and_the_new_results_count_from_then_on() {
    let bench = bench(0);
    let (first, record) = recorded(&bench, |_| (), &[]).await;
    let first = first.unwrap();
    let earlier = [record];
    let bypass = |request: &mut BuildRequest| request.cache.bypass = true;
    let (fresh, record) = recorded(&bench, bypass, &earlier).await;
    let fresh = fresh.unwrap();
    assert_eq!(ran(&bench).len(), 4, "both commands were run again");
    assert_eq!(said(&record, "deps"), ["it was asked for without the cache"]);
    assert_ne!(fresh.artifact.outputs[0].snapshot, first.artifact.outputs[0].snapshot);
    // The old artifact is untouched, and the next build takes the new results.
    bench.builder.verify_artifact(&first.artifact).await.unwrap();
    let (next, _) = recorded(&bench, |_| (), &earlier).await;
    let next = next.unwrap();
    assert!(next.all_cached());
    assert_eq!(next.artifact.digest, fresh.artifact.digest);
    assert_eq!(ran(&bench).len(), 4);
    // Once more, over a result that has taken another's place already.
    let (third, _) = recorded(&bench, bypass, &earlier).await;
    let (next, _) = recorded(&bench, |_| (), &earlier).await;
    assert_eq!(next.unwrap().artifact.digest, third.unwrap().artifact.digest);
}

#[tokio::test]
async fn clearing_leaves_what_artifacts_need_and_the_next_build_says_that_it_was_removed() {
    let bench = bench(0);
    let (built, record) = recorded(&bench, |_| (), &[]).await;
    let built = built.unwrap();
    let cleared = bench.builder.clear_cache(None).await.unwrap();
    assert_eq!((cleared.steps, cleared.in_use), (0, 0), "the artifact is built on both steps");
    bench.builder.verify_artifact(&built.artifact).await.unwrap();

    bench.builder.removing().await.delete(&built.artifact.digest).await.unwrap();
    let other = "blog".parse().unwrap();
    assert_eq!(bench.builder.clear_cache(Some(&other)).await.unwrap().steps, 0);
    let cleared = bench.builder.clear_cache(Some(&"shop".parse().unwrap())).await.unwrap();
    assert_eq!(cleared.steps, 2);
    let (_, again) = recorded(&bench, |_| (), &[record]).await;
    let expected = "nothing changed, but its result was removed since";
    assert_eq!(said(&again, "deps"), [expected]);
}

#[tokio::test]
async fn an_artifact_that_is_held_stays_and_goes_when_nobody_holds_it() {
    let bench = bench(0);
    let built = Box::pin(bench.builder.build_held(request(&bench, plan()))).await;
    let (built, held) = built.unwrap();
    let digest = &built.artifact.digest;
    assert!(!bench.builder.removing().await.delete(digest).await.unwrap());
    let keep = std::collections::BTreeSet::new();
    let pruned = bench.builder.removing().await.prune(&keep, Duration::ZERO).await.unwrap();
    assert_eq!((pruned.artifacts, pruned.snapshots), (0, 0));
    bench.builder.verify_artifact(&built.artifact).await.unwrap();

    let pushed = bench.builder.hold(digest).await;
    drop(held);
    assert!(!bench.builder.removing().await.delete(digest).await.unwrap());
    drop(pushed);
    assert!(bench.builder.removing().await.delete(digest).await.unwrap());
    let gone = bench.builder.verify_artifact(&built.artifact).await.unwrap_err();
    assert_eq!(gone.code, "artifact.missing");
}

#[tokio::test]
async fn steps_that_two_projects_use_are_cleared_with_neither() {
    let bench = bench(0);
    let (one, _) = recorded(&bench, |_| (), &[]).await;
    let blog = |request: &mut BuildRequest| request.project = "blog".parse().unwrap();
    let (two, _) = recorded(&bench, blog, &[]).await;
    assert!(two.unwrap().all_cached());
    bench.builder.removing().await.delete(&one.unwrap().artifact.digest).await.unwrap();
    assert_eq!(bench.builder.clear_cache(Some(&"shop".parse().unwrap())).await.unwrap().steps, 0);
    assert_eq!(bench.builder.clear_cache(None).await.unwrap().steps, 2);
}

#[tokio::test]
async fn what_a_running_build_uses_is_not_cleared() {
    let hangs = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let asked = Arc::clone(&hangs);
    let bench = scripted_bench(Limits::default(), move |_| {
        match asked.load(std::sync::atomic::Ordering::SeqCst) {
            true => Behaviour::default(),
            false => Behaviour::exits(0),
        }
    });
    let first = bench.builder.build(request(&bench, plan())).await.unwrap();
    bench.builder.removing().await.delete(&first.artifact.digest).await.unwrap();
    hangs.store(true, std::sync::atomic::Ordering::SeqCst);
    std::fs::write(bench.source.path().join("index.js"), "2").unwrap();
    let (builder, request) = (bench.builder.clone(), request(&bench, plan()));
    let build = tokio::spawn(async move { builder.build(request).await });
    let start = std::time::Instant::now();
    while bench.runtime.started().len() < 3 {
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The old result of `app` goes; `deps`, which the new one is built on, is in use.
    let cleared = bench.builder.clear_cache(None).await.unwrap();
    assert_eq!((cleared.steps, cleared.in_use), (1, 1), "{cleared:?}");
    bench.runtime.crash(&bench.runtime.started()[2].id, 0);
    let built = build.await.unwrap().unwrap();
    assert_eq!(built.steps.iter().map(|step| step.cached).collect::<Vec<_>>(), [true, false]);
    bench.builder.verify_artifact(&built.artifact).await.unwrap();
}

#[tokio::test]
async fn what_the_machine_stopped_too_soon_after_is_built_again_and_no_way_back() {
    let bench = bench(0);
    let (first, record) = recorded(&bench, |_| (), &[]).await;
    let first = first.unwrap();
    // As after a boot that came before the sync.
    let another = Labels::from([("windlass.unsynced".to_owned(), "another boot".to_owned())]);
    let suspect: Vec<String> = first.steps.iter().map(|step| step.key.clone()).collect();
    for name in &suspect {
        bench.runtime.label_snapshot(name, &another).await.unwrap();
    }
    let named: Vec<String> = bench.builder.unsynced_steps().await.unwrap().into_iter().collect();
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(suspect.iter().all(|name| named.contains(name)), "{named:?}");
    let refused = bench.builder.verify_artifact(&first.artifact).await.unwrap_err();
    assert_eq!(refused.code, "artifact.missing");
    assert!(refused.why.contains("before its output app was on the disk"), "{refused:?}");

    let (again, second) = recorded(&bench, |_| (), &[record]).await;
    let again = again.unwrap();
    assert_eq!(ran(&bench).len(), 4, "both commands were run again");
    let why = "nothing changed, but the machine stopped before its result was on the disk";
    assert_eq!(said(&second, "deps"), [why]);
    assert!(again.steps.iter().all(|step| !suspect.contains(&step.key)), "{again:?}");
    bench.builder.verify_artifact(&again.artifact).await.unwrap();
    let (next, _) = recorded(&bench, |_| (), &[second]).await;
    assert!(next.unwrap().all_cached(), "the new results count from then on");
    assert_eq!(ran(&bench).len(), 4);
}
