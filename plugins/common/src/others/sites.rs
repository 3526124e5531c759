//! What hosts of sites read: `netlify.toml`, `vercel.json` and `_redirects`.

use serde_json::Value;

use super::{Field, File, RULES, advice, at, list, table, text};

/// `netlify.toml`
pub(super) fn netlify(file: &mut File, keys: &Value) {
    let base = text(keys, "build.base").unwrap_or_default().trim_matches(['/', '.']);
    if !base.is_empty() {
        file.ignored.push(format!("build.base {base} (set build.app_dir, and its commands)"));
    } else {
        file.take(Field::Build, keys, "build.command");
        file.take(Field::Output, keys, "build.publish");
    }
    if let Some(variables) = table(keys, "build.environment") {
        file.take_versions(variables, "build.environment");
    }
    let rules = list(keys, "redirects");
    let whole = |rule: &&Value| {
        text(rule, "from").is_some_and(is_everything)
            && text(rule, "to").is_some_and(is_index)
            && at(rule, "status").and_then(Value::as_u64) == Some(200)
    };
    if rules.iter().any(|rule| whole(&rule)) {
        file.put(Field::SinglePage, "redirects", &Value::Bool(true));
    }
    let others = rules.iter().filter(|rule| !whole(rule) && !is_error_page(rule)).count();
    if others > 0 {
        file.ignored.push(format!("redirects ({others} of {}: {RULES})", rules.len()));
    }
    let known =
        ["build.base", "build.command", "build.publish", "build.environment", "redirects", "dev"];
    file.list_rest(keys, &known);
}

/// A `404.html` is found without being named.
fn is_error_page(rule: &Value) -> bool {
    at(rule, "status").and_then(Value::as_u64) == Some(404) && text(rule, "to") == Some("/404.html")
}

/// `vercel.json`, and `now.json`, its first name.
pub(super) fn vercel(file: &mut File, keys: &Value) {
    file.take(Field::Install, keys, "installCommand");
    file.take(Field::Build, keys, "buildCommand");
    file.take(Field::Output, keys, "outputDirectory");
    let whole = |rule: &Value, from: &str, to: &str| {
        text(rule, from).is_some_and(is_everything) && text(rule, to).is_some_and(is_index)
    };
    for (key, from, to) in [("rewrites", "source", "destination"), ("routes", "src", "dest")] {
        let rules = list(keys, key);
        if rules.iter().any(|rule| whole(rule, from, to)) {
            file.put(Field::SinglePage, key, &Value::Bool(true));
        }
        let plain = |rule: &&Value| !whole(rule, from, to) && text(rule, "handle").is_none();
        let others = rules.iter().filter(plain).count();
        if others > 0 {
            file.ignored.push(format!("{key} ({others} of {}: {RULES})", rules.len()));
        }
    }
    let known = [
        "$schema",
        "version",
        "name",
        "framework",
        "installCommand",
        "buildCommand",
        "outputDirectory",
        "rewrites",
        "routes",
        "cleanUrls",
        "trailingSlash",
        "devCommand",
        "public",
        "github",
        "alias",
        "scope",
        "telemetry",
    ];
    file.list_rest(keys, &known);
}

/// `static.json` of Heroku's buildpack for sites.
pub(super) fn static_json(file: &mut File, keys: &Value) {
    const SIGNS: [&str; 6] =
        ["root", "clean_urls", "routes", "error_page", "https_only", "proxies"];
    if !SIGNS.iter().any(|sign| keys.get(*sign).is_some()) {
        return;
    }
    file.take(Field::Output, keys, "root");
    let routes = table(keys, "routes").into_iter().flatten();
    for (pattern, page) in routes {
        match page.as_str() {
            Some(page) if is_everything(pattern) && is_index(page) => {
                file.put(Field::SinglePage, "routes", &Value::Bool(true));
            }
            _ => file.ignored.push(format!("routes.{pattern} ({RULES})")),
        }
    }
    file.list_rest(keys, &["root", "routes", "clean_urls", "https_only"]);
}

/// `firebase.json`, its hosting.
pub(super) fn firebase(file: &mut File, keys: &Value) {
    let Some(hosting) = table(keys, "hosting") else { return };
    file.take(Field::Output, keys, "hosting.public");
    let rewrites = list(keys, "hosting.rewrites");
    let whole = |rule: &Value| {
        text(rule, "source").is_some_and(is_everything)
            && text(rule, "destination").is_some_and(is_index)
    };
    if rewrites.iter().any(whole) {
        file.put(Field::SinglePage, "hosting.rewrites", &Value::Bool(true));
    }
    let others = rewrites.iter().filter(|rule| !whole(rule)).count();
    if others > 0 {
        file.ignored.push(format!("hosting.rewrites ({others} of {}: {RULES})", rewrites.len()));
    }
    let known = ["public", "rewrites", "ignore", "cleanUrls", "trailingSlash", "site", "target"];
    let rest = hosting.iter().filter(|(key, _)| !known.contains(&key.as_str()));
    file.ignored.extend(rest.map(|(key, value)| advice::of(&format!("hosting.{key}"), value)));
    file.list_rest(keys, &["hosting", "$schema", "emulators"]);
}

/// `_redirects`: a rule a line, `/*  /index.html  200`.
pub(super) fn redirects(file: &mut File, text: &str) {
    let mut others = 0;
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [from, to, "200" | "200!"] if is_everything(from) && is_index(to) => {
                file.put(Field::SinglePage, line, &Value::Bool(true));
            }
            _ => others += 1,
        }
    }
    if others > 0 {
        file.ignored.push(format!("{others} rules ({RULES})"));
    }
}

/// Whether a pattern is for every path, or for all but some.
pub(super) fn is_everything(pattern: &str) -> bool {
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
    matches!(
        pattern,
        "**" | "/*" | "/(.*)" | "/.*" | "/(.+)" | "/:path*" | "/:match*" | "(.*)" | "/**"
    ) || pattern.starts_with("/((?!")
        || pattern.starts_with("/:path(")
}

/// Whether it is the page of the root.
pub(super) fn is_index(path: &str) -> bool {
    matches!(path, "/" | "/index.html" | "index.html" | "/index" | "./index.html")
}
