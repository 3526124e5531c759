//! Where an application says whether it is well: what its framework brings, then what its own routes
//! show. A wrong guess costs one request: the next path is tried after a 404.

use windlass_plugin_common::glob;
use windlass_plugin_common::lines::{self, is_comment};
use windlass_sdk::health::PATHS;
use windlass_sdk::{Detection, Entry, Evidence, Source};

/// Names of routes that say it, the likeliest first.
const ROUTES: [&str; 14] = [
    "/healthz",
    "/health",
    "/api/health",
    "/api/healthz",
    "/healthcheck",
    "/health-check",
    "/_health",
    "/livez",
    "/readyz",
    "/ready",
    "/up",
    "/ping",
    "/api/ping",
    "/status",
];
/// A line that answers requests has one of these.
const ANSWERS: [&str; 20] = [
    ".get(",
    ".Get(",
    ".GET(",
    ".all(",
    ".use(",
    ".route(",
    "HandleFunc(",
    "Handle(",
    "path(",
    "MapGet(",
    "MapHealthChecks(",
    "get \"",
    "get '",
    "get(",
    "Route::get(",
    "#[get(",
    "GetMapping(",
    "@GET",
    "url(",
    "url ==",
];
/// A line that asks others has one of these.
const ASKS: [&str; 10] = [
    "fetch(",
    "axios",
    "requests.",
    "client",
    "http.get(",
    "http.Get(",
    "expect(",
    "curl",
    "test(",
    "assert",
];
/// Sources that routes stand in; beside them, files that are named for it.
const SOURCES: [&str; 10] = [
    "{,src/,app/,server/,server/src/,api/}{index,main,app,server,routes,router}.{js,ts,mjs,cjs,mts}",
    "{,cmd/*/,internal/*/,pkg/*/,server/,api/}{main,server,router,routes,handler,handlers,http,api}.go",
    "{,*/,*/*/}{main,app,server,urls,views,routes,asgi,wsgi,__init__}.py",
    "{config/routes.rb,config.ru,app.rb,main.rb,server.rb,routes/*.php,bootstrap/app.php}",
    "{index.php,public/index.php}",
    "src/{main,lib,routes,router,server,app}.rs",
    "{,*/,src/*/}{Program,Startup}.{cs,fs}",
    "lib/**/router.ex",
    "{src/main/**/,**/}{*Health*,*Application,*Routes,*Routing}.{java,kt,scala}",
    "{**/,}{health,healthz,healthcheck,ping}{,.controller,/route,/+server,.get}.{js,ts,go,py,rs,rb,php}",
];
const DEPTH: u32 = 8;
const FILES_MAX: usize = 40;
const BYTES_MAX: u64 = 100_000;
/// Manifests, and settings that move a framework's path.
const READ: [&str; 12] = [
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "package.json",
    "config/routes.rb",
    "bootstrap/app.php",
    "src/main/resources/application.properties",
    "src/main/resources/application.yml",
    "src/main/resources/application.yaml",
    "gradle/libs.versions.toml",
    "composer.json",
    "mix.exs",
];

/// A path, and why it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: String,
    pub(crate) evidence: Evidence,
}

impl Place {
    fn new(path: impl Into<String>, file: &str, detail: impl Into<String>) -> Self {
        Self { path: path.into(), evidence: Evidence::new(file, detail) }
    }
}

/// The paths with a reason, the best first.
pub(crate) fn found(source: &Source, chosen: &Detection) -> Vec<Place> {
    source.prefetch(&READ);
    let framework = of_framework(source, chosen);
    let mut places: Vec<Place> = framework.into_iter().collect();
    if places.is_empty() {
        places.extend(of_files(source).or_else(|| of_routes(source, chosen)));
    }
    places
}

/// All paths to try.
pub(crate) fn tried(places: &[Place]) -> Vec<&str> {
    let mut all: Vec<&str> = Vec::new();
    for path in places.iter().map(|place| place.path.as_str()).chain(PATHS) {
        if !all.contains(&path) {
            all.push(path);
        }
    }
    all
}

fn text(source: &Source, path: &str) -> Option<String> {
    source.text(path).ok().flatten()
}

