//! What the verbs for authors of plugins say, for people.

use std::path::Path;

use serde_json::Value;
use windlass_model::author::{
    Answered, Answers, Bench, Built, CaseOutcome, Checked, Created, ImportState, Tested, TestedCase,
};

use super::{bytes, count, failure, harmless, table, took};
use crate::console::{Style, paint};

/// What was begun, and what comes next.
pub fn created(created: &Created) -> String {
    let folder = created.folder.display();
    let mut text =
        format!("the plugin {} begins in {folder} ({})\n", created.name, created.language.as_str());
    for file in &created.files {
        text += &format!("  {file}\n");
    }
    for note in &created.notes {
        text += &format!("note: {note}\n");
    }
    text += &format!("\nnext:\n  cd {folder}\n  windlass plugin build\n  windlass plugin test\n");
    text
}

/// The component that was built.
pub fn built(built: &Built) -> String {
    let size = bytes(built.bytes);
    format!("{}: {size}, built in {}\n", path(&built.component), took(built.took_ms))
}

/// What a component is, and what is worth a look.
pub fn checked(checked: &Checked, color: bool) -> String {
    let manifest = &checked.info.manifest;
    let name = paint(color, Style::Bold, &format!("{} {}", manifest.name, manifest.version));
    let mut text = format!("{name}: {}\n", harmless(&manifest.summary));
    let mut rows = vec![
        ("file", path(&checked.component)),
        ("digest", checked.info.digest.to_string()),
        ("size", format!("{} of at most {}", bytes(checked.info.bytes), bytes(checked.bytes_max))),
        ("licence", harmless(&manifest.licence)),
        ("exports", checked.exports.join(", ")),
    ];
    for stage in &manifest.custom {
        let hooks: Vec<&str> = stage.hooks.iter().map(|hook| hook.as_str()).collect();
        let summary = harmless(&stage.summary);
        rows.push(("custom stage", format!("{} at {}: {summary}", stage.name, hooks.join(", "))));
    }
    for import in &checked.imports {
        let how = match import.state {
            ImportState::Always => "every plugin has it",
            ImportState::AskedFor => "needs a grant, and the manifest asks for it",
        };
        rows.push(("imports", format!("{} ({how})", import.interface)));
    }
    if checked.wasi_imports > 0 {
        let wasi = count(checked.wasi_imports as u64, "interface");
        rows.push(("imports", format!("{wasi} of WASI, with nothing behind them")));
    }
    for capability in &manifest.capabilities {
        let optional = if capability.optional { " (optional)" } else { "" };
        let asked = capability.request.to_string();
        let reason = harmless(&capability.reason);
        rows.push(("asks for", format!("{asked}{optional}: {reason}")));
    }
    if !manifest.options_schema.is_empty() {
        rows.push(("options", "it has some, checked by its schema".to_owned()));
    }
    if checked.compile_ms > 0 {
        rows.push(("compiled", format!("in {}", took(checked.compile_ms))));
    }
    for (name, value) in rows {
        text += &format!("  {name:<13} {value}\n");
    }
    text += &warnings(&checked.warnings, color);
    text += "it fits this Windlass\n";
    text
}

/// The fixtures, with the differences of those that differ.
pub fn tested(tested: &Tested, color: bool) -> String {
    let mut text = String::new();
    for case in &tested.cases {
        text += &tested_case(case, color);
    }
    text += &warnings(&tested.warnings, color);
    let passed = tested.cases.iter().filter(|case| case.passed()).count();
    let all = tested.cases.len();
    text += &format!("{passed} of {} as expected\n", count(all as u64, "fixture"));
    let waits = |case: &TestedCase| {
        matches!(case.outcome, CaseOutcome::New { .. } | CaseOutcome::Differs { .. })
    };
    if tested.cases.iter().any(waits) {
        text += "if what it answers is right: `windlass plugin test --accept` writes it down as expected\n";
    }
    text
}

