//! The few values that are read out of configuration files that are programs: a look at the text, not
//! an evaluation. What is computed there is not seen; `build.output` in windlass.toml is for that.

use serde_json::Value;
pub(crate) use windlass_plugin_common::paths::normal;

use crate::facts::Facts;

const NEXT: [&str; 5] =
    ["next.config.js", "next.config.mjs", "next.config.ts", "next.config.mts", "next.config.cjs"];
const VITE: [&str; 6] = [
    "vite.config.ts",
    "vite.config.js",
    "vite.config.mjs",
    "vite.config.mts",
    "vite.config.cjs",
    "vite.config.cts",
];
const ELEVENTY: [&str; 5] = [
    ".eleventy.js",
    "eleventy.config.js",
    "eleventy.config.mjs",
    "eleventy.config.cjs",
    "eleventy.config.ts",
];

/// Name of the Next.js configuration.
pub(crate) fn next_file(facts: &Facts) -> Option<&'static str> {
    facts.first(&NEXT)
}

/// `output` of the Next.js configuration: `standalone` or `export`.
pub(crate) fn next_output(facts: &Facts) -> Option<String> {
    value(&facts.text(next_file(facts)?)?, "output")
}

/// The text that a key is set to in the first of these files that exists.
pub(crate) fn key(facts: &Facts, files: &[&str], key: &str) -> Option<String> {
    value(&facts.text(facts.first(files)?)?, key)
}

/// Whether the first of these files that exists says this, blanks aside and comments left out.
pub(crate) fn says(facts: &Facts, files: &[&str], what: &str) -> bool {
    let text = facts.first(files).and_then(|file| facts.text(file)).unwrap_or_default();
    let bare: String = code(&text).flat_map(|line| line.split_whitespace()).collect();
    bare.contains(what)
}

/// Folder that `vite build` writes, relative to the application.
pub(crate) fn vite_output(facts: &Facts) -> String {
    let script = facts.script("build").unwrap_or_default();
    if let Some(folder) = flag(script, &["--outDir"]) {
        return normal(&folder);
    }
    let text = facts.first(&VITE).and_then(|file| facts.text(file)).unwrap_or_default();
    let root = value(&text, "root").unwrap_or_default();
    let folder = value(&text, "outDir").unwrap_or_else(|| "dist".to_owned());
    normal(&format!("{root}/{folder}"))
}

/// Whether `vite build` makes a library of it.
pub(crate) fn vite_library(facts: &Facts) -> bool {
    says(facts, &VITE, "build:{lib:") || says(facts, &VITE, "lib:{entry")
}

/// Folder that Eleventy writes.
pub(crate) fn eleventy_output(facts: &Facts) -> String {
    let script = facts.script("build").unwrap_or_default();
    let named = flag(script, &["--output"]).or_else(|| key(facts, &ELEVENTY, "output"));
    normal(&named.unwrap_or_else(|| "_site".to_owned()))
}

/// Folder of the documentation that VitePress or VuePress builds: `docs` of `vitepress build docs`.
pub(crate) fn press_output(facts: &Facts, program: &str) -> String {
    let package = facts.package.as_ref();
    let command = format!("{program} build");
    let mut lines = package.into_iter().flat_map(|package| package.scripts());
    let line = lines.find_map(|(_, line)| Some(line.split_once(&command)?.1.to_owned()));
    let line = line.unwrap_or_default();
    let folder = line.split_whitespace().next().filter(|word| !word.starts_with(['-', '&', ';']));
    let folder = folder.unwrap_or_default();
    let base = format!("{folder}/.{program}");
    let config =
        ["config.ts", "config.mts", "config.js", "config.mjs"].map(|f| format!("{base}/{f}"));
    let text = config.iter().find_map(|file| facts.text(&normal(file))).unwrap_or_default();
    let named = flag(&line, &["--outDir", "--dest"]);
    let set = value(&text, "outDir").map(|to| format!("{folder}/{to}")).or(value(&text, "dest"));
    normal(&named.or(set).unwrap_or(format!("{base}/dist")))
}

/// The text behind a flag of a command line: `--out x` or `--out=x`.
pub(crate) fn flag(line: &str, names: &[&str]) -> Option<String> {
    let words: Vec<&str> = line.split([' ', '=']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| names.contains(word))?;
    words.get(at + 1).map(|word| word.trim_matches(['"', '\'']).to_owned())
}

/// The part of angular.json that says how the application is built.
pub(crate) fn angular(facts: &Facts) -> Option<(String, Value)> {
    let json: Value = serde_json::from_str(&facts.text("angular.json")?).ok()?;
    let projects = json.get("projects")?.as_object()?;
    let named = json.get("defaultProject").and_then(Value::as_str);
    let application = |(_, project): &(&String, &Value)| {
        project.get("projectType").and_then(Value::as_str) != Some("library")
    };
    let chosen = named.and_then(|name| projects.get_key_value(name));
    let (name, project) = chosen.or_else(|| projects.iter().find(application))?;
    let targets = project.get("architect").or_else(|| project.get("targets"))?;
    Some((name.clone(), targets.get("build")?.clone()))
}

/// Folder with the files for browsers that `ng build` writes, and the server's program if there is one.
pub(crate) fn angular_output(facts: &Facts) -> (String, Option<String>) {
    let Some((name, build)) = angular(facts) else {
        return ("dist".to_owned(), None);
    };
    let builder = build.get("builder").and_then(Value::as_str).unwrap_or_default();
    let option = |key: &str| build.get("options").and_then(|options| options.get(key));
    let path = option("outputPath");
    let base = path.and_then(|path| path.as_str().or_else(|| path.get("base")?.as_str()));
    let base = base.map_or_else(|| format!("dist/{name}"), str::to_owned);
    let whole = builder.ends_with(":application");
    let inner = path.and_then(|path| path.get("browser")?.as_str()).unwrap_or("browser");
    let browser = if whole { normal(&format!("{base}/{inner}")) } else { normal(&base) };
    let renders = option("ssr").is_some_and(|ssr| *ssr != Value::Bool(false));
    let fixed = option("outputMode").and_then(Value::as_str) == Some("static");
    let server = (whole && renders && !fixed).then(|| normal(&format!("{base}/server/server.mjs")));
    (browser, server)
}

/// Lines that are no comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| {
        !line.starts_with("//") && !line.starts_with(['*', '#']) && !line.starts_with("/*")
    })
}

/// The text that a key is set to, outside of comments: `key: 'text'`.
pub(crate) fn value(text: &str, key: &str) -> Option<String> {
    for line in code(text) {
        let mut rest = line;
        while let Some(at) = rest.find(key) {
            let own =
                !rest[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
            rest = &rest[at + key.len()..];
            let set = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':');
            let Some(set) = set.map(str::trim_start).filter(|_| own) else {
                continue;
            };
            let Some(quote @ ('"' | '\'' | '`')) = set.chars().next() else {
                continue;
            };
            let inner = set[1..].split(quote).next()?;
            return Some(inner.to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_seen_and_comments_are_not() {
        let text =
            "// output: 'export'\nmodule.exports = { myoutput: 'x', \"output\": `standalone` }";
        assert_eq!(value(text, "output").as_deref(), Some("standalone"));
        assert_eq!(value("export default { output: process.env.X }", "output"), None);
        assert_eq!(value("build: { outDir: '../dist' }", "outDir").as_deref(), Some("../dist"));
    }
}