/// What the framework brings, as a dependency or a route that its generator writes.
fn of_framework(source: &Source, chosen: &Detection) -> Option<Place> {
    match chosen.ecosystem.as_str() {
        "ruby" => routed(source, "config/routes.rb", "rails/health#show"),
        "php" => laravel(source),
        "java" | "kotlin" | "scala" => jvm(source),
        "node" => {
            let package = text(source, "package.json")?;
            let strapi = lines::find(&package, &["@strapi/strapi"])?;
            Some(Place::new("/_health", "package.json", format!("line {}: Strapi", strapi.0)))
        }
        _ => None,
    }
}

/// `get "up" => "rails/health#show"`
fn routed(source: &Source, file: &str, sign: &str) -> Option<Place> {
    let text = text(source, file)?;
    let (n, line) =
        text.lines().enumerate().find(|(_, line)| !is_comment(line) && line.contains(sign))?;
    let name = line.split(['"', '\'']).nth(1).filter(|name| !name.contains('#'))?;
    let path = format!("/{}", name.trim_start_matches('/'));
    Some(Place::new(path, file, format!("line {}: {}", n + 1, lines::shown(line, sign))))
}

/// `health: '/up'`, on a line of its own or behind other arguments.
fn laravel(source: &Source) -> Option<Place> {
    let file = "bootstrap/app.php";
    let text = text(source, file)?;
    let named = |line: &str| {
        let (before, value) = line.split_once("health:")?;
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let quote = value.trim_start().chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let path = value.split(quote).nth(1).filter(|path| whole && !path.is_empty())?;
        Some(format!("/{}", path.trim_start_matches('/')))
    };
    let all = text.lines().enumerate().filter(|(_, line)| !is_comment(line));
    let (n, line, path) = all.into_iter().find_map(|(n, line)| Some((n, line, named(line)?)))?;
    Some(Place::new(path, file, format!("line {}: {}", n + 1, lines::shown(line, "health:"))))
}

/// Spring Boot's Actuator, SmallRye Health, Micronaut's management.
fn jvm(source: &Source) -> Option<Place> {
    let files = ["pom.xml", "build.gradle", "build.gradle.kts", "gradle/libs.versions.toml"];
    let declared = |name: &str| {
        files.iter().find_map(|file| {
            let (n, line) =
                lines::find(&text(source, file)?, &[name]).map(|(n, line)| (n, line.to_owned()))?;
            Some((*file, format!("line {n}: {}", lines::shown(&line, name))))
        })
    };
    if let Some((file, line)) = declared("spring-boot-starter-actuator") {
        // On a port of its own it is not reached through the application's.
        if setting(source, "management.server.port").is_some() {
            return None;
        }
        let context = setting(source, "server.servlet.context-path").unwrap_or_default();
        let base = setting(source, "management.endpoints.web.base-path");
        let base = base.unwrap_or_else(|| "/actuator".to_owned());
        let path =
            format!("{}{}/health", context.trim_end_matches('/'), base.trim_end_matches('/'));
        return Some(Place::new(path, file, line));
    }
    if let Some((file, line)) = declared("quarkus-smallrye-health") {
        let root = setting(source, "quarkus.http.root-path").unwrap_or_default();
        return Some(Place::new(format!("{}/q/health", root.trim_end_matches('/')), file, line));
    }
    let (file, line) = declared("micronaut-management")?;
    Some(Place::new("/health", file, line))
}

/// A setting of a framework: in properties, or nested in YAML.
fn setting(source: &Source, key: &str) -> Option<String> {
    let folder = "src/main/resources/application";
    let properties = text(source, &format!("{folder}.properties")).unwrap_or_default();
    let named = properties.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    });
    named.or_else(|| {
        let yaml =
            ["yml", "yaml"].iter().find_map(|end| text(source, &format!("{folder}.{end}")))?;
        nested(&yaml, key)
    })
}

/// The value of `a.b.c` in YAML that is indented.
fn nested(yaml: &str, key: &str) -> Option<String> {
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in yaml.lines().filter(|line| !is_comment(line)) {
        let Some((name, value)) = line.trim().split_once(':') else { continue };
        let indent = line.len() - line.trim_start().len();
        above.retain(|(outer, _)| *outer < indent);
        above.push((indent, name));
        let full: Vec<&str> = above.iter().map(|(_, name)| *name).collect();
        if full.join(".") == key && !value.trim().is_empty() {
            return Some(value.trim().trim_matches(['"', '\'']).to_owned());
        }
    }
    None
}

