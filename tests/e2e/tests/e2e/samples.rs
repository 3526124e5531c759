//! The sample applications of `tests/fixtures/samples`, from a repository to an answer and to the end of
//! their processes: detected as what they are, built, served, rebuilt after one changed line, and stopped.
//!
//! One host serves all of a run, a project each, so that a base is made once. What cannot be built where
//! only Debian, npm, PyPI and crates.io answer, or is too large for a test, is detected and planned.

#![expect(clippy::print_stderr, reason = "the test prints what it measured")]

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use windlass_model::build::{BuildWhy, Reason};
use windlass_model::deployment::{Artifact, ArtifactKind};
use windlass_model::running::RunningView;
use windlass_test_support::{
    CliOutput, Deployed, GitRepo, HostOptions, TestHost, binary, fixture, sample, scratch,
    target_dir, until, wait_for,
};

use crate::builds::Events;

/// Samples that are built and served unless all are.
const SAMPLE: usize = 3;
/// What an application has between SIGTERM and SIGKILL.
const GRACE_S: i64 = 10;
/// Within this an application that is live answers, and a worker has said what it says.
const WITHIN: Duration = Duration::from_secs(30);
/// Exit status of a process that SIGKILL ended.
const KILLED: u64 = 128 + 9;
/// Files that say what is installed: a change in one of them is no change of a source line.
const MANIFESTS: [&str; 12] = [
    "package.json",
    "Cargo.toml",
    "pyproject.toml",
    "composer.json",
    "Gemfile",
    "go.mod",
    "deno.json",
    "shard.yml",
    "mix.exs",
    "pom.xml",
    "requirements.txt",
    "windlass.toml",
];

/// A sample with its `sample.json`.
struct Sample {
    name: String,
    folder: PathBuf,
    about: Value,
}

impl Sample {
    fn text(&self, key: &str) -> Option<&str> {
        self.about.get(key).and_then(Value::as_str)
    }

    fn expected(&self) -> (&str, &str) {
        let of = |key| self.text(key).unwrap_or_else(|| panic!("{}: no {key:?}", self.name));
        (of("plugin"), of("id"))
    }

