//! The static plugin: a folder of files with an `index.html`, served as it is.
//!
//! **Invariant: it never wins against a plugin that knows more.** Its confidence is the lowest of all,
//! and where the files of another ecosystem lie beside the `index.html` it only gives a hint.

use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::{forced, layout, spelling};
use windlass_sdk::config::Settings;
use windlass_sdk::plan::{Base, BuildPlan, Copy, Step};
use windlass_sdk::{
    Builder, Context, DetectReport, Detection, Detector, NearMiss, PluginError, Source,
};

const ID: &str = "static";
/// Folders that are looked into, strongest first; `""` is the application's own.
const ROOTS: [&str; 7] = ["", "public", "dist", "build", "site", "_site", "www"];
/// Files that say that the application is another plugin's, and what it then is.
const OTHERS: [(&str, &str); 14] = [
    ("composer.json", "a PHP application"),
    ("index.php", "a PHP application"),
    ("Gemfile", "a Ruby application"),
    ("go.mod", "a Go application"),
    ("Cargo.toml", "a Rust application"),
    ("pom.xml", "a Java application"),
    ("build.gradle", "a Java or Kotlin application"),
    ("build.gradle.kts", "a Java or Kotlin application"),
    ("mix.exs", "an Elixir application"),
    ("manage.py", "a Django application"),
    ("requirements.txt", "a Python application"),
    ("pyproject.toml", "a Python application"),
    ("deno.json", "a Deno application"),
    ("pubspec.yaml", "a Dart application"),
];
/// Left out of the tree. `.well-known` is not among them: it is made to be served.
const NOT_SERVED: [&str; 13] = [
    ".git/**",
    ".github/**",
    "**/.gitignore",
    "**/.env",
    "**/.env.*",
    "**/.ht*",
    "**/.DS_Store",
    "node_modules/**",
    "Procfile",
    "Staticfile",
    "package.json",
    "package-lock.json",
    "windlass.toml",
];

/// The plugin.
#[derive(Debug)]
pub struct Static;

impl Detector for Static {
    fn detect(ctx: &Context, source: &Source) -> Result<DetectReport, PluginError> {
        let settings = Settings::of(ctx)?;
        let framework = settings.build.framework.as_deref();
        let asked = framework == Some(ID);
        let Some(root) = root(&settings, source)? else {
            return Ok(nothing(source, asked));
        };
        if let Some(reason) = another_plugins(source)?.filter(|_| !asked) {
            return Ok(DetectReport::near_miss(ID, reason));
        }
        let (index, confidence) = match root.as_str() {
            "" => ("index.html".to_owned(), 30),
            folder => (format!("{folder}/index.html"), 25),
        };
        let mut found = Detection::new(ID, "Static site", ID).confidence(confidence);
        if source.is_file("Staticfile") {
            found = found.confidence(60).evidence("Staticfile", "");
        }
        if settings.build.output.is_some() {
            found = found.evidence("windlass.toml", format!("build.output = {root:?}"));
        }
        found = found.evidence(index, "");
        Ok(forced::apply(found.into(), framework))
    }
}

impl Builder for Static {
    fn plan(ctx: &Context, source: &Source, _: &Detection) -> Result<BuildPlan, PluginError> {
        let settings = Settings::of(ctx)?;
        let root = root(&settings, source)?.ok_or_else(no_index)?;
        let not_found =
            if root.is_empty() { "404.html".into() } else { format!("{root}/404.html") };
        let sources = if root.is_empty() { "**".into() } else { format!("{root}/**") };
        let copy = Copy::source([sources], "/site/").parents().exclude(NOT_SERVED);
        let mut step = Step::new("site", "collect the files", Base::Scratch).op(copy);
        "/".clone_into(&mut step.cwd);
        let folder = format!("/site/{root}");
        let not_found = source.is_file(&not_found).then_some("404.html");
        let mut plan = BuildPlan::new();
        let site = layout::site(&step, folder.trim_end_matches('/').to_owned(), None, not_found);
        plan.outputs.push(site);
        plan.steps.push(step);
        Ok(plan)
    }
}

/// The folder that is served: the setting, the `root:` of a Staticfile, or the first with an index.
fn root(settings: &Settings, source: &Source) -> Result<Option<String>, PluginError> {
    if let Some(output) = &settings.build.output {
        return Ok(Some(folder(output)));
    }
    let staticfile = source.text("Staticfile")?.unwrap_or_default();
    let named = staticfile.lines().find_map(|line| line.trim().strip_prefix("root:"));
    if let Some(named) = named.map(folder).filter(|named| !named.is_empty()) {
        return Ok(Some(named));
    }
    let index = |root: &str| match root {
        "" => "index.html".to_owned(),
        folder => format!("{folder}/index.html"),
    };
    let indices: Vec<String> = ROOTS.iter().map(|root| index(root)).collect();
    source.prefetch(&indices.iter().map(String::as_str).collect::<Vec<_>>());
    let found = ROOTS.iter().zip(&indices).find(|(_, index)| source.is_file(index));
    Ok(found.map(|(root, _)| (*root).to_owned()))
}

fn folder(path: &str) -> String {
    let parts = path.trim().trim_matches(['"', '\'']).split('/');
    parts.filter(|part| !matches!(*part, "" | "." | "..")).collect::<Vec<_>>().join("/")
}

/// Why the `index.html` is not the application.
fn another_plugins(source: &Source) -> Result<Option<String>, PluginError> {
    source.prefetch(&OTHERS.map(|(file, _)| file));
    for (file, what) in OTHERS {
        if source.is_file(file) {
            return Ok(Some(format!(
                "there is an index.html, but {file} says that this is {what}; to serve the files as \
                 they are, set build.framework = \"static\" in windlass.toml"
            )));
        }
    }
    // A broken package.json is the Node plugin's to report.
    let Ok(Some(package)) = PackageJson::read(source) else {
        return Ok(None);
    };
    let script = ["build", "start"].into_iter().find(|name| package.script(name).is_some());
    Ok(script.map(|script| {
        format!(
            "there is an index.html, but package.json has a {script:?} script; to serve the files \
             as they are, set build.framework = \"static\" in windlass.toml"
        )
    }))
}

fn nothing(source: &Source, asked: bool) -> DetectReport {
    let mut near_misses = spelling::near_misses(source, ID, &["index.html"]);
    if asked {
        let error = no_index();
        let reason = format!("{}; {}", error.message, error.hint.unwrap_or_default());
        near_misses.push(NearMiss { id: ID.to_owned(), reason });
    }
    DetectReport { detections: Vec::new(), near_misses }
}

fn no_index() -> PluginError {
    let looked = ROOTS.map(|root| if root.is_empty() { "the application's folder" } else { root });
    let looked = looked.join(", ");
    PluginError::new("static.no-index", format!("there is no index.html in {looked}"))
        .hint("name the folder: build.output = \"htdocs\" in windlass.toml")
}

windlass_sdk::export! {
    Static: [detector, builder],
    name: "static",
    failures: "failures.toml",
}

#[cfg(test)]
mod tests;
