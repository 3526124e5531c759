//! Where the started program listens: the port that it insists on, and whether anything can reach its address. A
//! look at the command line and at the file that it runs, and no evaluation.

use windlass_plugin_common::paths::{join, normal};
use windlass_plugin_common::ports;

use crate::code;
use crate::facts::Facts;

/// The address that only the program's own machine reaches, as it is written.
const LOOPBACK: [&str; 3] = ["127.0.0.1", "localhost", "::1"];
/// Words of a line that asks another program, whose port is none of ours.
const CLIENTS: [&str; 11] = [
    "redis", "postgres", "psycopg", "mysql", "mongo", "amqp", "rabbit", "kafka", "smtp", "connect",
    "client",
];

/// A call that listens.
#[derive(Clone, Copy)]
struct Listener {
    call: &'static str,
    /// The module without whose import the call is another's.
    module: &'static str,
    /// Which of its arguments is the port, where the port has no name.
    port_at: Option<usize>,
    /// The port that it takes where it is told none; 0 if it has to be told.
    port: u16,
    /// Whether it takes the loopback address where it is told none.
    loopback: bool,
}

const fn listener(call: &'static str, module: &'static str, port_at: Option<usize>) -> Listener {
    Listener { call, module, port_at, port: 0, loopback: false }
}

const fn server(call: &'static str, module: &'static str, port: u16, loopback: bool) -> Listener {
    Listener { call, module, port_at: None, port, loopback }
}

const LISTENERS: [Listener; 11] = [
    server("uvicorn.run(", "uvicorn", 8000, true),
    server("socketio.run(", "flask_socketio", 5000, true),
    server("run(", "bottle", 8080, true),
    server("run_app(", "aiohttp", 8080, false),
    listener("Server((", "", Some(1)),
    listener("bind((", "socket", Some(1)),
    listener("listen((", "eventlet", Some(1)),
    listener("make_server(", "", Some(1)),
    listener("start_server(", "asyncio", Some(2)),
    listener("websockets.serve(", "websockets", Some(2)),
    listener(".listen(", "tornado", Some(0)),
];

/// A server that a command line starts, known by these words.
struct Command {
    words: &'static [&'static str],
    /// The port that it takes where it is told none.
    port: u16,
    /// Whether it takes the loopback address where it is told none.
    loopback: bool,
    /// Its variables for address and port.
    variables: [&'static str; 2],
}

const COMMANDS: [Command; 9] = [
    command(&["uvicorn"], 8000, true, ["UVICORN_HOST", "UVICORN_PORT"]),
    command(&["hypercorn"], 8000, true, ["", ""]),
    command(&["daphne"], 8000, true, ["", ""]),
    command(&["granian"], 8000, true, ["GRANIAN_HOST", "GRANIAN_PORT"]),
    command(&["flask", "run"], 5000, true, ["FLASK_RUN_HOST", "FLASK_RUN_PORT"]),
    command(&["manage.py", "runserver"], 8000, true, ["", ""]),
    command(&["fastapi", "run"], 8000, false, ["", ""]),
    command(&["fastapi", "dev"], 8000, true, ["", ""]),
    command(&["waitress-serve"], 8080, false, ["", ""]),
];

/// Flags behind which a server's port stands, or a socket or a file that names it.
const PORTS: [&str; 12] = [
    "--port",
    "-p",
    "-b",
    "--bind",
    "--listen",
    "--http",
    "-e",
    "--endpoint",
    "-u",
    "--uds",
    "--fd",
    "-c",
];
/// The same of its address.
const ADDRESSES: [&str; 13] = [
    "--host",
    "-h",
    "-b",
    "--bind",
    "--listen",
    "--http",
    "-e",
    "--endpoint",
    "-u",
    "--uds",
    "--fd",
    "-c",
    "--config",
];

const fn command(
    words: &'static [&'static str],
    port: u16,
    loopback: bool,
    variables: [&'static str; 2],
) -> Command {
    Command { words, port, loopback, variables }
}

impl Command {
    /// The server that the last command of a line starts.
    fn of(line: &str) -> Option<&'static Self> {
        let words: Vec<&str> = words(last(line)).collect();
        let starts = |command: &&Self| {
            let mut words = words.iter();
            // One behind the other: `poetry run flask db upgrade` runs no server.
            let mut names = command.words.iter();
            names.all(|name| words.any(|word| word.rsplit('/').next() == Some(name)))
        };
        COMMANDS.iter().find(starts)
    }

    /// The words that open it to other machines.
    fn fix(&self) -> &'static str {
        match self.words {
            ["manage.py", _] => "0.0.0.0:$PORT",
            ["daphne"] => "-b 0.0.0.0",
            ["hypercorn"] => "--bind 0.0.0.0:$PORT",
            _ => "--host 0.0.0.0",
        }
    }
}

