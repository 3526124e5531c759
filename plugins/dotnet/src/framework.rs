//! Which project is the application, and how it starts.
//!
//! **Invariant: one project or none.** Where several could be meant, nothing is guessed: the refusal names
//! them and the setting that decides.

use windlass_sdk::{Detection, NearMiss, PluginError};

use crate::facts::{Facts, is_aside};
use crate::project::{Kind, Project};

/// What was decided.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) detection: Detection,
    pub(crate) shape: Shape,
}

/// What is deployed.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// A project that is published.
    Project(Box<Project>),
    /// What somebody published and committed.
    Prebuilt(Prebuilt),
}

/// A committed publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prebuilt {
    /// Name of the assembly without extension.
    pub(crate) name: String,
    /// `8.0`
    pub(crate) runtime: Option<String>,
    pub(crate) web: bool,
}

/// Why nothing was decided.
#[derive(Debug, Clone)]
pub(crate) enum Undecided {
    /// Nothing runs: what nearly matched.
    Misses(Vec<NearMiss>),
    /// Several projects run: a detection that says so.
    Several(Box<Detection>, PluginError),
}

/// Decides; `asked` is the id that must be found.
pub(crate) fn decide(facts: &Facts, asked: Option<&str>) -> Result<Decision, Undecided> {
    if facts.projects.is_empty() {
        return prebuilt(facts).map_err(Undecided::Misses);
    }
    match choose(facts, asked).map_err(Undecided::Misses)?.as_slice() {
        [project] => {
            let shape = Shape::Project(Box::new((*project).clone()));
            Ok(Decision { detection: detection(facts, project, asked), shape })
        }
        several => {
            let mut found = several.first().map_or_else(
                || Detection::new("dotnet", ".NET", "dotnet"),
                |project| detection(facts, project, asked),
            );
            for project in several.iter().skip(1) {
                found = found.evidence(&project.path, &project.sign);
            }
            Err(Undecided::Several(Box::new(found), ambiguous(several)))
        }
    }
}

/// The detection of a project.
fn detection(facts: &Facts, project: &Project, asked: Option<&str>) -> Detection {
    let (id, name, confidence) = match project.kind {
        Kind::Web => ("aspnet", "ASP.NET Core", 92),
        Kind::Wasm => ("blazor-wasm", "Blazor WebAssembly", 92),
        _ if asked == Some("aspnet") => ("aspnet", "ASP.NET Core", 80),
        Kind::Worker => ("dotnet", ".NET worker", 85),
        _ => ("dotnet", ".NET", 80),
    };
    // A project in some folder of a repository that does not look like .NET may be a tool of it.
    let alone = !project.folder().is_empty() && !facts.is_solution();
    let confidence = if alone { confidence.min(60) } else { confidence };
    let id = if asked == Some("dotnet") && id != "blazor-wasm" { "dotnet" } else { id };
    let mut found = Detection::new(id, name, "dotnet")
        .confidence(confidence)
        .evidence(&project.path, &project.sign)
        .supersedes("static");
    if id != "dotnet" {
        found = found.supersedes("dotnet");
    }
    if let Some((_, file, sign)) = &facts.declared.web {
        found = found.evidence(*file, sign.clone());
    }
    found
}

/// The project, or those that nothing tells apart.
fn choose<'f>(facts: &'f Facts, asked: Option<&str>) -> Result<Vec<&'f Project>, Vec<NearMiss>> {
    if let Some(name) = &facts.settings.build.target {
        let named = facts.projects.iter().find(|project| project.is_named(name));
        return named.map(|one| vec![one]).ok_or_else(|| vec![miss(unknown_target(facts, name))]);
    }
    let runs = |project: &&Project| {
        matches!(project.kind, Kind::Web | Kind::Wasm | Kind::Worker | Kind::Console)
    };
    let all: Vec<&Project> =
        facts.projects.iter().filter(runs).filter(|project| !is_aside(&project.path)).collect();
    let referred = |project: &Project| {
        facts.projects.iter().any(|other| other.references.contains(&project.stem()))
    };
    let of = |kind: Kind| -> Vec<&Project> {
        let fits = |project: &&&Project| project.kind == kind;
        all.iter().filter(fits).copied().collect()
    };
    let mut sites = of(Kind::Wasm);
    let mut kinds = vec![of(Kind::Web), of(Kind::Worker), of(Kind::Console)];
    match asked {
        Some("blazor-wasm") => kinds = vec![sites],
        Some("aspnet") => {}
        _ => {
            sites.retain(|one| !referred(one));
            kinds.insert(1, sites);
        }
    }
    for candidates in kinds {
        if candidates.is_empty() {
            continue;
        }
        let of_all = |test: &dyn Fn(&Project) -> bool| -> Vec<&Project> {
            candidates.iter().copied().filter(|one| test(one)).collect()
        };
        let free = of_all(&|one| !referred(one));
        let rooted = of_all(&|one| one.folder().is_empty());
        return Ok(match (free.as_slice(), rooted.as_slice()) {
            ([one], _) | (_, [one]) => vec![*one],
            _ => candidates,
        });
    }
    Err(none(facts))
}

