//! Which framework the application uses: one that its package depends on. Only a source file that names
//! it makes that sure.

use windlass_sdk::Detection;

use crate::facts::Facts;
use crate::manifest::Manifest;
use crate::program::Program;

/// A web framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Framework {
    /// Its id, which is also its package.
    pub(crate) id: &'static str,
    name: &'static str,
}

const FRAMEWORKS: [Framework; 5] = [
    Framework { id: "rocket", name: "Rocket" },
    Framework { id: "actix-web", name: "Actix Web" },
    Framework { id: "axum", name: "Axum" },
    Framework { id: "poem", name: "Poem" },
    Framework { id: "warp", name: "warp" },
];

/// The ids of this plugin.
pub(crate) const IDS: [&str; 7] = ["rust", "trunk", "rocket", "actix-web", "axum", "poem", "warp"];

/// The framework that a package depends on.
pub(crate) fn of(package: &Manifest) -> Option<Framework> {
    FRAMEWORKS.into_iter().find(|framework| package.uses(framework.id))
}

/// The detection of these programs; `asked` is the id that is asked for.
pub(crate) fn detection(facts: &Facts, programs: &[Program], asked: Option<&str>) -> Detection {
    let own = programs.first().and_then(|program| facts.packages.get(&program.folder));
    let direct = own.and_then(of);
    let elsewhere = || facts.packages.values().find_map(of);
    let forced = FRAMEWORKS.into_iter().find(|framework| asked == Some(framework.id));
    let framework = forced.or(direct).or_else(elsewhere).filter(|_| asked != Some("rust"));
    let detection = match framework {
        Some(framework) => with_framework(facts, programs, framework),
        None => Detection::new("rust", "Rust", "rust").confidence(80),
    };
    let detection = match (&facts.declared.web, facts.packages.contains_key("")) {
        (Some((_, file, sign)), _) => detection.evidence(*file, sign.clone()),
        (None, true) => detection.evidence("Cargo.toml", "package.name"),
        (None, false) => detection.evidence("Cargo.toml", "workspace.members"),
    };
    let detection = programs.iter().fold(detection, |detection, program| {
        detection.evidence(program.file.clone(), format!("program {}", program.name))
    });
    detection.supersedes("static")
}

fn with_framework(facts: &Facts, programs: &[Program], framework: Framework) -> Detection {
    let Framework { id, name } = framework;
    let krate = id.replace('-', "_");
    let mut files: Vec<String> = programs.iter().map(|program| program.file.clone()).collect();
    let (of_program, lib): (Vec<_>, Vec<_>) = programs
        .iter()
        .map(|program| match program.folder.as_str() {
            "" => ("src/".to_owned(), "src/lib.rs".to_owned()),
            folder => (format!("{folder}/src/"), format!("{folder}/src/lib.rs")),
        })
        .unzip();
    files.extend(lib);
    let inside = |file: &&String| of_program.iter().any(|prefix| file.starts_with(prefix.as_str()));
    files.extend(facts.files.iter().filter(inside).take(30).cloned());
    facts.source.prefetch(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let used = files.iter().find_map(|file| {
        let text = facts.text(file);
        let line = text.lines().position(|line| line.contains(&krate))?;
        Some((file.clone(), line + 1))
    });
    let readable = programs.iter().any(|program| !facts.text(&program.file).is_empty());
    let confidence = if used.is_some() || !readable { 92 } else { 74 };
    let detection = Detection::new(id, name, "rust").confidence(confidence).supersedes("rust");
    let declared = facts.packages.iter().find(|(_, package)| package.uses(id));
    let detection = match declared {
        Some((folder, _)) => {
            let file = if folder.is_empty() {
                "Cargo.toml".to_owned()
            } else {
                format!("{folder}/Cargo.toml")
            };
            detection.evidence(file, format!("dependencies.{id}"))
        }
        None => detection,
    };
    match used {
        Some((file, line)) => detection.evidence(file, format!("line {line}: {krate}")),
        None if readable => {
            let file = programs.first().map(|program| program.file.clone()).unwrap_or_default();
            detection.evidence(file, format!("{id} is a dependency, but no file here names it"))
        }
        None => detection,
    }
}
