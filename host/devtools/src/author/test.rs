//! Fixtures: folders with a source, what the component is told beside it, and what it is to answer.
//!
//! ```text
//! fixtures/<case>/source/…        the source
//! fixtures/<case>/context.toml    what is told beside it; may be missing
//! fixtures/<case>/expected.json   the answers
//! ```
//!
//! **Invariant: only `accept` writes, and nothing but `expected.json`.** What failed is never written down as
//! expected.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use similar::TextDiff;
use windlass_model::Failure;
use windlass_model::author::{Answered, CaseOutcome, TestPlugin, Tested, TestedCase};

use super::ask::{self, Subject};
use super::component::{self, Loaded};
use super::told::Told;
use crate::local::Config;

/// The folder of the fixtures, beside a plugin's sources.
const FIXTURES: &str = "fixtures";
/// The source of a case.
const SOURCE: &str = "source";
/// What is told beside it.
pub(super) const CONTEXT: &str = "context.toml";
/// The answers.
const EXPECTED: &str = "expected.json";

/// Plays the fixtures of a plugin.
///
/// # Errors
/// `plugin.no-fixtures`, `plugin.no-such-fixture`; and when there is no component that could be asked. That a
/// case fails is part of the answer.
pub async fn test(config: &Config, request: &TestPlugin) -> Result<Tested, Failure> {
    let component = component::find(&request.plugin)?;
    let plugin = Loaded::open(config, &component)?;
    let fixtures = match &request.fixtures {
        Some(folder) => folder.clone(),
        None => beside(&request.plugin, &component),
    };
    let cases = chosen(&fixtures, &request.only)?;
    let mut played = Vec::new();
    for name in cases {
        let case = Case { folder: fixtures.join(&name), name };
        played.push(case.play(config, &plugin, request.accept).await);
    }
    let warnings = component::stale(&component).into_iter().collect();
    let plugin = plugin.name().to_owned();
    Ok(Tested { plugin, component, fixtures, cases: played, warnings })
}

/// The first fixture of a plugin: its source, and its context if it has one.
///
/// # Errors
/// `plugin.no-fixtures`.
pub(super) fn first(path: &Path, component: &Path) -> Result<(PathBuf, Option<PathBuf>), Failure> {
    let fixtures = beside(path, component);
    let cases = chosen(&fixtures, &[])?;
    let folder = fixtures.join(&cases[0]);
    let context = folder.join(CONTEXT);
    Ok((folder.join(SOURCE), context.is_file().then_some(context)))
}

/// The fixtures of the folder that was named, or that a named component lies in.
fn beside(path: &Path, component: &Path) -> PathBuf {
    if path.is_dir() {
        return path.join(FIXTURES);
    }
    let folder = component.parent().unwrap_or(component);
    let project = folder.parent().filter(|_| folder.ends_with(component::DIST));
    project.unwrap_or(folder).join(FIXTURES)
}

fn chosen(fixtures: &Path, only: &[String]) -> Result<Vec<String>, Failure> {
    let mut cases: Vec<String> = std::fs::read_dir(fixtures)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    cases.sort();
    if cases.is_empty() {
        return Err(Failure::app(
            "plugin.no-fixtures",
            "there are no fixtures to test with",
            format!("{} is missing, or has no folders in it", fixtures.display()),
            format!(
                "make a folder for each case, with the source in it: {}",
                fixtures.join("case").join(SOURCE).display()
            ),
        ));
    }
    if let Some(unknown) = only.iter().find(|name| !cases.contains(name)) {
        return Err(Failure::app(
            "plugin.no-such-fixture",
            format!("there is no fixture {unknown}"),
            format!("{} has {}", fixtures.display(), cases.join(", ")),
            "name one of these, or none for all of them",
        ));
    }
    cases.retain(|name| only.is_empty() || only.contains(name));
    Ok(cases)
}

struct Case {
    name: String,
    folder: PathBuf,
}

impl Case {
    async fn play(&self, config: &Config, plugin: &Loaded, accept: bool) -> TestedCase {
        let (outcome, answers) = match self.ask(config, plugin).await {
            Ok(answers) => (self.compare(&answers, accept), answers),
            Err(failure) => (Err(failure), Vec::new()),
        };
        let outcome =
            outcome.unwrap_or_else(|failure| CaseOutcome::Failed { failure: Box::new(failure) });
        let log = answers.iter().flat_map(|one| one.log.iter().cloned()).collect();
        let took_us = answers.iter().map(|one| one.report.took_us).sum();
        TestedCase { name: self.name.clone(), outcome, log, took_us }
    }

    async fn ask(&self, config: &Config, plugin: &Loaded) -> Result<Vec<Answered>, Failure> {
        let source = self.folder.join(SOURCE);
        if !source.is_dir() {
            return Err(Failure::app(
                "plugin.fixture-invalid",
                format!("the fixture {} has no source", self.name),
                format!("{} is not a folder", source.display()),
                "put the source of the case there; Git keeps no empty folder",
            ));
        }
        let context = self.folder.join(CONTEXT);
        let told = if context.is_file() { Told::read(&context)? } else { Told::default() };
        let subject = Subject::open(config, &source, told)?;
        Ok(ask::all(plugin, &subject, None).await?.0)
    }

