//! From the log of a failed step to the cause: a code of its own, what to do, and the lines that show it.
//!
//! The host knows causes of the operating system ([`rules`]); those of a language or a framework are data
//! in the manifests of plugins. What is looked for are regular expressions over single lines; the first
//! known failure with a match wins, the plugin's that built the application before the host's.
//!
//! **Invariant: a diagnosis never hides what happened.** The failure keeps what failed and its log; the
//! code it had before is its `general` code, and the lines are its evidence.

pub(crate) mod changes;
mod rules;

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use windlass_model::deployment::Deployment;
use windlass_model::plugin::{KnownFailure, Stage};
use windlass_model::{Failure, LogLine, StepName, Stream};

use crate::host::Host;
use crate::pipeline::names;

/// Failures whose cause may be in the log. The others say their cause themselves.
const GENERAL: [&str; 14] = [
    "build.command-failed",
    "check.exited",
    "check.finished",
    "check.failed",
    "check.never-listened",
    "check.not-found",
    "check.too-slow",
    "check.unhealthy",
    "containers.start-failed",
    "migrate.failed",
    "switch.instance-ended",
    "start.before-switch-failed",
    "start.no-command",
    "validate.boot-failed",
];
/// Last lines that are looked at, of a step or an instance.
const LINES_MAX: usize = 300;
/// Lines kept as evidence.
const EVIDENCE_MAX: usize = 5;
/// Characters taken over from a line into a cause or a fix.
const CAPTURE_CHARS_MAX: usize = 160;
/// Memory of one compiled pattern, in bytes; plugins' were refused above it when they were loaded.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Puts the cause into a failure, when its log shows one that is known.
pub(crate) fn explain(host: &Host, deployment: &Deployment, step: StepName, failure: &mut Failure) {
    if !GENERAL.contains(&failure.code.as_str()) {
        return;
    }
    let lines = lines(host, deployment, step, failure);
    let known = known(host, deployment);
    let Some(diagnosis) = recognise(&lines, step, &known) else {
        return;
    };
    failure.general = Some(std::mem::replace(&mut failure.code, diagnosis.code));
    failure.why = diagnosis.cause;
    failure.fix = diagnosis.fix;
    failure.evidence = diagnosis.evidence;
}

/// What the application has written, and what the runtime said.
fn lines(host: &Host, deployment: &Deployment, step: StepName, failure: &Failure) -> Vec<LogLine> {
    let mut lines = host.logs.tail(&deployment.id, step, LINES_MAX);
    lines.retain(|line| matches!(line.stream, Stream::Stdout | Stream::Stderr));
    for instance in &deployment.outputs.instances {
        let log = names::instance_log(&instance.process, instance.ordinal);
        let dir = host.logs.instance_dir(&deployment.id, &log);
        lines.extend(windlass_containers::logs::tail(&dir, LINES_MAX));
    }
    for line in &failure.log {
        if line.stream != Stream::Host && !lines.contains(line) {
            lines.push(line.clone());
        }
    }
    // The runtime's own words, when a command could not even be started.
    lines.push(LogLine::now(Stream::Host, failure.why.clone()));
    lines
}

/// The known failures in the order in which they are tried.
fn known(host: &Host, deployment: &Deployment) -> Vec<KnownFailure> {
    let chosen = deployment.outputs.chosen.as_ref().map(|chosen| chosen.plugin.as_str());
    let mut known = Vec::new();
    let in_force = host.plugins.of_project(Some(&deployment.project));
    let plugins = || in_force.all().iter().map(|plugin| plugin.info());
    for plugin in plugins() {
        if chosen.is_none_or(|chosen| chosen == plugin.manifest.name) {
            known.extend(plugin.manifest.failures.iter().cloned());
        }
    }
    for plugin in plugins() {
        // Another builder knows another language: its patterns would only mislead.
        let builds = plugin.stages.contains(&Stage::Builder);
        if !builds && chosen.is_some_and(|chosen| chosen != plugin.manifest.name) {
            known.extend(plugin.manifest.failures.iter().cloned());
        }
    }
    known.extend(rules::all());
    known
}

/// A cause that was recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    pub code: String,
    pub cause: String,
    pub fix: String,
    pub evidence: Vec<LogLine>,
}

/// The first known failure that a line shows.
pub(crate) fn recognise(
    lines: &[LogLine],
    step: StepName,
    known: &[KnownFailure],
) -> Option<Diagnosis> {
    let texts: Vec<String> = lines.iter().map(|line| plain(&line.text)).collect();
    known
        .iter()
        .filter(|known| known.steps.is_empty() || known.steps.contains(&step))
        .find_map(|known| try_one(lines, &texts, known))
}

