//! Which framework the application uses: one that a `go.mod` requires. Only a file of the program that
//! imports it makes that sure.

use std::collections::BTreeSet;

use windlass_sdk::Detection;

use crate::facts::{Facts, folder, join};
use crate::program::{self, Program};

struct Framework {
    id: &'static str,
    name: &'static str,
    path: &'static str,
}

const FRAMEWORKS: [Framework; 4] = [
    Framework { id: "gin", name: "Gin", path: "github.com/gin-gonic/gin" },
    Framework { id: "echo", name: "Echo", path: "github.com/labstack/echo" },
    Framework { id: "fiber", name: "Fiber", path: "github.com/gofiber/fiber" },
    Framework { id: "chi", name: "chi", path: "github.com/go-chi/chi" },
];
/// Go files that are searched for an import.
const SEARCHED_MAX: usize = 40;

/// The ids of this plugin.
pub(crate) const IDS: [&str; 5] = ["go", "gin", "echo", "fiber", "chi"];

/// The detection of a program; `asked` is the id that is asked for.
pub(crate) fn detection(facts: &Facts, programs: &[Program], asked: Option<&str>) -> Detection {
    let found = FRAMEWORKS.iter().find_map(|framework| {
        let required = required(facts, programs, framework.path);
        (required.is_some() || asked == Some(framework.id)).then_some((framework, required))
    });
    let detection = match found.filter(|_| asked != Some("go")) {
        Some((framework, required)) => with_framework(facts, programs, framework, required),
        None => plain(facts),
    };
    let detection = match &facts.declared.web {
        Some((_, file, sign)) => detection.evidence(*file, sign.clone()),
        None => detection,
    };
    programs.iter().fold(detection, |detection, program| {
        detection.evidence(program.file.clone(), "package main")
    })
}

/// The file and line where a module is required: first those of the programs, then those of modules without a
/// program. What the module of another program requires says nothing.
fn required(facts: &Facts, programs: &[Program], path: &str) -> Option<(String, usize)> {
    let of = |programs: &[Program]| -> BTreeSet<String> {
        programs.iter().map(|program| facts.module_of(&program.folder).0).collect()
    };
    let (own, any) = (of(programs), of(&program::all(facts)));
    let modules = facts.modules.iter();
    let (first, rest): (Vec<_>, Vec<_>) = modules.partition(|(folder, _)| own.contains(*folder));
    let rest = rest.into_iter().filter(|(folder, _)| !any.contains(*folder));
    first.into_iter().chain(rest).find_map(|(folder, module)| {
        let line = module.requires(path)?;
        Some((join(folder, "go.mod"), line))
    })
}

fn with_framework(
    facts: &Facts,
    programs: &[Program],
    framework: &Framework,
    required: Option<(String, usize)>,
) -> Detection {
    let Framework { id, name, path } = framework;
    let quoted = format!("\"{path}");
    let used = importing(facts, programs, &quoted);
    let readable = programs.iter().any(|program| !facts.text(&program.file).is_empty());
    let confidence = if used.is_some() || !readable { 92 } else { 74 };
    let mut detection = Detection::new(*id, *name, "go")
        .confidence(confidence)
        .supersedes("go")
        .supersedes("static");
    if let Some((file, line)) = required {
        detection = detection.evidence(file, format!("line {line}: require {path}"));
    }
    match used {
        Some((file, line)) => detection.evidence(file, format!("line {line}: import")),
        None if readable => {
            let file = programs.first().map(|program| program.file.clone()).unwrap_or_default();
            detection.evidence(file, format!("{path} is required, but no file here imports it"))
        }
        None => detection,
    }
}

fn plain(facts: &Facts) -> Detection {
    let detection = Detection::new("go", "Go", "go");
    match facts.modules.keys().next() {
        Some(_) if facts.workspace => {
            detection.confidence(80).evidence("go.work", "use").supersedes("static")
        }
        Some(_) => {
            let module = facts.modules.get("").map(|module| module.path.as_str());
            let line = format!("module {}", module.unwrap_or_default());
            detection.confidence(80).evidence("go.mod", line).supersedes("static")
        }
        None => detection.confidence(35).evidence("go.mod", "missing: only Go files are here"),
    }
}

/// A file with the import, and the line of it: those of the programs first.
fn importing(facts: &Facts, programs: &[Program], quoted: &str) -> Option<(String, usize)> {
    let of_programs =
        |file: &&String| programs.iter().any(|program| program.folder == folder(file));
    let own = facts.files.iter().filter(of_programs);
    let near = |file: &&String| {
        ["router", "server", "api", "http", "route", "handler", "app"]
            .iter()
            .any(|word| file.contains(word))
    };
    // What another program imports is not imported by what is run.
    let runs = |file: &&String| !program::is_of_another(facts, programs, file);
    let others = facts.files.iter().filter(|file| !of_programs(file) && near(file)).filter(runs);
    let files: Vec<&str> = own.chain(others).take(SEARCHED_MAX).map(String::as_str).collect();
    facts.source.prefetch(&files);
    files.into_iter().find_map(|file| {
        let text = facts.text(file);
        let line = text.lines().position(|line| line.contains(quoted))?;
        Some((file.to_owned(), line + 1))
    })
}