    fn compare(&self, answers: &[Answered], accept: bool) -> Result<CaseOutcome, Failure> {
        let mut given = Map::new();
        for one in answers {
            if let Some(failure) = &one.failure {
                return Err(failure.clone());
            }
            given.insert(one.name.clone(), one.answer.clone().unwrap_or_default());
        }
        let given = Value::Object(given);
        let file = self.folder.join(EXPECTED);
        let stored = read(&file)?;
        if stored.as_ref() == Some(&given) {
            return Ok(CaseOutcome::Same);
        }
        if accept {
            std::fs::write(&file, pretty(&given)).map_err(|e| component::not_written(&file, &e))?;
            return Ok(CaseOutcome::Written);
        }
        Ok(match stored {
            None => CaseOutcome::New { answers: given },
            Some(stored) => CaseOutcome::Differs { diff: difference(&stored, &given) },
        })
    }
}

fn read(file: &Path) -> Result<Option<Value>, Failure> {
    let broken = |why: String| {
        Failure::app(
            "plugin.fixture-invalid",
            format!("{} does not read", file.display()),
            why,
            "correct it, or remove it and run `windlass plugin test --accept`",
        )
    };
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| broken(e.to_string())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(broken(e.to_string())),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default() + "\n"
}

/// The lines that differ, with three around them.
fn difference(expected: &Value, given: &Value) -> String {
    let (expected, given) = (pretty(expected), pretty(given));
    let diff = TextDiff::from_lines(&expected, &given);
    diff.unified_diff().context_radius(3).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_model::plugin::account::HostCalls;
    use windlass_model::plugin::{CallOutcome, CallReport, Stage};

    use super::*;

    fn answers(answer: Value) -> Vec<Answered> {
        let report = CallReport {
            plugin: "test".into(),
            stage: Stage::Detector,
            function: "detect".into(),
            outcome: CallOutcome::Answered,
            cached: false,
            took_us: 5,
            cpu_ms: 0,
            memory_peak_bytes: 0,
            log_bytes: 0,
            log_bytes_dropped: 0,
            host_calls: HostCalls::default(),
        };
        let name = "detect".to_owned();
        vec![Answered { name, answer: Some(answer), failure: None, report, log: vec![] }]
    }

    #[test]
    fn an_answer_is_new_then_written_then_the_same_then_another() {
        let folder = tempfile::tempdir().unwrap();
        let case = Case { name: "case".into(), folder: folder.path().to_owned() };
        let one = answers(json!({ "id": "a", "confidence": 90 }));
        let found = case.compare(&one, false).unwrap();
        assert!(matches!(found, CaseOutcome::New { .. }), "{found:?}");
        assert!(
            !folder.path().join(EXPECTED).exists(),
            "nothing is written unless it is asked for"
        );
        assert_eq!(case.compare(&one, true).unwrap(), CaseOutcome::Written);
        assert_eq!(case.compare(&one, false).unwrap(), CaseOutcome::Same);
        let other = answers(json!({ "id": "a", "confidence": 40 }));
        let CaseOutcome::Differs { diff } = case.compare(&other, false).unwrap() else {
            panic!("it is not the same");
        };
        insta::assert_snapshot!(diff, @r#"
        @@ -1,6 +1,6 @@
         {
           "detect": {
        -    "confidence": 90,
        +    "confidence": 40,
             "id": "a"
           }
         }
        "#);
    }

    #[test]
    fn what_failed_is_never_written_down() {
        let folder = tempfile::tempdir().unwrap();
        let case = Case { name: "case".into(), folder: folder.path().to_owned() };
        let mut failed = answers(Value::Null);
        failed[0].failure =
            Some(Failure::plugin("test", "plugin.trapped", "it failed", "why", "fix"));
        assert_eq!(case.compare(&failed, true).unwrap_err().code, "plugin.trapped");
        assert!(!folder.path().join(EXPECTED).exists());
    }

    #[test]
    fn fixtures_lie_beside_the_sources() {
        let root = tempfile::tempdir().unwrap();
        let component = root.path().join("dist/a.wasm");
        assert_eq!(beside(root.path(), &component), root.path().join("fixtures"));
        assert_eq!(beside(&component, &component), root.path().join("fixtures"));
        assert_eq!(
            chosen(&root.path().join("fixtures"), &[]).unwrap_err().code,
            "plugin.no-fixtures"
        );
        std::fs::create_dir_all(root.path().join("fixtures/b/source")).unwrap();
        std::fs::create_dir_all(root.path().join("fixtures/a/source")).unwrap();
        let fixtures = root.path().join("fixtures");
        assert_eq!(chosen(&fixtures, &[]).unwrap(), ["a", "b"]);
        assert_eq!(chosen(&fixtures, &["b".to_owned()]).unwrap(), ["b"]);
        let failure = chosen(&fixtures, &["c".to_owned()]).unwrap_err();
        assert_eq!(failure.code, "plugin.no-such-fixture");
        assert!(first(root.path(), &component).unwrap().0.ends_with("fixtures/a/source"));
    }
}
