//! Programs that start another one and start it again when it ends or a file changes: nodemon, ts-node-dev, pm2,
//! forever. What they run is run itself, because the host restarts what ends, and no file changes in an image.
//!
//! **Invariant: nothing is guessed.** A line whose flags do not say for certain what is run stays as it is.

use crate::package_json::PackageJson;
use crate::scripts;

/// A program that runs another one.
struct Tool {
    names: &'static [&'static str],
    /// Flags of its own that have a value, with blanks between them; so are the next ones.
    valued: &'static str,
    /// Flags of its own that have none.
    plain: &'static str,
    /// Flags that name the program to run a file with.
    program: &'static str,
    /// Flags whose value is for that program.
    arguments: &'static str,
    /// What becomes of any other flag.
    others: Others,
}

/// What becomes of a flag that is not the tool's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    /// It is the program's.
    Handed,
    /// It means nothing to the program.
    Dropped,
    /// Whether it has a value is not known.
    Unknown,
}

const TOOLS: [Tool; 4] = [
    Tool {
        names: &["nodemon"],
        valued: "-w --watch -e --ext -i --ignore -d --delay -s --signal --config --cwd \
                 --polling-interval",
        plain: "-q --quiet -V --verbose -I --no-stdin -L --legacy-watch -C \
                 --on-change-only --exitcrash --dump --no-update-notifier --no-colours \
                 --spawn",
        program: "-x --exec",
        arguments: "",
        others: Others::Handed,
    },
    Tool {
        names: &["ts-node-dev", "tsnd"],
        valued: "--watch --ignore-watch --interval --debounce",
        plain: "--respawn --rs --poll --clear --cls --exit-child --notify --no-notify \
                 --tree-kill --quiet --inspect --prefer-ts --cache",
        program: "",
        arguments: "",
        others: Others::Handed,
    },
    Tool {
        names: &["pm2", "pm2-runtime", "pm2-docker"],
        valued: "-i --instances -n --name -l --log -o --output -e --error -u --user -p \
                 --pid -k --kill-timeout -c --cron --env --max-memory-restart \
                 --restart-delay --ignore-watch --watch-delay --exp-backoff-restart-delay \
                 --namespace --max-restarts --listen-timeout",
        plain: "",
        program: "--interpreter",
        arguments: "--node-args --interpreter-args",
        others: Others::Dropped,
    },
    Tool {
        names: &["forever"],
        valued: "-m -l -o -e -p --minUptime --spinSleepTime --killSignal --sourceDir \
                 --workingDir --pidFile --uid --id",
        plain: "-a --append -f --fifo -d --debug -v --verbose -s --silent -w --watch \
                 --killTree",
        program: "-c",
        arguments: "",
        others: Others::Unknown,
    },
];
/// Flags of Node.js and of what runs TypeScript that have a value, behind a blank.
const VALUED: [&str; 9] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-P",
    "--project",
    "-O",
    "--compiler-options",
];
/// Package managers: what they are told to run is behind `--`.
const MANAGERS: [&str; 4] = ["npm", "pnpm", "yarn", "bun"];
/// Folders that compilers write.
const COMPILED: [&str; 4] = ["dist/", "build/", "lib/", "out/"];

/// The parts of a line.
#[derive(Default)]
struct Parts {
    program: Option<String>,
    /// What the program is told before the file.
    arguments: Vec<String>,
    /// The file, and what it is told.
    file: Vec<String>,
}