/// Frameworks whose files are their routes.
fn of_files(source: &Source) -> Option<Place> {
    let names = "{health,healthz,healthcheck,ping}";
    let globs = [
        format!("{{src/,}}app/{{api/,}}{names}/route.{{ts,js}}"),
        format!("{{src/,}}pages/api/{names}.{{ts,js}}"),
        format!("server/{{api,routes}}/{names}{{,.get}}.{{ts,js}}"),
        format!("src/routes/{{api/,}}{names}/+server.{{ts,js}}"),
        format!("src/pages/{{api/,}}{names}.{{ts,js,json.ts}}"),
        format!("app/routes/{names}.{{ts,tsx,js,jsx}}"),
    ];
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    let file = list(source, &globs, 6)?.into_iter().next()?.path;
    let mut parts: Vec<&str> = file.split('/').collect();
    let last = parts.pop()?.split('.').next()?;
    if last != "route" && last != "+server" {
        parts.push(last);
    }
    let roots = ["src", "app", "pages", "routes", "server"];
    let path: Vec<&str> = parts.into_iter().skip_while(|part| roots.contains(part)).collect();
    Some(Place::new(format!("/{}", path.join("/")), &file, ""))
}

/// Entries that match one of the globs.
fn list(source: &Source, globs: &[&str], depth: u32) -> Option<Vec<Entry>> {
    let globs: Vec<String> = globs.iter().flat_map(|glob| glob::alternatives(glob)).collect();
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    Some(source.list(&globs, depth, 2_000).ok()?.entries)
}

/// A route in one of the sources that routes usually stand in.
fn of_routes(source: &Source, chosen: &Detection) -> Option<Place> {
    let listing = list(source, &SOURCES, DEPTH)?;
    let foreign = ["node_modules", "vendor", "test", "tests", "target", ".venv", "spec"];
    let own = |path: &str| !path.split('/').any(|part| foreign.contains(&part));
    let mut files: Vec<String> = listing
        .into_iter()
        .filter(|entry| entry.size < BYTES_MAX && own(&entry.path))
        .map(|entry| entry.path)
        .collect();
    leave_out_other_programs(&mut files, chosen);
    files.sort_by_cached_key(|path| (path.matches('/').count(), path.clone()));
    files.truncate(FILES_MAX);
    source.prefetch(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let found = files.iter().filter_map(|file| {
        let text = text(source, file)?;
        let best = text.lines().enumerate().filter_map(|(n, line)| {
            let at = route(line)?;
            let shown = lines::shown(line, ROUTES[at]);
            Some((at, Place::new(ROUTES[at], file, format!("line {}: {shown}", n + 1))))
        });
        best.min_by_key(|(at, _)| *at)
    });
    found.min_by_key(|(at, _)| *at).map(|(_, place)| place)
}

/// Leaves the folders of those Go programs out that the detection does not name as run.
fn leave_out_other_programs(files: &mut Vec<String>, chosen: &Detection) {
    let folder = |path: &str| path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
    let mains = chosen.evidence.iter().filter(|sign| sign.detail == "package main");
    let run: Vec<String> = mains.map(|sign| folder(&sign.path)).collect();
    let programs = files.iter().filter(|path| path.ends_with("/main.go")).map(|path| folder(path));
    let others: Vec<String> = programs.filter(|folder| !run.contains(folder)).collect();
    if !run.is_empty() {
        files.retain(|path| !others.contains(&folder(path)));
    }
}

/// Which of the routes a line answers.
fn route(line: &str) -> Option<usize> {
    let answers = ANSWERS.iter().any(|sign| line.contains(sign));
    if is_comment(line) || !answers || ASKS.iter().any(|sign| line.contains(sign)) {
        return None;
    }
    let quoted = line.split(['"', '\'', '`']).skip(1).step_by(2);
    let mut paths = quoted.map(|text| {
        // Go names the method beside the path, Django ends it with a slash.
        let path = text.strip_prefix("GET ").unwrap_or(text).trim_matches(['/', '^', '$']);
        format!("/{path}")
    });
    paths.find_map(|path| ROUTES.iter().position(|known| *known == path))
}
