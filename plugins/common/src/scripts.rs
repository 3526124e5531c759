//! The scripts of a package.json: which of them starts the application, and what is behind a line that only
//! hands over. The builder runs what is found here; the migration plugin asks whether that migrates.
//!
//! **Invariant: what is looked through means the same.** A line that cannot be taken apart for certain is left
//! to the package manager.

use crate::command::foreground;
use crate::package_json::PackageJson;
use crate::paths::{join, normal};
use crate::restarting;

/// Names of scripts that start.
const STARTS: [&str; 5] = ["start", "start:prod", "start:production", "serve:prod", "prod"];
/// Commands that rebuild on every change, or test: for the author's machine.
const DEVELOPMENT: [&str; 46] = [
    "vite",
    "react-scripts",
    "craco",
    "live-server",
    "ng",
    "astro",
    "gatsby",
    "docusaurus",
    "docusaurus-start",
    "eleventy",
    "webpack-dev-server",
    "webpack",
    "parcel",
    "vue-cli-service",
    "browser-sync",
    "lite-server",
    "ember",
    "snowpack",
    "expo",
    "sanity",
    "stencil",
    "nest",
    "vuepress",
    "vitepress",
    "hexo",
    "preact",
    "ionic",
    "react-native",
    "electron",
    "electron-forge",
    "rollup",
    "tsc",
    "tsup",
    "tsdx",
    "microbundle",
    "storybook",
    "start-storybook",
    "jest",
    "vitest",
    "mocha",
    "gulp",
    "grunt",
    "wrangler",
    "ts-node-dev",
    "tsnd",
    "nodemon",
];
/// The same, told by more than their program.
const DEVELOPING: [&str; 15] = [
    "next dev",
    "nuxt dev",
    "nuxi dev",
    "nuxt preview",
    "nuxi preview",
    "nx serve",
    "nx run",
    "turbo dev",
    "turbo run dev",
    "remix dev",
    "remix vite:dev",
    "react-router dev",
    "vinxi dev",
    "strapi develop",
    "hydrogen dev",
];
/// Scripts that build, the first that exists is taken: some platforms have a name of their own for it.
const BUILDS: [&str; 3] = ["build", "heroku-postbuild", "gcp-build"];
/// What runs several scripts of the same package.
const RUNNERS: [&str; 6] =
    ["npm-run-all", "npm-run-all2", "run-s", "run-p", "concurrently", "conc"];
/// Those of them that run one after the other, if no flag says otherwise.
const SEQUENTIAL: [&str; 3] = ["run-s", "npm-run-all", "npm-run-all2"];
/// Flags of package managers behind which a member of the workspace stands.
pub const SELECTORS: [&str; 9] =
    ["-w", "--workspace", "--filter", "-F", "--scope", "--prefix", "--dir", "-C", "--cwd"];
/// Evidence of a server that its framework starts itself, whatever the start script says: it is a folder of its
/// own, without the programs of migrations.
pub const STANDALONE: &str = "output: \"standalone\"";
/// Beginning of the evidence of a server that Nx builds in its own folder.
pub const BUILT_BY_NX: &str = "nx builds it";
/// Beginning of the evidence of a server that its framework starts in the place of a start script for development.
pub const LEFT_OUT: &str = "its start script is for development";
/// How often one script calls the next.
const DEPTH: usize = 5;
/// How many scripts one line calls, if it is to be taken apart.
const NAMES_MAX: usize = 8;

/// The name of the script that starts the application: the first of the usual names that is no development
/// server, else the first that exists. `text` gives a file of the application by its path.
pub fn starting(
    package: &PackageJson,
    text: &dyn Fn(&str) -> Option<String>,
) -> Option<&'static str> {
    let usable = |name: &&'static str| {
        package.script(name).is_some_and(|line| !is_for_development(&behind(package, line, text)))
    };
    let known = |name: &&'static str| package.script(name).is_some();
    STARTS.into_iter().find(|name| usable(name)).or_else(|| STARTS.into_iter().find(known))
}

/// The name of the script that builds the application.
pub fn building(package: &PackageJson) -> Option<&'static str> {
    BUILDS.into_iter().find(|name| package.script(name).is_some())
}

