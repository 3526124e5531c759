//! C and C++ without CMake and Meson: a Makefile with a main file, or a main file alone.

use std::collections::BTreeMap;

use windlass_plugin_common::compiled::{built, fixed_port as fixed};
use windlass_sdk::Detection;

use crate::facts::Facts;
use crate::found::{Finding, Found};

const C: [&str; 1] = [".c"];
const CPP: [&str; 3] = [".cc", ".cpp", ".cxx"];
const MAKEFILES: [&str; 3] = ["GNUmakefile", "makefile", "Makefile"];
/// Names of files with a main function, the most telling first.
const PROGRAMS: [&str; 7] = ["main", "server", "app", "httpd", "web", "index", "run"];
/// Variables that usually name the program.
const NAMES: [&str; 12] = [
    "TARGET",
    "BIN",
    "PROG",
    "PROGRAM",
    "EXEC",
    "EXECUTABLE",
    "EXE",
    "NAME",
    "APP",
    "OUT",
    "OUTPUT",
    "BINARY",
];
const ONLY_BUILD: [&str; 9] = [
    "**/*.c",
    "**/*.cc",
    "**/*.cpp",
    "**/*.cxx",
    "**/*.h",
    "**/*.hpp",
    "**/*.o",
    "Makefile",
    "Dockerfile",
];

/// The language of the files.
pub(crate) fn language(facts: &Facts) -> &'static str {
    let cpp = facts.with_ending(&CPP).next().is_some();
    if !cpp && facts.with_ending(&C).next().is_some() { "c" } else { "cpp" }
}

/// The file with the main function: called like a program, or the only file. Examples, tests and demos of
/// libraries have one, too.
fn main_file(facts: &Facts) -> Option<String> {
    let all: Vec<&str> = facts.with_ending(&C).chain(facts.with_ending(&CPP)).take(30).collect();
    facts.source.prefetch(&all);
    let has = |path: &&str| {
        let text = facts.text(path);
        let empty = text.trim().is_empty() && stem(path) == "main";
        empty || text.contains("main(") && text.contains("int")
    };
    let called = |name: &str| all.iter().copied().filter(has).find(|path| stem(path) == name);
    if let Some(path) = PROGRAMS.into_iter().find_map(called) {
        return Some(path.to_owned());
    }
    let aside = |path: &str| {
        let name = stem(path).to_ascii_lowercase();
        ["test", "example", "demo", "bench", "sample"].iter().any(|word| name.contains(word))
    };
    match all.as_slice() {
        [only] if !aside(only) && has(only) => Some((*only).to_owned()),
        _ => None,
    }
}

/// `src/main.c` → `main`
fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split('.').next().unwrap_or_default()
}

/// Why it is no server: it is for a device, for the kernel, or has a window.
fn no_server(facts: &Facts, main: &str, makefile: &str) -> Option<String> {
    let device = |path: &&String| {
        ["platformio.ini", "prj.conf", "sdkconfig"].contains(&path.as_str())
            || path.ends_with(".ino")
    };
    if let Some(file) = facts.files.iter().find(device) {
        return Some(format!("there is a {file}: a program for a device, and not a server"));
    }
    if makefile.contains("obj-m") {
        return Some("the Makefile builds a module of the kernel".to_owned());
    }
    let text = facts.text(main);
    let window = [
        "<SDL",
        "<GL/",
        "<GLFW",
        "<SFML",
        "raylib.h",
        "<QApplication",
        "<gtk",
        "<windows.h>",
        "<Arduino.h>",
    ];
    let sign = window.into_iter().find(|include| text.contains(include))?;
    let sign = sign.trim_matches(['<', '>', '/']);
    Some(format!(
        "{main} includes {sign}: a program with a window or for a device, and not a server"
    ))
}

/// The port that the main file has fixed.
pub(crate) fn fixed_port(facts: &Facts) -> Option<u16> {
    let text = facts.text(&main_file(facts)?);
    if text.contains("PORT\"") {
        return None;
    }
    let after = text.split("htons(").nth(1)?;
    let digits = after.split(')').next()?.trim();
    digits.parse().ok().or_else(|| fixed(&text))
}

/// A Makefile, or a main file alone.
pub(crate) fn find(facts: &Facts) -> Finding {
    if facts.has("CMakeLists.txt") || facts.has("meson.build") {
        return Finding::Nothing;
    }
    let id = language(facts);
    let makefile = MAKEFILES.into_iter().find(|file| facts.has(file));
    let Some(main) = main_file(facts) else {
        return match makefile {
            Some(file) if facts.asks_for("c") || facts.asks_for("cpp") => Finding::Near(
                id,
                format!("there is a {file}, but no C or C++ file with a main function"),
            ),
            _ => Finding::Nothing,
        };
    };
    let text = makefile.map(|file| facts.text(file)).unwrap_or_default();
    if let Some(reason) = no_server(facts, &main, &text).filter(|_| !facts.asks_for(id)) {
        return Finding::Near(id, reason);
    }
    let language = if id == "c" { "C" } else { "C++" };
    let detection = Detection::new(id, language, id);
    let mut found = match makefile.and_then(|file| Some((file, target(&facts.text(file))?))) {
        Some((file, target)) => made(facts, detection, file, &target),
        None => plain(facts, detection, &main),
    };
    found.detection = found.detection.evidence(main, "main function");
    found.start.port = fixed_port(facts);
    found.finding()
}