/// The line without the tool in front of it: `nodemon -w src index.js` → `node index.js`. `None` if there is no
/// such tool, or its flags do not say what it runs. A `nodemon` without a file runs what
/// [its configuration](configured) says.
pub(crate) fn run(package: &PackageJson, line: &str) -> Option<String> {
    let words = words(line);
    let (name, rest) = words.split_first()?;
    let tool = TOOLS.iter().find(|tool| tool.names.contains(&name.as_str()))?;
    if rest.iter().any(|word| matches!(word.as_str(), "&&" | "||" | "|" | "&" | ";")) {
        return None;
    }
    if tool.names[0] == "pm2" && package.uses("pm2") {
        let flags_behind = rest.get(1).is_some_and(|word| !word.starts_with('-'));
        let start = name == "pm2" && rest.first().is_some_and(|word| word == "start");
        let kept = line.replace(" --no-daemon", "");
        return (start && flags_behind).then(|| kept.replacen("pm2", "pm2-runtime", 1));
    }
    // `pm2 logs` and its like start nothing.
    if name == "pm2" && !rest.iter().any(|word| word == "start") {
        return None;
    }
    let parts = tool.parts(rest)?;
    let first = parts.file.first().map_or("", String::as_str);
    let daemons = tool.names[0] == "pm2" || tool.names[0] == "forever";
    if daemons && (first.contains(".config.") || first.ends_with(".json")) {
        return None;
    }
    if MANAGERS.contains(&first) || first.contains(' ') {
        return Some(parts.file.join(" "));
    }
    let program = match (&parts.program, first) {
        (None, "") => return None,
        (Some(program), _) => program.clone(),
        (None, file) => match built(package, file) {
            Some(main) if parts.arguments.is_empty() => {
                let behind = parts.file[1..].iter().map(String::as_str);
                return Some(
                    ["node", main].into_iter().chain(behind).collect::<Vec<_>>().join(" "),
                );
            }
            _ => runner(package, file).to_owned(),
        },
    };
    let all = [vec![program], parts.arguments, parts.file].concat();
    Some(all.join(" "))
}

/// What a `nodemon` without a file runs: the `exec` of nodemon.json or of `nodemonConfig` in package.json, else
/// the package's main file. `None` for any other line. `text` gives a file of the package by its name.
pub(crate) fn configured(
    package: &PackageJson,
    line: &str,
    text: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let words = words(line);
    let (_, rest) = words.split_first().filter(|(name, _)| *name == "nodemon")?;
    let parts = TOOLS[0].parts(rest)?;
    if parts.program.is_some() || !parts.file.is_empty() {
        return None;
    }
    let own = || text("nodemon.json").and_then(|text| serde_json::from_str(&text).ok());
    let exec = package.nodemon_config().cloned().or_else(own);
    let exec = exec.as_ref().and_then(|config: &serde_json::Value| config.get("exec")?.as_str());
    if let Some(exec) = exec {
        return Some(exec.to_owned());
    }
    let main = package.main().unwrap_or(".");
    let program = if main == "." { "node" } else { runner(package, main) };
    Some([&[program.to_owned()], &parts.arguments[..], &[main.to_owned()]].concat().join(" "))
}

impl Tool {
    /// Takes the words behind its name apart; `None` where a flag is not known.
    fn parts(&self, words: &[String]) -> Option<Parts> {
        let mut parts = Parts::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) if flag.starts_with('-') => (flag, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            let listed = |flags: &str| flags.split(' ').any(|one| one == flag);
            let started = !parts.file.is_empty();
            if word == "--" {
                parts.file.extend(words.by_ref().cloned());
            } else if !flag.starts_with('-') {
                let verb = !started && self.others != Others::Handed && flag == "start";
                parts.file.extend((!verb).then(|| word.clone()));
            } else if started && self.names[0] != "pm2" {
                parts.file.push(word.clone());
            } else if listed(self.program) {
                parts.program = value.or_else(|| words.next().cloned());
            } else if listed(self.arguments) {
                parts.arguments.extend(value.or_else(|| words.next().cloned()));
            } else if listed(self.valued) {
                if value.is_none() {
                    words.next();
                }
            } else if !listed(self.plain) {
                match self.others {
                    Others::Unknown => return None,
                    Others::Dropped => {}
                    Others::Handed => {
                        parts.arguments.push(word.clone());
                        let valued = value.is_none() && VALUED.contains(&flag);
                        if valued {
                            parts.arguments.extend(words.next().cloned());
                        }
                    }
                }
            }
        }
        Some(parts)
    }
}

/// What runs a file.
fn runner(package: &PackageJson, file: &str) -> &'static str {
    let typed = [".ts", ".mts", ".cts", ".tsx"].iter().any(|ending| file.ends_with(ending));
    match typed {
        false => "node",
        true if package.uses("tsx") => "tsx",
        // It comes with ts-node-dev, too.
        true => "ts-node",
    }
}