/// Whether a command only builds what the build step has built.
pub fn is_build(package: &PackageJson, line: &str) -> bool {
    let build = building(package).and_then(|name| package.script(name));
    build.is_some_and(|build| build == line || build == resolve(package, line, 0))
}

/// The line without the scripts and the package managers in front of its commands, which would keep the
/// signals to themselves as the first process; commands that only build again are left out. `text` gives a
/// file of the application by its path: a line may move into a folder with a package.json of its own.
pub fn behind(package: &PackageJson, line: &str, text: &dyn Fn(&str) -> Option<String>) -> String {
    let line = foreground(line);
    if !is_chain(line) {
        return configured(package, &resolve(package, line, 0), text);
    }
    let mut below: Option<PackageJson> = None;
    let mut moved = String::new();
    let mut commands: Vec<String> = Vec::new();
    let all: Vec<&str> = line.split("&&").map(str::trim).collect();
    for (n, command) in all.iter().enumerate() {
        if let Some(folder) = command.strip_prefix("cd ") {
            moved = join(&moved, folder);
            below = text(&normal(&join(&moved, "package.json")))
                .and_then(|text| PackageJson::parse(&text).ok());
        }
        let here = below.as_ref().unwrap_or(package);
        let again = n + 1 < all.len() && is_build(here, command);
        let resolved = resolve(here, command, 0);
        let there = |file: &str| text(&normal(&join(&moved, file)));
        commands.extend((!again).then(|| configured(here, &resolved, &there)));
    }
    commands.join(" && ")
}

/// The line with what a `nodemon` without a file is configured to run.
fn configured(package: &PackageJson, line: &str, text: &dyn Fn(&str) -> Option<String>) -> String {
    let (set, command) = apart_from_variables(line);
    match restarting::configured(package, command, text) {
        None => line.to_owned(),
        Some(run) => format!("{set} {}", resolve(package, &run, 0)).trim().to_owned(),
    }
}

/// Whether the commands of a line are joined by `&&` alone, and stand in no quotes.
pub fn is_chain(line: &str) -> bool {
    !line.contains(['"', '\'', '(', '|', ';']) && !line.replace("&&", "").contains('&')
}

/// `npm run serve` → the command of the script `serve`, behind that of `preserve` where there is one.
fn resolve(package: &PackageJson, line: &str, depth: usize) -> String {
    let line = foreground(line);
    if depth >= DEPTH {
        return line.to_owned();
    }
    let (set, command) = apart_from_variables(line);
    if !set.is_empty() {
        let behind = resolve(package, command, depth + 1);
        // The variables are set for all of it.
        let whole = behind != command && !behind.contains(['&', '|', ';']);
        return if whole { format!("{set} {behind}") } else { line.to_owned() };
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    if chooses_a_member(&words) {
        return line.to_owned();
    }
    let of_npm = words.first() == Some(&"npm");
    let without = |rest: &[&str]| {
        let (own, handed) = match rest.iter().position(|word| *word == "--") {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &[][..]),
        };
        // Flags in front of `--` are npm's own, and other managers' scripts'.
        let own = own.iter().filter(|word| !of_npm || !word.starts_with('-'));
        own.chain(handed).copied().collect::<Vec<_>>().join(" ")
    };
    let (name, rest) = match &words[..] {
        ["npm" | "pnpm" | "bun", "run" | "run-script", name, rest @ ..]
        | ["yarn", "run", name, rest @ ..]
            if !name.starts_with('-') =>
        {
            (*name, rest)
        }
        ["npm" | "pnpm" | "yarn", "exec", rest @ ..] | ["npx" | "bunx", rest @ ..] => {
            let rest = without(rest);
            let plain = !rest.is_empty() && !rest.starts_with('-');
            return if plain { resolve(package, &rest, depth + 1) } else { line.to_owned() };
        }
        ["npm" | "pnpm" | "yarn" | "bun", name, rest @ ..]
            if !name.starts_with('-') && *name != "run" =>
        {
            (*name, rest)
        }
        _ => {
            if let Some(all) = one_after_another(package, &words, depth) {
                return all;
            }
            let run = restarting::run(package, line).or_else(|| without_watching(&words));
            return run.map_or_else(|| line.to_owned(), |run| resolve(package, &run, depth + 1));
        }
    };
    let Some(next) = package.script(name).filter(|_| !name.contains('.')) else {
        return line.to_owned();
    };
    let next = format!("{} {}", foreground(next), without(rest));
    let next = resolve(package, next.trim(), depth + 1);
    let before = package.script(&format!("pre{name}"));
    match before.filter(|before| !is_build_at(package, before, depth)) {
        None => next,
        Some(before) if is_chain(before) && is_chain(&next) => {
            format!("{} && {next}", resolve(package, before, depth + 1))
        }
        Some(_) => line.to_owned(),
    }
}

