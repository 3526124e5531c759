//! Which values of other platforms mean the same here.

use super::Field;

/// Starts of the names of variables that only their platform sets.
const FOREIGN: [&str; 10] = [
    "URL",
    "DEPLOY_URL",
    "DEPLOY_PRIME_URL",
    "RENDER_",
    "VERCEL",
    "RAILWAY_",
    "HEROKU_",
    "FLY_",
    "NETLIFY",
    "NIXPACKS_",
];
/// Folders that hold a server, or another platform's form of a build.
const NOT_SERVED: [&str; 8] = [
    ".next",
    ".nuxt",
    ".output",
    ".vercel",
    ".netlify",
    ".svelte-kit",
    ".open-next",
    ".amplify-hosting",
];
/// Variables that name a version, and the toolchain.
const VERSIONS: [(&str, &str); 18] = [
    ("NODE_VERSION", "node"),
    ("PYTHON_VERSION", "python"),
    ("RUBY_VERSION", "ruby"),
    ("GO_VERSION", "go"),
    ("PHP_VERSION", "php"),
    ("JAVA_VERSION", "java"),
    ("JDK_VERSION", "java"),
    ("RUST_VERSION", "rust"),
    ("BUN_VERSION", "bun"),
    ("DENO_VERSION", "deno"),
    ("ELIXIR_VERSION", "elixir"),
    ("HUGO_VERSION", "hugo"),
    ("ZOLA_VERSION", "zola"),
    ("DOTNET_VERSION", "dotnet-sdk"),
    ("SWIFT_VERSION", "swift"),
    ("CRYSTAL_VERSION", "crystal"),
    ("GLEAM_VERSION", "gleam"),
    ("ZIG_VERSION", "zig"),
];

/// The toolchain whose version a variable names, with Nixpacks' and Railpack's prefixes.
pub(super) fn toolchain_of(variable: &str) -> Option<&'static str> {
    let name = ["NIXPACKS_", "RAILPACK_"].into_iter().find_map(|p| variable.strip_prefix(p));
    let name = name.unwrap_or(variable);
    VERSIONS.iter().find(|(known, _)| *known == name).map(|(_, tool)| *tool)
}

/// The value as it is taken; `None` if it says nothing that is not done anyway.
///
/// # Errors
/// Why it means nothing here.
pub(super) fn value(field: &Field, text: &str) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match field {
        Field::Install | Field::Build => command(text).map(|line| without_installs(&line)),
        Field::Start | Field::Process(_) => start(text).map(Some),
        Field::Release => command(text).map(Some),
        Field::Output => output(text).map(Some),
        Field::Port => match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(Some(text.to_owned())),
            _ => Err("it is no port".to_owned()),
        },
        Field::Health if text.starts_with('/') => Ok(Some(text.to_owned())),
        Field::Health => Err("it is no path".to_owned()),
        Field::Version(_) => {
            let version = text.trim_start_matches('v');
            let known = version.starts_with(|c: char| c.is_ascii_digit() || "<>=^~*".contains(c));
            if known { Ok(Some(version.to_owned())) } else { Err(format!("{text} is no number")) }
        }
        Field::SinglePage => Ok(Some(text.to_owned())),
        Field::Dockerfile => {
            Ok(Some(text.trim_start_matches("./").trim_start_matches('/').to_owned()))
        }
    }
}