/// The port that a command line insists on: in its own words, its server's default, or in the file that it runs.
/// None if it takes the one of `PORT`.
pub(crate) fn port(facts: &Facts, line: &str) -> Option<u16> {
    if let Some(port) = named_port(line) {
        return Some(port);
    }
    if let Some(file) = script(facts, line)
        && let Some(name) = variable(&facts.text(&file))
        && let Some(value) = ports::set_by(line, &name)
    {
        return value.parse().ok();
    }
    if line.contains("PORT") {
        return None;
    }
    if let Some(command) = Command::of(line) {
        let told = words(line).any(|word| PORTS.contains(&word)) || sets(facts, command, 1);
        return (!told).then_some(command.port);
    }
    script(facts, line).and_then(|file| fixed_port(&facts.text(&file)))
}

/// The variable that the file which a command line runs reads its port from, if that is not `PORT` and the line does
/// not set it, and the file.
pub(crate) fn port_variable(facts: &Facts, line: &str) -> Option<(String, String)> {
    if named_port(line).is_some() || Command::of(line).is_some() {
        return None;
    }
    let file = script(facts, line)?;
    let name = variable(&facts.text(&file))?;
    ports::set_by(line, &name).is_none().then_some((name, file))
}

/// Whether the server that a command line starts listens on the loopback address, where nothing reaches it: what
/// to do instead.
pub(crate) fn on_loopback(facts: &Facts, line: &str) -> Option<String> {
    let command = Command::of(line);
    let words: Vec<&str> = words(last(line)).collect();
    let is_local = |word: &str| LOOPBACK.iter().any(|address| word.starts_with(address));
    let flag = |word: &str| word == "runserver" || ADDRESSES.contains(&word);
    let named = words.windows(2).any(|pair| flag(pair[0]) && is_local(pair[1]));
    let silent = |command: &Command| {
        let open = ["0.0.0.0", "[::]", "0:", "*:", "unix:", "HOST"];
        let told = open.iter().any(|sign| line.contains(sign))
            || words.iter().any(|word| ADDRESSES.contains(word))
            || sets(facts, command, 0);
        command.loopback && !told
    };
    if named || command.is_some_and(silent) {
        let fix = command.map_or("--bind 0.0.0.0:$PORT", Command::fix);
        return Some(format!(
            "{line:?} listens on 127.0.0.1 only, where nothing can reach it: add {fix}"
        ));
    }
    let file = script(facts, line).filter(|_| command.is_none())?;
    local(&facts.text(&file)).then(|| {
        format!(
            "{file} seems to listen on 127.0.0.1 only, where nothing can reach it: listen on 0.0.0.0"
        )
    })
}

/// Whether a server's variable for its address (0) or its port (1) is set.
fn sets(facts: &Facts, command: &Command, which: usize) -> bool {
    facts.variables.iter().any(|name| name == command.variables[which])
}

/// The command that a line ends with.
fn last(line: &str) -> &str {
    line.rsplit("&&").next().unwrap_or(line)
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split([' ', '=', '\t']).filter(|word| !word.is_empty())
}

/// The port in a command line: `--port 8000`, `-b 0.0.0.0:8000`, `runserver 0.0.0.0:8000`.
fn named_port(line: &str) -> Option<u16> {
    let words: Vec<&str> = words(line).collect();
    let flags =
        ["--port", "-p", "-b", "--bind", "--listen", "--server.port", "runserver", "--http"];
    let pair = |pair: &[&str]| {
        let last = pair[1].rsplit(':').next()?.trim_matches(['"', '\'']);
        flags.contains(&pair[0]).then(|| last.parse().ok()).flatten()
    };
    words.windows(2).find_map(pair)
}

/// The file that a command line runs: `python -u src/app.py`, `cd src && python app.py`, `python -m shop.web`.
fn script(facts: &Facts, line: &str) -> Option<String> {
    let folder = line.strip_prefix("cd ").and_then(|rest| rest.split_whitespace().next());
    let mut words = last(line)
        .split_whitespace()
        .skip_while(|word| !word.rsplit('/').next().is_some_and(|name| name.starts_with("python")));
    words.next()?;
    let mut module = false;
    let name = words.find(|word| {
        module |= *word == "-m";
        !word.starts_with('-')
    })?;
    let path = join(folder.unwrap_or_default(), name.trim_matches(['"', '\'']));
    if !module {
        let path = normal(&path);
        return (path.ends_with(".py") && facts.has(&path)).then_some(path);
    }
    let path = normal(&path.replace('.', "/"));
    let forms = ["", "src/"]
        .into_iter()
        .flat_map(|above| [".py", "/__main__.py"].map(|ending| format!("{above}{path}{ending}")));
    forms.into_iter().find(|path| facts.has(path))
}

