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
        && names_siblings(facts, folder, file)
    {
        return (folder.to_owned(), dotted(name));
    }
    (String::new(), dotted(file))
}

/// Whether a file imports what lies beside it by its bare name. What is called like itself is a package's.
fn names_siblings(facts: &Facts, folder: &str, own: &str) -> bool {
    let text = facts.text(own);
    facts.files.iter().filter(|file| *file != own).any(|file| {
        let below = file.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
        let first = below.and_then(|below| below.split('/').next());
        let name = first.map(|first| first.trim_end_matches(".py")).unwrap_or_default();
        name != "__init__" && !name.is_empty() && imports(&text, name)
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
}
