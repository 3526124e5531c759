//! Whether what an entry file imports is declared anywhere.

use windlass_plugin_common::spelling;
use windlass_sdk::PluginError;

use crate::code;
use crate::facts::Facts;
use crate::framework::FRAMEWORKS;
use crate::script;

/// Files that are searched for an import.
const SEARCHED_MAX: usize = 60;
/// Manifests, as they are spelled.
const MANIFESTS: [&str; 3] = ["requirements.txt", "pyproject.toml", "Pipfile"];
/// Modules that come from packages and never with Python, beside those of the frameworks.
const MODULES: [&str; 34] = [
    "aiogram",
    "anthropic",
    "apscheduler",
    "boto3",
    "bs4",
    "celery",
    "discord",
    "django",
    "dotenv",
    "flask_cors",
    "flask_sqlalchemy",
    "gunicorn",
    "httpx",
    "jinja2",
    "nextcord",
    "numpy",
    "openai",
    "pandas",
    "praw",
    "psycopg",
    "psycopg2",
    "pydantic",
    "pymongo",
    "pyrogram",
    "redis",
    "requests",
    "schedule",
    "slack_bolt",
    "sqlalchemy",
    "telebot",
    "telegram",
    "telethon",
    "tweepy",
    "uvicorn",
];

/// The refusal of an application without a manifest whose entry file imports a package: nothing would be
/// installed, and it would end at its first line.
pub(crate) fn missing(facts: &Facts, file: &str) -> Option<PluginError> {
    if !unlisted(facts) || !is_run(facts, file) {
        return None;
    }
    let text = facts.text(file);
    let frameworks = FRAMEWORKS.iter().map(|one| one.id);
    let own = |module: &str| {
        let folder = file.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
        let paths = [String::new(), folder.unwrap_or_default()].map(|at| format!("{at}{module}"));
        let is = |path: &String| {
            paths
                .iter()
                .any(|own| *path == format!("{own}.py") || path.starts_with(&format!("{own}/")))
        };
        facts.files.iter().any(is)
    };
    let module = frameworks.chain(MODULES).find(|one| imports(&text, one) && !own(one))?;
    Some(refusal(facts, file, module))
}

/// Whether nothing says what is to be installed, and no command of the settings installs it.
pub(crate) fn unlisted(facts: &Facts) -> bool {
    let build = &facts.settings.build;
    let own = build.install.is_some() || build.command.is_some();
    !own && facts.manifest().or(script::conda_file(facts)).is_none()
}

/// Whether a file imports a module, and a command of the settings installs what no manifest names: it is taken for
/// declared.
pub(crate) fn installed(facts: &Facts, module: &str) -> bool {
    if facts.settings.build.install.is_none() || facts.manifest().is_some() {
        return false;
    }
    let candidates: Vec<&str> = facts.candidates().into_iter().take(SEARCHED_MAX).collect();
    facts.source.prefetch(&candidates);
    candidates.iter().any(|file| code::imports(&facts.text(file), module))
}

/// A file needs a module, and nothing says what is to be installed.
pub(crate) fn refusal(facts: &Facts, file: &str, module: &str) -> PluginError {
    let message = format!("{file} needs {module}, and no file here says what is to be installed");
    let misspelled = spelling::near_misses(facts.source, "python", &MANIFESTS);
    let folders = spelling::folders_with(facts.source, &MANIFESTS);
    let hint = match (misspelled.first(), folders.first()) {
        (Some(miss), _) => format!("rename it: {}", miss.reason),
        (_, Some((folder, file))) => format!(
            "there is {folder}/{file}: to deploy that folder, set build.app_dir = {folder:?} in windlass.toml; or \
             set build.install = \"pip install -r {folder}/{file}\""
        ),
        _ => "list the packages in a requirements.txt beside it (`pip freeze > requirements.txt` writes \
                 all that is installed), or set build.install in windlass.toml"
            .to_owned(),
    };
    PluginError::new("python.no-manifest", message).hint(hint)
}

/// Whether the file is what runs: a command line that was declared may name another.
fn is_run(facts: &Facts, file: &str) -> bool {
    let stem = file.rsplit('/').next().unwrap_or(file).trim_end_matches(".py");
    facts.declared.web.as_ref().is_none_or(|(line, ..)| {
        line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == stem)
    })
}

/// Whether a module is imported at the top level, where a failure ends the program: `import flask`,
/// `from flask.views import View`.
fn imports(text: &str, module: &str) -> bool {
    let own = |name: &str| {
        let rest = name.trim().strip_prefix(module);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ']))
    };
    text.lines().any(|line| match (line.strip_prefix("import "), line.strip_prefix("from ")) {
        (Some(names), _) => names.split('#').next().unwrap_or_default().split(',').any(own),
        (_, Some(rest)) => own(rest.split(" import").next().unwrap_or(rest)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::imports;

    #[test]
    fn only_imports_that_end_the_program_count() {
        for text in ["import flask", "import os, flask as f", "from flask.views import View"] {
            assert!(imports(text, "flask"), "{text}");
        }
        for text in ["    import flask", "import flask_x", "# import flask", "from .flask import x"]
        {
            assert!(!imports(text, "flask"), "{text}");
        }
    }
}