    fn is(&self, key: &str) -> bool {
        self.about.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn is_buildable(&self) -> bool {
        self.about.get("buildable").and_then(Value::as_bool).unwrap_or(true)
    }

    /// A repository of it, without what only the tests read.
    fn repo(&self) -> GitRepo {
        let repo = GitRepo::of_fixture(&format!("samples/{}", self.name));
        repo.remove("sample.json");
        if let Some(settings) = self.text("setting") {
            repo.write("windlass.toml", settings);
        }
        repo.commit("The sample alone");
        repo
    }
}

fn all() -> Vec<Sample> {
    let entries = std::fs::read_dir(fixture("samples")).unwrap().map(Result::unwrap);
    let mut samples: Vec<Sample> = entries
        .filter_map(|entry| {
            let (folder, name) = (entry.path(), entry.file_name().into_string().unwrap());
            let text = std::fs::read_to_string(folder.join("sample.json")).ok()?;
            let about = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            Some(Sample { name, folder, about })
        })
        .collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

#[test]
fn samples_are_built_and_served_and_end_on_sigterm() {
    let samples: Vec<Sample> = all().into_iter().filter(Sample::is_buildable).collect();
    let host = TestHost::start_with(HostOptions::default().limit("stop_grace_s", GRACE_S));
    let (mut table, mut failed) = (Vec::new(), Vec::new());
    for sample in sample::of_named(samples, SAMPLE, |sample| sample.name.clone()) {
        let began = Instant::now();
        eprintln!("sample {}", sample.name);
        // Its panic is printed at once; the others are played all the same.
        match catch_unwind(AssertUnwindSafe(|| play(&host, &sample))) {
            Ok(size) => table.extend(size),
            Err(_) => failed.push(sample.name.clone()),
        }
        eprintln!("sample {}: {} s", sample.name, began.elapsed().as_secs());
    }
    print_table(&table);
    assert!(failed.is_empty(), "these samples failed, see above: {failed:?}");
    host.finish();
}

/// A sample's whole life; its image, unless it is a tree of files.
fn play(host: &TestHost, sample: &Sample) -> Option<ImageSize> {
    let name = sample.name.as_str();
    let repo = sample.repo();
    let deployed = host.deploy_git(name, &repo, &[]).live();
    let chosen = deployed.view.deployment.outputs.chosen.as_ref().unwrap();
    let detected = (chosen.plugin.as_str(), chosen.detection.id.as_str());
    assert_eq!(detected, sample.expected(), "{name}: what it is taken for");
    answers(host, sample, sample.text("body"));
    let size = image_size(host, name, artifact(&deployed));
    if let (Some(of), Some(size)) = (sample.text("dependencies"), &size) {
        assert_slim(host, sample, of, size);
    }
    if !sample.is("worker") {
        changed_line(host, sample, &repo);
    }
    stopped(host, sample);
    // The version before may still be drained.
    until(&format!("{name} is deleted"), WITHIN, || {
        host.cli(&["project", "delete", name, "--yes"]).code == 0
    });
    size
}

fn artifact(deployed: &Deployed) -> &Artifact {
    deployed.view.deployment.outputs.artifact.as_ref().unwrap()
}

/// A web application answers its body, a worker says it in its log.
fn answers(host: &TestHost, sample: &Sample, body: Option<&str>) {
    let name = sample.name.as_str();
    let Some(body) = body else {
        assert!(sample.is("worker"), "{name}: a web application has a body");
        return;
    };
    if sample.is("worker") {
        wait_for(&format!("{name} says {body:?}"), WITHIN, || {
            let log = host.cli(&["logs", "--project", name]).stdout;
            if log.contains(body) { Ok(()) } else { Err(log) }
        });
        return;
    }
    let path = sample.text("path").unwrap_or("/");
    wait_for(&format!("{name} answers {body:?}"), WITHIN, || {
        let answer = host.get(&format!("{name}.localhost"), path);
        let text = answer.text();
        let is_right = answer.status == 200 && text.contains(body);
        if is_right { Ok(()) } else { Err(format!("{}: {text}", answer.status)) }
    });
}

/// One source line is changed: what is done again has that file in it, or stands on such a step.
fn changed_line(host: &TestHost, sample: &Sample, repo: &GitRepo) {
    let name = sample.name.as_str();
    let body = sample.text("body").unwrap();
    let Some(file) = holds(repo.path(), Path::new(""), body) else {
        eprintln!("sample {name}: no source file holds the body, so no line of it is changed");
        return;
    };
    // As long as it was: some samples count the bytes of what they answer.
    let changed = body.to_ascii_uppercase();
    repo.edit(&file, body, &changed);
    repo.commit("One line");
    let again = host.deploy_git(name, repo, &[]).live();
    answers(host, sample, Some(&changed));
    let number = again.number().to_string();
    let why: BuildWhy = host.cli_json(&["why", &number, "--project", name]).ok().json();
    let expected = |reason: &Reason| match reason {
        Reason::File { path, .. } => path.ends_with(&file),
        Reason::Step { .. } => true,
        _ => false,
    };
    let (cached, redone): (Vec<_>, Vec<_>) = why.steps.iter().partition(|step| step.cached);
    assert!(!redone.is_empty(), "{name}: {why:#?}");
    for step in &redone {
        assert!(step.reasons.iter().all(expected), "{name}, after {file} changed: {step:#?}");
    }
    let ids = |steps: &[&windlass_model::build::StepWhy]| {
        steps.iter().map(|step| step.id.clone()).collect::<Vec<_>>().join(" ")
    };
    eprintln!("sample {name}: cached: {}; done again: {}", ids(&cached), ids(&redone));
    let built_on_a_base = why.steps.len() > 2;
    assert!(!built_on_a_base || !cached.is_empty(), "{name}: nothing was cached: {why:#?}");
}

/// The first source file below a folder that holds the text.
fn holds(root: &Path, folder: &Path, text: &str) -> Option<String> {
    let entries = std::fs::read_dir(root.join(folder)).unwrap().map(Result::unwrap);
    let mut entries: Vec<_> = entries.map(|entry| folder.join(entry.file_name())).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name == ".git" || MANIFESTS.contains(&name.as_str()) {
            continue;
        }
        let full = root.join(&path);
        if full.is_dir() {
            if let Some(found) = holds(root, &path, text) {
                return Some(found);
            }
        } else if std::fs::read_to_string(full).is_ok_and(|content| content.contains(text)) {
            return Some(path.to_string_lossy().into_owned());
        }
    }
    None
}

/// `windlass stop` ends every process with SIGTERM, within the grace.
fn stopped(host: &TestHost, sample: &Sample) {
    let name = sample.name.as_str();
    let path = format!("/v1/projects/{name}/environments/production/running");
    let answer = host.api("GET", &path, None);
    let running: RunningView = answer.json();
    let ids: Vec<String> = running.instances.iter().map(|one| one.instance.id.clone()).collect();
    let events = Events::of(host);
    let began = Instant::now();
    host.cli(&["stop", "--project", name]).ok();
    let took = began.elapsed();
    if ids.is_empty() {
        return;
    }
    let ends = events.ends(&ids);
    eprintln!("sample {name}: stopped in {} ms: {ends:?}", took.as_millis());
    let killed: Vec<_> = ends.iter().filter(|(_, status)| **status == KILLED).collect();
    assert!(killed.is_empty(), "{name}: SIGKILL ended {killed:?} after {took:?}");
    assert!(took < Duration::from_secs(GRACE_S.unsigned_abs()), "{name}: it took {took:?}");
}

/// What an image takes on the disk.
struct ImageSize {
    name: String,
    output: String,
    all: u64,
    base: u64,
}

/// The size of the image that runs, by its snapshots; nothing for a tree of files.
fn image_size(host: &TestHost, name: &str, artifact: &Artifact) -> Option<ImageSize> {
    let is_image = |kind: &ArtifactKind| matches!(kind, ArtifactKind::Image { .. });
    let output = artifact.outputs.iter().find(|output| is_image(&output.kind))?;
    let words =
        |line: &String| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
    let parents: BTreeMap<String, String> = host
        .ctr_lines(&["snapshots", "list"])
        .iter()
        .map(words)
        .filter(|words| words.len() == 3)
        .map(|words| (words[0].clone(), words[1].clone()))
        .collect();
    let usage: BTreeMap<String, u64> = host
        .ctr_lines(&["snapshots", "usage", "-b"])
        .iter()
        .map(words)
        .filter_map(|words| Some((words.first()?.clone(), words.get(1)?.parse().ok()?)))
        .collect();
    let mut size =
        ImageSize { name: name.to_owned(), output: output.name.clone(), all: 0, base: 0 };
    let mut next = Some(&output.snapshot);
    while let Some(snapshot) = next {
        let bytes = usage.get(snapshot).copied().unwrap_or_default();
        size.all += bytes;
        if snapshot.starts_with("base-") || snapshot.starts_with("image-") {
            size.base += bytes;
        }
        next = parents.get(snapshot);
    }
    assert!(size.all > 0, "{name}: the snapshots of {} are not listed", output.snapshot);
    Some(size)
}

/// The image is its base, and not much more than the folder of its dependencies.
fn assert_slim(host: &TestHost, sample: &Sample, folder: &str, size: &ImageSize) {
    let name = sample.name.as_str();
    let said = host.cli(&["exec", "--project", name, "--", "du", "-s", "-B1", folder]).ok().stdout;
    let bytes: u64 = said.split_whitespace().next().unwrap().parse().unwrap();
    let (own, most) = (size.all - size.base, bytes * 12 / 10);
    eprintln!("sample {name}: {own} bytes beside its base, {bytes} of them dependencies");
    assert!(own <= most, "{name}: {own} bytes beside its base, {bytes} of them dependencies");
}

fn print_table(sizes: &[ImageSize]) {
    let mib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 20));
    eprintln!("{:<24} {:<8} {:>10} {:>10} {:>8}", "image", "output", "MiB", "base MiB", "base %");
    for size in sizes {
        let ImageSize { name, output, all, base } = size;
        let share = base * 100 / all;
        let (all, base) = (mib(*all), mib(*base));
        eprintln!("{name:<24} {output:<8} {all:>10} {base:>10} {share:>8}");
    }
}

#[test]
fn samples_that_cannot_be_built_here_are_detected_and_planned() {
    let cache = target_dir().join("tmp/samples-cache");
    for sample in all().into_iter().filter(|sample| !sample.is_buildable()) {
        let name = sample.name.as_str();
        assert!(sample.text("why").is_some(), "{name}: it says why it cannot be built here");
        let folder = scratch("sample");
        let copied = Command::new("cp").arg("-rT").arg(&sample.folder).arg(folder.path()).status();
        assert!(copied.unwrap().success());
        std::fs::remove_file(folder.path().join("sample.json")).unwrap();
        let said = |verb: &str| -> Value {
            let mut command = Command::new(binary());
            command.args(["--json", verb]).arg(folder.path()).env("XDG_CACHE_HOME", &cache);
            CliOutput::of(&mut command).ok().json()
        };
        let detected = said("detect");
        let found = (detected["plugin"].as_str(), detected["chosen"]["id"].as_str());
        let (plugin, id) = sample.expected();
        assert_eq!(found, (Some(plugin), Some(id)), "{name}");
        let planned = said("plan").to_string();
        assert!(planned.contains("\"steps\""), "{name}: {planned}");
    }
}