fn tested_case(case: &TestedCase, color: bool) -> String {
    let (word, style) = match &case.outcome {
        CaseOutcome::Same => ("ok", Style::Green),
        CaseOutcome::Written => ("written", Style::Yellow),
        CaseOutcome::New { .. } => ("new", Style::Yellow),
        CaseOutcome::Differs { .. } => ("differs", Style::Red),
        CaseOutcome::Failed { .. } => ("failed", Style::Red),
    };
    let word = paint(color, style, &format!("{word:<8}"));
    let mut text = format!("{word} {}\n", harmless(&case.name));
    match &case.outcome {
        CaseOutcome::Same | CaseOutcome::Written => return text,
        CaseOutcome::New { answers } => {
            text += "    nothing is expected of it yet; it answers\n";
            text += &indented(&pretty(answers));
        }
        CaseOutcome::Differs { diff } => {
            text += "    - is expected, + is what it answers\n";
            text += &indented(&coloured(diff, color));
        }
        CaseOutcome::Failed { failure } => text += &indented(&failure::block(failure, color)),
    }
    for line in &case.log {
        text += &format!("    it said: {}\n", harmless(line));
    }
    text
}

/// Every answer about one source.
pub fn answers(answers: &Answers, color: bool) -> String {
    let mut text = String::new();
    for one in &answers.answers {
        text += &answered(one, color);
    }
    text += &not_asked(&answers.not_asked);
    text
}

fn not_asked(reasons: &[String]) -> String {
    reasons.iter().map(|why| format!("not asked: {}\n", harmless(why))).collect()
}

fn answered(one: &Answered, color: bool) -> String {
    let report = &one.report;
    let how = if report.cached { "answered before".to_owned() } else { us(report.took_us) };
    let name = paint(color, Style::Bold, &one.name);
    let mut text = format!("{name} ({how}, {} of memory)\n", bytes(report.memory_peak_bytes));
    match (&one.answer, &one.failure) {
        (_, Some(failure)) => text += &failure::block(failure, color),
        (Some(answer), None) => text += &pretty(answer),
        (None, None) => {}
    }
    for line in &one.log {
        text += &format!("it said: {}\n", harmless(line));
    }
    text
}

