//! Projects of Nx that have a `project.json` instead of a package.json: what their `build` target leaves.

use serde_json::Value;
use windlass_plugin_common::scripts;
use windlass_sdk::Detection;

use crate::config::normal;
use crate::facts::{Facts, join};
use crate::framework::{Decision, Shape, Tree};
use crate::start::Start;

/// What the build of a project is for.
enum Kind {
    Server(String),
    Tree(String),
}

/// The decision for a project in this folder of the workspace.
pub(crate) fn decide(root: &Facts, dir: &str) -> Option<Decision> {
    let project = root.workspace.as_ref()?.members.get(dir)?.project.as_ref()?;
    let application = project.get("projectType").and_then(Value::as_str) == Some("application");
    let build = project.get("targets").or_else(|| project.get("architect"))?.get("build")?;
    let executor = build.get("executor").or_else(|| build.get("builder"))?.as_str()?;
    let options = build.get("options");
    let option = |key: &str| options.and_then(|all| all.get(key)?.as_str());
    let output = option("outputPath").map_or_else(|| format!("dist/{dir}"), str::to_owned);
    let kind = kind(executor, &normal(&output.replace("{workspaceRoot}/", "")), option("target"));
    let named = project.get("name").and_then(Value::as_str);
    let name = named.or(dir.rsplit('/').next())?.to_owned();
    let file = join(dir, "project.json");
    let detection = Detection::new("node", format!("Nx project {name}"), "node")
        .confidence(85)
        .supersedes("static")
        .evidence(file, format!("targets.build.executor: {executor}"));
    let shape = match kind.filter(|_| application)? {
        Kind::Server(line) => Shape::Server(Some(Start::usual(&line, scripts::BUILT_BY_NX))),
        Kind::Tree(output) => Shape::Tree(Tree { output, page: Some("index.html".to_owned()) }),
    };
    Some(Decision { detection, shape, framework: None, project: Some(name), worker: false })
}

fn kind(executor: &str, output: &str, target: Option<&str>) -> Option<Kind> {
    let (package, name) = executor.split_once(':')?;
    let tool = package.rsplit('/').next().unwrap_or(package);
    let server = || Kind::Server(format!("node {output}/main.js"));
    let tree = |inner: &str| Kind::Tree(join(output, inner));
    Some(match (tool, name) {
        ("node" | "js" | "esbuild" | "nest", _) => server(),
        ("webpack" | "rspack", _) if target == Some("node") => server(),
        ("next", _) => Kind::Server(format!("cd {output} && next start -H 0.0.0.0 -p \"$PORT\"")),
        ("angular" | "build-angular" | "build", "application") => tree("browser"),
        ("angular" | "build-angular", _) | ("vite" | "web" | "webpack" | "rspack" | "react", _) => {
            tree("")
        }
        _ => return None,
    })
}

/// The project that nx.json names where nothing else does.
pub(crate) fn default_project(root: &Facts) -> Option<String> {
    let json: Value = serde_json::from_str(&root.root_text("nx.json")?).ok()?;
    let name = json.get("defaultProject")?.as_str()?;
    root.workspace.as_ref()?.find(name).map(str::to_owned)
}
