//! Custom stages through a real component: `sdk/rust/guests/stages`, with effects that keep what they are asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use windlass_model::failure::Fault;
use windlass_model::limits::PluginLimits;
use windlass_model::plugin::account::{Blame, HostCalls};
use windlass_model::plugin::{CallOutcome, CallReport, Grants, Hook, Kind, Stage};
use windlass_model::stage::{Facts, Input, Outcome, OutputKind, Process as Running, State};
use windlass_sandbox::contract::annotations::{Annotation, AnnotationError};
use windlass_sandbox::contract::artifacts::{Artifact, ArtifactError, Reason};
use windlass_sandbox::contract::cache::CacheError;
use windlass_sandbox::contract::exec::{Batch, Command, ExecError, Exit, Line, Pipe};
use windlass_sandbox::contract::http::{HttpError, Request, Response};
use windlass_sandbox::{Call, CustomCall, Effects, Observer, Plugin, PluginFault, Process};
use windlass_test_support::adversaries::greedy::GREEDY;

use crate::support::{Bench, Folder, context, limits, stages};

/// Does nothing outside, and keeps what it was asked.
#[derive(Default)]
struct Kept {
    said: Mutex<Vec<String>>,
    cache: Mutex<HashMap<String, Vec<u8>>>,
    /// Whether artifacts are denied.
    denies: bool,
    /// How long a request takes.
    slow: Duration,
}

impl Kept {
    fn say(&self, text: impl Into<String>) {
        self.said.lock().unwrap().push(text.into());
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }
}

fn ended(stdout: &str) -> Exit {
    Exit {
        code: 3,
        timed_out: false,
        out_of_memory: false,
        took_ms: 1,
        stdout_tail: stdout.into(),
        stderr_tail: Vec::new(),
        stdout_bytes: stdout.len() as u64,
        stderr_bytes: 0,
    }
}