/// `run-s migrate serve` → the commands of these scripts; those that only build again are left out.
fn one_after_another(package: &PackageJson, words: &[&str], depth: usize) -> Option<String> {
    let (_, names) = words.split_first().filter(|(first, _)| SEQUENTIAL.contains(first))?;
    let (last, before) = names.split_last().filter(|_| names.len() <= NAMES_MAX)?;
    let scripts = before.iter().filter_map(|name| package.script(name).map(|line| (name, line)));
    let scripts: Vec<_> = scripts.collect();
    package.script(last).filter(|_| scripts.len() == before.len())?;
    let scripts = scripts.iter().filter(|(_, line)| !is_build_at(package, line, depth));
    let names = scripts.map(|(name, _)| **name).chain([*last]);
    let lines = names.map(|name| resolve(package, &format!("npm run {name}"), depth + 1));
    let lines: Vec<String> = lines.collect();
    // What could not be looked through may be a script that calls itself.
    let through = |word: &str| word != "npm" && !SEQUENTIAL.contains(&word);
    let plain = |line: &String| is_chain(line) && line.split_whitespace().all(through);
    lines.iter().all(plain).then(|| lines.join(" && "))
}

/// Whether npm is told to run the script of another package: `npm start -w web`.
fn chooses_a_member(words: &[&str]) -> bool {
    let own = words.iter().take_while(|word| **word != "--");
    let flag = |word: &&str| SELECTORS.contains(&word.split('=').next().unwrap_or(word));
    words.first() == Some(&"npm") && own.into_iter().any(flag)
}

/// What a line runs of another package of the workspace: `pnpm --filter @x/api start -- --a` selects `@x/api`, and runs
/// its script `start`, as `npm run start --a` does in its folder.
pub fn of_member(line: &str) -> Option<(&str, &str, String)> {
    let words: Vec<&str> = line.split([' ', '=']).filter(|word| !word.is_empty()).collect();
    let (manager, rest) = words.split_first()?;
    let known = ["npm", "pnpm", "yarn", "bun"].contains(manager);
    if !known || !is_chain(line) || line.contains("&&") {
        return None;
    }
    let at = rest.iter().position(|word| SELECTORS.contains(word) || *word == "workspace")?;
    let selected = *rest.get(at + 1)?;
    let mut others = rest[..at].iter().chain(rest.get(at + 2..)?).copied();
    let name = others.find(|word| !matches!(*word, "run" | "run-script"))?;
    let arguments = others.filter(|word| *word != "--");
    let called = ["npm", "run", name].into_iter().chain(arguments).collect::<Vec<_>>();
    Some((selected, name, called.join(" ")))
}

/// [`is_build`] from within [`resolve`]: scripts that call each other come to an end.
fn is_build_at(package: &PackageJson, line: &str, depth: usize) -> bool {
    let build = building(package).and_then(|name| package.script(name));
    build.is_some_and(|build| build == line || build == resolve(package, line, depth + 1))
}

/// The variables that are set before a command, with the program that sets them, and the command.
fn apart_from_variables(line: &str) -> (&str, &str) {
    let sets = |word: &str| matches!(word, "cross-env" | "env") || is_variable(word);
    let mut rest = line;
    while let Some((word, behind)) =
        rest.split_once(char::is_whitespace).filter(|(word, _)| sets(word))
    {
        // A value in quotes may go on behind the blank.
        if word.contains(['"', '\'']) {
            return ("", line);
        }
        rest = behind.trim_start();
    }
    let set = line[..line.len() - rest.len()].trim_end();
    if set.contains('=') { (set, rest) } else { ("", line) }
}