/// Whether a file reads the variable `PORT`: a constant of this name alone is none.
fn reads_port(text: &str) -> bool {
    let quoted = ["\"PORT\"", "'PORT'"].iter().any(|word| text.contains(word));
    let settings = text.contains("BaseSettings") && text.to_ascii_lowercase().contains("port:");
    let near = |line: &str| {
        line.contains("PORT")
            && ["environ", "getenv", "env("].iter().any(|word| line.contains(word))
    };
    quoted || settings || text.lines().any(near)
}

/// The port that a file insists on: `port=8000`, `HTTPServer(("", 8000)`, a constant in these places, or what its
/// server takes where it is told none. None if it reads `PORT`.
fn fixed_port(text: &str) -> Option<u16> {
    if reads_port(text) {
        return None;
    }
    let own = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        !lower.trim_start().starts_with('#') && !CLIENTS.iter().any(|word| lower.contains(word))
    };
    let named = text.lines().filter(own).find_map(|line| number(text, line.split("port=").nth(1)?));
    named.or_else(|| {
        let of = |(arguments, listener): (&str, Listener)| {
            let all = split(arguments);
            let first = listener.port_at.and_then(|at| all.get(at).copied());
            // An option that is taken from the command line, with its default.
            let option = first.filter(|value| value.ends_with("options.port")).and_then(|_| {
                let rest = text.split("define(\"port\"").nth(1)?;
                number(text, rest.split("default=").nth(1)?)
            });
            let told = ["port", "**", "uds", "fd=", "sock"];
            let silent = listener.port > 0 && !told.iter().any(|word| arguments.contains(word));
            let default = silent.then_some(listener.port);
            option.or_else(|| number(text, first?)).or(default)
        };
        calls(text).into_iter().find_map(of)
    })
}

/// Calls that read a variable of the environment, as far as its quoted name.
const READS: [&str; 5] = ["environ[", "environ.get(", "env(", "env.int(", "config("];
/// So many names lead from one to the next.
const NAMES_DEEP: usize = 3;

/// The variable that a file reads the port from that its server listens on, if it does not read `PORT`:
/// `app.run(port=int(os.environ["APP_PORT"]))`, also by names in between.
fn variable(text: &str) -> Option<String> {
    if ["\"PORT\"", "'PORT'"].iter().any(|word| text.contains(word)) {
        return None;
    }
    let known = calls(text).into_iter().map(|(arguments, listener)| (arguments, listener.port_at));
    // Of any other object that runs with a port: Sanic, Dash.
    let other = arguments_of(text, ".run(").map(|arguments| (arguments, None));
    let found = known.chain(other).find_map(|(arguments, port_at)| {
        let all = split(arguments);
        let named = all.iter().find_map(|one| {
            let (name, value) = one.split_once('=')?;
            (name.trim() == "port").then_some(value)
        });
        let value = named.or_else(|| port_at.and_then(|at| all.get(at).copied()))?;
        by_name(text, value, NAMES_DEEP)
    });
    found.filter(|name| ports::is_own(name)).map(str::to_owned)
}

/// The variable of the environment that a value comes from.
fn by_name<'t>(text: &'t str, value: &'t str, deep: usize) -> Option<&'t str> {
    let read = READS.iter().find_map(|call| {
        let rest = value.split_once(call)?.1.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        rest[1..].split(quote).next()
    });
    let deep = deep.checked_sub(1)?;
    read.or_else(|| {
        let mut names = value.split(|c: char| !c.is_alphanumeric() && c != '_');
        let names = names.by_ref().filter(|name| !name.is_empty());
        let mut values = names.flat_map(|name| constants(text, name));
        values.find_map(|value| by_name(text, value.lines().next()?, deep))
    })
}

