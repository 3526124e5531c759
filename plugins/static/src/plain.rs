//! Folders of files that are served as they are.

use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::yaml;
use windlass_sdk::{Detection, NearMiss, PluginError};

use crate::facts::Facts;
use crate::generators::folder;
use crate::server;

/// Folders that are looked into, strongest first; `""` is the application's own.
pub(crate) const ROOTS: [&str; 10] =
    ["", "public", "dist", "build", "site", "_site", "www", "htdocs", "public_html", "html"];
/// Names of the pages of a folder.
const STATICFILE: &str = "Staticfile";

/// A folder that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Relative to the application, empty for all of it.
    pub(crate) root: String,
    /// Unknown paths get the page of the root.
    pub(crate) single_page: bool,
    /// The page for what is not there.
    pub(crate) not_found: Option<String>,
    /// What is not done, for the log.
    pub(crate) notes: Vec<String>,
}

/// What was found.
pub(crate) struct Found {
    pub(crate) detection: Detection,
    pub(crate) plain: Plain,
}

/// The folder that is served; `asked` is `build.framework`.
pub(crate) fn find(facts: &Facts<'_>, asked: Option<&str>) -> Result<Found, Vec<NearMiss>> {
    let miss = |id: &str, reason: String| vec![NearMiss { id: id.to_owned(), reason }];
    if let Some(found) = configured(facts, asked) {
        return found.map_err(|reason| miss("static", reason));
    }
    let Some(root) = root(facts) else {
        return guess(facts).ok_or_else(Vec::new);
    };
    if asked != Some("static")
        && let Some(reason) = not_this(facts, &root)
    {
        return Err(miss("static", reason));
    }
    let confidence = match root.as_str() {
        "" => 30,
        "docs" => 12,
        _ => 25,
    };
    let mut found = Detection::new("static", "Static site", "static").confidence(confidence);
    let mut plain = Plain { root, single_page: false, not_found: None, notes: Vec::new() };
    if facts.has(STATICFILE) {
        staticfile(&mut plain, &facts.text(STATICFILE));
        found = found.confidence(60).evidence(STATICFILE, "");
    }
    if let Some(file) = facts.output_file.filter(|_| facts.settings.build.output.is_some()) {
        found = found.evidence(file, format!("the folder {:?}", plain.root));
    }
    found = found.evidence(inside(&plain.root, "index.html"), "");
    complete(facts, &mut plain);
    if plain.single_page {
        found = found.evidence(fallback_file(facts), "unknown paths get index.html");
    }
    Ok(Found { detection: found, plain })
}

fn fallback_file(facts: &Facts<'_>) -> &'static str {
    let other = facts.others.get(&windlass_plugin_common::others::Field::SinglePage);
    match other {
        Some((_, file)) => file,
        None if facts.has(STATICFILE) => STATICFILE,
        None => ".htaccess",
    }
}

/// What stands beside the pages: other platforms' rewrites, `.htaccess`, the error page.
fn complete(facts: &Facts<'_>, plain: &mut Plain) {
    plain.single_page |= facts.others.single_page().unwrap_or_default();
    let rules = facts.text(&inside(&plain.root, ".htaccess"));
    if !rules.is_empty() {
        let served = server::read("httpd", &rules);
        plain.single_page |= served.single_page;
        plain.not_found = plain.not_found.take().or(served.not_found);
        let refused = served.refused.map(|(line, words)| format!("line {line}: {words}"));
        let lines = refused.into_iter().chain(served.ignored);
        plain.notes.extend(lines.map(|line| format!(".htaccess {line} is not done here")));
    }
    let page = |page: &&str| facts.has(&inside(&plain.root, page));
    plain.not_found = plain.not_found.take().filter(|name| page(&name.as_str())).or_else(|| {
        ["404.html", "404/index.html"].iter().find(|name| page(name)).map(|n| (*n).to_owned())
    });
}

/// A path below the root.
pub(crate) fn inside(root: &str, path: &str) -> String {
    if root.is_empty() { path.to_owned() } else { format!("{root}/{path}") }
}

/// A web server's configuration, if there is one and nothing else says what the folder is.
fn configured(facts: &Facts<'_>, asked: Option<&str>) -> Option<Result<Found, String>> {
    let (file, id, name) = server::FILES.into_iter().find(|(file, ..)| facts.has(file))?;
    if asked.is_some_and(|asked| asked != id) {
        return None;
    }
    if let Some((other, what)) = facts.other_project(&[]).filter(|_| asked != Some(id)) {
        return Some(Err(format!("there is {file}, but {other} says that this is {what}")));
    }
    let served = server::read(id, &facts.text(file));
    let named = served.root.as_deref().map(server::folder_of);
    let own = facts.settings.build.output.as_deref().map(folder);
    let has_index = |root: &String| facts.has(&inside(root, "index.html"));
    let root = own.or(named.filter(has_index)).or_else(|| root(facts));
    let refusal = served.refused.as_ref().map(|(line, words)| {
        PluginError::new(
            "static.server-unsupported",
            format!("{file} line {line}: {words:?} cannot be done for a static site"),
        )
        .hint(format!(
            "build an image with {name} and this file from a Dockerfile, or set build.framework = \
             \"static\" to serve the files without it"
        ))
    });
    let Some(root) = root else {
        let asks = refusal.map(|refusal| format!("; {}", refusal.message)).unwrap_or_default();
        return Some(Err(format!(
            "there is {file}, but no folder with an index.html that it serves{asks}"
        )));
    };
    let notes = served.ignored.iter().map(|line| format!("{file} {line} is not done here"));
    let mut plain = Plain {
        root,
        single_page: served.single_page,
        not_found: served.not_found,
        notes: notes.collect(),
    };
    complete(facts, &mut plain);
    let sign = served.root.map(|root| format!("root {root}")).unwrap_or_default();
    let mut found = Detection::new(id, name, "static").confidence(65).evidence(file, sign);
    found = found.evidence(inside(&plain.root, "index.html"), "").supersedes("static");
    if let Some(refusal) = refusal {
        found = found.refuse(refusal);
    }
    Some(Ok(Found { detection: found, plain }))
}

/// The folder: the setting, the `root:` of a Staticfile, or the first with an index.
fn root(facts: &Facts<'_>) -> Option<String> {
    let output = facts.settings.build.output.as_deref().map(folder);
    let committed = |root: &String| facts.has(&inside(root, "index.html"));
    if let Some(output) = output.filter(|root| facts.own_output() || committed(root)) {
        return Some(output);
    }
    let keys = yaml::parse(&facts.text(STATICFILE)).unwrap_or_default();
    let named = keys.get("root").map(yaml::text_of).map(|root| folder(&root));
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        return Some(named);
    }
    let found = ROOTS.iter().find(|root| committed(&(**root).to_owned()));
    found.map(|root| (*root).to_owned()).or_else(|| docs(facts))
}

