//! The scripts of a package.json: which of them starts the application, and what is behind a line that only
//! hands over. The builder runs what is found here; the migration plugin asks whether that migrates.
//!
//! **Invariant: what is looked through means the same.** A line that cannot be taken apart for certain is left
//! to the package manager.

use crate::package_json::PackageJson;
use crate::paths::{join, normal};

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
/// Flags of package managers behind which a member of the workspace stands.
pub const SELECTORS: [&str; 9] =
    ["-w", "--workspace", "--filter", "-F", "--scope", "--prefix", "--dir", "-C", "--cwd"];
/// Evidence of a server that its framework starts itself, whatever the start script says: it is a folder of its
/// own, without the programs of migrations.
pub const STANDALONE: &str = "output: \"standalone\"";
/// Beginning of the evidence of a server that Nx builds in its own folder.
pub const BUILT_BY_NX: &str = "nx builds it";
/// How often one script calls the next.
const DEPTH: usize = 5;

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
    if !is_chain(line) {
        return resolve(package, line, 0);
    }
    let mut below: Option<PackageJson> = None;
    let mut commands: Vec<String> = Vec::new();
    let all: Vec<&str> = line.split("&&").map(str::trim).collect();
    for (n, command) in all.iter().enumerate() {
        if let Some(folder) = command.strip_prefix("cd ") {
            let file = join(&normal(folder), "package.json");
            below = text(&file).and_then(|text| PackageJson::parse(&text).ok());
        }
        let here = below.as_ref().unwrap_or(package);
        let again = n + 1 < all.len() && is_build(here, command);
        let resolved = resolve(here, command, 0);
        commands.extend((!again).then_some(resolved));
    }
    commands.join(" && ")
}

/// Whether the commands of a line are joined by `&&` alone, and stand in no quotes.
pub fn is_chain(line: &str) -> bool {
    !line.contains(['"', '\'', '(', '|', ';']) && !line.replace("&&", "").contains('&')
}

