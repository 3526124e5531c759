//! Plugins of strangers who mean harm: every one is stopped, named, and harms nothing.
//!
//! Each is played as a call beside calls of a good plugin, with the host's memory and time looked at, in a process
//! that plays nothing else.
//! `WINDLASS_TEST_EXTENT=full` plays all of them, otherwise one of each kind is drawn; `WINDLASS_TEST_ONLY` plays
//! those of these names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use windlass_model::failure::Fault;
use windlass_model::limits::PluginLimits;
use windlass_model::plan::Detection;
use windlass_model::plugin::{CallOutcome, CallReport, Stage};
use windlass_sandbox::{Call, LoadError, LogEntry, Plugin, PluginFault, Sandbox, Source};
use windlass_test_support::adversaries::{
    Adversary, Ends, KINDS, Kind, Made, Seen, mutants, table,
};
use windlass_test_support::{mutate, sample};

use crate::support::{Bench, Folder, context, guest, web};
use crate::time::{Children, Took, alone, timed};

/// When a call that does not end has hung, whatever its limits.
const HUNG: Duration = Duration::from_secs(90);
/// Most that one text of a failure may have, in bytes: it is kept with a deployment.
const TEXT_BYTES_MAX: usize = 32 * 1024;
/// What the host itself may need for a call, in bytes, beside the memory that it lends.
const HOST_BYTES_MAX: u64 = 96 << 20;

/// How it ended.
enum Ended {
    NotLoaded(LoadError),
    /// What is asked is none of its stages, so nobody asks it.
    NotAsked,
    Fault(PluginFault, CallReport, Vec<LogEntry>, Took),
    Answered(Seen, Took),
}

/// How far one came.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reached {
    Read,
    Compiled,
    Called,
}

impl Ended {
    fn reached(&self) -> Reached {
        match self {
            Self::NotLoaded(_) | Self::NotAsked => Reached::Read,
            Self::Fault(PluginFault::Load(error), ..) => match error.as_ref() {
                LoadError::Mismatch { .. } => Reached::Compiled,
                _ => Reached::Read,
            },
            Self::Fault(..) | Self::Answered(..) => Reached::Called,
        }
    }
}

