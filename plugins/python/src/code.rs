//! What is read out of Python files: a look at the text, line by line, and no evaluation.

use crate::facts::Facts;

/// Names of functions that make an application.
const FACTORIES: [&str; 9] = [
    "create_app",
    "make_app",
    "get_app",
    "build_app",
    "init_app",
    "create_application",
    "get_application",
    "app_factory",
    "create_server",
];

/// An application in a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Object {
    /// Name of the object, or of the function that makes it.
    pub(crate) name: String,
    /// Whether it is a function.
    pub(crate) factory: bool,
    /// What was seen, with its line.
    pub(crate) sign: String,
}

/// Whether a module is imported anywhere in the text: `import flask`, `from flask.views import View`.
pub(crate) fn imports(text: &str, module: &str) -> bool {
    let own = |name: &str| {
        let rest = name.trim().strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
    };
    text.lines().map(str::trim_start).any(|line| {
        match (line.strip_prefix("import "), line.strip_prefix("from ")) {
            (Some(names), _) => names.split(',').any(own),
            (_, Some(rest)) => own(rest.split(" import").next().unwrap_or(rest)),
            _ => false,
        }
    })
}

/// The application in a module: a name at its top level, or a function that makes one.
pub(crate) fn object(text: &str, constructors: &[&str]) -> Option<Object> {
    let lines = || text.lines().enumerate();
    let named = lines().find_map(|(n, line)| Some((n, line, assigned(line, constructors)?)));
    if let Some((n, line, name)) = named {
        let sign = format!("line {}: {}", n + 1, line.trim());
        return Some(Object { name, factory: false, sign });
    }
    if !constructors.iter().any(|constructor| text.contains(&format!("{constructor}("))) {
        return None;
    }
    lines().find_map(|(n, line)| {
        let name = line.strip_prefix("def ")?.split('(').next()?.trim();
        let usable = FACTORIES.contains(&name) && !needs_arguments(text, name);
        let sign = format!("line {}: def {name}", n + 1);
        usable.then(|| Object { name: name.to_owned(), factory: true, sign })
    })
}

/// `app: Flask = Flask(__name__)` → `app`
fn assigned(line: &str, constructors: &[&str]) -> Option<String> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let (name, mut value) = line.split_once('=')?;
    let name = name.split(':').next()?.trim();
    let identifier = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    while let Some((other, rest)) = value.split_once('=') {
        if !identifier(other.trim()) {
            break;
        }
        value = rest;
    }
    let called = value.trim().split_once('(')?.0;
    let callee = called.rsplit('.').next()?.trim();
    let makes =
        constructors.iter().any(|one| *one == called || one.rsplit('.').next() == Some(callee))
            || FACTORIES.contains(&callee);
    (makes && identifier(name)).then(|| name.to_owned())
}

/// Whether a function cannot be called without arguments.
fn needs_arguments(text: &str, function: &str) -> bool {
    let Some(rest) = text.split(&format!("def {function}(")).nth(1) else {
        return true;
    };
    let end = rest.find("):").or_else(|| rest.find(") ->")).unwrap_or(0);
    let mut depth = 0_i32;
    let mut parameters = vec![String::new()];
    for c in rest[..end].chars() {
        depth += i32::from(matches!(c, '[' | '(' | '{')) - i32::from(matches!(c, ']' | ')' | '}'));
        match (c, parameters.last_mut()) {
            (',', _) if depth == 0 => parameters.push(String::new()),
            (c, Some(last)) => last.push(c),
            _ => {}
        }
    }
    parameters
        .iter()
        .map(|one| one.trim())
        .any(|one| !one.is_empty() && !one.contains('=') && !one.starts_with(['*', '/', '#']))
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

/// The port that a file insists on: `port=8000`, `HTTPServer(("", 8000)`, or a constant in these places. None if it
/// reads `PORT`.
pub(crate) fn fixed_port(text: &str) -> Option<u16> {
    if reads_port(text) {
        return None;
    }
    let digits = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u16>().ok().filter(|port| *port > 0)
    };
    let number = |rest: &str| digits(rest).or_else(|| constant(text, rest).and_then(digits));
    let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let named = lines().find_map(|line| number(line.split("port=").nth(1)?));
    named.or_else(|| {
        let address = lines().find_map(|line| line.split("Server((").nth(1))?;
        number(address.split_once(',')?.1.trim_start())
    })
}

