//! The rules, in the order in which they are tried. They are tried again until nothing changes.

use super::Line;
use super::package;
use super::words::{base, chain, join, split};
use crate::corpus::Tree;

/// A rule.
pub(super) struct Rule {
    /// Its name.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test checks that names differ"))]
    pub(super) name: &'static str,
    /// What it does; it leaves alone what it does not know.
    pub(super) apply: fn(&mut Line, &Tree),
}

/// All of them.
pub(super) const RULES: &[Rule] = &[
    // `sh -c 'a b'` runs `a b`.
    Rule { name: "shell", apply: shell },
    // A web server of the platform, with its configuration: nobody wrote it for this application.
    Rule { name: "web-server", apply: web_server },
    // `cd web && a` is `a` in `web`; what runs ahead in a chain prepares (migrations are a step of
    // their own), and the last command is the process.
    Rule { name: "chain", apply: last_of_chain },
    // `exec a`, `env A=b a`, `A=b a`, `tini -- a` run `a`.
    Rule { name: "prefix", apply: prefix },
    // Where output goes is not what is started.
    Rule { name: "redirection", apply: redirection },
    // `${PORT:-3000}`, `"$PORT"` and `${PORT}` are `$PORT`.
    Rule { name: "port-form", apply: port_form },
    // `turbo run start`, `yarn workspace web start`: the script of that package.
    Rule { name: "workspace", apply: workspace },
    // `npm run start`: the line of the script.
    Rule { name: "script", apply: script },
    // `npx a`, `bundle exec a`, `poetry run a`, `python -m a` run `a`.
    Rule { name: "runner", apply: runner },
    // A program is what its base name says, wherever it lies: `.venv/bin/a`, `/usr/bin/a`, `./out/a`.
    Rule { name: "program", apply: program },
    // `./x.js`, `/app/x.js` and `x.js` are one file in the application's folder.
    Rule { name: "app-path", apply: app_path },
    // The host says where to listen; how a line repeats it makes no difference.
    Rule { name: "binding", apply: binding },
    // `node dist/main` is `node dist/main.js`, `node .` is the package's main file.
    Rule { name: "node-file", apply: node_file },
    // Options of the Java machine; and a jar's name has the version in it, so any jar is a jar.
    Rule { name: "jvm", apply: jvm },
    // Options of known application servers tune them; the application that they serve is the word left.
    Rule { name: "server-options", apply: server_options },
    // `deno run -A` and its other permissions.
    Rule { name: "deno", apply: deno },
    // `dotnet x.dll` is the program `x`.
    Rule { name: "dotnet", apply: dotnet },
    // A command that serves a folder of files does what the platform does.
    Rule { name: "file-server", apply: file_server },
];

const SHELLS: [&str; 5] = ["sh", "bash", "zsh", "dash", "ash"];

fn shell(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    if let [program, flag, rest, ..] = &words[..]
        && SHELLS.contains(&base(program))
        && flag.starts_with('-')
        && flag.ends_with('c')
    {
        line.text = rest.trim().to_owned();
    }
}

fn web_server(line: &mut Line, _: &Tree) {
    let bare = |word: &str| base(word).trim_matches(['(', ')']).to_owned();
    let names = |name: &str| split(&line.text).iter().any(|word| bare(word) == name);
    let first = split(&line.text).first().map(|word| base(word).to_owned()).unwrap_or_default();
    let servers = ["caddy", "nginx", "httpd", "apache2", "apache2-foreground", "frankenphp"];
    let known = servers.contains(&first.as_str()) || first == "start-container.sh";
    let behind = names("php-fpm") && names("nginx") || line.text.contains("caddy run --config");
    line.served = known || behind;
}