/// `NODE_ENV=production`
fn is_variable(word: &str) -> bool {
    let name = word.split_once('=').map(|(name, _)| name);
    name.is_some_and(|name| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// `tsx watch a.ts`, `node --watch a.js` and `bun --hot a.ts` without the watching.
fn without_watching(words: &[&str]) -> Option<String> {
    let watches = |word: &&&str| match words.first() {
        Some(&"tsx") => matches!(**word, "watch" | "--watch"),
        Some(&"node") => **word == "--watch" || word.starts_with("--watch-path="),
        Some(&"bun") => matches!(**word, "--watch" | "--hot"),
        _ => false,
    };
    let file = words.iter().position(|word| word.contains('.')).unwrap_or(words.len());
    let flag = words[..file].iter().position(|word| watches(&word))?;
    let kept = words.iter().enumerate().filter(|(n, _)| *n != flag).map(|(_, word)| *word);
    Some(kept.collect::<Vec<_>>().join(" "))
}

/// Names of the scripts of the same package that a line calls, wherever in it: `npm run x`, `yarn x`,
/// `npm-run-all x y`, `concurrently "npm:x"`.
pub fn called<'p>(package: &'p PackageJson, line: &str) -> Vec<&'p str> {
    let bare = line.replace(['"', '\'', '(', ')', '{', '}'], " ");
    let commands = bare.split(['&', ';', '|']);
    commands.flat_map(|command| called_by(package, command)).collect()
}

/// A script that a line calls and that the package does not have. Only where the line says that it is a script:
/// `npm run build`, `npm start`, and not `yarn run build`, which may be a program of a dependency.
pub fn missing<'l>(package: &PackageJson, line: &'l str) -> Option<&'l str> {
    if !is_chain(line) {
        return None;
    }
    // Behind `cd` it may be another package's.
    let commands = line.split("&&").map(str::trim);
    let here = commands.take_while(|command| !command.starts_with("cd "));
    here.filter_map(|command| {
        let words: Vec<&str> = command.split_whitespace().collect();
        let known = words.iter().any(|word| {
            let flag = word.split('=').next().unwrap_or(word);
            SELECTORS.contains(&flag)
                || matches!(flag, "--if-present" | "-r" | "-ws")
                || flag.starts_with("--recursive")
                || flag.starts_with("--workspaces")
        });
        match words.as_slice() {
            _ if known => None,
            ["npm" | "pnpm", "run" | "run-script", name, ..] => Some(*name),
            ["npm", name @ ("start" | "restart" | "stop"), ..] => Some(*name),
            _ => None,
        }
    })
    .find(|name| {
        !name.starts_with('-')
            && !name.contains(['.', '/', '$', '*'])
            && package.script(name).is_none()
    })
}

fn called_by<'p>(package: &'p PackageJson, command: &str) -> Vec<&'p str> {
    let mut words: Vec<&str> = command.split_whitespace().collect();
    let before = |word: &&str| word.contains('=') || matches!(*word, "npx" | "cross-env" | "env");
    let skipped = words.iter().take_while(|word| before(word)).count();
    words.drain(..skipped);
    let elsewhere = words.iter().any(|word| {
        let flag = word.split('=').next().unwrap_or(word);
        SELECTORS.contains(&flag) || matches!(*word, "-r" | "-ws" | "--workspaces" | "workspace")
    });
    let Some((first, rest)) = words.split_first().filter(|_| !elsewhere) else {
        return Vec::new();
    };
    let wanted: Vec<&str> = match *first {
        "npm" | "pnpm" | "yarn" | "bun" => {
            let mut rest = rest.iter().filter(|word| !word.starts_with('-'));
            let name = rest.next().filter(|name| !matches!(**name, "run" | "run-script"));
            name.or_else(|| rest.next()).into_iter().copied().collect()
        }
        runner if RUNNERS.contains(&runner) => rest.to_vec(),
        _ => Vec::new(),
    };
    let names = |name: &str| {
        wanted.iter().any(|word| {
            let word = word.strip_prefix("npm:").unwrap_or(word);
            let below = word.trim_end_matches('*').strip_suffix(':');
            word == name || word.ends_with(":*") && below.is_some_and(|group| in_group(name, group))
        })
    };
    package.scripts().map(|(name, _)| name).filter(|name| names(name)).collect()
}