/// What is assigned at the top level to the name that a text begins with: `PORT = 8000`.
fn constant<'t>(text: &'t str, rest: &str) -> Option<&'t str> {
    let name: String =
        rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    text.lines().filter(|_| !name.is_empty()).find_map(|line| {
        let (left, right) = line.split_once('=')?;
        (left.split(':').next()?.trim_end() == name).then(|| right.trim_start())
    })
}

/// Whether the server that a file starts listens on the loopback address, because it is told to, or is told no
/// address and takes that one.
pub(crate) fn on_loopback(text: &str) -> bool {
    let calls = |call: &str| {
        let starts = text.match_indices(call).filter(|(at, _)| {
            let line = text[..*at].rsplit('\n').next().unwrap_or_default();
            let before = text[..*at].chars().next_back();
            !line.trim_start().starts_with('#') && before.is_none_or(|c| !c.is_alphanumeric())
        });
        starts.map(|(at, _)| arguments(&text[at + call.len()..])).collect::<Vec<_>>()
    };
    let loops = |arguments: &&str| {
        let told = ["\"127.0.0.1\"", "'127.0.0.1'", "\"localhost\"", "'localhost'"];
        let other = ["host", "0.0.0.0", "::", "**", "uds", "fd="];
        told.iter().any(|address| arguments.contains(address))
            || !other.iter().any(|word| arguments.contains(word))
    };
    let object = object(text, &["Flask", "Quart"]).filter(|object| !object.factory);
    let own = object.map(|object| calls(&format!("{}.run(", object.name))).unwrap_or_default();
    let all = [own, calls("uvicorn.run(")].concat();
    !all.is_empty() && all.iter().all(loops)
}

/// The arguments of a call, from behind its opening parenthesis.
fn arguments(rest: &str) -> &str {
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

/// The file that a command line runs: `python -u src/app.py`.
pub(crate) fn script_of(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| !word.starts_with("python"));
    words.next()?;
    words.find(|word| !word.starts_with('-')).filter(|word| word.ends_with(".py"))
}

/// The port in a command line: `--port 8000`, `-b 0.0.0.0:8000`, `runserver 0.0.0.0:8000`.
pub(crate) fn port_of(line: &str) -> Option<u16> {
    let words: Vec<&str> = line.split([' ', '=']).filter(|word| !word.is_empty()).collect();
    let flags =
        ["--port", "-p", "-b", "--bind", "--listen", "--server.port", "runserver", "--http"];
    let pair = |pair: &[&str]| {
        let last = pair[1].rsplit(':').next()?.trim_matches(['"', '\'']);
        flags.contains(&pair[0]).then(|| last.parse().ok()).flatten()
    };
    words.windows(2).find_map(pair)
}

/// Folder to start in, and the name of the module: `src/app.py` → `("src", "app")`,
/// `shop/__init__.py` → `("", "shop")`.
pub(crate) fn module(facts: &Facts, file: &str) -> (String, String) {
    let dotted = |file: &str| {
        let path = file.trim_end_matches(".py").trim_end_matches("/__init__");
        path.replace('/', ".")
    };
    let own = facts.own_package().filter(|own| file.starts_with(&format!("{own}/")));
    if let Some(rest) = file.strip_prefix("src/").filter(|_| !facts.has("src/__init__.py")) {
        let folder = if own.is_some() { "" } else { "src" };
        return (folder.to_owned(), dotted(rest));
    }
    if let Some((folder, name)) = file.rsplit_once('/')
        && !facts.has(&format!("{folder}/__init__.py"))
        && names_siblings(facts, folder, &facts.text(file))
    {
        return (folder.to_owned(), dotted(name));
    }
    (String::new(), dotted(file))
}

