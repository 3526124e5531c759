//! C and C++ with CMake or Meson: the executables that the build files name.

use windlass_plugin_common::compiled::built;
use windlass_sdk::Detection;

use crate::c;
use crate::facts::Facts;
use crate::found::{Finding, Found, choose};
use crate::libraries;

/// Folders whose executables are not the application.
const ASIDE: [&str; 16] = [
    "test",
    "tests",
    "example",
    "examples",
    "bench",
    "benchmark",
    "benchmarks",
    "third_party",
    "third-party",
    "vendor",
    "external",
    "extern",
    "deps",
    "docs",
    "tools",
    "samples",
];
/// What only programs with a window, or for bare devices, ask for.
const NO_SERVER: [&str; 9] = [
    "pico_sdk",
    "idf_component",
    "find_package(qt",
    "sdl2",
    "glfw",
    "sfml",
    "raylib",
    "arduino",
    "gtkmm",
];
/// Only read by the build.
const ONLY_BUILD: [&str; 13] = [
    "**/*.c",
    "**/*.cc",
    "**/*.cpp",
    "**/*.cxx",
    "**/*.h",
    "**/*.hpp",
    "**/*.o",
    "**/CMakeLists.txt",
    "**/*.cmake",
    "**/meson.build",
    "build/**",
    "subprojects/**",
    "Dockerfile",
];

/// What CMake's files say.
pub(crate) fn cmake(facts: &Facts) -> Finding {
    const ROOT: &str = "CMakeLists.txt";
    if !facts.has(ROOT) {
        return Finding::Nothing;
    }
    let text = all(facts, ROOT);
    let calls = calls(&text);
    let words = |call: &str| -> Vec<Vec<String>> {
        calls.iter().filter(|(name, _)| name == call).map(|(_, words)| words.clone()).collect()
    };
    let project = words("project").into_iter().next().unwrap_or_default();
    let name = project.first().cloned().unwrap_or_default();
    let value = |word: &str| match word {
        "${PROJECT_NAME}" | "${CMAKE_PROJECT_NAME}" => name.clone(),
        _ => match word.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            Some(variable) => words("set")
                .into_iter()
                .find(|set| set.first().map(String::as_str) == Some(variable))
                .and_then(|set| set.get(1).cloned())
                .unwrap_or_default(),
            None => word.to_owned(),
        },
    };
    let imported = |words: &&Vec<String>| words.iter().any(|w| w == "IMPORTED" || w == "ALIAS");
    let executables = words("add_executable");
    let mut names: Vec<String> = executables
        .iter()
        .filter(|words| !imported(words))
        .filter_map(|words| Some(value(words.first()?)))
        .filter(|name| is_program(name))
        .collect();
    names.sort();
    names.dedup();
    let id = if project.iter().any(|word| word == "CXX") {
        "cpp"
    } else if project.iter().any(|word| word == "C") {
        "c"
    } else {
        c::language(facts)
    };
    let mut packages: Vec<String> = vec!["cmake".to_owned(), "make".to_owned()];
    for found in words("find_package") {
        packages.extend(needed(&found));
    }
    for found in words("pkg_check_modules").iter().chain(&words("pkg_search_module")) {
        packages.extend(
            found.iter().flat_map(|word| libraries::packages(word)).map(|p| (*p).to_owned()),
        );
        packages.push("pkg-config".to_owned());
    }
    if text.contains("GIT_REPOSITORY") {
        packages.extend(["git", "ca-certificates"].map(str::to_owned));
    }
    let build = "cmake -S . -B /build -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
                 -DBUILD_TESTING=OFF && cmake --build /build --parallel --target";
    finding(
        facts,
        &Files {
            id,
            file: ROOT,
            key: "add_executable",
            text,
            names,
            project: name,
            packages,
            build,
        },
    )
}

/// What Meson's files say.
pub(crate) fn meson(facts: &Facts) -> Finding {
    const ROOT: &str = "meson.build";
    if !facts.has(ROOT) {
        return Finding::Nothing;
    }
    let text = all(facts, ROOT);
    let project = strings(&text, "project(").into_iter().next().unwrap_or_default();
    let id = match project.get(1).map(String::as_str) {
        Some("c") => "c",
        Some("cpp") => "cpp",
        _ => c::language(facts),
    };
    let name = project.first().cloned().unwrap_or_default();
    let first = |call: &str| -> Vec<String> {
        strings(&text, call).into_iter().filter_map(|words| words.into_iter().next()).collect()
    };
    let mut names: Vec<String> =
        first("executable(").into_iter().filter(|name| is_program(name)).collect();
    if text.contains("executable(meson.project_name()") {
        names.push(name.clone());
    }
    let mut packages: Vec<String> =
        ["meson", "ninja-build", "pkg-config"].map(str::to_owned).to_vec();
    for dependency in first("dependency(") {
        if dependency == "boost" {
            packages.extend(libraries::boost(&[]));
        }
        packages.extend(libraries::packages(&dependency).iter().map(|name| (*name).to_owned()));
    }
    let build =
        "meson setup --buildtype=release --default-library=static /build && ninja -C /build";
    finding(
        facts,
        &Files { id, file: ROOT, key: "executable", text, names, project: name, packages, build },
    )
}

