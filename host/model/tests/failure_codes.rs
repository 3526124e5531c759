//! The list of failure codes is complete and true: what the source uses is on it, what is on it is used,
//! and `host/FAILURES.md` is made of it.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use windlass_model::StepName;
use windlass_model::failure::codes::{self, CODES};
use windlass_model::failure::explain::{self, Whose};
use windlass_model::plugin::{KnownFailure, Manifest};
use windlass_model::settings;

const LIST: &str = "host/model/src/failure/codes.rs";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Text literals of a source that have the form of a code, with how they are used.
struct Literal {
    text: String,
    place: String,
    /// It is given to `Failure::app` and the like: it is a code whatever its first word.
    is_given: bool,
}

fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "tests" && !name.ends_with("_tests") {
            rust_files(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" && !name.ends_with("_tests.rs") {
            files.push(path);
        }
    }
}

/// The source without comments and without its tests.
fn code_of(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            let next = lines.clone().find(|line| !line.starts_with("#[")).unwrap_or_default();
            if next.starts_with("mod ") && next.ends_with('{') {
                break;
            }
        }
        if !line.trim_start().starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// Whether a text has the form of a code: words of `a-z0-9-` with one dot or more between them.
fn has_the_form(text: &str) -> bool {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.contains('.') && text.split('.').all(word)
}

/// The calls that take a code first (for `plugin` and `new`: second).
const CALLS: [&str; 6] = [
    "Failure::app(",
    "Failure::host(",
    "Failure::plugin(",
    "CliError::new(",
    "CliError::bad_input(",
    ".warn(",
];

fn literals() -> Vec<Literal> {
    let mut files = Vec::new();
    rust_files(&root().join("host"), &mut files);
    let mut found = Vec::new();
    for file in files.iter().filter(|file| !file.ends_with("failure/codes.rs")) {
        let code = code_of(&std::fs::read_to_string(file).unwrap());
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        let mut at = 0;
        while let Some(open) = code[at..].find('"').map(|n| at + n) {
            let Some(close) = code[open + 1..].find('"').map(|n| open + 1 + n) else { break };
            let text = &code[open + 1..close];
            if !has_the_form(text) {
                at = open + 1;
                continue;
            }
            let before = code[..open].trim_end();
            let before_that = before.trim_end_matches(',').rsplit_once('(').map_or("", |b| b.0);
            let is_given = CALLS.iter().any(|call| {
                before.ends_with(call)
                    || (before.ends_with(',') && format!("{before_that}(").ends_with(call))
            });
            let line = code[..open].lines().count();
            found.push(Literal {
                text: text.to_owned(),
                place: format!("{name} ({line})"),
                is_given,
            });
            at = close + 1;
        }
    }
    found
}

/// What has the form of a code and is none: settings, files, labels.
fn is_something_else(text: &str) -> bool {
    const ENDINGS: [&str; 23] = [
        "toml",
        "jsonl",
        "json",
        "sock",
        "lock",
        "log",
        "pid",
        "partial",
        "txt",
        "html",
        "md",
        "wasm",
        "key",
        "hit",
        "zst",
        "gz",
        "procs",
        "controllers",
        "list",
        "d",
        "stat",
        "events",
        "auto",
    ];
    // Kinds of events, ends of labels, and attributes of OpenTelemetry's conventions.
    const NAMES: [&str; 13] = [
        "cron.run",
        "cron.schedule",
        "deployment.environment.name",
        "deployment.id",
        "plugin.loaded",
        "plugin.problem",
        "plugin.switched-on",
        "service.instance.id",
        "service.name",
        "service.namespace",
        "service.version",
        "session.exec",
        "session.run",
    ];
    let ending = text.rsplit('.').next().unwrap_or_default();
    text.ends_with('-')
        || NAMES.contains(&text)
        || ENDINGS.contains(&ending)
        || settings::is_key(text)
        || text.starts_with("windlass.")
}

#[test]
fn every_code_that_the_source_uses_is_on_the_list() {
    let areas: BTreeSet<&str> = CODES.iter().filter_map(|c| c.code.split('.').next()).collect();
    let mut missing: BTreeMap<String, String> = BTreeMap::new();
    for literal in literals() {
        let area = literal.text.split('.').next().unwrap_or_default();
        let is_code = literal.is_given || areas.contains(area);
        if is_code && codes::find(&literal.text).is_none() && !is_something_else(&literal.text) {
            missing.insert(literal.text, literal.place);
        }
    }
    let mut text = String::new();
    for (code, place) in &missing {
        writeln!(text, "  {code}, used in {place}: add to the block of its first word").unwrap();
        writeln!(text, "    App \"{code}\": \"Title\", \"why it happens\", \"what to do\";")
            .unwrap();
    }
    assert!(missing.is_empty(), "codes that are not in {LIST}, one line each:\n{text}");
}