fn last_of_chain(line: &mut Line, _: &Tree) {
    let text = line.text.clone();
    let parts = chain(&text);
    let Some((last, before)) = parts.split_last() else {
        return;
    };
    for part in before {
        if let [cd, folder] = &split(part)[..]
            && cd == "cd"
        {
            let folder = folder.strip_prefix("/app").unwrap_or(folder);
            let folder = folder.trim_start_matches("./").trim_matches('/');
            line.folder = package::path(&line.folder, folder).trim_matches('/').to_owned();
        }
    }
    (*last).clone_into(&mut line.text);
}

fn prefix(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    let passing = |word: &str| {
        let set = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        let programs = ["exec", "env", "cross-env", "nohup", "tini", "dumb-init", "--"];
        set || programs.contains(&base(word))
    };
    let kept = words.iter().position(|word| !passing(word)).unwrap_or(0);
    if kept > 0 {
        line.text = join(&words[kept..]);
    }
}

fn redirection(line: &mut Line, _: &Tree) {
    let mut words = split(&line.text);
    let Some(at) = words.iter().position(|word| {
        let word = word.trim_start_matches(['1', '2', '&']);
        word.starts_with('>')
    }) else {
        return;
    };
    words.truncate(at);
    line.text = join(&words);
}

fn port_form(line: &mut Line, _: &Tree) {
    let mut text = line.text.clone();
    while let Some(start) = text.find("${PORT") {
        let Some(end) = text[start..].find('}') else {
            break;
        };
        text.replace_range(start..=start + end, "$PORT");
    }
    line.text = text.replace("\"$PORT\"", "$PORT").split_whitespace().collect::<Vec<_>>().join(" ");
}

const MANAGERS: [&str; 4] = ["npm", "pnpm", "yarn", "bun"];