/// `db:migrate` is in the group `db`.
fn in_group(name: &str, group: &str) -> bool {
    name.strip_prefix(group).is_some_and(|rest| rest.starts_with(':'))
}

/// Whether a command is a development server.
pub fn is_for_development(line: &str) -> bool {
    let last = line.rsplit("&&").next().unwrap_or(line);
    develops(last) || DEVELOPING.iter().any(|command| line.contains(command))
}

/// Whether the program of a command is one for the author's machine.
fn develops(command: &str) -> bool {
    first_program(command).is_some_and(|first| DEVELOPMENT.contains(&first))
}

/// Whether a command is part of a build: what it would make is there, and what it would remove is needed.
pub fn prepares(package: &PackageJson, command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let tools = ["rimraf", "rm", "del", "del-cli", "shx", "cpx", "copyfiles", "eslint", "prettier"];
    let installs = ["npm", "pnpm", "yarn", "bun"].into_iter().any(|manager| {
        words.first() == Some(&manager)
            && matches!(words.get(1), None | Some(&("install" | "i" | "ci" | "add")))
    });
    let generates = ["prisma generate", "prisma:generate"];
    is_build(package, command)
        || develops(command)
        || first_program(command).is_some_and(|first| tools.contains(&first))
        || words.iter().any(|word| *word == "build" || word.starts_with("build:"))
        || installs
        || generates.iter().any(|sign| command.contains(sign))
}

/// The program that a command starts.
pub fn first_program(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().filter(|word| !word.contains('=')).map(program);
    words.find(|word| !matches!(*word, "npx" | "cross-env" | "env" | "exec"))
}