#[test]
fn the_table_has_every_kind_and_no_name_twice() {
    let table = table();
    assert!(table.len() >= 150, "{}", table.len());
    for kind in KINDS {
        assert!(table.iter().any(|one| one.kind == kind), "there is none of {kind:?}");
    }
    let mut names: Vec<&str> = table.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn every_adversary_is_stopped_named_and_harms_nothing() {
    alone("adversaries::every_adversary_is_stopped_named_and_harms_nothing", play_drawn());
}

#[expect(clippy::print_stderr, reason = "the case that fails must be known")]
async fn play_drawn() {
    let bench = Arc::new(Bench::new());
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let mut failed = Vec::new();
    for one in drawn() {
        let (kind, name) = (one.kind, one.name.clone());
        let (started, bench) = (Instant::now(), Arc::clone(&bench));
        let played = tokio::spawn(async move { play(&bench, &one).await }).await;
        eprintln!("{kind:?}: {name}, after {} ms", started.elapsed().as_millis());
        if played.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    bench.assert_works().await;
}

/// A mutant that the reader of files refuses shows nothing of the compiler, the calls and the reading of answers.
#[test]
fn most_components_with_a_mutated_core_are_compiled_and_called_and_end_named() {
    const NAME: &str =
        "adversaries::most_components_with_a_mutated_core_are_compiled_and_called_and_end_named";
    alone(NAME, play_mutants());
}

#[expect(clippy::print_stderr, reason = "the case that fails must be known")]
async fn play_mutants() {
    let bench = Bench::new();
    bench.sandbox.prepare(&bench.guest).await.unwrap();
    let many = mutate::cases(24, 400);
    let (mut compiled, mut called) = (0, 0);
    for one in mutants(many) {
        let reached = play(&bench, &one).await;
        eprintln!("{}: {reached:?}", one.name);
        compiled += u64::from(reached >= Reached::Compiled);
        called += u64::from(reached == Reached::Called);
    }
    eprintln!("of {many}: {compiled} compiled, {called} called");
    // A change of the manifest is one of about a dozen kinds of change, and refused before anything is compiled.
    let enough = many / 3;
    assert!(
        compiled >= enough && called >= enough,
        "of {many}: {compiled} compiled, {called} called"
    );
    bench.assert_works().await;
}

/// Those that are played.
fn drawn() -> Vec<Adversary> {
    let mut table = table();
    if std::env::var_os("WINDLASS_TEST_ONLY").is_some() {
        return sample::of_named(table, 0, |one| one.name.clone());
    }
    table.sort_by_key(|one| one.kind);
    let of = |kind: Kind, table: &mut Vec<Adversary>| -> Vec<Adversary> {
        let many = table.iter().take_while(|one| one.kind == kind).count();
        sample::of(table.drain(..many).collect(), if kind == Kind::Mutated { 4 } else { 1 })
    };
    KINDS.into_iter().flat_map(|kind| of(kind, &mut table)).collect()
}

async fn play(bench: &Bench, one: &Adversary) -> Reached {
    let file = tempfile::tempdir().unwrap();
    let path = one.lay_file(file.path());
    let behaviour = if let Made::Guest(how) = &one.made { how } else { "" };
    let folder = Folder::new(behaviour);
    if let Some(lay) = one.lay {
        lay(folder.path());
    }

    let mut config = bench.config.clone();
    config.limits = one.limits(&config.limits);
    let limits = config.limits.clone();
    let sandbox = Sandbox::new(config).unwrap();
    let beside = Beside::start(&sandbox);
    let (memory, children) = (Memory::look(), Children::look());
    let asked = Box::pin(ask(&sandbox, path.clone(), &folder, one.stage, &limits));
    let ended = tokio::time::timeout(HUNG, asked).await;
    let ended = ended.unwrap_or_else(|_| panic!("{}: it hung", one.name));
    memory.assert_grown_less_than(limits.memory_bytes_max / 10 * 11 + HOST_BYTES_MAX, &one.name);
    children.assert_computed_within(Duration::from_secs(limits.compile_cpu_s), &one.name);
    beside.assert_undisturbed(&one.name).await;
    let reached = ended.reached();
    check(one, &path, ended, &limits);
    reached
}

async fn ask(
    sandbox: &Sandbox,
    path: PathBuf,
    folder: &Folder,
    stage: Stage,
    limits: &PluginLimits,
) -> Ended {
    let (loading, source) = (sandbox.clone(), folder.source());
    // What hangs must not hang the test with it.
    let loaded = tokio::task::spawn_blocking(move || loading.load(&path, false)).await.unwrap();
    let plugin = match loaded {
        Ok(plugin) => plugin,
        Err(error) => return Ended::NotLoaded(error),
    };
    if !plugin.fills(stage) {
        return Ended::NotAsked;
    }
    // Compiling has limits of its own. That it failed, the call says again.
    let _compiled = sandbox.prepare(&plugin).await;
    let context = &context();
    match stage {
        Stage::Builder => {
            let chosen = chosen(sandbox, &plugin, &source).await;
            let plan = Box::pin(sandbox.plan(&plugin, &source, context, &chosen));
            ended(timed(plan, limits).await, folder, |plan| {
                let names = plan.steps.iter().map(|step| ("step".to_owned(), step.name.clone()));
                (names.collect(), serde_json::to_value(&plan).unwrap())
            })
        }
        Stage::Health => {
            let chosen = chosen(sandbox, &plugin, &source).await;
            let processes = [web()];
            let policy = sandbox.health_policy(&plugin, &source, context, &chosen, &processes, &[]);
            let call = timed(Box::pin(policy), limits).await;
            ended(call, folder, |policy| (BTreeMap::new(), serde_json::to_value(&policy).unwrap()))
        }
        _ => {
            let detect = Box::pin(sandbox.detect(&plugin, &source, context));
            ended(timed(detect, limits).await, folder, |report| {
                let signs = report.detections.first().map(|it| it.evidence.clone());
                let signs = signs.into_iter().flatten().map(|sign| (sign.path, sign.detail));
                // What it was asked to do is a sign of every behaviour.
                let told = signs.filter(|(path, _)| path != "behave").collect();
                (told, serde_json::to_value(&report).unwrap())
            })
        }
    }
}

async fn chosen(sandbox: &Sandbox, plugin: &Plugin, source: &Source) -> Detection {
    let call = sandbox.detect(plugin, source, &context()).await;
    call.result.unwrap().detections.remove(0)
}

fn ended<T>(
    (call, took): (Call<T>, Took),
    folder: &Folder,
    read: impl Fn(T) -> (BTreeMap<String, String>, serde_json::Value),
) -> Ended {
    let Call { result, report, log } = call;
    match result {
        Err(fault) => Ended::Fault(fault, report, log, took),
        Ok(answer) => {
            let (evidence, whole) = read(answer);
            let log: Vec<String> = log.into_iter().map(|(_, line)| line).collect();
            let mut texts = log.clone();
            texts_of(&whole, &mut texts);
            let source = folder.path().to_owned();
            Ended::Answered(Seen { evidence, texts, log, report, source }, took)
        }
    }
}

fn texts_of(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(list) => list.iter().for_each(|one| texts_of(one, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|one| texts_of(one, found)),
        _ => {}
    }
}

fn check(one: &Adversary, path: &Path, ended: Ended, limits: &PluginLimits) {
    let name = &one.name;
    match (&one.ends, ended) {
        (Ends::NotLoadable | Ends::Named, Ended::NotLoaded(error)) => {
            assert!(!error.fix().is_empty(), "{name}: {error}");
            let problem = windlass_sandbox::LoadProblem { path: path.to_owned(), error };
            let said = problem.to_string();
            assert!(said.contains("odd.wasm"), "{name}: {said}");
            assert!(said.len() <= TEXT_BYTES_MAX, "{name}: it says too much");
            assert_says(one, &said);
        }
        (Ends::NotLoadable, Ended::Fault(fault, report, ..)) => {
            assert_eq!(fault.code(), "plugin.not-loadable", "{name}: {fault}");
            assert_failure(one, &fault, &report);
        }
        (Ends::Stopped(ends), Ended::Fault(fault, report, log, took)) => {
            let end = (report.outcome, fault.code());
            assert!(ends.contains(&end), "{name}: {end:?}: {fault}\n{log:?}");
            if let PluginFault::OutOfMemory { limit_bytes } = &fault {
                assert_eq!(*limit_bytes, limits.memory_bytes_max, "{name}");
            }
            assert_within(name, &report, limits);
            took.assert_within(name, Some(&fault), limits);
            assert_failure(one, &fault, &report);
            assert_plain(name, &log.into_iter().map(|(_, line)| line).collect::<Vec<_>>());
        }
        (Ends::Named, Ended::Fault(fault, report, _, took)) => {
            assert_within(name, &report, limits);
            took.assert_within(name, Some(&fault), limits);
            assert_failure(one, &fault, &report);
        }
        (Ends::Harmless(holds), Ended::Answered(seen, took)) => {
            assert_within(name, &seen.report, limits);
            took.assert_within(name, None, limits);
            assert_plain(name, &seen.texts);
            holds(&seen);
        }
        (Ends::Named, Ended::NotAsked) => {}
        (Ends::Named, Ended::Answered(seen, took)) => {
            assert_within(name, &seen.report, limits);
            took.assert_within(name, None, limits);
        }
        (_, Ended::NotAsked) => panic!("{name}: it fills another stage"),
        (_, Ended::NotLoaded(error)) => panic!("{name}: it is not loaded: {error}"),
        (_, Ended::Fault(fault, ..)) => panic!("{name}: {}: {fault}", fault.code()),
        (_, Ended::Answered(seen, _)) => panic!("{name}: it was answered: {seen:#?}"),
    }
}

/// The failure names the plugin, the stage and what can be done.
fn assert_failure(one: &Adversary, fault: &PluginFault, report: &CallReport) {
    let failure = fault.to_failure(&report.plugin, report.stage);
    let name = &one.name;
    assert_eq!(report.stage, one.stage, "{name}");
    let asked = match one.stage {
        Stage::Builder => "how to build",
        Stage::Health => "healthy",
        _ => "what the application is",
    };
    if report.outcome != CallOutcome::Refused {
        assert_eq!(failure.fault, Fault::Plugin(report.plugin.clone()), "{name}: {failure:?}");
        assert!(failure.what.contains(asked), "{name}: {failure:?}");
    }
    assert!(failure.what.contains(&report.plugin), "{name}: {failure:?}");
    assert!(!failure.why.is_empty() && !failure.fix.is_empty(), "{name}: {failure:?}");
    let texts = [failure.what.clone(), failure.why.clone(), failure.fix.clone()];
    assert!(texts.iter().all(|text| text.len() <= TEXT_BYTES_MAX), "{name}: it says too much");
    assert_plain(name, &texts);
    assert_says(one, &failure.why);
}

fn assert_says(one: &Adversary, said: &str) {
    for word in one.says {
        assert!(said.contains(word), "{}: {said:?} does not say {word:?}", one.name);
    }
}

/// What is counted stays within its limit.
fn assert_within(name: &str, report: &CallReport, limits: &PluginLimits) {
    assert!(report.memory_peak_bytes <= limits.memory_bytes_max, "{name}: {report:?}");
    assert!(report.log_bytes <= limits.log_bytes_max, "{name}: {report:?}");
}

/// No text drives a terminal.
fn assert_plain(name: &str, texts: &[String]) {
    for text in texts {
        let odd = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(odd, None, "{name}: {text:?}");
    }
}

/// Calls of the good plugin, one after another, in the same sandbox.
struct Beside {
    stop: Arc<AtomicBool>,
    calls: tokio::task::JoinHandle<usize>,
}

impl Beside {
    fn start(sandbox: &Sandbox) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sandbox, stopped) = (sandbox.clone(), Arc::clone(&stop));
        let calls = tokio::spawn(async move {
            let good = sandbox.load(&guest(), false).unwrap();
            let mut answered = 0;
            while answered == 0 || !stopped.load(Ordering::Relaxed) {
                let folder = Folder::new("ok");
                let call = sandbox.detect(&good, &folder.source(), &context()).await;
                assert_eq!(call.result.unwrap().detections[0].id, "test-guest");
                answered += 1;
            }
            answered
        });
        Self { stop, calls }
    }

    async fn assert_undisturbed(self, name: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = tokio::time::timeout(HUNG, self.calls).await;
        let answered = answered.unwrap_or_else(|_| panic!("{name}: what runs beside it hung"));
        assert!(answered.unwrap() > 0, "{name}");
    }
}

/// Memory of this process that is resident; see [`alone`].
struct Memory(u64);

impl Memory {
    /// Looks, and forgets the peak.
    fn look() -> Self {
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        Self(resident_bytes("VmRSS:"))
    }

    fn assert_grown_less_than(&self, bytes_max: u64, name: &str) {
        let grown = resident_bytes("VmHWM:").saturating_sub(self.0);
        assert!(grown < bytes_max, "{name}: the host grew by {grown} bytes");
    }
}

fn resident_bytes(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let kib: u64 = found.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}