fn try_one(lines: &[LogLine], texts: &[String], known: &KnownFailure) -> Option<Diagnosis> {
    let mut captured = BTreeMap::new();
    let mut shown: Vec<usize> = Vec::new();
    for pattern in known.patterns.iter().filter_map(|pattern| compile(pattern)) {
        // The last one: what came before may have been tried again.
        let found = texts.iter().enumerate().rev().find(|(_, text)| pattern.is_match(text));
        let Some((n, text)) = found else { continue };
        shown.push(n);
        capture(&pattern, text, &mut captured);
    }
    shown.sort_unstable();
    shown.dedup();
    shown.truncate(EVIDENCE_MAX);
    if shown.is_empty() {
        return None;
    }
    Some(Diagnosis {
        code: known.code.clone(),
        cause: fill(&known.cause, &captured),
        fix: fill(&known.fix, &captured),
        evidence: shown.into_iter().map(|n| lines[n].clone()).collect(),
    })
}

fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build().ok()
}

fn capture(pattern: &Regex, text: &str, captured: &mut BTreeMap<String, String>) {
    let Some(captures) = pattern.captures(text) else { return };
    for name in pattern.capture_names().flatten() {
        if let Some(found) = captures.name(name) {
            let found: String = found.as_str().chars().take(CAPTURE_CHARS_MAX).collect();
            captured.entry(name.to_owned()).or_insert(found);
        }
    }
}

/// Puts what was captured into a text; what was not is named: `<module>`.
fn fill(text: &str, captured: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            filled.push('{');
            rest = after;
            continue;
        };
        match captured.get(name) {
            Some(value) => filled.push_str(value),
            // Braces that name nothing are the text's own.
            None if name.chars().all(|c| c.is_ascii_lowercase()) => {
                filled.push_str(&format!("<{name}>"));
            }
            None => filled.push_str(&format!("{{{name}}}")),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// Without the escape sequences of terminals and other control characters.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.peek() == Some(&'[') {
            chars.next();
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if !c.is_control() || c == '\t' {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> LogLine {
        LogLine::now(Stream::Stderr, text)
    }

    fn known(code: &str, patterns: &[&str], cause: &str, fix: &str) -> KnownFailure {
        KnownFailure {
            code: code.to_owned(),
            title: "It failed".to_owned(),
            cause: cause.to_owned(),
            fix: fix.to_owned(),
            patterns: patterns.iter().map(|p| (*p).to_owned()).collect(),
            steps: Vec::new(),
        }
    }

    #[test]
    fn the_first_known_failure_wins_and_names_what_the_line_says() {
        let lines = [
            line("starting"),
            line("\u{1b}[31mno module \u{1b}[1mrocket\u{1b}[0m, really"),
            line("it failed"),
        ];
        let rules = [
            known("a.other", &["nothing like it"], "", ""),
            known(
                "a.module",
                &[r"no module (?<module>\w+)"],
                "{module} is missing",
                "get {module}",
            ),
            known("a.any", &["failed"], "it failed", "look"),
        ];
        let found = recognise(&lines, StepName::Check, &rules).unwrap();
        assert_eq!(found.code, "a.module");
        assert_eq!(found.cause, "rocket is missing");
        assert_eq!(found.fix, "get rocket");
        assert_eq!(found.evidence, [lines[1].clone()]);
        assert_eq!(recognise(&lines[..1], StepName::Check, &rules), None);
    }

    #[derive(serde::Deserialize)]
    struct Failures {
        failure: Vec<KnownFailure>,
    }

    #[derive(serde::Deserialize)]
    struct Printed {
        plugin: String,
        code: String,
        text: String,
    }

    /// What cannot be provoked in a test, because its toolchain or its packages cannot be had there.
    #[test]
    fn lines_as_tools_print_them_are_recognised() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
        let all: BTreeMap<String, Vec<Printed>> =
            toml::from_str(&read("tests/fixtures/recognised.toml")).unwrap();
        assert!(all["line"].len() >= 50, "{}", all["line"].len());
        for Printed { plugin, code, text } in &all["line"] {
            let known: Failures =
                toml::from_str(&read(&format!("plugins/{plugin}/failures.toml"))).unwrap();
            let own = known.failure.iter().find(|known| known.code == *code).unwrap();
            let step = own.steps.first().copied().unwrap_or(StepName::Build);
            let lines: Vec<LogLine> = text.lines().map(line).collect();
            let found = recognise(&lines, step, &known.failure).map(|found| found.code);
            assert_eq!(found.as_ref(), Some(code), "{text}");
        }
    }

    #[test]
    fn a_step_that_it_cannot_happen_in_is_passed_over() {
        let mut rule = known("a.build", &["x"], "c", "f");
        rule.steps = vec![StepName::Build];
        assert_eq!(recognise(&[line("x")], StepName::Check, &[rule.clone()]), None);
        assert!(recognise(&[line("x")], StepName::Build, &[rule]).is_some());
    }

    #[test]
    fn several_patterns_add_to_one_another_and_what_is_missing_is_named() {
        let rule = known(
            "a.two",
            &["file (?<file>\\S+)", "version (?<has>\\d+)", "lines (?<gone>\\d+)"],
            "{file} has {has}, not {gone} { or {UPPER}",
            "f",
        );
        let lines = [line("file a.node"), line("version 93")];
        let found = recognise(&lines, StepName::Check, &[rule]).unwrap();
        assert_eq!(found.cause, "a.node has 93, not <gone> { or {UPPER}");
        assert_eq!(found.evidence.len(), 2);
    }
}