/// What the build files say.
struct Files {
    id: &'static str,
    file: &'static str,
    key: &'static str,
    text: String,
    names: Vec<String>,
    project: String,
    packages: Vec<String>,
    build: &'static str,
}

fn finding(facts: &Facts, files: &Files) -> Finding {
    let Files { id, file, key, text, names, project, packages, build } = files;
    let asked = facts.asks_for(id);
    let lower = text.to_ascii_lowercase();
    if let Some(sign) = NO_SERVER.iter().find(|sign| lower.contains(**sign)).filter(|_| !asked) {
        let sign = sign.trim_start_matches("find_package(");
        return Finding::Near(
            id,
            format!(
                "{file} names {sign}: a program with a window or for a device, and not a server"
            ),
        );
    }
    if names.is_empty() {
        let reason = format!("there is a {file}, but it has no {key}: a library");
        return Finding::Near(id, reason);
    }
    let confidence = if facts.beside_another() { 45 } else { 78 };
    let language = if *id == "c" { "C" } else { "C++" };
    let detection = Detection::new(*id, language, *id).confidence(confidence);
    let chosen = choose(facts, names, project);
    let name = chosen.clone().unwrap_or_default();
    let detection = detection.evidence(*file, format!("{key}: {}", names.join(", ")));
    let mut found = Found::new(detection, facts, "gcc", Vec::new())
        .packages(packages.iter().map(String::as_str))
        .without(&ONLY_BUILD);
    if let Some(error) = chosen.err() {
        return found.refuse(error).finding();
    }
    let target = if build.ends_with("--target") { format!(" {name}") } else { String::new() };
    let out = built(&name);
    let line = format!(
        "{build}{target} && install -D \"$(find /build -type f -name '{name}' -perm -u+x | head -n 1)\" {out}"
    );
    found.start.port = c::fixed_port(facts);
    found.program(&name).build(&line).finding()
}

/// The text of the root's build file and of those below it that count.
fn all(facts: &Facts, name: &str) -> String {
    let aside = |path: &&String| path.split('/').any(|part| ASIDE.contains(&part));
    let is = |path: &&String| path.rsplit('/').next() == Some(name);
    let paths: Vec<&str> = facts
        .files
        .iter()
        .filter(is)
        .filter(|path| !aside(path))
        .take(50)
        .map(String::as_str)
        .collect();
    facts.source.prefetch(&paths);
    // The root's first: it names the project.
    let root = facts.text(name);
    let rest = paths.into_iter().filter(|path| *path != name).map(|path| facts.text(path));
    let text: Vec<String> = std::iter::once(root).chain(rest).collect();
    let code = |line: &str| line.split('#').next().unwrap_or_default().to_owned();
    text.iter().flat_map(|text| text.lines()).map(code).collect::<Vec<_>>().join("\n")
}

/// CMake's commands in lower case, each with its words.
fn calls(text: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('(') {
        let before = rest[..open].trim_end();
        let start =
            before.rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).map_or(0, |n| n + 1);
        let name = before.get(start..).unwrap_or_default().to_ascii_lowercase();
        let close = rest[open..].find(')').map_or(rest.len(), |n| open + n);
        let words = rest[open + 1..close].split_whitespace();
        found.push((name, words.map(|word| word.trim_matches('"').to_owned()).collect()));
        rest = rest.get(close + 1..).unwrap_or_default();
    }
    found
}

/// The quoted words of each call of Meson.
fn strings(text: &str, call: &str) -> Vec<Vec<String>> {
    let argument = |rest: &str| {
        let end = rest.find(')').unwrap_or(rest.len());
        let quoted = rest[..end].split('\'').skip(1).step_by(2);
        quoted.map(str::to_owned).collect::<Vec<_>>()
    };
    let begins = |at: usize| !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let places = text.match_indices(call).filter(|(at, _)| begins(*at));
    places.map(|(at, _)| argument(&text[at + call.len()..])).collect()
}

fn is_program(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split(['-', '_', '.']).collect();
    let aside =
        ["test", "tests", "unittest", "unittests", "bench", "benchmark", "example", "examples"];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+');
    !name.is_empty() && name.chars().all(plain) && !parts.iter().any(|part| aside.contains(part))
}

fn needed(words: &[String]) -> Vec<String> {
    let name = words.first().map(String::as_str).unwrap_or_default();
    if name.eq_ignore_ascii_case("boost") {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        return libraries::boost(&words);
    }
    libraries::packages(name).iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_taken_apart() {
        let found = calls("project(shop LANGUAGES CXX)\nadd_executable(\n  \"shop\" main.cc)\n");
        assert_eq!(
            found[0],
            ("project".into(), vec!["shop".into(), "LANGUAGES".into(), "CXX".into()])
        );
        assert_eq!(found[1].1[0], "shop");
        let meson = strings(
            "project('shop', 'c')\nx_executable('no')\nexecutable('shop', 'a.c')",
            "executable(",
        );
        assert_eq!(meson, [["shop", "a.c"]]);
    }

    #[test]
    fn tests_are_no_programs() {
        assert!(is_program("shop") && is_program("my-server") && is_program("latest"));
        assert!(
            !is_program("shop_test")
                && !is_program("tests")
                && !is_program("${X}")
                && !is_program("")
        );
    }
}