fn made(facts: &Facts, detection: Detection, file: &str, target: &str) -> Found {
    let confidence = if facts.beside_another() { 30 } else { 60 };
    let detection = detection.confidence(confidence).evidence(file, format!("makes {target}"));
    let name = target.rsplit('/').next().unwrap_or(target);
    let line = format!("make && install -D {target} {}", built(name));
    Found::new(detection, facts, "gcc", Vec::new())
        .packages(["make"])
        .program(name)
        .without(&ONLY_BUILD)
        .build(&line)
}

fn plain(facts: &Facts, detection: Detection, main: &str) -> Found {
    let confidence = if facts.beside_another() { 12 } else { 32 };
    let detection = detection.confidence(confidence);
    let (folder, file) = main.rsplit_once('/').unwrap_or((".", main));
    let ending = file.rsplit_once('.').map_or("c", |(_, ending)| ending);
    let compiler = if ending == "c" { "gcc -std=gnu17" } else { "g++ -std=c++17" };
    // Several main functions cannot be linked together: then each file is a program of its own.
    let mains = facts.with_ending(if ending == "c" { &C } else { &CPP });
    let alone = mains.filter(|path| facts.text(path).contains(" main(")).count() > 1;
    let sources = if alone { main.to_owned() } else { format!("{folder}/*.{ending}") };
    let out = built("app");
    let line = format!("{compiler} -O2 -pthread -I. -Iinclude -o {out} {sources} -lm");
    Found::new(detection, facts, "gcc", Vec::new()).program("app").without(&ONLY_BUILD).build(&line)
}

/// The program that a Makefile makes.
fn target(text: &str) -> Option<String> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let (mut rule, mut found) = (String::new(), Vec::new());
    let text = text.replace("\\\n", " ");
    for line in text.lines() {
        let code = line.split('#').next().unwrap_or_default();
        if let Some(recipe) = code.strip_prefix('\t') {
            found.extend(output(recipe, &rule, &variables));
        } else if let Some((name, value)) = assignment(code) {
            variables.insert(name.to_owned(), expand(value, &variables));
        } else if let Some((target, _)) = code.split_once(':') {
            rule = expand(target.trim(), &variables);
        }
    }
    let named = || NAMES.into_iter().find_map(|name| variables.get(name).cloned());
    let good = |name: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        !name.is_empty() && name.chars().all(plain) && !name.contains("..")
    };
    let not_test = |name: &&String| !name.to_ascii_lowercase().contains("test");
    let first = found.iter().filter(|name| good(name)).find(not_test).cloned();
    first.or_else(|| named().filter(good)).map(|name| name.trim_start_matches("./").to_owned())
}

/// What a recipe's `-o` names, if it links.
fn output(recipe: &str, rule: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let recipe = expand(recipe.trim(), variables).replace("$@", rule);
    let words: Vec<&str> = recipe.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "-o")?;
    let objects = words.iter().any(|word| matches!(*word, "-c" | "-shared" | "-E" | "-S"));
    let name = words.get(at + 1)?;
    let library = [".o", ".so", ".a", ".d"].iter().any(|ending| name.ends_with(ending));
    (!objects && !library && !name.contains(['%', '$'])).then(|| (*name).to_owned())
}

fn assignment(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim_end_matches([':', '?', '+', ' ', '\t']).trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then(|| (name, value.trim()))
}

fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut text = text.to_owned();
    for (name, value) in variables {
        text = text.replace(&format!("$({name})"), value).replace(&format!("${{{name}}}"), value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn the_program_of_a_makefile_is_found() {
        for (text, expected) in [
            ("CC=gcc\nserver: main.o\n\t$(CC) -o $@ main.o\n", Some("server")),
            (
                "BIN := build/shop\n$(BIN): $(OBJ)\n\t$(CC) $(OBJ) -o $(BIN)\n%.o: %.c\n\tgcc -c -o $@ $<\n",
                Some("build/shop"),
            ),
            ("TARGET = shop\nall: $(TARGET)\n", Some("shop")),
            ("all:\n\tgcc main.c -o ./app\n", Some("app")),
            ("test:\n\tgo test ./...\nbuild:\n\tdocker build .\n", None),
        ] {
            assert_eq!(target(text).as_deref(), expected, "{text}");
        }
    }
}