/// The name of a program without its folder.
pub fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(text: &str) -> PackageJson {
        PackageJson::parse(text).unwrap()
    }

    #[track_caller]
    fn check(scripts: &str, line: &str, expected: &str) {
        let package = package(&format!(r#"{{"scripts":{{{scripts}}}}}"#));
        assert_eq!(behind(&package, line, &|_| None), expected, "{line}");
    }

    #[test]
    fn the_script_of_a_member_is_told_from_its_own() {
        for (line, expected) in [
            ("pnpm --filter @x/api start -- --a", Some(("@x/api", "start", "npm run start --a"))),
            ("npm run serve --workspace=apps/web", Some(("apps/web", "serve", "npm run serve"))),
            ("yarn workspace web start", Some(("web", "start", "npm run start"))),
            ("npm start", None),
            ("yarn workspace web start && yarn x", None),
            ("node --filter a b", None),
        ] {
            let found = of_member(line);
            let found = found.as_ref().map(|(one, name, called)| (*one, *name, called.as_str()));
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn a_script_is_looked_through_with_what_runs_before_it() {
        check(r#""a":"node a.js""#, "npm run a -- --x", "node a.js --x");
        check(r#""a":"node a.js""#, "npm run a --silent b", "node a.js b");
        check(r#""a":"node a.js""#, "yarn a --x -- --y", "node a.js --x --y");
        check(r#""start":"npm start -w web""#, "npm start", "npm start -w web");
        check(r#""start":"npm --prefix api start""#, "yarn start", "npm --prefix api start");
        check(
            r#""start":"node a.js","prestart":"node b.js""#,
            "npm start",
            "node b.js && node a.js",
        );
        let joined = r#""start":"node a.js","prestart":"x || true""#;
        check(joined, "npm start", "npm start");
        let built = r#""build":"tsc","start":"node a.js","prestart":"npm run build""#;
        check(built, "yarn start", "node a.js");
        check(r#""a":"npm run b","b":"npm run a""#, "npm run a", "npm run b");
    }

    #[test]
    fn scripts_that_run_one_after_another_are_a_chain() {
        let scripts =
            r#""build":"tsc","db":"knex migrate:latest","serve":"node a.js","pipe":"a | b""#;
        check(scripts, "run-s db serve", "knex migrate:latest && node a.js");
        check(scripts, "npm-run-all build serve", "node a.js");
        check(scripts, "npm-run-all -p db serve", "npm-run-all -p db serve");
        check(scripts, "run-s db:* serve", "run-s db:* serve");
        check(scripts, "run-s pipe serve", "run-s pipe serve");
        check(r#""a":"run-s a a""#, "run-s a", "run-s a");
    }

    #[test]
    fn what_restarts_a_program_is_left_out() {
        check(r#""dev":"nodemon a.js""#, "npm run dev", "node a.js");
        check("", "NODE_ENV=production nodemon a.js", "NODE_ENV=production node a.js");
        check("", "cross-env A=b npx nodemon a.js", "cross-env A=b node a.js");
        check("", "A='b c' nodemon a.js", "A='b c' nodemon a.js");
        check("", "prisma generate && nodemon", "prisma generate && node .");
        check("", "tsx watch --env-file=.env src/a.ts", "tsx --env-file=.env src/a.ts");
        check("", "node --watch a.js --watch", "node a.js --watch");
        check("", "bun --hot a.ts", "bun a.ts");
        let both = r#""x":"a && b","serve":"node a.js""#;
        check(both, "A=1 npm run x", "A=1 npm run x");
        check(both, "A=1 npm run serve", "A=1 node a.js");
    }

    #[test]
    fn a_line_that_moves_is_read_where_it_moves() {
        let text = |path: &str| match path {
            "api/src/package.json" => Some(r#"{"main":"x.js"}"#.to_owned()),
            "api/src/nodemon.json" => Some(r#"{"exec":"node y.js"}"#.to_owned()),
            _ => None,
        };
        let line = behind(&package("{}"), "cd api && cd ./src && nodemon", &text);
        assert_eq!(line, "cd api && cd ./src && node y.js");
    }

    #[test]
    fn called_scripts_are_those_of_the_same_package() {
        let scripts = r#"{"scripts":{"db":"x","db:up":"x","serve":"x"}}"#;
        let package = package(scripts);
        let called = |line: &str| called(&package, line).join(" ");
        assert_eq!(called("npm run db && node a.js"), "db");
        assert_eq!(called("A=b yarn -s db; x"), "db");
        assert_eq!(called("npm-run-all db:* serve"), "db:up serve");
        assert_eq!(called("concurrently \"npm:db\" \"npm run serve\""), "db serve");
        assert_eq!(called("pnpm --filter @x/db db"), "");
        assert_eq!(called("node db"), "");
    }

    #[test]
    fn a_script_that_is_called_and_not_there_is_named() {
        let package = package(r#"{"scripts":{"build":"x"}}"#);
        let missing = |line| missing(&package, line);
        assert_eq!(missing("npm ci && npm run biuld"), Some("biuld"));
        assert_eq!(missing("pnpm run db:migrate"), Some("db:migrate"));
        assert_eq!(missing("npm start"), Some("start"));
        for line in [
            "npm run build",
            "npm run lint --if-present",
            "npm run build -w web",
            "cd web && npm run serve",
            "yarn run serve",
            "bun run server.ts",
            "npm ci",
            "sh -c 'npm run x'",
        ] {
            assert_eq!(missing(line), None, "{line}");
        }
    }

    #[test]
    fn a_script_that_is_sent_to_the_background_is_looked_through() {
        let package = package(r#"{"scripts":{"start":"nodemon index.js &"}}"#);
        assert_eq!(behind(&package, "npm start &", &|_| None), "node index.js");
    }

    #[test]
    fn the_starting_script_is_the_first_for_production() {
        let starting = |text: &str| starting(&package(text), &|_| None);
        let both = r#"{"scripts":{"start":"nest start","start:prod":"node dist/main"}}"#;
        assert_eq!(starting(both), Some("start:prod"));
        assert_eq!(starting(r#"{"scripts":{"start":"vite"}}"#), Some("start"));
        assert_eq!(starting(r#"{"scripts":{"build":"tsc"}}"#), None);
    }
}