fn workspace(line: &mut Line, tree: &Tree) {
    let words = split(&line.text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = match &words[..] {
        ["npx" | "pnpm" | "yarn" | "bunx", rest @ ..] if rest.first() == Some(&"turbo") => rest,
        all => all,
    };
    let flag = |names: &[&str]| {
        words.iter().enumerate().find_map(|(at, word)| match word.split_once('=') {
            Some((name, value)) if names.contains(&name) => Some(value),
            None if names.contains(word) => words.get(at + 1).copied(),
            _ => None,
        })
    };
    let found = match words {
        ["turbo", "run", name, ..] | ["lerna", "run", name, ..] => {
            Some((flag(&["--filter", "-F", "--scope"]), *name))
        }
        ["turbo", name, ..] if !name.starts_with('-') => Some((flag(&["--filter", "-F"]), *name)),
        ["yarn", "workspace", member, "run", name, ..]
        | ["yarn", "workspace", member, name, ..] => Some((Some(*member), *name)),
        [manager, .., name] if MANAGERS.contains(manager) => {
            let named = flag(&["--filter", "-F", "--workspace", "-w", "--prefix", "-C", "--dir"]);
            let values = words.iter().find(|word| {
                !word.starts_with('-')
                    && !MANAGERS.contains(word)
                    && **word != "run"
                    && Some(**word) != named
            });
            named.map(|named| (Some(named), values.copied().unwrap_or(name)))
        }
        _ => None,
    };
    if let Some((named, name)) = found
        && let Some(folder) = package::member(tree, named, name)
    {
        line.folder = folder;
        line.text = format!("npm run {name}");
    }
}

fn script(line: &mut Line, tree: &Tree) {
    let words = split(&line.text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (name, rest) = match &words[..] {
        ["npm" | "pnpm" | "yarn" | "bun", "run" | "run-script", name, rest @ ..]
        | ["npm" | "pnpm" | "yarn", name, rest @ ..]
        | ["node", "--run", name, rest @ ..]
        | ["composer", "run", name, rest @ ..] => (*name, rest),
        ["deno", "task", name, ..] => {
            if let Some(found) = package::task(tree, &line.folder, name) {
                line.text = found;
            }
            return;
        }
        _ => return,
    };
    if let Some(found) = package::script(tree, &line.folder, name) {
        let rest: Vec<&&str> = rest.iter().filter(|word| **word != "--").collect();
        line.text = if rest.is_empty() { found } else { format!("{found} {}", join(&rest)) };
    } else if words[0] == "bun" && name.contains('.') {
        line.text = format!("bun {}", join(&words[2..]));
    }
}

fn runner(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let rest: &[&str] = match &words[..] {
        ["npx" | "bunx", rest @ ..]
        | ["npm" | "pnpm" | "yarn" | "bundle", "exec", rest @ ..]
        | ["bun", "x", rest @ ..]
        | ["poetry" | "uv" | "pdm" | "pipenv" | "hatch" | "rye", "run", rest @ ..] => rest,
        ["python" | "python3", "-m", module, ..] if SERVERS.contains(module) => &words[2..],
        ["python" | "python3", "-u", ..] => {
            line.text = format!("python {}", join(&words[2..]));
            return;
        }
        _ => return,
    };
    let flags = rest.iter().take_while(|word| word.starts_with('-')).count();
    let rest = &rest[flags..];
    let python = words[0] != "npx" && rest.first().is_some_and(|word| word.ends_with(".py"));
    line.text = if python { format!("python {}", join(rest)) } else { join(rest) };
}

fn program(line: &mut Line, _: &Tree) {
    let mut words = split(&line.text);
    let Some(first) = words.first_mut() else {
        return;
    };
    let name = base(first).trim_end_matches(".exe");
    let versioned = |name: &str, program: &str| {
        let rest = name.strip_prefix(program);
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    // Which shell runs a script is written in its first line.
    *first = match name {
        _ if versioned(name, "python") => "python".to_owned(),
        "nodejs" => "node".to_owned(),
        _ if SHELLS.contains(&name) => "sh".to_owned(),
        name => name.to_owned(),
    };
    let script = words.len() == 1 && words[0].ends_with(".sh") && !line.text.contains("build/");
    let rails = words.len() > 1 && words[0] == "rails" && words[1] == "s";
    if script {
        let path = split(&line.text).remove(0);
        line.text = format!("sh {path}");
        return;
    }
    if rails {
        "server".clone_into(&mut words[1]);
    }
    line.text = join(&words);
}

fn app_path(line: &mut Line, _: &Tree) {
    let own = format!("/app/{}/", line.folder);
    let stripped = |word: &String| {
        let word =
            word.strip_prefix(own.as_str()).or_else(|| word.strip_prefix("/app/")).unwrap_or(word);
        word.strip_prefix("./").filter(|rest| !rest.is_empty()).unwrap_or(word).to_owned()
    };
    let words: Vec<String> = split(&line.text).iter().map(stripped).collect();
    line.text = join(&words);
}

/// Flags that take an address or a port.
const BINDING: [&str; 21] = [
    "--bind",
    "-b",
    "-o",
    "-p",
    "--port",
    "--host",
    "--hostname",
    "-H",
    "-h",
    "-l",
    "--listen",
    "--http-port",
    "--binding",
    "-Dserver.port",
    "--server.port",
    "--server.address",
    "-i",
    "--server_port",
    "--server-port",
    "--urls",
    "--server-name",
];

fn binding(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    let mut kept: Vec<&str> = Vec::new();
    let mut skip = false;
    for (at, word) in words.iter().enumerate() {
        if skip || at == 0 {
            if at == 0 {
                kept.push(word);
            }
            skip = false;
            continue;
        }
        let (flag, value) =
            word.split_once('=').map_or((word.as_str(), None), |(f, v)| (f, Some(v)));
        let next = words.get(at + 1).filter(|next| is_address(next));
        match (BINDING.contains(&flag), value, next) {
            (true, Some(_), _) => {}
            (true, None, Some(_)) => skip = true,
            (true, None, None) if flag == "--host" => {}
            _ if is_socket(word) => {}
            _ => kept.push(word),
        }
    }
    line.text = join(&kept);
}

/// `0.0.0.0`, `$PORT`, `:8000`, `[::]:80`, `tcp://0.0.0.0:80`
fn is_address(word: &str) -> bool {
    let word =
        word.rsplit("://").next().unwrap_or(word).replace("$PORT", "1").replace("$HOST", "1");
    let rest = word.replace("localhost", "");
    !word.is_empty() && rest.chars().all(|c| c.is_ascii_digit() || "[]:.*".contains(c))
}

/// An address with a port, as a word of its own.
fn is_socket(word: &str) -> bool {
    is_address(word) && word.contains(':')
}

fn node_file(line: &mut Line, tree: &Tree) {
    let mut words = split(&line.text);
    if words.first().is_none_or(|program| program != "node" && program != "bun") {
        return;
    }
    let Some(at) = words.iter().skip(1).position(|word| !word.starts_with('-')) else {
        return;
    };
    let file = &mut words[at + 1];
    if *file == "."
        && let Some(main) = package::main(tree, &line.folder)
    {
        *file = main;
    }
    let has_extension = base(file).contains('.');
    let folder = file.ends_with('/');
    if folder {
        file.push_str("index.js");
    } else if !has_extension {
        file.push_str(".js");
    }
    line.text = join(&words);
}

fn jvm(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    if words.first().is_none_or(|program| program != "java") {
        return;
    }
    let option = |word: &&String| {
        let word = word.as_str();
        !(word.starts_with("-X")
            || word.starts_with("-D")
            || word.starts_with("--add-")
            || word.starts_with("-server")
            || word.starts_with("$JAVA")
            || word.starts_with("$JVM"))
    };
    let mut words: Vec<String> = words.iter().filter(option).cloned().collect();
    if let Some(at) = words.iter().position(|word| word == "-jar") {
        words.truncate(at + 1);
        words.push("*.jar".to_owned());
    }
    line.text = join(&words);
}

/// Servers that get the application as a word and are tuned by options.
const SERVERS: [&str; 14] = [
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "daphne",
    "granian",
    "waitress-serve",
    "flask",
    "streamlit",
    "puma",
    "rackup",
    "unicorn",
    "thin",
    "passenger",
    "fastapi",
];

fn server_options(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    let Some(program) = words.first().filter(|it| SERVERS.contains(&it.as_str())) else {
        return;
    };
    // `config.ru` is what a Rack server takes where nothing is named; WSGI's `application` is not.
    let default = |word: &str| word == "config.ru" || word == "start" && program == "passenger";
    let mut kept: Vec<&str> = Vec::new();
    let mut option = false;
    for word in &words {
        let value = std::mem::take(&mut option);
        if word.starts_with('-') {
            option = !word.contains('=') && !SWITCHES.contains(&word.as_str());
        } else if (!value || word.contains(':')) && !default(word) {
            kept.push(word);
        }
    }
    line.text = join(&kept);
}

/// Options of these servers that take no value.
const SWITCHES: [&str; 9] = [
    "--proxy-headers",
    "--reload",
    "--preload",
    "--access-log",
    "--no-access-log",
    "--debug",
    "--quiet",
    "-q",
    "--factory",
];

fn deno(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    if words.first().is_none_or(|program| program != "deno") {
        return;
    }
    let permission = |word: &&String| {
        !(word.starts_with("--allow-")
            || ["-A", "--no-prompt", "--cached-only"].contains(&word.as_str()))
    };
    line.text = join(&words.iter().filter(permission).collect::<Vec<_>>());
}

fn dotnet(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    if let [program, library, rest @ ..] = &words[..]
        && program == "dotnet"
        && let Some(name) = base(library).strip_suffix(".dll")
    {
        let all: Vec<&str> = [name].into_iter().chain(rest.iter().map(String::as_str)).collect();
        line.text = join(&all);
    }
}

fn file_server(line: &mut Line, _: &Tree) {
    let words = split(&line.text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    line.served = matches!(
        &words[..],
        ["serve" | "http-server" | "sirv" | "static-web-server", ..]
            | ["vite" | "astro", "preview", ..]
            | ["python", "-m", "http.server", ..]
    );
}