/// Whether the servers that a file starts listen on the loopback address, because they are told to, or are told no
/// address and take that one.
fn local(text: &str) -> bool {
    let is_local = |value: &str| {
        let value = value.trim_start_matches("host=").trim();
        let quoted = |text: &str| LOOPBACK.contains(&text.trim_matches(['"', '\'']));
        quoted(value) && value.starts_with(['"', '\''])
            || constants(text, value).any(|value| {
                let value = value.split('#').next().unwrap_or_default().trim();
                value.starts_with(['"', '\'']) && quoted(value)
            })
    };
    let open = ["host", "0.0.0.0", "::", "**", "uds", "fd=", "sock"];
    let loops = |(arguments, listener): &(&str, Listener)| {
        split(arguments).into_iter().any(is_local)
            || listener.loopback
                && !open.iter().any(|word| arguments.contains(word))
                && !(listener.port_at.is_some() && positional(arguments))
    };
    let all = calls(text);
    !all.is_empty() && all.iter().all(loops)
}

/// Whether the first argument has no name: an address.
fn positional(arguments: &str) -> bool {
    split(arguments).first().is_some_and(|first| !first.is_empty() && !first.contains('='))
}

/// The calls of a file that listen, with their arguments.
fn calls(text: &str) -> Vec<(&str, Listener)> {
    let mut found = Vec::new();
    let object = code::object(text, &["Flask", "Quart"]).filter(|object| {
        !object.factory && (code::imports(text, "flask") || code::imports(text, "quart"))
    });
    if let Some(object) = object {
        let own = Listener { port_at: Some(1), ..server("", "", 5000, true) };
        let call = format!("{}.run(", object.name);
        found.extend(arguments_of(text, &call).map(|arguments| (arguments, own)));
    }
    for listener in LISTENERS {
        if listener.module.is_empty() || code::imports(text, listener.module) {
            found.extend(arguments_of(text, listener.call).map(|arguments| (arguments, listener)));
        }
    }
    found
}

/// The arguments of each of these calls that is no comment.
fn arguments_of<'t>(text: &'t str, call: &str) -> impl Iterator<Item = &'t str> {
    // `HTTPServer((` ends a longer name, and `.listen(` stands behind one; `run(` alone is a function's.
    let part = call.starts_with(|c: char| c.is_uppercase() || c == '.');
    let bare = call == "run(";
    let starts = text.match_indices(call).filter(move |(at, _)| {
        let line = text[..*at].rsplit('\n').next().unwrap_or_default();
        let before = text[..*at].chars().next_back();
        let word = |c: char| c.is_alphanumeric() || c == '_' || (c == '.' && bare);
        !line.trim_start().starts_with('#') && (part || !before.is_some_and(word))
    });
    let length = call.len();
    starts.map(move |(at, _)| inside(&text[at + length..])).collect::<Vec<_>>().into_iter()
}

/// The text as far as its closing parenthesis.
fn inside(rest: &str) -> &str {
    let mut depth = 1_usize;
    let end = rest.char_indices().find_map(|(at, c)| {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        (depth == 0).then_some(at)
    });
    &rest[..end.unwrap_or(rest.len())]
}