/// The figures of a component.
pub fn bench(bench: &Bench) -> String {
    let size = bytes(bench.bytes);
    let mut text = format!(
        "{}: {size}, compiled in {}, loaded in {}\n",
        bench.plugin,
        took(bench.compile_ms),
        us(bench.load_us)
    );
    let rows: Vec<Vec<String>> = bench
        .functions
        .iter()
        .map(|one| {
            vec![
                one.function.clone(),
                one.calls.to_string(),
                us(one.median_us),
                us(one.p99_us),
                us(one.max_us),
                bytes(one.memory_peak_bytes),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text += &table(&["function", "calls", "median", "p99", "slowest", "memory"], &rows);
    }
    text += &not_asked(&bench.not_asked);
    text
}

/// A path without the folder that one is in anyway.
fn path(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

fn warnings(warnings: &[String], color: bool) -> String {
    let word = paint(color, Style::Yellow, "warning");
    warnings.iter().map(|warning| format!("{word}: {}\n", harmless(warning))).collect()
}

/// `87 µs`, `1.4 ms`, and longer ones as everywhere else.
fn us(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..100_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => took(us / 1_000),
    }
}

fn pretty(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.lines().map(|line| harmless(line) + "\n").collect()
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn coloured(diff: &str, color: bool) -> String {
    let line = |line: &str| {
        let style = match line.as_bytes().first() {
            Some(b'-') => Style::Red,
            Some(b'+') => Style::Green,
            Some(b'@') => Style::Dim,
            _ => return harmless(line) + "\n",
        };
        paint(color, style, &harmless(line)) + "\n"
    };
    diff.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass_model::author::{Benched, Import, Language};
    use windlass_model::plugin::{Manifest, PluginInfo, Stage};
    use windlass_model::{Digest, Failure};

    use super::*;

    #[test]
    fn a_plugin_that_begins_says_what_comes_next() {
        let begun = Created {
            name: "notes".into(),
            language: Language::Rust,
            folder: "notes".into(),
            files: vec!["Cargo.toml".into(), "src/lib.rs".into()],
            sdk: "windlass/sdk/rust".into(),
            notes: vec!["a copy of the SDK lies in windlass/".into()],
        };
        insta::assert_snapshot!(created(&begun), @r"
        the plugin notes begins in notes (rust)
          Cargo.toml
          src/lib.rs
        note: a copy of the SDK lies in windlass/

        next:
          cd notes
          windlass plugin build
          windlass plugin test
        ");
    }

    #[test]
    fn a_component_that_fits_says_what_it_is_and_asks_for() {
        let capabilities = json!([{ "name": "annotations", "reason": "says\u{1b} what it found" }]);
        let manifest = Manifest {
            name: "notes".into(),
            version: "1.2.0".into(),
            summary: "Serves notes".into(),
            licence: "Apache-2.0".into(),
            capabilities: serde_json::from_value(capabilities).unwrap(),
            ..Manifest::default()
        };
        let digest = Digest::of(b"x");
        let fits = Checked {
            component: "dist/notes.wasm".into(),
            info: PluginInfo {
                manifest,
                digest,
                stages: vec![Stage::Custom],
                bundled: false,
                bytes: 204_800,
            },
            exports: vec!["windlass:custom/custom@1.0.0".into()],
            imports: vec![
                Import { interface: "windlass:log/log@1.0.0".into(), state: ImportState::Always },
                Import {
                    interface: "windlass:annotations/annotations@1.0.0".into(),
                    state: ImportState::AskedFor,
                },
            ],
            wasi_imports: 7,
            bytes_max: 33_554_432,
            compile_ms: 812,
            warnings: vec!["src/lib.rs was changed".into()],
        };
        let text = checked(&fits, false).replace(&Digest::of(b"x").to_string(), "DIGEST");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn fixtures_show_what_differs_and_how_to_take_it() {
        let case = |name: &str, outcome| TestedCase {
            name: name.into(),
            outcome,
            log: vec!["looked".into()],
            took_us: 90,
        };
        let failure = Failure::plugin("notes", "plugin.trapped", "it failed", "a panic", "mend it");
        let all = Tested {
            plugin: "notes".into(),
            component: "dist/notes.wasm".into(),
            fixtures: "fixtures".into(),
            cases: vec![
                case("book", CaseOutcome::Same),
                case("empty", CaseOutcome::Differs { diff: "@@ -1 +1 @@\n-a\n+b\n".into() }),
                case("first", CaseOutcome::New { answers: json!({ "detect": 1 }) }),
                case("taken", CaseOutcome::Written),
                case("wrong", CaseOutcome::Failed { failure: Box::new(failure) }),
            ],
            warnings: vec![],
        };
        insta::assert_snapshot!(tested(&all, false));
    }

    #[test]
    fn figures_stand_in_columns() {
        let mut figures = Bench {
            plugin: "notes".into(),
            bytes: 204_800,
            compile_ms: 812,
            load_us: 640,
            functions: vec![Benched {
                function: "detect".into(),
                calls: 500,
                median_us: 61,
                p99_us: 1_540,
                max_us: 150_000,
                memory_peak_bytes: 1_179_648,
            }],
            not_asked: vec![],
        };
        insta::assert_snapshot!(bench(&figures), @r"
        notes: 200.0 KiB, compiled in 812 ms, loaded in 640 µs
        FUNCTION  CALLS  MEDIAN  P99     SLOWEST  MEMORY
        detect    500    61 µs   1.5 ms  150 ms   1.1 MiB
        ");
        figures.functions.clear();
        figures.not_asked.push("decision: the context tells no `traffic`".into());
        insta::assert_snapshot!(bench(&figures), @r"
        notes: 200.0 KiB, compiled in 812 ms, loaded in 640 µs
        not asked: decision: the context tells no `traffic`
        ");
    }
}