/// `docs`, where the folder holds nothing but it and what describes it.
fn docs(facts: &Facts<'_>) -> Option<String> {
    let described = |name: &str| {
        let name = name.to_ascii_lowercase();
        let known = [
            "readme",
            "license",
            "licence",
            "changelog",
            "contributing",
            "code_of_conduct",
            "cname",
        ];
        name.starts_with('.') || known.iter().any(|known| name.starts_with(known))
    };
    let only = facts.files().all(described)
        && facts.folders().all(|name| name == "docs" || described(name));
    (only && facts.has("docs/index.html") && !facts.text("docs/index.html").contains("docsify"))
        .then(|| "docs".to_owned())
}

/// The one `public` folder of a folder that has nothing else to run: better than nothing.
fn guess(facts: &Facts<'_>) -> Option<Found> {
    if facts.other_project(&[]).is_some() || facts.folders().count() > 4 {
        return None;
    }
    let described = |name: &str| {
        let last = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        name.starts_with('.') || matches!(last.as_str(), "md" | "txt") || !name.contains('.')
    };
    if !facts.files().all(described) {
        return None;
    }
    let found = facts.source.list(&["*/public/index.html"], 3, 10).ok()?.entries;
    let [index] = found.as_slice() else { return None };
    let root = index.path.trim_end_matches("/index.html").to_owned();
    let detection = Detection::new("static", "Static site", "static")
        .confidence(5)
        .evidence(index.path.clone(), "the only folder of this name, and nothing else that runs");
    let mut plain = Plain { root, single_page: false, not_found: None, notes: Vec::new() };
    complete(facts, &mut plain);
    Some(Found { detection, plain })
}

fn staticfile(plain: &mut Plain, text: &str) {
    let keys = yaml::parse(text).unwrap_or_default();
    let on = |key: &str| {
        keys.get(key)
            .is_some_and(|value| matches!(yaml::text_of(value).as_str(), "true" | "enabled" | "on"))
    };
    plain.single_page = on("index_fallback") || on("pushstate") || on("spa");
    let page = keys.get("status_codes").and_then(|codes| codes.get("404")).map(yaml::text_of);
    plain.not_found = page.map(|page| folder(&page));
    let known = ["root", "index_fallback", "pushstate", "spa", "status_codes"];
    let others = keys.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
    let others = others.filter(|key| !known.contains(key));
    plain.notes.extend(others.map(|key| format!("{STATICFILE} {key} is not done here")));
}

/// Why the `index.html` is not a site that is served as it is.
fn not_this(facts: &Facts<'_>, root: &str) -> Option<String> {
    let set = "to serve the files as they are, set build.framework = \"static\" in windlass.toml";
    let there_is = match facts.has(&inside(root, "index.html")) {
        true => "there is an index.html".to_owned(),
        false => format!("{} names the folder {root:?}", facts.output_file.unwrap_or(STATICFILE)),
    };
    if let Some((file, what)) = facts.other_project(&["package.json"]) {
        return Some(format!("{there_is}, but {file} says that this is {what}; {set}"));
    }
    // A broken package.json is the Node plugin's to report.
    let package = PackageJson::read(facts.source).ok().flatten();
    let script = package.as_ref().and_then(|package| {
        ["build", "start"].into_iter().find(|name| package.script(name).is_some())
    });
    if let Some(script) = script {
        return Some(format!("{there_is}, but package.json has a {script:?} script; {set}"));
    }
    if facts.text("manifest.json").contains("\"manifest_version\"") {
        return Some(format!("{there_is}, but manifest.json is a browser extension's; {set}"));
    }
    let page = facts.text(&inside(root, "index.html"));
    if let Some(file) = source_module(&page) {
        let why = "which a bundler has to build, and package.json has no build script";
        return Some(format!("index.html loads {file}, {why}; {set}"));
    }
    let template =
        ["%PUBLIC_URL%", "<%= ", "{{ ", "{% "].into_iter().find(|sign| page.contains(sign))?;
    Some(format!("index.html is a template ({template:?}), not a page; {set}"))
}

/// A script that only a bundler understands.
fn source_module(page: &str) -> Option<&str> {
    page.split("src=").skip(1).find_map(|rest| {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let path = rest[1..].split(quote).next()?;
        let suffix =
            [".ts", ".tsx", ".jsx", ".vue", ".svelte"].iter().any(|end| path.ends_with(end));
        (suffix && !path.starts_with("http")).then_some(path)
    })
}