/// The file that the build makes of a source, if it is the package's main one.
fn built<'p>(package: &'p PackageJson, file: &str) -> Option<&'p str> {
    scripts::building(package)?;
    let stem = |path: &'p str| path.rsplit('/').next()?.rsplit_once('.').map(|(stem, _)| stem);
    let main = package.main()?;
    let code = [".js", ".mjs", ".cjs"].iter().any(|ending| main.ends_with(ending));
    let compiled = COMPILED.iter().any(|folder| main.trim_start_matches("./").starts_with(folder));
    let name = file.rsplit('/').next().unwrap_or(file);
    let same = name.rsplit_once('.').map(|(stem, _)| stem) == stem(main);
    (runner(package, file) != "node" && code && compiled && same).then_some(main)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(package: &str, line: &str, expected: Option<&str>) {
        let package = PackageJson::parse(package).unwrap();
        assert_eq!(run(&package, line).as_deref(), expected, "{line}");
    }

    #[test]
    fn a_program_that_is_restarted_is_run_itself() {
        for (line, expected) in [
            ("nodemon index.js", "node index.js"),
            ("nodemon -w src -e js,json --delay 2 index.js --port 80", "node index.js --port 80"),
            (
                "nodemon -r dotenv/config --trace-warnings app.js",
                "node -r dotenv/config --trace-warnings app.js",
            ),
            ("nodemon --watch src --exec 'node -r x' src/a.js", "node -r x src/a.js"),
            ("nodemon --exec \"npm run dev:x\"", "npm run dev:x"),
            ("nodemon src/a.ts", "ts-node src/a.ts"),
            (
                "ts-node-dev --respawn --transpile-only src/a.ts",
                "ts-node --transpile-only src/a.ts",
            ),
            ("tsnd --rs -P tsconfig.x.json src/a.ts", "ts-node -P tsconfig.x.json src/a.ts"),
            ("forever start app.js", "node app.js"),
            ("forever -m 5 --minUptime 1000 -c 'node --x' app.js a", "node --x app.js a"),
            ("pm2 start app.js", "node app.js"),
            ("pm2 start app.js -i max --name api --no-daemon", "node app.js"),
            ("pm2-runtime --node-args=--x app.js -- --a b", "node --x app.js --a b"),
            ("pm2 start npm --name web -- start", "npm start"),
            ("pm2 start 'npm run x' --name web", "npm run x"),
        ] {
            check("{}", line, Some(expected));
        }
    }

    #[test]
    fn what_is_not_said_for_certain_stays() {
        for line in [
            "nodemon",
            "node app.js",
            "forever --new 1 app.js",
            "forever start forever.json",
            "pm2 start ecosystem.config.js",
            "pm2 start app.js && pm2 logs",
            "pm2 logs",
        ] {
            check("{}", line, None);
        }
    }

    #[test]
    fn what_the_package_has_runs_it() {
        let tsx = r#"{"devDependencies":{"tsx":"4"}}"#;
        check(tsx, "nodemon src/a.ts", Some("tsx src/a.ts"));
        let built = r#"{"main":"dist/a.js","scripts":{"build":"tsc"}}"#;
        check(built, "ts-node-dev --respawn src/a.ts", Some("node dist/a.js"));
        check(built, "nodemon src/b.ts", Some("ts-node src/b.ts"));
        let pm2 = r#"{"dependencies":{"pm2":"5"}}"#;
        let line = "pm2 start ecosystem.config.js --env production";
        check(pm2, line, Some("pm2-runtime start ecosystem.config.js --env production"));
        check(pm2, "pm2-runtime start app.js", None);
    }

    #[test]
    fn a_configuration_says_what_is_run() {
        let of = |package: &str, file: Option<&str>, line: &str| {
            let package = PackageJson::parse(package).unwrap();
            configured(&package, line, &|_| file.map(str::to_owned))
        };
        let exec = r#"{"watch":["src"],"exec":"ts-node src/index.ts"}"#;
        assert_eq!(of("{}", Some(exec), "nodemon").as_deref(), Some("ts-node src/index.ts"));
        let own = format!(r#"{{"nodemonConfig":{exec}}}"#);
        assert_eq!(of(&own, None, "nodemon -q").as_deref(), Some("ts-node src/index.ts"));
        assert_eq!(of(r#"{"main":"app.js"}"#, None, "nodemon").as_deref(), Some("node app.js"));
        assert_eq!(of("{}", None, "nodemon").as_deref(), Some("node ."));
        assert_eq!(of("{}", Some(exec), "nodemon a.js"), None);
        assert_eq!(of("{}", Some(exec), "node a.js"), None);
    }
}