/// Whether a file imports what lies beside it by its bare name.
fn names_siblings(facts: &Facts, folder: &str, text: &str) -> bool {
    facts.files.iter().any(|file| {
        let below = file.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
        let first = below.and_then(|below| below.split('/').next());
        let name = first.map(|first| first.trim_end_matches(".py")).unwrap_or_default();
        name != "__init__" && !name.is_empty() && imports(text, name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<(String, bool)> {
        object(text, &["Flask"]).map(|found| (found.name, found.factory))
    }

    #[test]
    fn objects_and_factories_are_found_at_the_top_level_alone() {
        let object = |name: &str| Some((name.to_owned(), false));
        assert_eq!(name("app = Flask(__name__)"), object("app"));
        assert_eq!(name("server: Flask = flask.Flask(__name__)"), object("server"));
        assert_eq!(name("application = app = Flask(__name__)"), object("application"));
        assert_eq!(name("app = factory.create_app('prod', debug=False)"), object("app"));
        let factory =
            "def create_app(config=None, *, x: dict[str, int] = {}):\n    app = Flask(x)\n";
        assert_eq!(name(factory), Some(("create_app".to_owned(), true)));
        assert_eq!(name("def create_app(config):\n    return Flask(config)\n"), None);
        assert_eq!(name("def create_app():\n    return Other()\n"), None);
        assert_eq!(name("limit = MyFlask(1)\nif app == Flask(1): pass"), None);
        assert_eq!(name(""), None);
    }

    #[test]
    fn servers_that_nothing_can_reach_are_seen() {
        let flask = |call: &str| on_loopback(&format!("app = Flask(__name__)\n{call}\n"));
        assert!(flask("app.run()") && flask("    app.run(debug=(1 > 0), port=5000)"));
        assert!(flask("app.run(host='127.0.0.1')"));
        assert!(!flask("app.run(host='0.0.0.0')") && !flask("app.run('0.0.0.0', 80)"));
        assert!(
            !flask("app.run(host=HOST)") && !flask("app.run(**options)") && !flask("# app.run()")
        );
        assert!(!flask("subprocess.run(x)") && !flask("myapp.run()") && !flask(""));
        assert!(on_loopback("uvicorn.run(app, port=8000)"));
        assert!(!on_loopback("uvicorn.run(app, host=\"0.0.0.0\")"));
        assert_eq!(script_of("python3 -u src/app.py --x"), Some("src/app.py"));
        assert_eq!(script_of("exec python -m app"), None);
        assert_eq!(script_of("gunicorn app:app"), None);
    }

    #[test]
    fn imports_are_seen() {
        for text in [
            "import flask",
            "from flask import x",
            "  import os, flask as f",
            "from flask.views import V",
        ] {
            assert!(imports(text, "flask"), "{text}");
        }
        for text in ["import flask_login", "# flask", "from .flask import x", "x = 'import flask'"]
        {
            assert!(!imports(text, "flask"), "{text}");
        }
    }

    #[test]
    fn ports_are_seen_where_they_are_written_out() {
        assert_eq!(fixed_port("app.run(host='0.0.0.0', port=5000)"), Some(5000));
        assert_eq!(fixed_port("HTTPServer((\"\", 8000), Handler)"), Some(8000));
        assert_eq!(fixed_port("app.run(port=int(os.environ['PORT']))"), None);
        assert_eq!(fixed_port("app.run(port=port)"), None);
        assert_eq!(fixed_port("PORT = 8000\nHTTPServer((\"\", PORT), Handler)"), Some(8000));
        assert_eq!(fixed_port("PORT: int = 5001  # mine\napp.run(port=PORT)"), Some(5001));
        assert_eq!(fixed_port("PORT = int(os.getenv('PORT', 80))\napp.run(port=PORT)"), None);
        assert_eq!(fixed_port("PORT = int(os.environ.get(\n  'PORT', 80))\nrun(port=PORT)"), None);
        assert_eq!(fixed_port("class S(BaseSettings):\n  port: int = 80\nrun(port=80)"), None);
        assert_eq!(port_of("gunicorn -b 0.0.0.0:8080 a:b"), Some(8080));
        assert_eq!(port_of("uvicorn a:b --port=80"), Some(80));
        assert_eq!(port_of("gunicorn -b :$PORT a:b"), None);
        assert_eq!(port_of("python manage.py runserver 0.0.0.0:8001"), Some(8001));
    }
}