fn command(line: &str) -> Result<String, String> {
    match foreign_variable(line) {
        Some(name) => Err(format!("it uses ${name}, which that platform sets")),
        None => {
            Ok(line.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn start(line: &str) -> Result<String, String> {
    let line = command(line)?;
    let compiles = ["cargo run", "go run"].into_iter().find(|tool| line.starts_with(tool));
    match compiles {
        Some(tool) => Err(format!("`{tool}` would compile at each start")),
        None if line.starts_with('/') => Err("it names a file of an image".to_owned()),
        None => Ok(line),
    }
}

fn foreign_variable(line: &str) -> Option<&str> {
    line.split('$').skip(1).find_map(|rest| {
        let rest = rest.trim_start_matches('{');
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let name = &rest[..end];
        let whole = |known: &str| !known.ends_with('_') && known != "VERCEL" && known != "NETLIFY";
        let foreign = |known: &&str| {
            if whole(known) { name == *known } else { name.starts_with(known) }
        };
        FOREIGN.iter().any(foreign).then_some(name)
    })
}

fn output(path: &str) -> Result<String, String> {
    let clean: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let first = clean.first().copied().unwrap_or_default();
    if NOT_SERVED.contains(&first) {
        return Err("it holds no files that are served as they are".to_owned());
    }
    if clean.contains(&"..") {
        return Err("it lies outside of the application's folder".to_owned());
    }
    Ok(if clean.is_empty() { ".".to_owned() } else { clean.join("/") })
}

/// The line without the installations at its beginning that are done anyway.
fn without_installs(line: &str) -> Option<String> {
    if line.contains([';', '|', '\n', '\'', '"']) {
        return Some(line.to_owned());
    }
    let mut parts = line.split("&&").map(str::trim).skip_while(|part| is_install(part)).peekable();
    parts.peek()?;
    Some(parts.collect::<Vec<_>>().join(" && "))
}

/// Whether it installs the dependencies and nothing else, without an option that matters.
fn is_install(command: &str) -> bool {
    const HARMLESS: [&str; 12] = [
        "--frozen-lockfile",
        "--immutable",
        "--no-audit",
        "--no-fund",
        "--prefer-offline",
        "--silent",
        "-s",
        "--quiet",
        "--include=dev",
        "--production=false",
        "--no-frozen-lockfile",
        "--no-progress",
    ];
    const PLAIN: [&str; 17] = [
        "npm install",
        "npm ci",
        "npm i",
        "yarn install",
        "yarn",
        "pnpm install",
        "pnpm i",
        "bun install",
        "corepack enable",
        "bundle install",
        "bundle",
        "composer install",
        "go mod download",
        "go mod tidy",
        "pip install -r requirements.txt",
        "pip3 install -r requirements.txt",
        "python -m pip install -r requirements.txt",
    ];
    const UPGRADES: [&str; 3] =
        ["pip install --upgrade pip", "pip install -U pip", "python -m pip install --upgrade pip"];
    let words: Vec<&str> =
        command.split_whitespace().filter(|word| !HARMLESS.contains(word)).collect();
    let line = words.join(" ");
    PLAIN.contains(&line.as_str()) || UPGRADES.contains(&line.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installations_that_are_done_anyway_are_left_out() {
        for (line, rest) in [
            ("npm install && npm run build", Some("npm run build")),
            ("npm ci", None),
            ("yarn --frozen-lockfile && yarn build", Some("yarn build")),
            ("pip install -r requirements.txt", None),
            ("pip install --upgrade pip && pip install -r requirements.txt && ./x", Some("./x")),
            (
                "npm install --legacy-peer-deps && npm run build",
                Some("npm install --legacy-peer-deps && npm run build"),
            ),
            ("npm install left-pad", Some("npm install left-pad")),
            ("hugo --gc --minify", Some("hugo --gc --minify")),
        ] {
            assert_eq!(value(&Field::Build, line).unwrap().as_deref(), rest, "{line}");
        }
    }

    #[test]
    fn what_only_means_something_elsewhere_is_refused() {
        let why = |field: Field, text: &str| value(&field, text).unwrap_err();
        assert!(why(Field::Build, "hugo -b $DEPLOY_PRIME_URL").contains("$DEPLOY_PRIME_URL"));
        assert!(why(Field::Build, "hugo -b ${URL}").contains("$URL"));
        assert!(value(&Field::Start, "x $DATABASE_URL").is_ok());
        assert!(why(Field::Start, "cargo run --release").contains("each start"));
        assert!(why(Field::Output, ".next").contains("served"));
        assert!(why(Field::Output, "../dist").contains("outside"));
        assert!(why(Field::Port, "$PORT").contains("port"));
        assert_eq!(value(&Field::Output, "./dist/").unwrap().as_deref(), Some("dist"));
        assert_eq!(toolchain_of("NIXPACKS_NODE_VERSION"), Some("node"));
        assert_eq!(toolchain_of("NODE_ENV"), None);
    }
}