fn ambiguous(several: &[&Project]) -> PluginError {
    let names: Vec<&str> = several.iter().map(|project| project.path.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    PluginError::new(
        "dotnet.several-projects",
        format!(
            "there are several projects that run, and nothing says which: {}",
            names.join(", ")
        ),
    )
    .hint(format!("name it in windlass.toml:\n[build]\ntarget = {first:?}"))
}

fn unknown_target(facts: &Facts, name: &str) -> String {
    let names: Vec<&str> = facts.projects.iter().map(|project| project.path.as_str()).collect();
    format!(
        "build.target in windlass.toml names {name:?}, and the projects are {}",
        names.join(", ")
    )
}

/// Nothing runs: what each project is instead.
fn none(facts: &Facts) -> Vec<NearMiss> {
    let reason = |project: &Project| match project.kind {
        Kind::Other(reason) => format!("{}: {reason}", project.path),
        Kind::Test => format!("{} holds tests", project.path),
        Kind::Library => {
            format!("{} is a library: it has neither a web SDK nor OutputType Exe", project.path)
        }
        _ => format!(
            "{} lies in a folder of tests or examples: to run it, set build.target in windlass.toml",
            project.path
        ),
    };
    facts.projects.iter().take(5).map(|project| miss(reason(project))).collect()
}

fn prebuilt(facts: &Facts) -> Result<Decision, Vec<NearMiss>> {
    let configs = facts
        .files
        .iter()
        .filter(|path| path.ends_with(".runtimeconfig.json") && !path.contains('/'));
    let names: Vec<&str> =
        configs.filter_map(|path| path.strip_suffix(".runtimeconfig.json")).collect();
    let named = facts.settings.build.target.as_deref();
    let name = match (names.as_slice(), named) {
        (_, Some(name)) if names.contains(&name) => name,
        ([one], _) => one,
        _ => {
            let reason = format!(
                "several published programs lie here ({}): set build.target in windlass.toml to one",
                names.join(", ")
            );
            return Err(vec![miss(reason)]);
        }
    };
    let config = format!("{name}.runtimeconfig.json");
    if !facts.files.contains(&format!("{name}.dll")) {
        return Err(vec![miss(format!("there is a {config}, but no {name}.dll"))]);
    }
    let value: serde_json::Value = serde_json::from_str(&facts.text(&config)).unwrap_or_default();
    let options = &value["runtimeOptions"];
    if options.get("includedFrameworks").is_some() {
        let reason = format!(
            "{config} belongs to a self-contained publication, which is not run here: publish with \
             --self-contained false, or commit the project instead"
        );
        return Err(vec![miss(reason)]);
    }
    let several = options["frameworks"].as_array().cloned().unwrap_or_default();
    let frameworks: Vec<_> = several.iter().chain(options.get("framework")).collect();
    let web = frameworks.iter().any(|one| one["name"] == "Microsoft.AspNetCore.App");
    let version = frameworks.iter().find_map(|one| one["version"].as_str());
    let runtime = version.and_then(crate::version::line);
    let (id, shown) = if web { ("aspnet", "ASP.NET Core") } else { ("dotnet", ".NET") };
    let mut found = Detection::new(id, shown, "dotnet")
        .confidence(75)
        .evidence(&config, format!("runs {name}.dll"))
        .supersedes("static");
    if web {
        found = found.supersedes("dotnet");
    }
    let shape = Shape::Prebuilt(Prebuilt { name: name.to_owned(), runtime, web });
    Ok(Decision { detection: found, shape })
}

fn miss(reason: String) -> NearMiss {
    NearMiss { id: "dotnet".to_owned(), reason }
}