/// The arguments of a call, each by itself.
fn split(arguments: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let comma = |c: char| {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    arguments.split(comma).map(str::trim).collect()
}

/// The number that a text begins with, or that the name has with which it begins.
fn number(text: &str, value: &str) -> Option<u16> {
    let digits = |value: &str| {
        let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok().filter(|port| *port > 0)
    };
    let value = value.trim_start();
    digits(value).or_else(|| constants(text, value).find_map(digits))
}

/// What is assigned to the name that a text begins with: `PORT = 8000`.
fn constants<'t>(text: &'t str, value: &str) -> impl Iterator<Item = &'t str> {
    let name: String =
        value.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    text.lines()
        .filter(|_| !name.is_empty())
        .filter_map(|line| {
            let (left, right) = line.split_once('=')?;
            (left.split(':').next()?.trim() == name).then(|| right.trim_start())
        })
        .collect::<Vec<_>>()
        .into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_nothing_can_reach_are_seen() {
        let flask = |call: &str| {
            local(&format!("from flask import Flask\napp = Flask(__name__)\n{call}\n"))
        };
        for call in [
            "app.run()",
            "    app.run(debug=(1 > 0), port=5000)",
            "app.run(host='127.0.0.1')",
            "HOST = \"localhost\"  # mine\napp.run(host=HOST)",
        ] {
            assert!(flask(call), "{call}");
        }
        for call in [
            "app.run(host='0.0.0.0')",
            "app.run('0.0.0.0', 80)",
            "app.run(host=HOST)",
            "app.run(**options)",
            "# app.run()",
            "subprocess.run(x)",
            "myapp.run()",
            "",
        ] {
            assert!(!flask(call), "{call}");
        }
        assert!(local("import uvicorn\nuvicorn.run(\"main:app\", reload=True)"));
        assert!(!local("import uvicorn\nuvicorn.run(app, host=\"0.0.0.0\")"));
        assert!(local("from bottle import run\nrun(port=8080)"));
        assert!(!local("from subprocess import run\nrun(port=8080)"));
        assert!(local("PORT = 80\nHTTPServer((\"localhost\", PORT), Handler)"));
        assert!(!local("HTTPServer((\"\", 8000), Handler)"));
        assert!(local("HOST, X = 1, 2\nHOST = '127.0.0.1'\nThreadingHTTPServer((HOST, 1), H)"));
    }

    #[test]
    fn ports_are_seen_where_they_are_written_out() {
        for (text, port) in [
            ("app.run(host='0.0.0.0', port=5000)", Some(5000)),
            ("HTTPServer((\"\", 8000), Handler)", Some(8000)),
            ("app.run(port=int(os.environ['PORT']))", None),
            ("app.run(port=port)", None),
            ("PORT = 8000\nHTTPServer((\"\", PORT), Handler)", Some(8000)),
            ("def main():\n    port = 8001\n    HTTPServer(('', port), H)", Some(8001)),
            ("PORT: int = 5001  # mine\napp.run(port=PORT)", Some(5001)),
            ("PORT = int(os.getenv('PORT', 80))\napp.run(port=PORT)", None),
            ("PORT = int(os.environ.get(\n  'PORT', 80))\nrun(port=PORT)", None),
            ("class S(BaseSettings):\n  port: int = 80\nrun(port=80)", None),
            ("r = redis.Redis(port=6379)\nHTTPServer((\"\", 8000), Handler)", Some(8000)),
            ("from flask import Flask\napp = Flask(__name__)\napp.run(debug=True)", Some(5000)),
            ("from flask import Flask\napp = Flask(__name__)\napp.run('::', 81)", Some(81)),
            ("from flask import Flask\napp = Flask(__name__)\napp.run(**config)", None),
            ("import uvicorn\nuvicorn.run(\"main:app\", reload=True)", Some(8000)),
            ("import uvicorn\nuvicorn.run(app, port=settings.port)", None),
            ("from aiohttp import web\nweb.run_app(app)", Some(8080)),
            ("import tornado.web\napp.listen(8888)", Some(8888)),
            ("s.listen(5)", None),
            (
                "from tornado.options import define, options\nimport tornado\n\
                 define(\"port\", default=8889)\napp.listen(options.port)",
                Some(8889),
            ),
            ("import asyncio\nasyncio.start_server(f, '0.0.0.0', 8100)", Some(8100)),
            (
                "from wsgiref.simple_server import make_server\nmake_server('', 8051, app)",
                Some(8051),
            ),
        ] {
            assert_eq!(fixed_port(text), port, "{text}");
        }
    }

    #[test]
    fn a_port_of_another_variable_is_seen_where_it_is_plain() {
        let flask = "from flask import Flask\napp = Flask(__name__)\n";
        for (text, name) in [
            ("app.run(host='0.0.0.0', port=int(os.environ['APP_PORT']))", Some("APP_PORT")),
            ("app.run(port=int(os.getenv(\"SERVER_PORT\", 5000)))", Some("SERVER_PORT")),
            ("PORT = int(os.environ.get('APP_PORT', '80'))\napp.run(port=PORT)", Some("APP_PORT")),
            (
                "import uvicorn\nuvicorn.run(app, port=config('HTTP_PORT', cast=int))",
                Some("HTTP_PORT"),
            ),
            (
                "port = int(os.environ['WEB_PORT'])\nHTTPServer(('', port), Handler)",
                Some("WEB_PORT"),
            ),
            ("app.run(port=int(os.environ.get('PORT', os.environ.get('APP_PORT'))))", None),
            ("pymysql.connect(\n  port=int(os.environ['APP_PORT']))\napp.run()", None),
            ("app.run(port=int(os.environ['DB_PORT']))", None),
            ("app.run(port=5000)\nx = os.environ['APP_PORT']", None),
            ("subprocess.run(['x'], env=env)", None),
        ] {
            assert_eq!(variable(&format!("{flask}{text}")).as_deref(), name, "{text}");
        }
    }

    #[test]
    fn ports_of_command_lines_are_seen() {
        for (line, port) in [
            ("gunicorn -b 0.0.0.0:8080 a:b", Some(8080)),
            ("uvicorn a:b --port=80", Some(80)),
            ("gunicorn -b :$PORT a:b", None),
            ("python manage.py runserver 0.0.0.0:8001", Some(8001)),
        ] {
            assert_eq!(named_port(line), port, "{line}");
        }
    }
}