struct Lines(Vec<&'static str>, Arc<Kept>);

#[async_trait]
impl Process for Lines {
    async fn next_lines(&mut self, _lines_max: u32, _wait_ms: u32) -> Batch {
        let text = self.0.remove(0).to_owned();
        let lines = vec![Line { pipe: Pipe::Stdout, text }];
        Batch { lines, ended: self.0.is_empty(), dropped: 0 }
    }

    async fn wait(&mut self) -> Exit {
        ended("")
    }

    async fn kill(&mut self) {
        self.1.say("killed");
    }
}

/// The same, to be handed out.
struct Shared(Arc<Kept>);

#[async_trait]
impl Effects for Shared {
    async fn run(&self, command: Command) -> Result<Exit, ExecError> {
        self.0.say(format!("run {:?} with {:?}", command.argv, command.variable_names));
        Ok(ended("out\n"))
    }

    async fn spawn(&self, command: Command) -> Result<Box<dyn Process>, ExecError> {
        self.0.say(format!("spawn {:?}", command.argv));
        Ok(Box::new(Lines(vec!["one", "two"], Arc::clone(&self.0))))
    }

    async fn fetch(&self, request: Request) -> Result<Response, HttpError> {
        self.0.say(format!("{} {} {:?}", request.method, request.url, request.headers));
        tokio::time::sleep(self.0.slow).await;
        let (url, body) = (request.url, b"fine".to_vec());
        Ok(Response { status: 200, url, headers: Vec::new(), body })
    }

    async fn attach(&self, artifact: Artifact, content: Vec<u8>) -> Result<(), ArtifactError> {
        if self.0.denies {
            let message = "artifacts is not granted".to_owned();
            return Err(ArtifactError { reason: Reason::Denied, message });
        }
        let text = String::from_utf8(content).unwrap();
        self.0.say(format!("attach {}: {text}", artifact.name));
        Ok(())
    }

    async fn append(&self, name: String, content: Vec<u8>) -> Result<(), ArtifactError> {
        self.0.say(format!("append {} bytes to {name}", content.len()));
        Ok(())
    }

    async fn cached(&self, key: String) -> Option<Vec<u8>> {
        self.0.cache.lock().unwrap().get(&key).cloned()
    }

    async fn cache(&self, key: String, value: Option<Vec<u8>>) -> Result<(), CacheError> {
        let mut cache = self.0.cache.lock().unwrap();
        match value {
            Some(value) => drop(cache.insert(key, value)),
            None => drop(cache.remove(&key)),
        }
        Ok(())
    }

    async fn annotate(&self, annotation: Annotation) -> Result<(), AnnotationError> {
        self.0.say(format!("note {}={}", annotation.name, annotation.value));
        Ok(())
    }
}

fn facts(hook: Hook) -> Facts {
    Facts {
        hook,
        attempt: 1,
        project: "shop".to_owned(),
        environment: "production".to_owned(),
        deployment: "01j00000000000000000000000".to_owned(),
        number: 7,
        actor: "test".to_owned(),
        state: State::Running,
        failure: None,
        commit: None,
        commit_subject: None,
        commit_author: None,
        detected: None,
        outputs: vec![
            ("app".to_owned(), OutputKind::Image),
            ("site".to_owned(), OutputKind::StaticTree),
        ],
        processes: vec![Running {
            name: "web".to_owned(),
            output: "app".to_owned(),
            web: true,
            addresses: vec!["10.89.1.7:3000".to_owned()],
        }],
        urls: Vec::new(),
        previous_number: None,
        previous_commit: None,
        variables: Vec::new(),
    }
}

struct World {
    bench: Bench,
    plugin: Plugin,
    folder: Folder,
    kept: Arc<Kept>,
}

impl World {
    fn new(kept: Kept) -> Self {
        let bench = Bench::new();
        let grants: Grants = serde_json::from_str(
            r#"[{"name":"source","paths":["**/*.txt"]},{"name":"artifacts","bytes_max":100}]"#,
        )
        .unwrap();
        let plugin = bench.sandbox.load_granted(&stages(), false, &grants).unwrap();
        let folder = Folder::new("not to be seen");
        folder.write("a.txt", "a");
        folder.write("b/c.txt", "c");
        Self { bench, plugin, folder, kept: Arc::new(kept) }
    }

    async fn run(&self, stage: &str, options: &str, inputs: &[Input]) -> Call<Outcome> {
        let plugin = self.plugin.with_options(serde_json::from_str(options).unwrap());
        let (context, facts) = (context(), facts(Hook::AfterBuild));
        let call = CustomCall { stage, context: &context, facts: &facts, inputs };
        let effects = Arc::new(Shared(Arc::clone(&self.kept)));
        self.bench.sandbox.custom(&plugin, Some(&self.folder.source()), call, effects).await
    }
}

#[tokio::test]
async fn a_stage_sees_what_it_was_granted_and_its_answer_is_never_kept() {
    let world = World::new(Kept::default());
    assert!(world.plugin.fills(Stage::Custom) && world.plugin.effective().has(Kind::Source));
    for _not_from_a_cache in 0..2 {
        let call = world.run("inspect", "{}", &[]).await;
        assert!(!call.report.cached);
        let outcome = call.result.unwrap();
        assert_eq!(outcome.summary, "2 files", "behave is not among those granted");
        assert_eq!(outcome.outputs["files"], 2);
    }
    let call = world.run("gate", "{}", &[]).await;
    assert_eq!(call.result.unwrap().summary, "open: 10.89.1.7:3000");
}

#[tokio::test]
async fn a_read_outside_of_what_was_granted_says_so_and_is_counted() {
    let mut world = World::new(Kept::default());
    world.folder.write("a.key", "not to be seen");
    let call = world.run("act", r#"{"read":"a.key"}"#, &[]).await;
    assert_eq!(call.report.host_calls.denied, 1, "{call:?}");
    assert!(call.log.iter().any(|(_, line)| line.contains("a.key is denied")), "{call:?}");
    let failure = call.result.unwrap_err().to_failure("test-stages", Stage::Custom);
    assert_eq!((failure.code.as_str(), &failure.fault), ("plugin.not-granted", &Fault::App));
    assert!(windlass_model::failure::codes::find(&failure.code).is_some());
    for said in ["a.key cannot be read", "outside of what test-stages was granted", "**/*.txt"] {
        assert!(failure.why.contains(said), "{said}: {failure:?}");
    }
    assert!(failure.fix.contains("windlass plugin grant test-stages"), "{failure:?}");
    // What matches is read, and what is missing there is no denial.
    for (path, ends) in [("b/c.txt", "c"), ("absent.txt", "there is no such file")] {
        let call = world.run("act", &json!({ "read": path }).to_string(), &[]).await;
        assert_eq!(call.report.host_calls.denied, 0, "{path}: {call:?}");
        assert_eq!(call.result.unwrap().summary, ends);
    }

    // Who was granted all of it is told of the source's end.
    let all: Grants = serde_json::from_str(r#"[{"name":"source","paths":["**"]}]"#).unwrap();
    world.plugin = world.plugin.with_grants(all);
    assert_eq!(
        world.run("act", r#"{"read":"a.key"}"#, &[]).await.result.unwrap().summary,
        "not to be seen"
    );
    let fault = world.run("act", r#"{"read":"../a.key"}"#, &[]).await.result.unwrap_err();
    assert_eq!(fault.code(), "source.unreadable");
    assert!(fault.to_string().contains("leaves the source"), "{fault}");
}

#[tokio::test]
async fn what_it_wishes_goes_through_the_effects_and_what_it_needs_comes_as_inputs() {
    let world = World::new(Kept::default());
    let outputs = serde_json::from_str(r#"{"files":5}"#).unwrap();
    let input = Input {
        name: "files".to_owned(),
        plugin: "test-stages".to_owned(),
        stage: "inspect".to_owned(),
        outputs,
    };
    let call = world.run("report", "{}", std::slice::from_ref(&input)).await;
    assert_eq!(call.result.unwrap().summary, "#7 has 5 files, after none");
    let attached = "attach files.txt: #7 has 5 files, after none\n";
    assert_eq!(world.kept.said(), [attached, "note files=5"]);
    let again = world.run("report", "{}", &[input]).await;
    assert_eq!(again.result.unwrap().summary, "#7 has 5 files, after 5");
    world.kept.said();

    let command = r#"{"command":["sh","-c","x"],"variables":["A"]}"#;
    let call = world.run("act", command, &[]).await;
    assert_eq!(call.result.unwrap().summary, "3: out");
    let lines = r#"{"command":["sh"],"lines":true}"#;
    let call = world.run("act", lines, &[]).await;
    assert_eq!(call.report.host_calls, HostCalls { exec: 1, http: 0, denied: 0 });
    assert_eq!(call.result.unwrap().summary, "3: one|two");
    let request = r#"{"url":"https://api.example/x","secret":"TOKEN"}"#;
    let call = world.run("act", request, &[]).await;
    assert_eq!(call.report.host_calls, HostCalls { exec: 0, http: 1, denied: 0 });
    assert_eq!(call.result.unwrap().summary, "200 from https://api.example/x: fine");
    assert_eq!(
        world.kept.said(),
        [
            r#"run ["sh", "-c", "x"] with ["A"]"#,
            r#"spawn ["sh"]"#,
            "killed",
            r#"GET https://api.example/x [("authorization", "Bearer {{TOKEN}}")]"#,
        ],
        "a handle that is dropped ends its command"
    );
}

#[tokio::test]
async fn what_a_stage_says_of_the_version_arrives_and_what_does_not_fit_is_refused() {
    let world = World::new(Kept::default());
    let options = r#"{"cron":"*/5 * * * *","command":["bin/clean"],"withhold":["**/*.map"]}"#;
    let outcome = world.run("act", options, &[]).await.result.unwrap();
    let [schedule] = &outcome.schedules[..] else { panic!("{outcome:?}") };
    assert_eq!((schedule.name.as_str(), schedule.cron.as_str()), ("tick", "*/5 * * * *"));
    assert_eq!(schedule.argv, ["bin/clean"]);
    let [withheld] = &outcome.withheld[..] else { panic!("{outcome:?}") };
    assert_eq!(
        (withheld.output.as_str(), &withheld.paths[..]),
        ("site", &["**/*.map".to_owned()][..])
    );
    for (options, says) in [
        (r#"{"cron":"@hourly"}"#, "its argv has no program"),
        (r#"{"withhold":["../a"]}"#, "no glob from the root of site"),
    ] {
        let fault = world.run("act", options, &[]).await.result.unwrap_err();
        assert_eq!(fault.code(), "plugin.invalid-answer");
        assert!(fault.to_string().contains(says), "{fault}");
    }
    let misspelled = r#"{"cron":"hourly","command":["a"]}"#;
    let fault = world.run("act", misspelled, &[]).await.result.unwrap_err();
    assert_eq!((fault.code(), fault.blame()), ("cron.unusable", Blame::Nobody));
    assert!(fault.to_string().contains("neither five fields"), "{fault}");
}

#[tokio::test]
async fn what_is_denied_reaches_the_plugin_with_its_reason() {
    let world = World::new(Kept { denies: true, ..Kept::default() });
    let outputs = serde_json::from_str(r#"{"files":5}"#).unwrap();
    let (name, plugin, stage) = ("files".into(), "test-stages".into(), "inspect".into());
    let call = world.run("report", "{}", &[Input { name, plugin, stage, outputs }]).await;
    assert_eq!(call.report.outcome, CallOutcome::Refused);
    assert_eq!(call.report.host_calls.denied, 1, "and is counted");
    let fault = call.result.unwrap_err();
    assert_eq!(fault.blame(), Blame::Nobody, "a refusal is an answer");
    assert_eq!(fault.code(), "artifacts.failed");
    assert!(fault.to_string().contains("artifacts is not granted"), "{fault}");
}

#[tokio::test]
async fn limits_hold_and_the_time_of_the_host_is_not_the_plugins() {
    let world = World::new(Kept { slow: Duration::from_millis(5_000), ..Kept::default() });
    let call = world.run("act", r#"{"misbehave":"loop"}"#, &[]).await;
    assert!(call.report.cpu_ms > 0, "{:?}", call.report);
    let fault = call.result.unwrap_err();
    assert_eq!((fault.code(), fault.blame()), ("plugin.timed-out", Blame::Plugin));
    let call = world.run("act", r#"{"misbehave":"trap"}"#, &[]).await;
    assert_eq!(call.result.unwrap_err().code(), "plugin.trapped");
    let fault = world.run("act", r#"{"misbehave":"panic"}"#, &[]).await.result.unwrap_err();
    let failure = fault.to_failure("test-stages", Stage::Custom);
    let said = |text: &str| text.contains("it ended with: thread") && text.ends_with("as asked");
    assert!(said(&failure.why), "{failure:?}");
    assert!(failure.fix.contains("report it") && failure.fix.contains("on_failure"), "{failure:?}");
    let call = world.run("act", r#"{"misbehave":"sleep"}"#, &[]).await;
    let fault = call.result.unwrap_err();
    assert_eq!(fault.code(), "plugin.timed-out");
    let fix = fault.to_failure("test-stages", Stage::Custom).fix;
    assert!(fix.contains("`plugin.wall_ms`") && !fix.contains("should have decided"), "{fix}");
    // Longer than the wall clock of a call, and on the host's time.
    let call = world.run("act", r#"{"url":"https://slow.example/"}"#, &[]).await;
    assert_eq!(call.result.unwrap().summary, "200 from https://slow.example/: fine");
}

#[tokio::test]
async fn a_stage_that_asks_for_ever_is_ended_by_its_own_time_whatever_the_host_gives() {
    let mut world = World::new(Kept::default());
    world.bench = Bench::with(PluginLimits { wall_ms: 60_000, ..limits() });
    for one in GREEDY {
        let options = json!({ "misbehave": one.misbehave }).to_string();
        let call = world.run("act", &options, &[]).await;
        let report = &call.report;
        assert!(matches!(call.result, Err(PluginFault::CpuTimedOut { .. })), "{one:?}: {call:?}");
        assert!(report.memory_peak_bytes < limits().memory_bytes_max, "{one:?}: {report:?}");
    }
    // Those that it dropped were ended.
    let said = world.kept.said();
    let count = |what: &str| said.iter().filter(|line| line.starts_with(what)).count();
    assert!(count("spawn") > 1, "{}", count("spawn"));
    assert!(count("killed") + 1 >= count("spawn"), "{} of {}", count("killed"), count("spawn"));
    assert!(count("append") > 1 && count("note") > 1);
    assert!(!world.kept.cache.lock().unwrap().is_empty());
}

#[tokio::test]
async fn each_limit_has_its_effect_where_it_is_granted_and_only_there() {
    let mut world = World::new(Kept::default());
    let everyones = PluginLimits { wall_ms: 2_000, cpu_ms: 500, ..limits() };
    world.bench = Bench::with(everyones.clone());
    let all = json!({ "name": "limits", "wall_ms": 60_000, "cpu_ms": 30_000,
                      "memory_bytes": 256 << 20 });
    for (limit, needs, without) in [
        ("memory_bytes", r#"{"take_bytes":134217728}"#, "plugin.out-of-memory"),
        ("cpu_ms", r#"{"compute_ms":20000}"#, "plugin.timed-out"),
        ("wall_ms", r#"{"wait_ms":4000}"#, "plugin.timed-out"),
    ] {
        let mut others = all.clone();
        others.as_object_mut().unwrap().remove(limit);
        for (granted, ends) in [(all.clone(), None), (others, Some(without))] {
            let source = json!({ "name": "source", "paths": ["**"] });
            let grants: Grants = serde_json::from_value(json!([source, granted])).unwrap();
            let sandbox = &world.bench.sandbox;
            world.plugin = sandbox.load_granted(&stages(), false, &grants).unwrap();
            let call = world.run("act", needs, &[]).await;
            let fault = call.result.as_ref().err();
            assert_eq!(fault.map(PluginFault::code), ends, "{limit}: {call:?}");
            let (report, is_granted) = (&call.report, ends.is_none());
            match limit {
                "memory_bytes" => {
                    let took_more = report.memory_peak_bytes > everyones.memory_bytes_max;
                    assert_eq!(took_more, is_granted, "{report:?}");
                }
                "cpu_ms" if is_granted => assert!(report.cpu_ms > everyones.cpu_ms, "{report:?}"),
                "wall_ms" if !is_granted => {
                    let Some(PluginFault::WallTimedOut { limit_ms }) = fault else {
                        panic!("{fault:?}")
                    };
                    assert_eq!(*limit_ms, everyones.wall_ms);
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn a_grant_above_the_ceiling_gives_no_more_than_the_ceiling() {
    let mut world = World::new(Kept::default());
    let ceiling = 96 << 20;
    let low = PluginLimits { granted_memory_bytes_max: ceiling, cpu_ms: 5_000, ..limits() };
    world.bench = Bench::with(low);
    let grants = r#"[{"name":"source","paths":["**"]},{"name":"limits","memory_bytes":268435456}]"#;
    let grants: Grants = serde_json::from_str(grants).unwrap();
    world.plugin = world.bench.sandbox.load_granted(&stages(), false, &grants).unwrap();
    let fits = world.run("act", r#"{"take_bytes":83886080}"#, &[]).await;
    assert_eq!(fits.result.unwrap().summary, "83886080 bytes taken");
    let fault = world.run("act", r#"{"take_bytes":134217728}"#, &[]).await.result.unwrap_err();
    let PluginFault::OutOfMemory { limit_bytes } = fault else { panic!("{fault:?}") };
    assert_eq!(limit_bytes, ceiling);
}

/// What an observer was told.
#[derive(Default)]
struct Told(Mutex<Vec<(String, CallOutcome, bool)>>);

impl Observer for Told {
    fn ended(&self, plugin: &Plugin, report: &CallReport) {
        let told = (plugin.name().to_owned(), report.outcome, report.cached);
        self.0.lock().unwrap().push(told);
    }
}

#[tokio::test]
async fn an_observer_is_told_of_every_call_that_ends() {
    let told = Arc::new(Told::default());
    let mut world = World::new(Kept::default());
    world.bench.sandbox = world.bench.sandbox.with_observer(told.clone());
    world.run("act", r#"{"misbehave":"trap"}"#, &[]).await.result.unwrap_err();
    world.run("act", r#"{"url":"https://api.example/"}"#, &[]).await.result.unwrap();
    let told = told.0.lock().unwrap();
    let name = || "test-stages".to_owned();
    assert_eq!(
        *told,
        [(name(), CallOutcome::Trapped, false), (name(), CallOutcome::Answered, false)]
    );
}