/// `npm run serve` → the command of the script `serve`, behind that of `preserve` where there is one.
fn resolve(package: &PackageJson, line: &str, depth: usize) -> String {
    let line = line.trim();
    if depth >= DEPTH {
        return line.to_owned();
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    let without = |rest: &[&str]| match rest {
        ["--", rest @ ..] => rest.join(" "),
        rest => rest.join(" "),
    };
    let (name, rest) = match &words[..] {
        ["npm" | "pnpm" | "bun", "run" | "run-script", name, rest @ ..]
        | ["yarn", "run", name, rest @ ..] => (*name, rest),
        ["npm" | "pnpm" | "yarn", "exec", rest @ ..] | ["npx" | "bunx", rest @ ..] => {
            let rest = without(rest);
            let plain = !rest.is_empty() && !rest.starts_with('-');
            return if plain { resolve(package, &rest, depth + 1) } else { line.to_owned() };
        }
        ["npm" | "pnpm" | "yarn" | "bun", name, rest @ ..] => (*name, rest),
        ["nodemon" | "pm2" | "forever", ..] => {
            return supervised(package, line).unwrap_or_else(|| line.to_owned());
        }
        _ => return line.to_owned(),
    };
    let Some(next) = package.script(name).filter(|_| !name.contains('.')) else {
        return line.to_owned();
    };
    let next = resolve(package, format!("{next} {}", without(rest)).trim(), depth + 1);
    let before = package.script(&format!("pre{name}"));
    match before.filter(|before| !is_build_at(package, before, depth)) {
        None => next,
        Some(before) if is_chain(before) && is_chain(&next) => {
            format!("{} && {next}", resolve(package, before, depth + 1))
        }
        Some(_) => line.to_owned(),
    }
}

/// [`is_build`] from within [`resolve`]: scripts that call each other come to an end.
fn is_build_at(package: &PackageJson, line: &str, depth: usize) -> bool {
    let build = building(package).and_then(|name| package.script(name));
    build.is_some_and(|build| build == line || build == resolve(package, line, depth + 1))
}

/// What a program that restarts another one runs: the host does that itself. `None` where its flags do not
/// say it.
fn supervised(package: &PackageJson, line: &str) -> Option<String> {
    let words = words(line);
    let mut words = words.iter().map(String::as_str);
    let tool = words.next()?;
    let mut program = None;
    let mut rest: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "--" => {
                rest.extend(words.by_ref());
            }
            "--exec" | "-x" if tool == "nodemon" => program = words.next(),
            _ if !rest.is_empty() => rest.push(word),
            "-w" | "--watch" | "-e" | "--ext" | "-i" | "--ignore" | "--delay" | "--signal"
            | "-d"
                if tool == "nodemon" =>
            {
                words.next();
            }
            "start" if tool != "nodemon" => {}
            _ if word.starts_with('-') && tool == "pm2" => rest.push(word),
            _ if word.starts_with('-') && tool == "nodemon" => {}
            // The values of its other flags are not told from the program.
            _ if word.starts_with('-') => return None,
            _ => rest.push(word),
        }
    }
    let rest = rest.join(" ");
    let first = rest.split_whitespace().next().unwrap_or_default().to_owned();
    if tool == "pm2" && package.uses("pm2") {
        let known = line.starts_with("pm2 start ") && !first.starts_with('-');
        return known.then(|| format!("pm2-runtime start {}", rest.replace(" --no-daemon", "")));
    }
    if tool == "pm2" && (first != rest || first.contains(".config.") || first.ends_with(".json")) {
        return None;
    }
    let rest = if rest.is_empty() { package.main().unwrap_or(".").to_owned() } else { rest };
    let code = first.rsplit('.').next().unwrap_or_default();
    Some(match program {
        Some(program) if first.is_empty() => program.to_owned(),
        Some(program) => format!("{program} {rest}"),
        None if matches!(code, "ts" | "mts" | "cts") => {
            let runner = if package.uses("tsx") { "tsx" } else { "ts-node" };
            format!("{runner} {rest}")
        }
        None => format!("node {rest}"),
    })
}

/// The words of a line, those in quotes as one and without them.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            }
            (_, c) => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Names of the scripts of the same package that a line calls, wherever in it: `npm run x`, `yarn x`,
/// `npm-run-all x y`, `concurrently "npm:x"`.
pub fn called<'p>(package: &'p PackageJson, line: &str) -> Vec<&'p str> {
    let bare = line.replace(['"', '\'', '(', ')', '{', '}'], " ");
    let commands = bare.split(['&', ';', '|']);
    commands.flat_map(|command| called_by(package, command)).collect()
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
    fn a_script_is_looked_through_with_what_runs_before_it() {
        check(r#""a":"node a.js""#, "npm run a -- --x", "node a.js --x");
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
    fn what_restarts_a_program_is_left_out() {
        check("", "nodemon index.js", "node index.js");
        check("", "nodemon -w src --exec 'node -r x' src/a.js", "node -r x src/a.js");
        check("", "nodemon src/a.ts", "ts-node src/a.ts");
        check("", "forever start app.js", "node app.js");
        check("", "pm2 start app.js", "node app.js");
        check("", "pm2 start ecosystem.config.js", "pm2 start ecosystem.config.js");
        let pm2 = package(r#"{"dependencies":{"pm2":"5"}}"#);
        let line = behind(&pm2, "pm2 start ecosystem.config.js --env production", &|_| None);
        assert_eq!(line, "pm2-runtime start ecosystem.config.js --env production");
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
    fn the_starting_script_is_the_first_for_production() {
        let starting = |text: &str| starting(&package(text), &|_| None);
        let both = r#"{"scripts":{"start":"nest start","start:prod":"node dist/main"}}"#;
        assert_eq!(starting(both), Some("start:prod"));
        assert_eq!(starting(r#"{"scripts":{"start":"vite"}}"#), Some("start"));
        assert_eq!(starting(r#"{"scripts":{"build":"tsc"}}"#), None);
    }
}