#[test]
fn every_code_on_the_list_is_used() {
    let used: BTreeSet<String> = literals().into_iter().map(|literal| literal.text).collect();
    let deadline = |code: &str| {
        code.strip_suffix(".deadline").is_some_and(|step| step.parse::<StepName>().is_ok())
    };
    let composed = |code: &str| {
        // `control::stored` makes these of the store's errors.
        let of = |ending: &str, kinds: &[&str]| {
            code.strip_suffix(ending).is_some_and(|kind| kinds.contains(&kind))
        };
        of(".not-found", &["project", "environment", "variable", "domain", "service"])
            || of(".exists", &["project", "environment"])
            || of(".has-live", &["project", "environment"])
    };
    let idle: Vec<&str> = CODES
        .iter()
        .map(|code| code.code)
        .filter(|code| !used.contains(*code) && !deadline(code) && !composed(code))
        .collect();
    assert!(idle.is_empty(), "codes in {LIST} that nothing uses (remove their lines): {idle:#?}");
}

#[test]
fn every_code_says_what_why_and_how_to_fix_it_once() {
    let mut seen = BTreeSet::new();
    for code in CODES {
        assert!(has_the_form(code.code), "{}", code.code);
        assert!(seen.insert(code.code), "{} is on the list twice", code.code);
        for text in [code.title, code.cause, code.fix] {
            assert!(!text.trim().is_empty() && !text.ends_with('.'), "{}: {text:?}", code.code);
        }
    }
}

/// The failures of the bundled plugins, as their files say.
fn bundled() -> Vec<Manifest> {
    #[derive(serde::Deserialize)]
    struct File {
        failure: Vec<KnownFailure>,
    }
    let mut manifests = Vec::new();
    for entry in std::fs::read_dir(root().join("plugins")).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(text) = std::fs::read_to_string(folder.join("failures.toml")) else { continue };
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let file: File = toml::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
        manifests.push(Manifest {
            name,
            version: "0".to_owned(),
            summary: "bundled".to_owned(),
            licence: String::new(),
            capabilities: Vec::new(),
            options_schema: String::new(),
            custom: Vec::new(),
            failures: file.failure,
        });
    }
    manifests.sort_by(|a, b| a.name.cmp(&b.name));
    manifests
}

fn page() -> String {
    let mut text = String::from(
        "# Failure codes\n\nEvery failure carries one of these codes, with the cause and the fix of the \
         case at hand. `windlass explain CODE` says the same without a server, `GET /v1/failures` as \
         JSON. Plugins bring codes of their own; the bundled ones' are below.\n\n\
         A failure whose cause was recognised in its log carries the code of the cause, and the code of \
         what failed as `general`.\n\n\
         This page is generated from the lists: `WINDLASS_WRITE_DOCS=1 cargo test -p windlass-model \
         --test failure_codes`.\n",
    );
    let mut section = String::new();
    for known in explain::all(&bundled()) {
        let area = known.code.split('.').next().unwrap_or_default().to_owned();
        if area != section {
            write!(text, "\n## {area}\n\n| code | what happened | cause | fix | whose |\n|---|---|---|---|---|\n")
                .unwrap();
            section = area;
        }
        let whose = match (&known.plugin, known.whose) {
            (Some(plugin), _) => format!("application (plugin {plugin})"),
            (None, Whose::Warning) => "a warning".to_owned(),
            (None, whose) => whose.as_str().to_owned(),
        };
        let cells = [known.title, known.cause, known.fix].map(|cell| cell.replace('|', "\\|"));
        writeln!(text, "| `{}` | {} | {whose} |", known.code, cells.join(" | ")).unwrap();
    }
    text
}

#[test]
fn the_page_of_failure_codes_is_made_of_the_lists() {
    let file = root().join("host/FAILURES.md");
    let page = page();
    if std::env::var_os("WINDLASS_WRITE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        stored == page,
        "host/FAILURES.md is out of date; write it with\n  WINDLASS_WRITE_DOCS=1 cargo test -p \
         windlass-model --test failure_codes"
    );
}

#[test]
fn the_collector_sees_codes_and_passes_over_tests() {
    let code = code_of("// \"a.b\"\nx(\"build.io\");\n#[cfg(test)]\nmod tests {\n\"c.d\"");
    assert_eq!(code, "x(\"build.io\");\n");
    assert!(
        has_the_form("build.command-failed") && !has_the_form("Build.x") && !has_the_form("ab")
    );
    let used = literals();
    let given = |text: &str| used.iter().any(|l| l.text == text && l.is_given);
    assert!(given("build.command-failed") && given("cli.unreadable") && given("plugin.missing"));
    assert!(given("plan.invalid"), "the second argument of Failure::plugin");
}
